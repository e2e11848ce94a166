"""Vendors and tools of ours as Closer and Voice meet them: they remember, and refuse arguments that do not fit the catalogue."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import count
from typing import Any

import orjson

from services.tool_gateway.catalogue import catalogue
from shared.business import Business
from shared.runtime.replay import replay_run
from tests.unit.agents.driving import Graph, answered, spec_of, trigger


class Denied(Exception):
    """A call that the gateway does not make."""

    def __init__(self, code: str, message: str, **more: Any) -> None:
        super().__init__(message)
        self.error = {"code": code, "message": message, "remedy": None, **more}


@cache
def _catalogue() -> Any:
    return catalogue.load()


class Office:
    """CRM, telephone, mail, payments, memory, timers, colleagues. `answers` takes the place of a tool's own answer."""

    def __init__(self, *contacts: dict[str, str]) -> None:
        self.ids = count(1)
        self.contacts = {str(next(self.ids)): one for one in contacts}
        self.deals: dict[str, dict[str, Any]] = {}
        self.made: list[dict[str, Any]] = []
        self.memory: dict[str, list[dict[str, Any]]] = {}
        self.knowledge: list[str] = []
        self.answers: dict[str, Any] = {}
        self.unfit: list[str] = []

    def arguments(self, tool: str) -> list[dict[str, Any]]:
        """What a tool was called with, so far."""
        return [call["arguments"] for call in self.made if call["tool"] == tool]

    def texts(self) -> list[str]:
        return [one["Body"] for one in self.arguments("twilio_send_message")]

    def notes(self) -> list[str]:
        return [one["properties"]["hs_note_body"] for one in self.arguments("hubspot_create_note")]

    def timers(self) -> list[dict[str, Any]]:
        return self.arguments("timer_set")

    def __call__(self, call: dict[str, Any]) -> Any:
        tool, given = call["tool"], call["arguments"]
        self.made.append(call)
        if (known := _catalogue().tools.get(tool)) and (problem := known.problem_with(given)):
            self.unfit.append(f"{tool}: {problem['message']}")
        if tool in self.answers:
            answer = self.answers[tool]
            answer = answer(given) if callable(answer) else answer
            if isinstance(answer, Exception):
                raise answer
            return answer
        answers: Callable[[dict[str, Any]], Any] = getattr(self, f"_{tool}", lambda given: {})
        return answers(given)

    def _hubspot_get_account(self, given: dict[str, Any]) -> Any:
        return {"companyCurrency": "USD", "timeZone": "UTC"}

    def _hubspot_get_contact(self, given: dict[str, Any]) -> Any:
        return self._contact(given["contactId"]) if given["contactId"] in self.contacts else None

    def _hubspot_get_contact_by_email(self, given: dict[str, Any]) -> Any:
        return next((self._contact(k) for k, c in self.contacts.items() if c.get("email") == given["email"]), None)

    def _hubspot_search_contacts(self, given: dict[str, Any]) -> Any:
        wanted = given["filterGroups"][0]["filters"][0]["value"]
        found = [self._contact(key) for key, one in self.contacts.items() if one.get("phone") == wanted]
        return {"total": len(found), "results": found}

    def _hubspot_create_contact(self, given: dict[str, Any]) -> Any:
        key = str(next(self.ids))
        self.contacts[key] = given["properties"]
        return self._contact(key)

    def _hubspot_update_contact(self, given: dict[str, Any]) -> Any:
        self.contacts[given["contactId"]] |= given["properties"]
        return self._contact(given["contactId"])

    def _contact(self, key: str) -> dict[str, Any]:
        return {"id": key, "properties": dict(self.contacts[key])}

    def _hubspot_create_deal(self, given: dict[str, Any]) -> Any:
        key = str(next(self.ids))
        self.deals[key] = given["properties"] | {"contact": given["associations"][0]["to"]["id"]}
        return {"id": key, "properties": given["properties"]}

    def _hubspot_get_deal(self, given: dict[str, Any]) -> Any:
        found = self.deals.get(given["dealId"])
        return found and {"id": given["dealId"], "properties": found}

    def _hubspot_update_deal(self, given: dict[str, Any]) -> Any:
        self.deals[given["dealId"]] |= given["properties"]
        return {"id": given["dealId"], "properties": self.deals[given["dealId"]]}

    def _hubspot_search_deals(self, given: dict[str, Any]) -> Any:
        wanted = given["filterGroups"][0]["filters"][0]["value"]
        rows = [{"id": k, "properties": d} for k, d in self.deals.items() if len(wanted) > 9 or wanted == d["contact"]]
        return {"total": len(rows), "results": rows}

    def _hubspot_list_associations(self, given: dict[str, Any]) -> Any:
        return {"results": [{"toObjectId": self.deals[given["fromId"]]["contact"]}]}

    def _hubspot_create_note(self, given: dict[str, Any]) -> Any:
        return {"id": str(next(self.ids))}

    _hubspot_create_task = _hubspot_create_note

    def _twilio_lookup_number(self, given: dict[str, Any]) -> Any:
        return {"phone_number": given["PhoneNumber"], "valid": True, "country_code": "US"}

    def _twilio_send_message(self, given: dict[str, Any]) -> Any:
        return {"sid": f"SM{next(self.ids)}", "status": "queued", "to": given["To"]}

    def _stripe_create_product(self, given: dict[str, Any]) -> Any:
        return {"id": "prod_1", "default_price": f"price_{given['default_price_data']['unit_amount']}"}

    def _stripe_create_payment_link(self, given: dict[str, Any]) -> Any:
        return {"id": "plink_1", "url": "https://buy.stripe.com/test_1"}

    def _elevenlabs_call(self, given: dict[str, Any]) -> Any:
        return {"success": True, "conversation_id": "conv_1", "callSid": "CA1"}

    def _memory_recall(self, given: dict[str, Any]) -> Any:
        return {"items": self.memory.get(given.get("entity", ""), []), "from_outside": False}

    def _knowledge_search(self, given: dict[str, Any]) -> Any:
        return {"items": [{"text": text} for text in self.knowledge]}

    def _task_delegate(self, given: dict[str, Any]) -> Any:
        return {"run_id": "r", "agent": given["agent"], "status": "finished", "text": "Done.", "failed_calls": []}

    def _person_ask(self, given: dict[str, Any]) -> Any:
        return {"answer": "wspSandbox0000001", "by": "Olga"}


