"""`viox fork`: take a run up again from one of its steps, with something changed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from shared.errors import BadInput
from shared.models.models_file import OFFLINE
from shared.operations import forks, identify, store
from shared.runtime.forks import Changes
from viox import deployment, ingress, output
from viox.agents import questions_of


def changes(
    model: str | None,
    prompt: Path | None,
    instruction: str | None,
    results: Sequence[str],
    questions: Sequence[str] = (),
) -> Changes:
    """What options say is to be changed. Raises BadInput naming the option."""
    return Changes(
        model,
        text_of(prompt) if prompt else None,
        instruction,
        dict(_result(one) for one in results),
        dict(_question(one) for one in questions),
    )


async def fork(given: str, at: int, wanted: Changes, by: str, *, wait: bool, timeout: float, as_json: bool) -> int:
    pool = await deployment.pool()
    try:
        original = await identify.run(pool, given)
        agent = (await store.run_row(pool, original))["agent"]
        _check_model(agent, wanted.model)
        forks.check_questions(wanted.questions, questions_of(agent), agent)
        made = await forks.begin(pool, original, at, wanted, by, output.warn)
        if wait:
            sys.stderr.write(f"run {made}\n")
            return await ingress.wait_for(pool, made, timeout, as_json=as_json)
    finally:
        await pool.close()
    output.emit({"run_id": str(made)}) if as_json else output.say(str(made))
    return output.OK


def _check_model(agent: str, model: str | None) -> None:
    used = {one["agent"]: one["model"] for one in (deployment.state() or {}).get("models", [])}
    forks.check_model(model, agent, offline=used.get(agent) == OFFLINE)


def text_of(file: Path, field: str = "--prompt") -> str:
    """The prompt in a file. Raises BadInput naming the option."""
    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput("file.unreadable", f"{file}: {error}.", field=field, remedy="Name a text file.") from error
    if not text.strip():
        raise BadInput("option.invalid", f"{file} is empty.", field=field, remedy="Write the prompt into it.")
    return text


def _question(given: str) -> tuple[str, str]:
    name, _, file = given.partition("=")
    if not file:
        remedy = "Write NAME=FILE, for instance --question answer=shorter.txt."
        raise BadInput("option.invalid", f"{given!r} names no file.", field="--question", remedy=remedy)
    return name.strip(), text_of(Path(file), "--question")


def _result(given: str) -> tuple[str, Any]:
    call, _, value = given.partition("=")
    try:
        return call.strip(), orjson.loads(value)
    except orjson.JSONDecodeError as error:
        remedy = "Write STEP.INDEX=JSON, for instance --result '2.0={\"total\": 0}'."
        raise BadInput("option.invalid", f"{given!r}: {error}.", field="--result", remedy=remedy) from error
