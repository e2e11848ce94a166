"""A run once more: replayed from the record, forked from one of its steps with something changed, and two runs side by side."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.console import graphs
from services.console.forms import back, form_of, may_operate, may_read, who
from services.console.views import page
from shared.errors import BadInput
from shared.operations import comparing, forks, identify, overview, replays, store
from shared.runtime.forks import Beginning, Changes

MOST_LINES = 200  # of one difference
RESULT, QUESTION = "result ", "question "  # fields are called so, with the call or the question's name behind it


async def replay(request: Request) -> Response:
    """Has no effects, so that it is a page like others; its differences are content."""
    console, person = request.app.state.console, who(request)
    run_id = await identify.run(console.pool, request.path_params["run_id"])
    run, tree = await store.run(console.pool, run_id), bool(request.query_params.get("tree"))
    runs = await replays.recorded(console.pool, run_id, tree=tree)
    reports = await graphs.replayed(runs, console.business, console.models)
    agents = {str(one.run_id): one.agent for one in runs}
    return await page(
        request,
        "replay.html",
        "runs",
        f"Replay: {await overview.title(console.pool, run, content=person.reads)}",
        run=run,
        tree=tree,
        reports=[one.document() | {"agent": agents[str(one.run_id)]} for one in reports],
        same=all(one.same for one in reports),
        content=person.reads,
        most=MOST_LINES,
    )


async def compare(request: Request) -> Response:
    may_read(request)
    pool, given = request.app.state.console.pool, request.path_params
    first, second = await identify.run(pool, given["run_id"]), await identify.run(pool, given["other"])
    a, b, found = await comparing.compared(pool, first, second)
    return await page(
        request,
        "compare.html",
        "runs",
        "Two runs, step by step",
        a=a,
        b=b,
        titles=[await overview.title(pool, one, content=True) for one in (a, b)],
        differences=found,
        most=MOST_LINES,
    )


async def form(request: Request) -> Response:
    """What may be changed at the step that is chosen, with what is on record there."""
    may_operate(request)
    console = request.app.state.console
    run_id = await identify.run(console.pool, request.path_params["run_id"])
    run, beginnings = await store.run(console.pool, run_id), await forks.beginnings(console.pool, run_id)
    chosen = _chosen(beginnings, request.query_params.get("at"))
    questions, asked = await graphs.questions_of(run["agent"]), await forks.asked(console.pool, run_id)
    return await page(
        request,
        "fork.html",
        "runs",
        f"Fork: {await overview.title(console.pool, run, content=True)}",
        run=run,
        beginnings=beginnings,
        chosen=chosen,
        results={call: _text(value) for call, value in chosen.results.items()} if chosen else {},
        field=RESULT,
        role=(await graphs.prompt_of(run["agent"])).strip(),
        questions=[
            {"name": name, "prompt": one.prompt.strip(), "asked": name in asked} for name, one in questions.items()
        ],
        question_field=QUESTION,
    )


def _chosen(beginnings: Sequence[Beginning], at: str | None) -> Beginning | None:
    if at is None:
        return beginnings[-1] if beginnings else None
    return _at(beginnings, at)


def _at(beginnings: Sequence[Beginning], at: str) -> Beginning:
    found = [one for one in beginnings if str(one.step) == at]
    if not found:
        raise BadInput("fork.no_such_step", f"the run cannot be forked at step {at}.", field="at")
    return found[0]


def _text(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


async def begin(request: Request) -> Response:
    """As `viox fork` does it. What stands in the form as it is on record is no change."""
    person, console = may_operate(request), request.app.state.console
    given = await form_of(request)
    original = await identify.run(console.pool, request.path_params["run_id"])
    chosen = _at(await forks.beginnings(console.pool, original), given.get("at", ""))
    agent = (await store.run_row(console.pool, original))["agent"]
    role, questions = await graphs.prompt_of(agent), await graphs.questions_of(agent)
    prompts = {name: one.prompt for name, one in questions.items()}
    wanted = _changes(given, chosen, role, prompts)
    forks.check_model(wanted.model, agent, offline=console.models_mode == "offline", field="model")
    made = await forks.begin(console.pool, original, chosen.step, wanted, person.name)
    await console.sessions.record(person.name, "fork", str(original), {"made": str(made), "at": chosen.step})
    return back(f"/runs/{made}", "forked")


def _changes(given: Mapping[str, str], chosen: Beginning, role: str, prompts: Mapping[str, str]) -> Changes:
    """`role` and `prompts` are who the agent is and what it asks as of now. Raises BadInput for a result that is no JSON."""
    results = {call: _json(call, given[RESULT + call]) for call in chosen.results if RESULT + call in given}
    asked = {name: _edited(given.get(QUESTION + name), prompt) for name, prompt in prompts.items()}
    return Changes(
        given.get("model", "").strip() or None,
        _edited(given.get("prompt"), role),
        _edited(given.get("instruction"), chosen.instruction) if chosen.instruction is not None else None,
        {call: value for call, value in results.items() if value != chosen.results[call]},
        {name: text for name, text in asked.items() if text is not None},
    )


def _edited(given: str | None, before: str) -> str | None:
    """A text of the form; None where it is what it was, or empty."""
    text = (given or "").replace("\r\n", "\n").strip()
    return None if not text or text == before.strip() else text


def _json(call: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise BadInput("option.invalid", f"the result of call {call} is no JSON: {error}.", field="result") from error


ROUTES = [
    Route("/runs/{run_id}/replay", replay),
    Route("/runs/{run_id}/diff/{other}", compare),
    Route("/runs/{run_id}/fork", form),
    Route("/runs/{run_id}/fork", begin, methods=["POST"]),
]
