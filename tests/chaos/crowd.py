"""Hundreds of conversations at once: `python -m tests.chaos.crowd [--conversations 200] [--long 4] [--replicas 2] [--broker apache]`.

Each conversation is a task whose model makes its calls several at a time, and gives each turn's calls the ids of the turn
before, as some providers do. The model itself looks whether every result is there once, in the order of its calls, and of its
own conversation; afterwards the vendor, the record and the ledger are asked the same. Some runs make 100 calls.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import random
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import web

from sandbox.models import addresses
from sandbox.models.anthropic import AnthropicWire
from sandbox.models.ids import Ids
from sandbox.models.server import ModelServers
from sandbox.models.turns import Call, Message, Player, Question, Result, Said, Turn
from sandbox.net import free_ports
from shared.bus import topics
from shared.bus.messages import task
from tests.chaos import verdict
from tests.chaos.record import Record

AGENTS = ("closer", "steward")
TOOL = "crowd_echo"
CATALOGUE = Path(__file__).with_name("crowd.yaml")
MOST_AT_ONCE = 10
TASK = re.compile(r"crowd (\d+) by (\d+) as (\S+)")
SAID = re.compile(r'"n": ?(\d+), ?"who": ?"([^"]+)"')
ENDS_WITHIN_SECONDS = 1_500.0
SLOWEST_SECONDS = 0.05


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


# -- the model ---------------------------------------------------------------------------------------------------------------


class FewIds(Ids):
    """A provider that has few ids for calls, and uses them again in every turn of every conversation."""

    def __init__(self) -> None:
        super().__init__()
        self._few = itertools.cycle([f"toolu_01{number:022}" for number in range(MOST_AT_ONCE)])

    def anthropic_call(self) -> str:
        return next(self._few)


def play(question: Question) -> Turn:
    """The next calls of the task; or, where a result is not the one that belongs there, what is wrong."""
    wanted, at_once, who = the_task(question.messages)
    results = [one.content for one in question.messages if isinstance(one, Result)]
    for number, content in enumerate(results):
        found = SAID.search(content)
        if not found or (int(found[1]), found[2]) != (number, who):
            return Turn(f"WRONG: result {number} of {who} is {content[:200]}")
    if len(results) >= wanted:
        return Turn(f"right: {len(results)}")
    numbers = range(len(results), min(len(results) + at_once, wanted))
    return Turn(calls=tuple(Call(TOOL, {"n": number, "who": who}) for number in numbers))


def the_task(messages: Sequence[Message]) -> tuple[int, int, str]:
    for one in messages:
        if isinstance(one, Said) and (found := TASK.search(one.text)):
            return int(found[1]), int(found[2]), found[3]
    raise LookupError("the request has no task of the crowd")


# -- the vendor --------------------------------------------------------------------------------------------------------------


class Echo:
    """Answers what it was told, some requests later than those that came after them."""

    def __init__(self) -> None:
        self.told: Counter[tuple[str, int]] = Counter()
        self.moments: list[float] = []  # of the monotonic clock, at which it answered
        self.now = self.most = 0
        self.app = web.Application()
        self.app.router.add_post("/echo", self._answer)

    async def _answer(self, request: web.Request) -> web.Response:
        given = await request.json()
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(random.random() * SLOWEST_SECONDS)
        self.now -= 1
        self.told[given["who"], given["n"]] += 1
        self.moments.append(time.monotonic())
        return web.json_response({"n": given["n"], "who": given["who"]})


@asynccontextmanager
async def served(*apps: tuple[web.Application, int]) -> Any:
    runners = [web.AppRunner(app, access_log=None) for app, _ in apps]
    try:
        for runner, (_, port) in zip(runners, apps, strict=True):
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", port).start()
        yield
    finally:
        for runner in runners:
            await runner.cleanup()


# -- the crowd ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Conversation:
    who: str
    agent: str
    calls: int
    at_once: int

    @property
    def words(self) -> str:
        return f"crowd {self.calls} by {self.at_once} as {self.who}"


def crowd(count: int, long: int, dice: random.Random) -> list[Conversation]:
    """Short conversations of 1 to 12 calls, and some of 100, among both agents."""
    sizes = [100] * long + [dice.randrange(1, 13) for _ in range(count - long)]
    dice.shuffle(sizes)
    return [
        Conversation(f"crowd-{number}", AGENTS[number % 2], calls, dice.randrange(1, MOST_AT_ONCE + 1))
        for number, calls in enumerate(sizes)
    ]


def problems(wanted: Sequence[Conversation], found: verdict.Found, told: Counter[tuple[str, int]]) -> Iterator[str]:
    """What is not once, in order, in the right thread; by the model's own words, the record and the vendor."""
    texts = {run["conversation_id"]: (run["status"], run["text"]) for run in found.runs}
    of_run = {str(run["run_id"]): run["conversation_id"] for run in found.runs}
    made = Counter((call["conversation_id"], call["arguments"]["n"]) for call in found.calls)
    for one in wanted:
        if texts.get(one.who) != ("finished", f"right: {one.calls}"):
            yield f"{one.who} ended as {texts.get(one.who)}, not with {one.calls} right results"
        numbers = [(one.who, number) for number in range(one.calls)]
        yield from (f"call {number} is on record {made[number]} times" for number in numbers if made[number] != 1)
        yield from (f"the vendor got {number} {told[number]} times" for number in numbers if told[number] != 1)
    for call in found.calls:
        if call["state"] != "succeeded":
            yield f"call {call['call_id']} is {call['state']}"
        if not call["conversation_id"] == call["arguments"]["who"] == of_run.get(str(call["run_id"])):
            yield f"call {call['call_id']} of {call['arguments']['who']} is in {call['conversation_id']}"
        if call["call_id"] not in found.intents & found.outcomes:
            yield f"call {call['call_id']} has no intent, or no outcome, on record"
    yield from verdict.step_problems(found)
    yield from (f"call {one} was emitted and never made" for one in found.emitted - {c["call_id"] for c in found.calls})


