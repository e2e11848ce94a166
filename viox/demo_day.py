"""The day as its parts play it: events in, the vendors' state and the record out, one clock for all.

The parts run at the same time. When all of them wait for a later moment, and nothing is under way any more, the clock moves to
the next of these moments, and the story up to there is told part by part.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

from sandbox.children import alive
from sandbox.scenarios.story import Part, State, Unseen
from shared.bus import topics
from shared.bus.envelope import Message, parse_json
from shared.bus.events import TASK_TYPE, event_type
from shared.bus.kafka import Producer
from shared.bus.messages import task
from shared.business import at_local
from shared.ids import run_id
from shared.operations import store
from shared.settings import Settings
from shared.store.sql import Queries
from viox import clock, deployment, ingress, output, takeover
from viox.demo_owner import Owner

SQL = Queries(Path(__file__).with_name("demo.sql"))
LOOK_EVERY_SECONDS = 0.25
LOOKS_SHARE = 3.0  # between two looks passes so many times what one takes
PATIENCE_SECONDS = 300.0  # of a machine that does much else at the same time
QUIET_LOOKS = 2  # one after the other: what a vendor has just told is on its way for a moment
BEGINS = (0, "09:00")  # of a Monday
WEBHOOKS = {
    "stripe": ["invoice.paid", "invoice.payment_failed", "charge.dispute.created", "checkout.session.completed"],
    "twilio": ["inbound"],
    "elevenlabs": [],
}
VENDORS = ("hubspot", "twilio", "airtable", "stripe", "quickbooks", "elevenlabs", "n8n", "make", "mail")


class Unread(Exception):
    """A part of the state that has not been read yet."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class Now(Mapping[str, Any]):
    """The state of this moment, as far as somebody has looked at it."""

    def __init__(self, known: Mapping[str, Any]) -> None:
        self.known = dict(known)
        self.began = time.monotonic()
        self.cost = 0.0  # seconds that reading it took

    @property
    def is_old(self) -> bool:
        """Whether it is time for another look: what takes long is not done all the time."""
        return time.monotonic() - self.began >= max(LOOK_EVERY_SECONDS, LOOKS_SHARE * self.cost)

    def __getitem__(self, name: str) -> Any:
        if name not in self.known:
            raise Unread(name)
        return self.known[name]

    def __iter__(self) -> Iterator[str]:
        return iter((*VENDORS, *(name for name in self.known if name not in VENDORS)))

    def __len__(self) -> int:
        return len(list(iter(self)))


@dataclass
class Played:
    """A part, how long it took, and what it told since the clock moved last."""

    part: Part
    lines: list[str] = field(default_factory=list)
    seconds: float = 0.0
    trouble: str | None = None


class Clock:
    """Moves when all that go by it wait, and nothing is under way."""

    def __init__(self, zone: ZoneInfo) -> None:
        self.zone = zone
        self.monday = datetime.now(zone)
        self.stop = ""
        self.waiting: dict[asyncio.Future[None], tuple[int, str]] = {}

    def moment(self, days: int, at: str) -> datetime:
        """So many days after the first, at a time of day."""
        return at_local(self.monday.date() + timedelta(days=days), datetime.strptime(at, "%H:%M").time(), self.zone)

    async def until(self, days: int, at: str) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting[future] = (days, at)
        await future

    def next(self) -> tuple[int, str]:
        return min(self.waiting.values(), key=lambda one: self.moment(*one))

    def release(self, stop: tuple[int, str]) -> None:
        for future in [one for one, wanted in self.waiting.items() if wanted == stop]:
            del self.waiting[future]
            future.set_result(None)


