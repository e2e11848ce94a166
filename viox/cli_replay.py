"""Commands about what a run did and could have done: replay, fork, eval."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from viox.cli_options import By, Json, run_async

app = typer.Typer()


@app.command()
def replay(
    run_id: str,
    tree: Annotated[
        bool, typer.Option("--tree", help="With all runs that gave it their tasks, or that it gave tasks.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Run a run's graph again from the record and compare step by step. Has no effects."""
    from viox import replaying

    raise typer.Exit(run_async(replaying.replay(run_id, tree=tree, as_json=as_json)))


@app.command()
def fork(
    run_id: str,
    at: Annotated[int, typer.Option("--at", min=0, help="The step from which it goes another way.")],
    model: Annotated[str | None, typer.Option(help="Ask this model (provider/model), and no other.")] = None,
    prompt: Annotated[Path | None, typer.Option(help="A file with who the agent is, in place of its prompt.")] = None,
    question: Annotated[
        list[str] | None, typer.Option(help="NAME=FILE: what is asked there, in place of that question's prompt.")
    ] = None,
    instruction: Annotated[str | None, typer.Option(help="What the task that came there says instead.")] = None,
    result: Annotated[
        list[str] | None, typer.Option(help="STEP.INDEX=JSON: what a call that came back there gave instead.")
    ] = None,
    by: By = "operator",
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the end and print the text.")] = False,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds to wait.")] = 60.0,
    as_json: Json = False,
) -> None:
    """Take a run up again from one of its steps, in a conversation of its own. What is on record up to there is used as it is;
    after it every call that does more than read waits for a person."""
    from viox import forks

    changes = forks.changes(model, prompt, instruction, result or [], question or [])
    raise typer.Exit(run_async(forks.fork(run_id, at, changes, by, wait=wait, timeout=timeout, as_json=as_json)))


@app.command(name="eval")
def evaluate(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of the cases.")],
    add: Annotated[
        list[str] | None, typer.Option(metavar="RUN", help="Make a case of this run and write it into the folder.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Ask this model (provider/model), and no other.")] = None,
    prompt: Annotated[Path | None, typer.Option(help="A file with who the agent is, in place of its prompt.")] = None,
    only: Annotated[str, typer.Option(help="Cases whose names are like this: `closer-*`.")] = "*",
    at_once: Annotated[int, typer.Option(min=1, max=64, help="Cases worked at the same time.")] = 4,
    as_json: Json = False,
) -> None:
    """Work recorded runs anew with a model that is really asked, and say which come out as expected. Has no effects: calls get
    their recorded results. Exits with 4 when a case does not pass."""
    from viox import evaluation

    if add:
        raise typer.Exit(run_async(evaluation.add(folder, add, as_json=as_json)))
    work = evaluation.run(folder, model=model, prompt=prompt, only=only, at_once=at_once, as_json=as_json)
    raise typer.Exit(run_async(work))
