"""Begin a fork of a run."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from shared.bus import topics
from shared.bus.envelope import Message, headers_to_json
from shared.bus.messages import FORKED
from shared.errors import BadInput, NotFound
from shared.ids import RunId, run_id, thread_id
from shared.models.models_file import PROVIDERS
from shared.operations import archived, store
from shared.runtime import forks
from shared.runtime.forks import Beginning, Changes, Fork, failed_tools, plan
from shared.runtime.history import Step

ANSWERS_COMPARED = 5  # of a tool, with what is written in the place of a failure


async def begin(
    pool: Any, original: UUID, at: int, wanted: Changes, by: str, warn: Callable[[str], None] = lambda told: None
) -> RunId:
    """Put a fork on record; its agent goes on with it. Returns its run. Raises BadInput naming what does not fit.

    `warn` is told what is on record as a warning besides.
    """
    agent, of, steps = await _own(pool, original)
    answered = {tool: await _answers(pool, tool) for tool in failed_tools(steps, wanted)}
    fork = plan(steps, at, wanted, by, answered)
    made = await _store(pool, agent, of, fork)
    for told in fork.body.get("warnings", ()):
        warn(told)
    return made


async def _answers(pool: Any, tool: str) -> list[Any]:
    """What a tool answered last."""
    rows = await pool.fetch(store.SQL["answers"], tool, ANSWERS_COMPARED)
    return [row["result"] for row in rows]


async def beginnings(pool: Any, original: UUID) -> list[Beginning]:
    """Where a run can be forked, with what may be changed there."""
    _, _, steps = await _own(pool, original)
    return forks.beginnings(steps)


async def asked(pool: Any, original: UUID) -> frozenset[str]:
    """The names of the questions that a run asked a model."""
    _, _, steps = await _own(pool, original)
    return frozenset(step.body["question"] for step in steps if step.kind == "ask")


async def _own(pool: Any, original: UUID) -> tuple[str, UUID, list[Step]]:
    """The agent of a run, the run or the one that it joined, and its steps."""
    facts = await store.run_row(pool, original)
    agent, of = facts["agent"], facts["merged_into"] or original
    await archived.refuse(pool, of, agent)
    rows = await pool.fetch(store.SQL["steps"], of, agent)
    return agent, of, [Step(of, row["step"], row["kind"], row["body"]) for row in rows]


def check_model(model: str | None, agent: str, *, offline: bool, field: str = "--model") -> None:
    """Raises BadInput for what is no model, or where the agent asks none at all."""
    if model is None:
        return
    provider, _, name = model.partition("/")
    if provider not in PROVIDERS or not name:
        known = ", ".join(PROVIDERS)
        told = f"{model!r} is no model."
        raise BadInput("option.invalid", told, field=field, remedy=f"Write provider/model with one of {known}.")
    if offline:
        remedy = "Start it with a key, or with `viox up --models wire`."
        raise BadInput("option.invalid", f"{agent} runs without a model here.", field=field, remedy=remedy)


def check_questions(given: Iterable[str], known: Collection[str], agent: str, *, field: str = "--question") -> None:
    """Raises BadInput for what the agent never asks a model."""
    for name in given:
        if name not in known:
            told = f"{agent} asks no question {name!r}."
            remedy = f"It asks {', '.join(known)}." if known else "It asks none."
            raise BadInput("option.invalid", told, field=field, remedy=remedy)


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
