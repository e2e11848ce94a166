"""Commands about time and conversations: the clock, taking over, giving back."""

from __future__ import annotations

from typing import Annotated

import typer

from viox.cli_options import By, Json, agent_name, run_async

app = typer.Typer()
Conversation = Annotated[str, typer.Argument(help="Its key: the conversation_id of its runs.")]
OfAgent = Annotated[str | None, typer.Option("--agent", help="Only this agent's; every agent's without.")]
Taker = Annotated[str | None, typer.Option("--by", envvar="VIOX_PERSON", help="Who: a name of VIOX_PEOPLE.")]


@app.command("take-over")
def take_over(conversation: Conversation, agent: OfAgent = None, by: Taker = None, as_json: Json = False) -> None:
    """Answer in a conversation yourself: agents are silent in it until it is given back."""
    from viox import takeover

    run_async(takeover.take_over(conversation, agent_name(agent), by, as_json=as_json))


@app.command("give-back")
def give_back(conversation: Conversation, agent: OfAgent = None, by: By = "operator", as_json: Json = False) -> None:
    """Let agents go on in a conversation, with what came meanwhile."""
    from viox import takeover

    run_async(takeover.give_back(conversation, agent_name(agent), by, as_json=as_json))


clock_app = typer.Typer(help="The business's clock.", invoke_without_command=True)
app.add_typer(clock_app, name="clock")


@clock_app.callback()
def clock(context: typer.Context, as_json: Json = False) -> None:
    """What time it is for the business."""
    if context.invoked_subcommand is None:
        from viox import clock as watch

        run_async(watch.show(as_json=as_json))


@clock_app.command("advance")
def clock_advance(span: Annotated[str, typer.Argument(help="So much: 90m, 24h or 2d.")], as_json: Json = False) -> None:
    """Move the clock of a sandbox on: timers, waits and schedules of the time in between are due."""
    from viox import clock as watch

    run_async(watch.advance(span, as_json=as_json))
