"""Commands of people who decide: approvals, budgets."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from viox.cli_options import AgentOption, ApprovalId, Cursor, Json, Limit, Person, agent_name, run_async

app = typer.Typer()


@app.command()
def approvals(
    agent: AgentOption = None,
    status: Annotated[
        Literal["waiting", "approved", "rejected", "answered", "expired", "withdrawn", "all"],
        typer.Option(help="Which ones; all for every one."),
    ] = "waiting",
    limit: Limit = 50,
    standing: Annotated[bool, typer.Option("--standing", help="What people have agreed to beforehand.")] = False,
    cursor: Cursor = None,
    as_json: Json = False,
) -> None:
    """Calls that wait for people, with what would be done and why people are asked."""
    from viox import approvals as people

    if standing:
        run_async(people.show_standing(limit, as_json=as_json))
        return
    state = None if status == "all" else status
    run_async(people.show(state, agent_name(agent), cursor, limit, as_json=as_json))


@app.command()
def approve(
    identity: ApprovalId,
    arguments: Annotated[
        str | None, typer.Option("--args", help="Agree to the call with these arguments instead: one JSON object.")
    ] = None,
    times: Annotated[
        int | None,
        typer.Option(min=1, max=1000, help="Also to so many more such calls: the same tool, to the same, no more."),
    ] = None,
    until: Annotated[
        str | None, typer.Option(help="Also to such calls until then: RFC 3339 time, or a span such as 7d.")
    ] = None,
    seen: Annotated[
        str | None, typer.Option(help="Digest of arguments that another person changed, to agree to these.")
    ] = None,
    by: Person = None,
    as_json: Json = False,
) -> None:
    """Agree to a call that waits."""
    from viox import approvals as people

    run_async(people.approve(identity, arguments, times, until, seen, by, as_json=as_json))


@app.command()
def revoke(
    identity: Annotated[
        str, typer.Argument(metavar="ID", help="Of a standing approval (`viox approvals --standing`).")
    ],
    by: Person = None,
    as_json: Json = False,
) -> None:
    """End a standing approval: such calls wait for a person again."""
    from viox import approvals as people

    run_async(people.revoke(identity, by, as_json=as_json))


@app.command()
def reject(
    identity: ApprovalId,
    reason: Annotated[str, typer.Option(help="Why; the agent is told.")],
    by: Person = None,
    as_json: Json = False,
) -> None:
    """Refuse a call that waits, for good."""
    from viox import approvals as people

    run_async(people.reject(identity, reason, by, as_json=as_json))


@app.command()
def answer(
    identity: ApprovalId,
    text: Annotated[str, typer.Argument(help="What the agent gets as the result.")],
    by: Person = None,
    as_json: Json = False,
) -> None:
    """Answer in the place of a tool whose call waits: it is not made."""
    from viox import approvals as people

    run_async(people.answer(identity, text, by, as_json=as_json))


people_app = typer.Typer(help="The people of VIOX_PEOPLE.", no_args_is_help=True)
app.add_typer(people_app, name="people")


@people_app.command("token")
def people_token(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of a person in VIOX_PEOPLE.")], as_json: Json = False
) -> None:
    """Make a token with which somebody signs in to the console. It is printed once and kept nowhere."""
    from viox import tokens

    tokens.make_for_person(name, as_json=as_json)


budgets_app = typer.Typer(help="Budgets: what is used of what, and raising one.", invoke_without_command=True)
app.add_typer(budgets_app, name="budgets")


@budgets_app.callback()
def budgets(
    context: typer.Context,
    name: Annotated[str | None, typer.Option("--name", help="Only this budget.")] = None,
    limit: Limit = 200,
    as_json: Json = False,
) -> None:
    """What is used of the budgets today, and by the runs that are open."""
    if context.invoked_subcommand is None:
        from viox import budgets as purse

        run_async(purse.show(name, limit, as_json=as_json))


@budgets_app.command("raise")
def budgets_raise(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the budget.")],
    to: Annotated[str, typer.Option("--to", help="The most from now on: a number, or an amount such as 1500.00.")],
    scope: Annotated[
        str | None, typer.Option("--scope", help="Only for this run, agent or counterparty; a run's needs it.")
    ] = None,
    measure: Annotated[
        str | None, typer.Option("--measure", help="tokens, model_usd, calls or a currency, where it limits several.")
    ] = None,
    by: Person = None,
    as_json: Json = False,
) -> None:
    """Raise a budget: a day's until the day is over, a run's for that run. What waits for it goes on."""
    from viox import budgets as purse

    run_async(purse.raise_(name, by, to, scope, measure, as_json=as_json))