@dataclass
class Trial:
    home: Path
    conversations: int
    long: int
    replicas: int
    broker: str
    seed: int

    async def run(self) -> int:
        """0 when each result was there once, in order, in its thread."""
        models, echo = free_ports(2)
        self.echo, self.models = Echo(), ModelServers(Player(play))
        self.models.wires["anthropic"] = AnthropicWire(addresses.KEYS["anthropic"], FewIds())
        async with served((self.models.app, models), (self.echo.app, echo)):
            state = await asyncio.to_thread(self._up, models, echo)
            try:
                return await self._judged(await Record.of(_dsn(self.home, state)))
            finally:
                from viox import lifecycle

                await asyncio.to_thread(lifecycle.down)

    def _up(self, models: int, echo: int) -> dict[str, Any]:
        ours = {name: value for name, value in addresses.settings(models).items() if name.startswith("ANTHROPIC")}
        os.environ.update(
            ours,
            VIOX_HOME=str(self.home),
            VIOX_PORT_BASE="0",
            VIOX_LOG_LEVEL="WARNING",
            VIOX_CATALOGUE=str(CATALOGUE),
            CROWD_BASE_URL=f"http://127.0.0.1:{echo}",
        )
        from viox import lifecycle

        names = ("gateway", *AGENTS)
        replicas = ",".join(f"{name}={self.replicas}" for name in names)
        return lifecycle.up(lifecycle.plan(",".join(names), replicas, self.broker, foreground=False, models="real"))

    async def _judged(self, record: Record) -> int:
        wanted = crowd(self.conversations, self.long, random.Random(self.seed))
        say(
            f"{len(wanted)} conversations, {sum(one.calls for one in wanted)} calls, {self.broker}, {self.replicas} of each"
        )
        began = time.monotonic()
        await self._publish(wanted)
        most = await self._until_ended(record, len(wanted))
        seconds = time.monotonic() - began
        found = await verdict.collect(record)
        trouble = [*problems(wanted, found, self.echo.told), *self.models.problems]
        await record.close()
        say(
            f"{len(found.calls)} calls in {seconds:.1f} s, {len(found.calls) / seconds:.0f} a second; at once: {most} runs, "
            f"{self.echo.most} calls at the vendor; {len(self.models.exchanges)} model turns with {MOST_AT_ONCE} ids between them"
        )
        for line in verdict.lines(found)[:2]:
            say(line)
        for problem in trouble[:40]:
            say(f"PROBLEM {problem}")
        say("each result once, in order, in its thread" if not trouble else f"{len(trouble)} problems")
        return 1 if trouble else 0

    async def _publish(self, wanted: Sequence[Conversation]) -> None:
        from viox import ingress

        for agent in AGENTS:
            tasks = [
                task(agent, one.who, "/crowd", one.words, {}, datetime.now(UTC), one.who)
                for one in wanted
                if one.agent == agent
            ]
            await ingress.publish(tasks, topics.tasks(agent))

    async def _until_ended(self, record: Record, count: int) -> int:
        """Returns the most runs that were under way at the same time."""
        deadline, most = time.monotonic() + ENDS_WITHIN_SECONDS, 0
        while time.monotonic() < deadline:
            rows = await record.fetch("select status, count(*) from runs group by 1")
            counts = {row["status"]: row["count"] for row in rows}
            most = max(most, counts.get("running", 0))
            if sum(counts.values()) >= count and not counts.get("running"):
                break
            await asyncio.sleep(0.2)
        return most


def _dsn(home: Path, state: dict[str, Any]) -> str:
    from sandbox.postgres import Postgres

    return Postgres(home, int(state["postgres"].rsplit(":", 1)[1])).dsn("viox")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--conversations", type=int, default=300)
    parser.add_argument("--long", type=int, default=6, help="of them with 100 calls")
    parser.add_argument("--replicas", type=int, default=1)
    parser.add_argument("--broker", default="embedded", choices=["embedded", "apache"])
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="viox-crowd-"))
    home.chmod(0o755)
    try:
        trial = Trial(home, given.conversations, given.long, given.replicas, given.broker, given.seed)
        code = asyncio.run(trial.run())
    finally:
        shutil.rmtree(home, ignore_errors=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
