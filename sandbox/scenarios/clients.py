"""A signed client: Operator sets up their back office with 47 calls, and the power fails in the middle."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sandbox.scenarios.story import COMPANIES, FIRST, LAST, Check, Day, Part, State, event, runs

PACKAGES = ("Setup", "Automation", "Training", "Care plan", "Reporting", "Migration")
CALLS = 47
LINKS = 12  # six, each mirrored
POWER_FAILS = (0, "14:00")


class Clients(Part):
    """One base undisturbed in the morning, one while the agent and then the gateway are killed in the afternoon."""

    title = "Clients"

    async def play(self, day: Day) -> None:
        self.first, self.second = client(day), client(day)
        day.tell(f"{self.first['name']} signs.")
        await day.publish(event("viox.client.signed", "contracts", self.first, subject=self.first["client_id"]))
        await day.see("their base", lambda s: self._status(s, self.first) == ["finished"])
        await day.until(*POWER_FAILS)
        day.tell(f"{self.second['name']} signs; Operator is killed in the middle of its work, then the gateway.")
        await day.publish(event("viox.client.signed", "contracts", self.second, subject=self.second["client_id"]))
        await day.see("two tables", lambda s: len(_tables(s, self.second)) >= 2)
        await day.kill("operator")
        await day.see("five tables", lambda s: len(_tables(s, self.second)) >= 5)
        await day.kill("gateway")
        await day.see("their base", lambda s: self._status(s, self.second) == ["finished"])

    def _status(self, state: State, one: dict[str, Any]) -> list[str]:
        return [run["status"] for run in runs(state, "operator", conversation_id=f"client:{one['client_id']}")]

    def checks(self, state: State) -> list[Check]:
        found: list[Check] = []
        for one, when in ((self.first, ""), (self.second, ", though the power failed")):
            run = [run["run_id"] for run in runs(state, "operator", conversation_id=f"client:{one['client_id']}")]
            made = sum(call["run_id"] in run for call in state["record"]["calls"])
            found += [
                Check(f"a client's base takes {CALLS} calls{when}", made, CALLS),
                Check(f"it is there once{when}", len(_bases(state, one)), 1),
                Check(f"every table has its rows once{when}", _rows(state, one), [_wanted(one)]),
                Check(f"and every link{when}", [_links(base) for base in _bases(state, one)], [LINKS]),
            ]
        return found


def client(day: Day) -> dict[str, Any]:
    """The data of viox.client.signed."""
    dice, key = day.dice, f"{day.tag}-{day.dice.randrange(10_000):04}"
    people = zip(dice.sample(FIRST, 3), dice.sample(LAST, 3), strict=True)
    return {
        "client_id": f"client-{key}",
        "name": f"{dice.choice(COMPANIES)} {key}",
        "airtable_workspace_id": "wspSandbox0000001",
        "contacts": [{"name": f"{a} {b}", "email": f"{a}.{key}@client.example".lower()} for a, b in people],
        "packages": [
            {"name": p, "amount_cents": dice.randrange(50_000, 900_000, 5_000)} for p in dice.sample(PACKAGES, 3)
        ],
        "signed_at": datetime.now(UTC).isoformat(),
    }


def _bases(state: State, one: dict[str, Any]) -> list[dict[str, Any]]:
    return [base for base in state["airtable"]["bases"] if base["name"] == f"{one['name']} back office"]


def _tables(state: State, one: dict[str, Any]) -> list[dict[str, Any]]:
    return [table for base in _bases(state, one) for table in base["tables"]]


def _rows(state: State, one: dict[str, Any]) -> list[dict[str, int]]:
    """By base: how many rows each table has."""
    return [{table["name"]: len(table["records"]) for table in base["tables"]} for base in _bases(state, one)]


def _wanted(one: dict[str, Any]) -> dict[str, int]:
    packages = len(one["packages"])
    of_packages = dict.fromkeys(("Projects", "Tasks", "Invoices"), packages)
    return {"Clients": 1, "Contacts": len(one["contacts"]), "Meetings": 1, "Documents": 0} | of_packages


def _links(base: dict[str, Any]) -> int:
    fields = [field for table in base["tables"] for field in table["fields"]]
    links = [field for field in fields if field["type"] == "multipleRecordLinks"]
    return sum("inverseLinkFieldId" in field.get("options", {}) for field in links)
