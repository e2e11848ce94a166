"""Automations: one that fails and is run again, and one that is wanted, built, agreed to, tried and used."""

from __future__ import annotations

from typing import Any

from sandbox.scenarios import upstream
from sandbox.scenarios.story import Check, Day, Part, State, calls, event


class Building(Part):
    """What Builder does in n8n."""

    title = "Automations"

    async def play(self, day: Day) -> None:
        self.name = f"Post new reviews to chat {day.tag}"
        failure = await upstream.failed_workflow(day.vendors["n8n"], day.tag)
        self.failed = str(failure["execution"]["id"])
        wanted = {
            "request_id": f"A-{day.tag}",
            "title": self.name,
            "description": "When a review comes, post its {text} to https://chat.example.com/hooks/reviews",
        }
        day.tell("A workflow failed in the night, and the owner wants a new one.")
        await day.publish(
            event("com.n8n.execution.failed", "n8n", failure), event("viox.automation.requested", "owner", wanted)
        )
        await day.see("the failed one run again", lambda s: self._retries(s))
        await day.see("the new one active and tested", lambda s: self._tested(s))
        (path,) = self._paths(await day.see("its address", self._built))
        day.tell("The new workflow is active. The first review comes in.")
        await upstream.trigger(day.vendors["n8n"], path, {"text": f"Great work {day.tag}"})
        await day.see("its first run", lambda s: len(self._runs(s)) == 2)

    def _retries(self, state: State) -> list[dict[str, Any]]:
        return [one for one in state["n8n"]["executions"] if str(one.get("retryOf")) == self.failed]

    def _built(self, state: State) -> list[dict[str, Any]]:
        return [one for one in state["n8n"]["workflows"] if self.name in one["name"] and one["active"]]

    def _tested(self, state: State) -> list[dict[str, Any]]:
        return [one for one in calls(state, "n8n_call_webhook", came="succeeded") if self._runs(state)]

    def _paths(self, workflows: list[dict[str, Any]]) -> list[str]:
        nodes = [node for one in workflows for node in one["nodes"]]
        return [node["parameters"]["path"] for node in nodes if node["type"].endswith(".webhook")]

    def _runs(self, state: State) -> list[dict[str, Any]]:
        ids = {one["id"] for one in self._built(state)}
        found = [one for one in state["n8n"]["executions"] if one["workflowId"] in ids]
        return [one for one in found if one["status"] == "success"]

    def checks(self, state: State) -> list[Check]:
        agreed = [one for one in state["record"]["approvals"] if one["tool"] == "n8n_activate_workflow"]
        ours = [one for one in agreed if one["state"] == "approved"]
        return [
            Check("the failed workflow is run again once", len(self._retries(state)), 1),
            Check("the new workflow stands once, active", len(self._built(state)), 1),
            Check("a person agreed before it ran", len(ours), 1),
            Check("it ran for its test and for a review", len(self._runs(state)), 2),
        ]
