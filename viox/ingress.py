"""`viox publish` and `viox ask`: events and tasks into the system. Accepted means a row in Postgres."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from shared.bus import topics
from shared.bus.envelope import Message, parse_json, refuse_reserved
from shared.bus.events import TASK_TYPE, check_data, event_type, unknown_fields
from shared.bus.outbox import receivers
from shared.errors import BadInput, NotFound
from shared.ids import run_id
from shared.operations import store, tasks, words
from viox import deployment, output

POLL_SECONDS = 0.05


def read_events(file: Path | None) -> list[Message]:
    """Events from JSON lines (or one JSON array). Raises BadInput naming line and field; nothing is accepted then."""
    try:
        text = (sys.stdin.buffer.read() if file is None else file.read_bytes()).strip()
    except OSError as error:
        raise BadInput("file.unreadable", f"{file}: {error.strerror}.", field="FILE") from error
    lines = _array(text) if text.startswith(b"[") else [line for line in text.splitlines() if line.strip()]
    if not lines:
        raise BadInput("event.none", "there is no event in the input.", field="FILE", remedy="One JSON object a line.")
    return [_event(number, line) for number, line in enumerate(lines, 1)]


def _array(text: bytes) -> list[Any]:
    try:
        found: list[Any] = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise BadInput("event.malformed", f"the input is not JSON: {error}.", field="line 1") from error
    return found


def _event(number: int, line: Any) -> Message:
    try:
        document = orjson.loads(line) if isinstance(line, bytes) else line
        if not isinstance(document, dict):
            raise BadInput("event.malformed", "an event is a JSON object.", field="event")
        message = parse_json(document)
        refuse_reserved(message)
        check_data(message.type, message.data)
    except orjson.JSONDecodeError as error:
        raise BadInput("event.malformed", f"line {number} is not JSON: {error}.", field=f"line {number}") from error
    except BadInput as error:
        raise BadInput(error.code, f"line {number}: {error.message}", field=error.field, remedy=error.remedy) from error
    return message


async def publish(events: Sequence[Message], topic: str | None) -> list[dict[str, Any]]:
    """Accept all events or none."""
    placed = [(message, *_place(message, topic)) for message in events]
    pool = await deployment.pool()
    try:
        async with pool.acquire() as connection, connection.transaction():
            for message, where, to, _ in placed:
                await store.accept(connection, where, message, to)
    finally:
        await pool.close()
    return [
        {
            "id": message.id,
            "source": message.source,
            "type": message.type,
            "topic": where,
            "run_ids": [str(run_id(agent, message.source, message.id)) for agent in agents],
            "warnings": _warnings(message),
        }
        for message, where, _, agents in placed
    ]


def _warnings(message: Message) -> list[str]:
    """What was accepted and will be ignored: above all fields whose names are misspelt."""
    return [
        f"{field} is not a field of {message.type} and is ignored." + (f" Is {near} meant?" if near else "")
        for field, near in unknown_fields(message.type, message.data)
    ]


def _place(message: Message, topic: str | None) -> tuple[str, list[str], list[str]]:
    """(topic, receivers whose mark ends the row, agents whose run is known already)."""
    if message.type == TASK_TYPE:
        agent = topics.canonical_agent(topic.removeprefix(topics.TASKS) if topic else message.subject or "")
        if agent is None or topic not in (None, topics.tasks(agent)):
            raise BadInput(
                "task.no_agent",
                "a task needs an agent.",
                field="subject",
                remedy="Set subject to the agent, or --topic viox.tasks.<agent>.",
            )
        return topics.tasks(agent), [agent], [agent]
    entry = event_type(message.type)
    if topic not in (None, entry.topic):
        raise BadInput(
            "event.wrong_topic",
            f"{message.type} does not belong on {topic}.",
            field="--topic",
            remedy=f"Leave --topic out, or use {entry.topic}.",
        )
    return entry.topic, receivers(entry, message.data), [] if entry.addressed else list(entry.owners)


async def ask(agent: str, text: str, conversation: str | None, *, wait: bool, timeout: float, as_json: bool) -> int:
    """Accept a task, print its run id at once, and with `wait` the end of the run. Returns the exit code."""
    tasks.check(text, conversation)
    pool = await deployment.pool()
    try:
        run = await tasks.give(pool, agent, text, conversation)
        if not wait:
            output.emit({"run_id": str(run)}) if as_json else output.say(str(run))
            return output.OK
        sys.stderr.write(f"run {run}\n")
        return await wait_for(pool, run, timeout, as_json=as_json)
    finally:
        await pool.close()


class Patience:
    """Whether what a run waits for comes by itself: an unknown call does, where its tool has a look-up."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self._looked_up: frozenset[str] | None = None

    async def ended(self, run: dict[str, Any]) -> bool:
        """The run is over, or nothing goes on without a person."""
        if run["status"] == "running":
            return False
        return run["status"] != "waiting" or await self._for_a_person(run["waiting_for"])

    async def _for_a_person(self, waiting_for: Sequence[dict[str, Any]]) -> bool:
        unknown = [one["id"] for one in waiting_for if one["kind"] == "unknown"]
        if len(unknown) < len(waiting_for):
            return True  # an approval, a pause
        if self._looked_up is None:
            self._looked_up = await _looked_up(self._pool)
        rows = await self._pool.fetch(store.SQL["tools_of_calls"], unknown)
        return any(row["tool"] not in self._looked_up for row in rows)


async def _looked_up(pool: Any) -> frozenset[str]:
    """Tools whose unknown calls the gateway settles by looking at the vendor."""
    from services.tool_gateway.catalogue import catalogue
    from services.tool_gateway.catalogue.library import fitting
    from shared.settings import Settings

    documents = [catalogue.Document(*row) for row in await pool.fetch(store.SQL["documents"])]
    files = catalogue.extra_documents(Settings.load().catalogue)
    found, _ = await asyncio.to_thread(fitting, files, documents)
    return frozenset(name for name, tool in found.tools.items() if tool.settle)


async def wait_for(pool: Any, run: Any, timeout: float, *, as_json: bool) -> int:
    deadline = time.monotonic() + timeout
    found: dict[str, Any] | None = None
    patience, ended = Patience(pool), False
    while not ended and time.monotonic() < deadline:
        try:
            found = await store.run(pool, run)
            ended = await patience.ended(found)
        except NotFound:
            found = None
        if not ended:
            await asyncio.sleep(POLL_SECONDS)
    if found is None or not ended:
        sys.stderr.write(f"error[run.timeout] --timeout: run {run} has not ended after {timeout:g} s. It goes on.\n")
        if as_json:
            output.emit(found or {"run_id": str(run), "status": "running"})
        return output.TIMED_OUT
    if as_json:
        output.emit(found)
    elif found["status"] == "waiting":
        output.say("waiting for: " + ", ".join(map(words.waits_for, found["waiting_for"])))
    else:
        output.say(found["text"] or (found["error"] or {}).get("message", found["status"]))
    return {"finished": output.OK, "waiting": output.WAITING}.get(found["status"], output.FAILED)
