"""`viox fork`: take a run up again from one of its steps, with something changed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import orjson

from shared.bus import topics
from shared.bus.envelope import Message, headers_to_json
from shared.bus.messages import FORKED
from shared.errors import BadInput, NotFound
from shared.ids import RunId, run_id, thread_id
from shared.models.models_file import OFFLINE, PROVIDERS
from shared.runtime.forks import Changes, Fork, plan
from shared.runtime.history import Step
from viox import deployment, identify, ingress, output, store


def changes(model: str | None, prompt: Path | None, instruction: str | None, results: Sequence[str]) -> Changes:
    """What options say is to be changed. Raises BadInput naming the option."""
    return Changes(model, _text_of(prompt) if prompt else None, instruction, dict(_result(one) for one in results))


async def fork(given: str, at: int, wanted: Changes, by: str, *, wait: bool, timeout: float, as_json: bool) -> int:
    pool = await deployment.pool()
    try:
        made = await begin(pool, await identify.run(pool, given), at, wanted, by)
        if wait:
            sys.stderr.write(f"run {made}\n")
            return await ingress.wait_for(pool, made, timeout, as_json=as_json)
    finally:
        await pool.close()
    output.emit({"run_id": str(made)}) if as_json else output.say(str(made))
    return output.OK


async def begin(pool: Any, original: UUID, at: int, wanted: Changes, by: str) -> RunId:
    """Put a fork on record; its agent goes on with it. Returns its run. Raises BadInput naming what does not fit."""
    facts = await store.run_row(pool, original)
    agent, of = facts["agent"], facts["merged_into"] or original
    _check_model(agent, wanted.model)
    steps = [Step(of, row["step"], row["kind"], row["body"]) for row in await pool.fetch(store.SQL["steps"], of, agent)]
    return await _store(pool, agent, of, plan(steps, at, wanted, by))


async def _store(pool: Any, agent: str, of: UUID, fork: Fork) -> RunId:
    message_id = str(uuid4())
    made = run_id(agent, store.CLI_SOURCE, message_id)
    conversation = f"fork:{made}"
    told = {"run_id": str(of), "at": fork.kept}
    message = Message(message_id, store.CLI_SOURCE, FORKED, told, datetime.now(UTC), conversation_id=conversation)
    _, value, headers = message.to_kafka()
    begun = await pool.fetchval(
        store.SQL["fork_run"],
        of,
        fork.kept,
        {str(step): body for step, body in fork.edited.items()},
        fork.body,
        made,
        thread_id(agent, conversation),
        conversation,
        message.source,
        message.id,
        topics.tasks(agent),
        value,
        headers_to_json(headers),
    )
    if begun is None:
        raise NotFound(
            "run.not_found", f"the record of run {of} is not whole.", field="run", remedy="Fork another one."
        )
    return made


def _check_model(agent: str, model: str | None) -> None:
    if model is None:
        return
    provider, _, name = model.partition("/")
    if provider not in PROVIDERS or not name:
        known = ", ".join(PROVIDERS)
        raise BadInput(
            "option.invalid",
            f"{model!r} is no model.",
            field="--model",
            remedy=f"Write provider/model with one of {known}.",
        )
    used = {one["agent"]: one["model"] for one in (deployment.state() or {}).get("models", [])}
    if used.get(agent) == OFFLINE:
        remedy = "Start it with a key, or with `viox up --models wire`."
        raise BadInput("option.invalid", f"{agent} runs without a model here.", field="--model", remedy=remedy)


def _text_of(file: Path) -> str:
    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput("file.unreadable", f"{file}: {error}.", field="--prompt", remedy="Name a text file.") from error
    if not text.strip():
        raise BadInput("option.invalid", f"{file} is empty.", field="--prompt", remedy="Write the prompt into it.")
    return text


def _result(given: str) -> tuple[str, Any]:
    call, _, value = given.partition("=")
    try:
        return call.strip(), orjson.loads(value)
    except orjson.JSONDecodeError as error:
        remedy = "Write STEP.INDEX=JSON, for instance --result '2.0={\"total\": 0}'."
        raise BadInput("option.invalid", f"{given!r}: {error}.", field="--result", remedy=remedy) from error