class Desk:
    """One conversation of a role in an office: each thing that comes is a run of its own."""

    def __init__(self, agent: str, office: Office, model: Any = None, business: Business | None = None) -> None:
        self._spec = spec_of(agent)
        self.graph = Graph(self._spec, model, business)
        self.office = office

    async def comes(self, kind: str, data: dict[str, Any]) -> dict[str, Any]:
        """Work on it to its end. Returns the run's outcome."""
        state = await self.graph.next_run().go(trigger(kind, data))
        while state["outgoing"]:
            state = await self.graph.go(results=closed_by(self.office, state))
        assert self.office.unfit == [], "every call fits the schema of its tool"
        outcome: dict[str, Any] = self.graph.history[-1].body
        return outcome

    async def told(self, instruction: str = "See context.", **context: Any) -> dict[str, Any]:
        """A task."""
        return await self.comes("viox.task.requested", {"instruction": instruction, "context": context})

    async def texted(self, body: str, sender: str = "+14155550123") -> dict[str, Any]:
        return await self.comes("com.twilio.message.received", {"From": sender, "To": "+15005550006", "Body": body})

    async def replayed(self) -> list[str]:
        """What is not as recorded when the last run is replayed."""
        stored = {digest: orjson.dumps(part).decode() for digest, part in self.graph.asked_with.items()}
        steps = [replace(step, body=orjson.loads(orjson.dumps(step.body))) for step in self.graph.history]
        report = await replay_run(self._spec, steps[-1].run_id, steps, stored)
        return [] if report.same else report.lines()

    @property
    def turns(self) -> int:
        """Model turns so far."""
        return sum(step.kind == "model" for step in self.graph.history)

    def asked(self) -> list[str]:
        """What the model was given."""
        return [step.body["text"] for step in self.graph.history if step.kind == "ask"]


def closed_by(office: Office, state: Any) -> dict[str, Any]:
    """Results of what is out; a denial is the gateway's, not a failure of the vendor."""
    denied: dict[str, dict[str, Any]] = {}

    def answer(call: dict[str, Any]) -> Any:
        try:
            return office(call)
        except Denied as why:
            denied[call["call_id"]] = {"state": "denied", "result": None, "error": why.error}
            raise

    found = answered(state, answer)
    return found | denied
