"""What a business day is told with: its parts, what a part may do, and what must have come of it.

A part plays its people: it publishes, texts, calls, pays, and waits for what comes. It runs beside the others. Its checks look
at a `State` only: what the vendors have, and what is on record.
"""

from __future__ import annotations

import abc
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar, Protocol
from uuid import uuid4

from sandbox.vendors import twilio

State = Mapping[str, Any]
"""By vendor what its emulator knows; `record`: runs and calls; `stops`: what everybody had got at each halt of the clock."""


@dataclass(frozen=True, slots=True)
class Check:
    """Something that must be so. `counts`: it is wrong, too, when everything has happened twice."""

    says: str
    seen: Any
    wanted: Any
    counts: bool = True

    @property
    def holds(self) -> bool:
        return bool(self.seen == self.wanted)


class Day(Protocol):
    """What a part may do. Moments are the business's own: days after the first one, and a time of day."""

    vendors: Mapping[str, str]
    tag: str  # keeps one day apart from the next on the same stack
    dice: random.Random

    def tell(self, words: str) -> None:
        """A line of the story."""

    def answers(self, words: str, answer: str) -> None:
        """How the owner answers a question of an agent that has these words."""

    def rejects(self, tool: str, words: str, why: str) -> None:
        """What the owner does not agree to: calls of a tool whose arguments have these words."""

    async def publish(self, *events: dict[str, Any]) -> None:
        """Events as their upstreams send them: through the command line's door, or straight onto Kafka."""

    async def ask(self, agent: str, words: str, context: dict[str, Any] | None = None) -> str:
        """A task of the owner. Returns its run."""

    async def ended(self, run: str) -> None:
        """Until a run has ended."""

    async def see(self, what: str, look: Callable[[State], Any]) -> Any:
        """Until this is to be seen. Returns it. Raises Unseen after a while."""

    async def until(self, days: int, at: str) -> None:
        """Until it is that late by the business's clock. It moves when nothing is left to do before."""

    async def happen(self, vendor: str, what: str, body: Mapping[str, Any]) -> Any:
        """Something at a vendor that is none of our doing: somebody texts, calls, pays."""

    async def take_over(self, conversation: str, by: str) -> None:
        """A person answers in a conversation from now on."""

    async def give_back(self, conversation: str) -> None:
        """And does no longer."""

    async def kill(self, service: str) -> None:
        """End a service as a power failure does, and wait until another is in its place."""


class Unseen(Exception):
    """What must come has not come."""


class Part(abc.ABC):
    """A strand of the day."""

    title: ClassVar[str]
    needs: ClassVar[tuple[str, ...]] = ()  # of the business's profile
    uses: ClassVar[tuple[str, ...]] = ()  # vendors that no other part has to do with

    @abc.abstractmethod
    async def play(self, day: Day) -> None:
        """What people and vendors do."""

    @abc.abstractmethod
    def checks(self, state: State) -> list[Check]:
        """What must have come of it, after `play`."""


# -- what happens ----------------------------------------------------------------------------------------------------------


def event(kind: str, source: str, data: Mapping[str, Any], subject: str | None = None) -> dict[str, Any]:
    """A CloudEvent in structured JSON form."""
    made = {
        "specversion": "1.0",
        "id": str(uuid4()),
        "source": f"/upstream/{source}",
        "type": kind,
        "time": datetime.now(UTC).isoformat(),
        "datacontenttype": "application/json",
        "data": dict(data),
    }
    return made | ({"subject": subject} if subject else {})


FIRST = ("Ana", "Bruno", "Chiara", "Dmitri", "Elif", "Farid", "Grace", "Hiro", "Ines", "Jonas", "Keiko", "Liam", "Mona")
LAST = (
    "Lopez",
    "Nakamura",
    "Okafor",
    "Petrov",
    "Quinn",
    "Rossi",
    "Schmidt",
    "Tanaka",
    "Usman",
    "Vega",
    "Weber",
    "Yilmaz",
)
WANTS = (
    "a kitchen renovation",
    "monthly bookkeeping",
    "a new website",
    "solar panels",
    "office cleaning",
    "a garden plan",
)
COMPANIES = ("Harbor Dental", "Northwind Yoga", "Cedar & Sons", "Blue Finch Cafe", "Atlas Movers", "Maple Clinic")


def lead(day: Day, **more: Any) -> dict[str, Any]:
    """Somebody who may buy: the data of viox.lead.created."""
    first, last = day.dice.choice(FIRST), day.dice.choice(LAST)
    made = {
        "email": f"{first}.{last}.{day.dice.randrange(10_000):04}.{day.tag}@example.com".lower(),
        "first_name": first,
        "last_name": last,
        "phone": phone(day),
        "company": f"{day.dice.choice(COMPANIES)} {day.tag}",  # two of one name at one company are taken for one person
        "interest": day.dice.choice(WANTS),
        "amount_cents": day.dice.randrange(20_000, 90_000, 2_500),
        "source": "website",
    }
    return made | more


async def text(day: Day, number: str, words: str) -> None:
    """Somebody texts the business."""
    await day.happen("twilio", "inbound", {"from": number, "body": words})