class Conductor:
    """Plays the parts of a day on a stack that runs."""

    def __init__(self, stack: dict[str, Any], pool: Any, seed: int, zone: ZoneInfo) -> None:
        self.stack, self.pool, self.vendors = stack, pool, stack["vendors"]
        self.tag, self.seed = uuid4().hex[:6], seed
        self.clock = Clock(zone)
        self.stops: list[dict[str, Any]] = []
        self.halts: list[tuple[str, float]] = []  # where the clock stood, and how long
        self.published = 0
        self.trouble: list[str] = []
        self._now = Now({})
        self._reading = asyncio.Lock()

    async def run(self, parts: Sequence[Part]) -> tuple[list[Played], State]:
        """Play all; returns them with the state at the end."""
        self.since = await self.pool.fetchval(SQL["demo_began"])
        self.owner = Owner(self.pool, self.since)
        await asyncio.to_thread(self._register)
        await self._begin()
        played = [Played(part) for part in parts]
        tasks = [asyncio.create_task(self._play(one)) for one in played]
        deciding = asyncio.create_task(self._decide())
        try:
            await self._conduct(tasks, played)
            return played, await self._last_state()
        finally:
            for one in (*tasks, deciding):
                one.cancel()
            await asyncio.gather(*tasks, deciding, return_exceptions=True)

    def _register(self) -> None:
        """The emulators tell the gateway what happens at them, as the vendors do."""
        for vendor, events in WEBHOOKS.items():
            body = {"url": f"{self.stack['gateway_url']}/webhooks/{vendor}"} | ({"events": events} if events else {})
            post(f"{self.vendors[vendor]}/_sandbox/webhooks", body)

    async def _begin(self) -> None:
        """It is Monday, nine o'clock."""
        now = (await self.pool.fetchval("select viox_now()")).astimezone(self.clock.zone)
        self.clock.monday = now + timedelta(days=(7 - now.weekday()) % 7)
        if self.clock.moment(*BEGINS) <= now:
            self.clock.monday += timedelta(days=7)
        await self._move(BEGINS)

    async def _play(self, played: Played) -> None:
        began = time.monotonic()
        voice = Voice(self, played)
        try:
            await played.part.play(voice)
        except Unseen as error:
            played.trouble = str(error)
            played.lines.append(f"NOT SEEN: {error}")
        finally:
            played.seconds = time.monotonic() - began

    async def _decide(self) -> None:
        while True:
            await self.owner.decide()
            await asyncio.sleep(LOOK_EVERY_SECONDS)

    async def _conduct(self, tasks: Sequence[asyncio.Task[None]], played: Sequence[Played]) -> None:
        began = time.monotonic()
        while True:
            await asyncio.sleep(LOOK_EVERY_SECONDS)
            if len(self.clock.waiting) < sum(not one.done() for one in tasks):
                continue
            await self._quiet()
            self._told(played, began)
            await self._count()
            if not self.clock.waiting:
                break
            began = time.monotonic()
            stop = self.clock.next()
            await self._move(stop)
            self.clock.release(stop)
        for one in tasks:
            one.result()  # raises what no part foresaw

    async def _last_state(self) -> State:
        """The state at the end: read while nothing was under way, which what a vendor told late may begin again."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            state = await self.state()
            if not await self._is_busy() or time.monotonic() > deadline:
                return state
            await self._quiet()

    async def _is_busy(self) -> bool:
        """Whether something is under way that ends by itself, or a person is asked something."""
        busy = await self.pool.fetchval(*SQL.bind("demo_busy", since=self.since))
        return bool(busy) or await self.owner.has_questions()

    async def _quiet(self) -> None:
        """Until nothing is under way that ends by itself."""
        deadline, quiet = time.monotonic() + PATIENCE_SECONDS, 0
        while quiet < QUIET_LOOKS and time.monotonic() < deadline:
            quiet = 0 if await self._is_busy() else quiet + 1
            await asyncio.sleep(LOOK_EVERY_SECONDS)
        if quiet < QUIET_LOOKS:
            self.trouble.append(f"at {self.clock.stop} something was under way still after {PATIENCE_SECONDS:.0f} s")

    async def _move(self, stop: tuple[int, str]) -> None:
        now = await self.pool.fetchval("select viox_now()")
        seconds = int((self.clock.moment(*stop) - now).total_seconds()) + 1
        if seconds > 0:
            await clock.forward(timedelta(seconds=seconds))
        self.clock.stop = f"+{stop[0]} {stop[1]}"

    def _told(self, played: Sequence[Played], began: float) -> None:
        """What happened until the clock moves on, part by part."""
        seconds = time.monotonic() - began
        self.halts.append((self.clock.stop, round(seconds, 1)))
        days, _, at = self.clock.stop.removeprefix("+").partition(" ")
        day = self.clock.monday.date() + timedelta(days=int(days))
        output.say(f"\n{day:%A}, {day.day} {day:%B}, {at}   ({seconds:.1f} s)")
        for one in played:
            if one.lines:
                output.say(f"  {one.part.title}")
                for line in one.lines:
                    output.say(f"    {line}")
                one.lines.clear()
        for line in self.owner.said():
            output.say(f"  {line}")

    async def _count(self) -> None:
        """What everybody has got so far."""
        now = Now({})
        for name in ("twilio", "mail"):
            await self._read(now, name)
        texts = Counter(one["to"] for one in now["twilio"]["messages"])
        mails: Counter[str] = Counter()
        for one in now["mail"]["messages"]:
            for address in one["to"]:
                mails[address] += 1
                mails[f"{address} {one['subject'].split(' ')[0]}"] += 1
        self.stops.append({"at": self.clock.stop, "texts": dict(texts), "mails": dict(mails)})

    async def state(self) -> State:
        now = Now({"stops": list(self.stops)})
        for name in (*VENDORS, "record"):
            await self._read(now, name)
        return now.known

    async def look(self, look: Callable[[State], Any]) -> Any:
        """At the state of this moment: everybody who looks at the same time is shown the same one."""
        if self._now.is_old:
            self._now = Now({"stops": self.stops})
        now = self._now
        while True:
            try:
                return look(now)
            except Unread as unread:
                await self._read(now, unread.name)

    async def _read(self, now: Now, name: str) -> None:
        """One part of a state, once; a vendor's beside everything else that happens here."""
        async with self._reading:
            if name in now.known:
                return
            began = time.monotonic()
            url = f"{self.vendors.get(name)}/_sandbox/state"
            now.known[name] = await (self.record() if name == "record" else asyncio.to_thread(get, url))
            now.cost += time.monotonic() - began

    async def record(self) -> dict[str, Any]:
        """Runs, calls and approvals since the day began."""
        names = ("runs", "calls", "approvals")
        found = {name: await self.pool.fetch(*SQL.bind(f"demo_{name}", since=self.since)) for name in names}
        return {name: [dict(row) for row in rows] for name, rows in found.items()}


