"""Commands that look: runs, calls, what they carried, graphs, and all of it at a glance."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from shared.errors import BadInput
from viox import output
from viox.cli_options import AgentOption, Cursor, Json, Limit, Output, Since, agent_name, run_async

app = typer.Typer()


@app.command()
def top(
    every: Annotated[float, typer.Option(min=0.5, max=60, help="Seconds between two pictures.")] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="Print one picture and end.")] = False,
    as_json: Json = False,
) -> None:
    """What runs, what waits and why, and what did not go well, until Ctrl-C. Into a pipe it prints one picture."""
    from viox import top as watching

    work = watching.once(as_json=as_json) if once or as_json or not sys.stdout.isatty() else watching.watch(every)
    raise typer.Exit(run_async(work))


@app.command()
def runs(
    agent: AgentOption = None,
    status: Annotated[
        str | None, typer.Option(help="running, waiting, finished, failed, blocked or cancelled.")
    ] = None,
    since: Since = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    failed: Annotated[
        bool, typer.Option("--failed", help="What did not go well: failed, blocked, or finished with failed calls.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List runs, newest first."""
    from shared.operations import paging, store
    from viox import inspection

    if status not in (None, *store.RUN_STATES):
        raise BadInput(
            "option.invalid",
            f"{status!r} is not a status.",
            field="--status",
            remedy=f"Use {', '.join(store.RUN_STATES)}.",
        )
    moment = paging.parse_moment(since)
    run_async(inspection.show_runs(agent_name(agent), status, moment, cursor, limit, failed=failed, as_json=as_json))


@app.command("run")
def show_run(
    run_ids: Annotated[list[str], typer.Argument(metavar="RUN", help="A run; with --diff two.")],
    diff: Annotated[bool, typer.Option("--diff", help="Where the second went another way than the first.")] = False,
    steps: Annotated[bool, typer.Option("--steps", help="Every step, as it is on record.")] = False,
    as_json: Json = False,
) -> None:
    """Tell a run in plain sentences, or step by step."""
    from viox import comparing, inspection

    if len(run_ids) != 1 + diff:
        raise BadInput(
            "option.invalid", f"{len(run_ids)} runs are named.", field="RUN", remedy="Name one, or two with --diff."
        )
    if diff:
        raise typer.Exit(run_async(comparing.compare(*run_ids, as_json=as_json)))
    run_async(inspection.show_run(run_ids[0], as_json=as_json, by_step=steps))


@app.command()
def calls(
    agent: AgentOption = None,
    tool: Annotated[str | None, typer.Option(help="Only this tool.")] = None,
    status: Annotated[str | None, typer.Option(help="Only calls in this state.")] = None,
    failed: Annotated[
        bool, typer.Option("--failed", help="Declined, failed, rejected, expired or outcome unknown.")
    ] = False,
    run: Annotated[str | None, typer.Option(help="Only calls of this run.")] = None,
    since: Since = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    as_json: Json = False,
) -> None:
    """List tool calls, newest first."""
    from shared.operations import paging, store, words
    from viox import inspection

    status = words.TYPED.get(status, status) if status else None
    if status not in (None, *store.CALL_STATES):
        raise BadInput(
            "option.invalid",
            f"{status!r} is not a state.",
            field="--status",
            remedy=f"Use declined, {', '.join(store.CALL_STATES)}.",
        )
    run_async(
        inspection.show_calls(
            agent_name(agent),
            tool,
            status,
            paging.parse_moment(since),
            run,
            cursor,
            limit,
            failed=failed,
            as_json=as_json,
        )
    )


@app.command("call")
def show_call(
    call_id: str,
    body: Annotated[bool, typer.Option("--body", help="Only the whole result, or the vendor's last answer.")] = False,
    file: Output = None,
    as_json: Json = False,
) -> None:
    """One call: checks, exact request and response of each attempt."""
    from viox import inspection, payloads

    if file and not body:
        raise BadInput("option.invalid", "--output belongs to --body.", field="--output", remedy="Add --body.")
    run_async(
        payloads.show_body(call_id, file, as_json=as_json) if body else inspection.show_call(call_id, as_json=as_json)
    )


@app.command()
def payload(
    payload_id: Annotated[str, typer.Argument(help="The id inside $payload.")],
    file: Output = None,
    as_json: Json = False,
) -> None:
    """Print the whole of a result that is only referred to because of its size."""
    from viox import payloads

    run_async(payloads.show_payload(payload_id, file, as_json=as_json))


@app.command()
def graph(agent: str, as_json: Json = False) -> None:
    """Print an agent's graph as Mermaid."""
    from viox import inspection

    name = agent_name(agent)
    assert name is not None  # noqa: S101
    drawn = inspection.mermaid(name)
    output.emit({"agent": name, "mermaid": drawn}) if as_json else output.say(drawn)