def missed_call(number: str) -> dict[str, Any]:
    """Twilio's news of a call that nobody of the business took."""
    data = {
        "CallSid": f"CA{uuid4().hex}",
        "AccountSid": twilio.ACCOUNT,
        "From": number,
        "To": twilio.NUMBER,
        "Direction": "inbound",
        "CallStatus": "no-answer",
        "CallDuration": "0",
        "ApiVersion": "2010-04-01",
    }
    return event("com.twilio.call.completed", "twilio", data, subject=number)


def undelivered(message: str, number: str) -> dict[str, Any]:
    """Twilio's news of a text message that reached nobody."""
    data = {
        "MessageSid": message,
        "MessageStatus": "undelivered",
        "ErrorCode": "30003",
        "To": number,
        "From": twilio.NUMBER,
        "AccountSid": twilio.ACCOUNT,
    }
    return event("com.twilio.message.status", "twilio", data, subject=number)


def comes(somebody: Mapping[str, Any]) -> dict[str, Any]:
    """A lead's event."""
    return event("viox.lead.created", "website", somebody, subject=str(somebody["email"]))


def named(one: Mapping[str, Any]) -> str:
    return f"{one['first_name']} {one['last_name']}"


def phone(day: Day) -> str:
    """A mobile number of San Francisco, where the day's business is."""
    return f"+1415{int(day.tag, 16) % 800 + 200:03}{day.dice.randrange(10_000):04}"


# -- what is seen ----------------------------------------------------------------------------------------------------------


def texts(state: State, number: str) -> list[str]:
    """The text messages that a number got, in order."""
    return [one["body"] for one in state["twilio"]["messages"] if one["to"] == number]


def mails(state: State, address: str, about: str = "") -> list[dict[str, Any]]:
    """The mails that an address got, in order; those whose subject has some words."""
    found = state["mail"]["messages"]
    return [one for one in found if address in str(one["to"]) and about.lower() in one["subject"].lower()]


def counts(state: State, what: str, whom: str) -> list[int]:
    """How many `texts` or `mails` somebody had got at each halt of the clock, as far as it changed."""
    found = [one[what].get(whom, 0) for one in state["stops"]]
    return [number for at, number in enumerate(found) if at == 0 or number != found[at - 1]]


def at_stop(state: State, what: str, whom: str, stop: str) -> int | None:
    """How many somebody had got when the clock went on from a moment, as "+1 08:05"; None when it never stood there."""
    found = [one[what].get(whom, 0) for one in state["stops"] if one["at"] == stop]
    return found[-1] if found else None


def contacts(state: State, email: str) -> list[dict[str, Any]]:
    return [one for one in state["hubspot"]["objects"]["contacts"].values() if one["properties"].get("email") == email]


def of_contact(state: State, kind: str, email: str) -> list[dict[str, Any]]:
    """Deals, notes, tasks or tickets of a contact in the CRM."""
    links = {tuple(link) for link in state["hubspot"]["associations"]}
    owners = {one["id"] for one in contacts(state, email)}
    objects = state["hubspot"]["objects"][kind].values()
    return [one for one in objects if any((kind, one["id"], "contacts", owner) in links for owner in owners)]


def calls(state: State, tool: str, *, by: str | None = None, came: str | None = None, **arguments: Any) -> list[Any]:
    """Tool calls on record with these arguments, among others; by an agent, in a state."""
    found = [one for one in state["record"]["calls"] if one["tool"] == tool]
    found = [one for one in found if by in (None, one["agent"]) and came in (None, one["state"])]
    return [one for one in found if all(one["arguments"].get(name) == value for name, value in arguments.items())]


def runs(state: State, agent: str, **what: Any) -> list[dict[str, Any]]:
    """Runs of an agent whose row has these values."""
    found = [one for one in state["record"]["runs"] if one["agent"] == agent]
    return [one for one in found if all(one[name] == value for name, value in what.items())]


# -- are the checks worth anything? ------------------------------------------------------------------------------------------


def nothing(state: State) -> State:
    """The state in which none of it happened."""
    return _changed(state, lambda rows: [], lambda objects: {}, lambda count: 0)


def twice(state: State) -> State:
    """The state in which all of it happened twice."""
    again = "'"  # of the second one's id
    return _changed(
        state,
        lambda rows: [*rows, *rows],
        lambda objects: objects | {f"{key}{again}": one for key, one in objects.items()},
        lambda count: 2 * count,
    )


def blind(part: Part, state: State) -> list[str]:
    """Those checks that hold although nothing happened, or although everything happened twice: they would see nothing."""
    empty, double = part.checks(nothing(state)), part.checks(twice(state))
    found = [f"{one.says}: it holds though nothing happened" for one in empty if one.holds]
    return found + [f"{one.says}: it holds though it happened twice" for one in double if one.counts and one.holds]


def _changed(
    state: State,
    rows: Callable[[list[Any]], list[Any]],
    objects: Callable[[dict[str, Any]], dict[str, Any]],
    count: Callable[[int], int],
) -> State:
    made: dict[str, Any] = {}
    for name, known in state.items():
        if name == "stops":
            made[name] = [_recounted(stop, count) for stop in known]
            continue
        made[name] = {what: rows(value) if isinstance(value, list) else value for what, value in known.items()}
        if "objects" in known:
            made[name]["objects"] = {kind: objects(found) for kind, found in known["objects"].items()}
    return made


def _recounted(stop: Mapping[str, Any], count: Callable[[int], int]) -> dict[str, Any]:
    return dict(stop) | {what: {one: count(n) for one, n in stop[what].items()} for what in ("texts", "mails")}
