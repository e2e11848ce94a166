"""A kill between effect and record, 200 times: `python -m tests.chaos.refunds [--kills 200] [--each 1]`.

Each time a gateway of its own makes refunds and sends texts, `each` of both; the vendors have done all of it and hold their
answers back, and the process gets SIGKILL. The next one finds what was left, and is killed in the same place, sometimes
while it repeats or looks up what the others left. Counted at the vendors in the end: how many were doubled, how many lost,
and how those were settled of which nobody knew.

The refund has an idempotency key; the text has none, and can only be looked up.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import random
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.process import BaseProcess
from pathlib import Path

import asyncpg
from aiohttp import web

from sandbox.net import free_ports
from sandbox.postgres import Postgres
from sandbox.vendors.common import Emulator, Handler
from sandbox.vendors.main import start
from sandbox.vendors.stripe import API_KEY, Stripe
from sandbox.vendors.twilio import ACCOUNT, AUTH_TOKEN, NUMBER, Twilio
from shared.ids import thread_id
from tests.chaos import refunder
from tests.integration.gateway.world import RUN

REACHED_WITHIN_SECONDS = 120.0
SETTLED_WITHIN_SECONDS = 300.0


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


class Bank:
    """Both vendors. What they do for the calls of this kill they do not tell before it."""

    def __init__(self) -> None:
        self.stripe, self.twilio = Stripe(), Twilio()
        self.marks = range(0)
        self.killed = asyncio.Event()
        self.did: set[tuple[str, int]] = set()
        self._runners: list[web.AppRunner] = []

    async def open(self) -> dict[str, str]:
        """Starts both; returns a gateway's settings for them."""
        ports = [await self._start(one) for one in (self.stripe, self.twilio)]
        return {
            "STRIPE_BASE_URL": f"http://127.0.0.1:{ports[0]}",
            "STRIPE_API_KEY": API_KEY,
            "TWILIO_BASE_URL": f"http://127.0.0.1:{ports[1]}",
            "TWILIO_ACCOUNT_SID": ACCOUNT,
            "TWILIO_AUTH_TOKEN": AUTH_TOKEN,
            "TWILIO_FROM": NUMBER,
        }

    def charge(self, refunds: int) -> str:
        """A paid charge that all refunds fit into, doubled ones, too: they shall be possible."""
        paid = self.stripe.money.pay_now(refunds * refunder.AMOUNT * 3, "eur", {"payment_method": "pm_card_visa"})
        self.stripe.book.commit()
        return str(paid["latest_charge"])

    async def close(self) -> None:
        self.killed.set()
        for runner in self._runners:
            await runner.cleanup()

    async def _start(self, emulator: Emulator) -> int:
        emulator.unlimited = True
        emulator.app.middlewares.insert(0, self._hold)
        runner, port = await start(emulator, 0)
        self._runners.append(runner)
        return port

    @web.middleware
    async def _hold(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Do it, and keep the answer back until the one who asked is dead. Repeats and look-ups are answered."""
        marks, did, killed, body = self.marks, self.did, self.killed, await request.read()
        answer = await handler(request)
        if request.method == "POST":
            mark = _mark(body)
            if mark in marks and (request.path, mark) not in did:
                did.add((request.path, mark))
                await killed.wait()
        return answer

    def next(self, marks: range) -> None:
        self.marks, self.killed, self.did = marks, asyncio.Event(), set()

    def counts(self) -> dict[str, Counter[str]]:
        """Tool → how often each mark happened."""
        rows = self.stripe.book.all("refunds")
        return {
            refunder.REFUND: Counter(str(row["metadata"]["mark"]) for row in rows),
            refunder.TEXT: Counter(str(one["to"]) for one in self.twilio.messages.values()),
        }


def _mark(body: bytes) -> int:
    """Which call of ours a form is for."""
    found = re.search(rb"metadata%5Bmark%5D=(\d+)|%28(\d+)%29", body)
    return int(found[1] or found[2]) if found else -1


class Measurement:
    """Kills, and what is left of them."""

    def __init__(self, home: Path, kills: int, each: int) -> None:
        self._postgres = Postgres(home, free_ports(1)[0])
        self._kills, self._each = kills, each
        self._dice = random.Random(1)
        self._bank = Bank()
        self._forks = multiprocessing.get_context("forkserver")
        self._forks.set_forkserver_preload(["tests.chaos.refunder"])

    async def run(self) -> list[str]:
        """What must not be."""
        await self._prepare()
        began = time.monotonic()
        try:
            for number in range(self._kills):
                await self._kill(number)
            say(f"{self._kills} kills between effect and record in {time.monotonic() - began:.0f} s")
            interrupted = await self._states()
            last = self._gateway(range(0))
            await self._until_settled()
            last.kill()
            return await self._verdict(interrupted)
        finally:
            await self._admin.close()
            await self._bank.close()
            self._postgres.stop()

    async def _prepare(self) -> None:
        self._postgres.start()
        with ThreadPoolExecutor(1) as other:  # it runs an event loop of its own
            await asyncio.wrap_future(other.submit(self._postgres.prepare))
        self._admin = await asyncpg.connect(self._postgres.dsn("postgres"))
        await self._admin.execute(
            "insert into runs (run_id, agent, thread_id, conversation_id, status, trigger_source, trigger_id, trigger_type)"
            " values ($1, 'closer', $2, 'c', 'running', '/t', '1', 'viox.task.requested')",
            RUN,
            thread_id("closer", "c"),
        )
        self._secrets = await self._bank.open()
        self._charge = self._bank.charge(self._kills * self._each)

    async def _kill(self, number: int) -> None:
        marks = range(number * self._each, (number + 1) * self._each)
        self._bank.next(marks)
        gateway = self._gateway(marks)
        async with asyncio.timeout(REACHED_WITHIN_SECONDS):
            while len(self._bank.did) < 2 * self._each:
                assert gateway.is_alive(), f"the gateway of kill {number} ended by itself: {gateway.exitcode}"
                await asyncio.sleep(0.005)
        if number % 4 == 3:
            await asyncio.sleep(self._dice.uniform(0, 1))  # it is at work on what the others left
        gateway.kill()
        while gateway.is_alive():
            await asyncio.sleep(0.005)
        self._bank.killed.set()

    def _gateway(self, marks: range) -> BaseProcess:
        dsn = self._postgres.dsn("viox_gateway")
        made = self._forks.Process(target=refunder.live, args=(dsn, self._secrets, marks, self._charge), daemon=True)
        made.start()
        return made

    async def _states(self) -> Counter[str]:
        return Counter(row["state"] for row in await self._admin.fetch("select state from tool_calls"))

    async def _until_settled(self) -> None:
        """Until nothing of it is under way. What stays unknown shows in the verdict."""
        deadline = time.monotonic() + SETTLED_WITHIN_SECONDS
        while time.monotonic() < deadline:
            if set(await self._states()) <= {"succeeded", "failed", "denied"}:
                return
            await asyncio.sleep(0.2)

    async def _verdict(self, interrupted: Counter[str]) -> list[str]:
        rows = await self._admin.fetch("select * from tool_calls")
        ledger = await self._admin.fetch("select call_id, phase, detail->>'by' as by from ledger_entries")
        settled = {row["call_id"] for row in ledger if row["phase"] == "settled"}
        say(f"states after the last kill: {dict(interrupted)}")
        trouble = []
        for tool, counts in self._bank.counts().items():
            mine = [row for row in rows if row["tool"] == tool]
            states, doubled = Counter(row["state"] for row in mine), sum(n > 1 for n in counts.values())
            lost = self._kills * self._each - len(counts)
            again = sum(row["attempt"] > 1 for row in mine)
            looked_up = sum(row["call_id"] in settled for row in mine)
            trouble += (
                [f"{tool}: {len(mine) - again - looked_up} were not interrupted"]
                if again + looked_up < len(mine)
                else []
            )
            say(
                f"{tool}: {len(mine)} calls, {sum(counts.values())} effects; doubled {doubled}, lost {lost}, "
                f"still unknown {states['unknown']}; settled by look-up {looked_up}, "
                f"repeated under the key {again}; on record {dict(states)}"
            )
            trouble += [f"{tool}: {doubled} doubled"] if doubled else []
            trouble += [f"{tool}: {lost} lost"] if lost else []
            trouble += [f"{tool}: {dict(states)}"] if states != {"succeeded": self._kills * self._each} else []
        return trouble


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--each", type=int, default=1, help="refunds and texts in flight at each kill")
    given = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="viox-refunds-"))
    home.chmod(0o755)
    (home / "logs").mkdir()
    try:
        trouble = asyncio.run(Measurement(home, given.kills, given.each).run())
    finally:
        shutil.rmtree(home, ignore_errors=True)
    for problem in trouble:
        say(f"PROBLEM {problem}")
    say("each happened once" if not trouble else f"{len(trouble)} problems")
    sys.exit(1 if trouble else 0)


if __name__ == "__main__":
    main()
