"""Commands about the gateway: the catalogue of tools, policies, the broker's access rules, webhooks, tokens of callers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from shared.errors import BadInput
from viox.cli_options import By, Json, agent_name, run_async

app = typer.Typer()
tools_app = typer.Typer(help="The catalogue of tools.", invoke_without_command=True)
app.add_typer(tools_app, name="tools")


@tools_app.callback()
def tools(context: typer.Context, as_json: Json = False) -> None:
    """List tools."""
    if context.invoked_subcommand is None:
        from viox import inspection

        run_async(inspection.show_tools(as_json=as_json))


@tools_app.command("check")
def tools_check(as_json: Json = False) -> None:
    """Read the catalogue, imported documents and all grants; say what is wrong with them."""
    from viox import inspection

    raise typer.Exit(run_async(inspection.check_tools(as_json=as_json)))


@tools_app.command("import")
def tools_import(
    source: Annotated[str, typer.Argument(help="OpenAPI 3.0 or 3.1 document, or Swagger 2.0: file or URL.")],
    name: Annotated[str, typer.Option("--name", help="Prefix of the tools and of their settings.")],
    grant: Annotated[
        list[str] | None, typer.Option("--grant", help="Agents that may use them, by comma or repeated.")
    ] = None,
    effect: Annotated[
        list[str] | None, typer.Option("--effect", help="OPERATION=read|idempotent|keyed|once; repeat for more.")
    ] = None,
    overlay: Annotated[Path | None, typer.Option("--overlay", help="OpenAPI Overlay 1.0 with corrections.")] = None,
    allow_host: Annotated[list[str] | None, typer.Option("--allow-host", help="A further host it may call.")] = None,
    base_url: Annotated[str | None, typer.Option("--base-url", help="In the place of the document's servers.")] = None,
    trust_x_viox: Annotated[
        bool, typer.Option("--trust-x-viox", help="Let the document say effects, risks, probes and the like of itself.")
    ] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Over an earlier import of this name.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be imported, and with --replace what would change.")
    ] = False,
    by: By = "operator",
    as_json: Json = False,
) -> None:
    """Make tools of any OpenAPI document."""
    from viox import importing

    wanted = importing.wish(name, grant or [], effect or [], overlay, allow_host or [], base_url, trusted=trust_x_viox)
    run_async(importing.bring_in(source, wanted, by=by, replace=replace, dry_run=dry_run, as_json=as_json))


@tools_app.command("try")
def tools_try(
    tool: str, arguments: Annotated[str, typer.Argument(help="A JSON object.")] = "{}", as_json: Json = False
) -> None:
    """Have the gateway call a tool that only reads, and show exactly what went out and what came back."""
    from viox import doctor as examination

    raise typer.Exit(run_async(examination.attempt(tool, arguments, as_json=as_json)))


@tools_app.command("withdraw")
def tools_withdraw(name: str, as_json: Json = False) -> None:
    """Take the tools of an imported document away."""
    from viox import importing

    run_async(importing.withdraw(name, as_json=as_json))


policy_app = typer.Typer(help="Policies: who may do what.", no_args_is_help=True)
app.add_typer(policy_app, name="policy")


@policy_app.command("test")
def policy_test(
    file: Annotated[Path, typer.Argument(help="A file of Cedar policies.")],
    since: Annotated[str, typer.Option(help="RFC 3339 time, or a span such as 24h.")] = "24h",
    as_json: Json = False,
) -> None:
    """What the calls on record would have got with this file added, or in the place of the one of its name."""
    from shared.operations import paging
    from viox import policies

    moment = paging.parse_moment(since)
    assert moment  # noqa: S101  # a default is given
    raise typer.Exit(run_async(policies.test(file, moment, as_json=as_json)))


kafka_app = typer.Typer(help="The broker.", no_args_is_help=True)
app.add_typer(kafka_app, name="kafka")


@kafka_app.command("acls")
def kafka_acls(
    apply: Annotated[bool, typer.Option("--apply", help="Add what the cluster lacks.")] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="With --apply: remove rules of our principals that nothing asks for.")
    ] = False,
    check: Annotated[bool, typer.Option("--check", help="Compare with the cluster; 1 when they differ.")] = False,
    commands: Annotated[bool, typer.Option("--commands", help="As commands of kafka-acls.sh.")] = False,
    as_json: Json = False,
) -> None:
    """Who may write and read what on Kafka, made from the topics: print it, compare it, apply it."""
    from viox import kafka

    if (prune and not apply) or apply + check + commands > 1:
        raise BadInput(
            "option.invalid",
            "--apply, --check and --commands exclude each other, and --prune belongs to --apply.",
            field="--prune" if prune and not apply else "--apply",
        )
    if apply:
        raise typer.Exit(run_async(kafka.apply(prune=prune, as_json=as_json)))
    if check:
        raise typer.Exit(run_async(kafka.check(as_json=as_json)))
    raise typer.Exit(kafka.show(commands=commands, as_json=as_json))


@app.command()
def webhooks(
    release: Annotated[str | None, typer.Option(help="A stopped loop of events to let in again.")] = None,
    by: By = "operator",
    as_json: Json = False,
) -> None:
    """The addresses to register at vendors, whether their secrets are set, how the last delivery went, how far vendors' lists
    have been read, and loops that were stopped."""
    from viox import webhooks as listing

    run_async(listing.release(release, by, as_json=as_json) if release else listing.show(as_json=as_json))


@app.command("invoke-token")
def invoke_token(
    agent: Annotated[str | None, typer.Argument(help="Make a token for this agent.")] = None, as_json: Json = False
) -> None:
    """The tokens that callers of tools may show; with AGENT, make one. It is printed once and kept nowhere."""
    from viox import tokens

    if name := agent_name(agent):
        tokens.make(name, as_json=as_json)
    else:
        run_async(tokens.show(as_json=as_json))