class Voice:
    """The day, as one part has it."""

    def __init__(self, conductor: Conductor, played: Played) -> None:
        self._conductor, self._played = conductor, played
        self.vendors, self.tag = conductor.vendors, conductor.tag
        self.dice = random.Random(f"{conductor.seed} {played.part.title}")  # noqa: S311  # names and amounts

    def tell(self, words: str) -> None:
        self._played.lines.append(words)

    def answers(self, words: str, answer: str) -> None:
        self._conductor.owner.answers[words] = answer

    def rejects(self, tool: str, words: str, why: str) -> None:
        self._conductor.owner.refusals[tool, words] = why

    async def publish(self, *events: dict[str, Any]) -> None:
        """Every other event through `viox publish`'s door, the rest straight onto Kafka, as upstream systems do."""
        messages = [parse_json(one) for one in events]
        self._conductor.published += len(messages)
        straight = [one for one in messages[1::2] if one.type != TASK_TYPE and self._conductor.stack["kafka_settings"]]
        await ingress.publish([one for one in messages if one not in straight], None)
        await to_kafka(straight)

    async def ask(self, agent: str, words: str, context: dict[str, Any] | None = None) -> str:
        message = task(agent, str(uuid4()), store.CLI_SOURCE, words, context or {}, datetime.now(UTC), None)
        self._conductor.published += 1
        async with self._conductor.pool.acquire() as connection, connection.transaction():
            await store.accept(connection, topics.tasks(agent), message, [agent])
        return str(run_id(agent, message.source, message.id))

    async def ended(self, run: str) -> None:
        def look(state: State) -> bool:
            mine = [one for one in state["record"]["runs"] if one["run_id"] == run]
            return any(one["status"] not in ("running", "waiting") for one in mine)

        await self.see(f"the end of run {run}", look)

    async def see(self, what: str, look: Callable[[State], Any]) -> Any:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (found := await self._conductor.look(look)):
            if time.monotonic() > deadline:
                raise Unseen(f"{what}, within {PATIENCE_SECONDS:.0f} s")
            await asyncio.sleep(LOOK_EVERY_SECONDS)
        return found

    async def until(self, days: int, at: str) -> None:
        await self._conductor.clock.until(days, at)

    async def happen(self, vendor: str, what: str, body: Mapping[str, Any]) -> Any:
        return await asyncio.to_thread(post, f"{self.vendors[vendor]}/_sandbox/{what}", body)

    async def take_over(self, conversation: str, by: str) -> None:
        self.tell(f"$ viox take-over {conversation} --by {by}")
        with output.silenced():
            await takeover.take_over(conversation, None, by, as_json=False)

    async def give_back(self, conversation: str) -> None:
        self.tell(f"$ viox give-back {conversation}")
        with output.silenced():
            await takeover.give_back(conversation, None, "operator", as_json=False)

    async def kill(self, service: str) -> None:
        before = pid_of(service)
        os.kill(before, signal.SIGKILL)
        self.tell(f"$ kill -9 {before}   ({service})")
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (after := pid_of(service)) or after == before or not alive(after):
            if time.monotonic() > deadline:
                raise Unseen(f"{service} back after it was killed")
            await asyncio.sleep(LOOK_EVERY_SECONDS)


async def to_kafka(messages: Sequence[Message]) -> None:
    """Straight onto the topics of their types."""
    if not messages:
        return
    settings = deployment.kafka_settings(topics.UPSTREAM)
    names = {name.removeprefix("VIOX_").lower(): value for name, value in settings.items()}
    producer = Producer(Settings.load(**names), "upstream")
    connecting = asyncio.create_task(producer.run())
    try:
        for number, message in enumerate(messages):
            key, value, headers = message.to_kafka(structured=number % 2 == 0)
            topic = event_type(message.type).topic
            while True:
                try:
                    await (await producer.send(topic, key, value, headers))
                    break
                except Exception:  # noqa: BLE001  # not connected yet
                    await asyncio.sleep(0.05)
    finally:
        await producer.stop()
        connecting.cancel()
        await asyncio.gather(connecting, return_exceptions=True)


def pid_of(service: str) -> int:
    """The process of a service's first replica; 0 between two lives."""
    return next(
        (int(one["pid"]) for one in (deployment.state() or {"services": []})["services"] if one["name"] == service), 0
    )


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=20) as answer:  # noqa: S310  # loopback
        return json.load(answer)


def post(url: str, body: Mapping[str, Any]) -> Any:
    """What happens at an emulator. A card that is declined is part of the story."""
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310  # loopback
            return json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        if error.code != 402:
            raise
        return None
