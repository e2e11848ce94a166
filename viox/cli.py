"""The commands. Each reads its options, asks one module to do the work, and prints; errors and exit codes are handled here."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from shared.errors import BadInput, Unavailable, VioxError
from viox import cli_audit, cli_memory, cli_office, cli_people, cli_replay, output
from viox.cli_options import (
    AgentOption,
    By,
    Cursor,
    Json,
    Limit,
    ModelFaults,
    ModelsOption,
    Output,
    Since,
    agent_name,
    run_async,
)

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="VioX OS: eight agents, one tool gateway, everything on record.",
)

# Typer carries its own copy of click and exports only leaves of its tree of errors; this is their common base.
USAGE_ERROR: Any = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")


def main() -> None:
    """Entry point: bad options leave with 2, our errors with their code."""
    wants_json = "--json" in sys.argv[1:]
    try:
        code = app(standalone_mode=False)
    except USAGE_ERROR as error:
        told: VioxError = BadInput(
            "option.invalid", error.format_message(), field=_field(error), remedy="See `viox --help`."
        )
        output.fail(told, as_json=wants_json)
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(130)
    except VioxError as error:
        output.fail(error, as_json=wants_json)
    except Exception as error:  # noqa: BLE001  # the last resort: still one document, still an exit code
        output.fail(_explained(error), as_json=wants_json)
    sys.exit(code if isinstance(code, int) else 0)


def _explained(error: Exception) -> VioxError:
    if type(error).__name__ == "DiskFullError":  # by name: most commands never load the driver
        return Unavailable(
            "postgres.disk_full",
            "Postgres has no space left on its disk; nothing was changed.",
            field="VIOX_POSTGRES_DSN",
            remedy="Free space on its disk and try again.",
        )
    return VioxError("internal", f"{type(error).__name__}: {error}.", remedy="If it happens again, report it.")


def _field(error: Any) -> str:
    param = getattr(error, "param", None)
    if param is None or not param.name:
        return "command"
    return str(param.name.upper() if param.param_type_name == "argument" else max(param.opts, key=len))


# -- the stack --------------------------------------------------------------------------------------------------------


@app.command()
def up(
    foreground: Annotated[bool, typer.Option("--foreground", help="Stay, and show the logs.")] = False,
    only: Annotated[str | None, typer.Option(help="Only these services, comma-separated.")] = None,
    replicas: Annotated[str | None, typer.Option(help="More of a service: closer=2,gateway=2.")] = None,
    broker: Annotated[str, typer.Option(help="embedded or apache.")] = "embedded",
    models: ModelsOption = None,
    model_faults: ModelFaults = None,
    as_json: Json = False,
) -> None:
    """Start everything on this machine; returns when it is ready."""
    from viox import lifecycle

    plan = lifecycle.plan(only, replicas, broker, foreground=foreground, models=models, model_faults=model_faults)
    if foreground:
        lifecycle.run_in_foreground(plan)
    found = lifecycle.up(plan)
    if as_json:
        output.emit(lifecycle.public(found))
        return
    _print_status(found)


@app.command()
def down(as_json: Json = False) -> None:
    """Stop everything that `up` started."""
    from viox import lifecycle

    stopped = lifecycle.down()
    if as_json:
        output.emit({"stopped": stopped})
    else:
        output.say("stopped" if stopped else "nothing was running")


@app.command()
def status(as_json: Json = False) -> None:
    """What runs, where, and whether it is ready."""
    from shared.errors import Unavailable
    from viox import audit, deployment, lifecycle, takeover

    found = deployment.state()
    if found is None:
        raise Unavailable(
            "stack.not_running", "no stack runs here.", field="VIOX_HOME", remedy="Start one with `viox up`."
        )
    held, audited = run_async(takeover.held()), run_async(audit.line())
    if as_json:
        output.emit(lifecycle.public(found) | {"held_up": held, "audit": audited})
    else:
        _print_status(found)
        output.say(f"audit     {audited or 'Postgres does not say'}")
        for line in takeover.lines(held):
            output.say(line)


def _print_status(found: dict[str, Any]) -> None:
    from viox import lifecycle, tokens

    rows = [(s["name"], s["pid"], s["url"] or "", "ready" if s["ready"] else "not ready") for s in found["services"]]
    output.table(["service", "pid", "url", "state"], rows, empty="no services")
    output.say()
    output.say(f"kafka     {found['kafka']} ({found['broker']})")
    output.say(f"postgres  {found['postgres']}")
    output.say(f"gateway   {found['gateway_url']}")
    for line in lifecycle.console_lines(found):
        output.say(line)
    output.say(f"identity: {found['identity']}")
    output.say(f"tools     POST {tokens.invoke_url(found)}")
    for line in tokens.sandbox_lines():
        output.say(f"          {line}")
    for line in lifecycle.vendors_lines(found):
        output.say(line)
    output.say(lifecycle.models_line(found))
    for model in found.get("models", []):
        output.say(f"model     {lifecycle.model_line(model)}")


@app.command()
def demo(
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the summary to this file as JSON.")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the stack running.")] = False,
    seed: Annotated[int, typer.Option(help="Permutes names, amounts and order.")] = 0,
    models: ModelsOption = None,
    model_faults: ModelFaults = None,
    replicas: Annotated[str | None, typer.Option(help="More of a service: closer=2,gateway=2.")] = None,
    broker: Annotated[str | None, typer.Option(help="embedded or apache.")] = None,
) -> None:
    """A day of the business, end to end, checked against the vendors' own state."""
    from viox.demo import run_demo

    code = run_demo(
        json_file, keep=keep, seed=seed, models=models, model_faults=model_faults, replicas=replicas, broker=broker
    )
    raise typer.Exit(code)


# -- in --------------------------------------------------------------------------------------------------------------


@app.command()
def publish(
    file: Annotated[Path | None, typer.Argument(help="CloudEvents, one JSON object a line; stdin without.")] = None,
    topic: Annotated[str | None, typer.Option(help="Must be the topic the event's type belongs to.")] = None,
    as_json: Json = False,
) -> None:
    """Accept events: when this returns they are in Postgres, on their way to their agents."""
    from viox import ingress

    accepted = run_async(ingress.publish(ingress.read_events(file), topic))
    for item in accepted:
        for warning in item["warnings"]:
            output.warn(f"{item['id']}: {warning}")
    if as_json:
        output.emit(output.listing(accepted, None))
    else:
        for item in accepted:
            output.say(f"{item['type']} → {item['topic']}  {' '.join(item['run_ids']) or '(run decided on arrival)'}")


@app.command()
def ask(
    agent: str,
    text: str,
    conversation: Annotated[str | None, typer.Option(help="Continue this conversation.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the end and print the text.")] = False,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds to wait.")] = 60.0,
    as_json: Json = False,
) -> None:
    """Give an agent a task."""
    from viox import ingress

    name = agent_name(agent)
    assert name is not None  # noqa: S101  # an argument, not an option
    code = run_async(ingress.ask(name, text, conversation, wait=wait, timeout=timeout, as_json=as_json))
    raise typer.Exit(code)


# -- looking ---------------------------------------------------------------------------------------------------------


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


app.add_typer(cli_replay.app)


@app.command()
def graph(agent: str, as_json: Json = False) -> None:
    """Print an agent's graph as Mermaid."""
    from viox import inspection

    name = agent_name(agent)
    assert name is not None  # noqa: S101
    drawn = inspection.mermaid(name)
    output.emit({"agent": name, "mermaid": drawn}) if as_json else output.say(drawn)


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


@app.command()
def doctor(as_json: Json = False) -> None:
    """Try Postgres, the gateway and every vendor with a harmless call; say what is wrong and how to mend it."""
    from viox import doctor as examination

    raise typer.Exit(run_async(examination.examine(as_json=as_json)))


# -- stepping in -------------------------------------------------------------------------------------------------------


@app.command()
def cancel(run_id: str, as_json: Json = False) -> None:
    """End a run."""
    from viox import intervention

    run_async(intervention.cancel(run_id, as_json=as_json))


@app.command()
def unknowns(limit: Limit = 50, cursor: Cursor = None, as_json: Json = False) -> None:
    """Calls with outcome unknown: what they were to do may or may not have happened."""
    from viox import inspection

    run_async(inspection.show_calls(None, None, "unknown", None, None, cursor, limit, failed=False, as_json=as_json))


@app.command()
def settle(
    call_id: str,
    end: Annotated[str, typer.Option("--as", help="succeeded or failed.")],
    result: Annotated[str | None, typer.Option(help="Result as JSON, for the agent to go on with.")] = None,
    by: By = "operator",
    as_json: Json = False,
) -> None:
    """Say what happened to a call with outcome unknown."""
    from viox import intervention

    run_async(intervention.settle(call_id, end, result, by, as_json=as_json))


app.add_typer(cli_people.app)
app.add_typer(cli_audit.app)
app.add_typer(cli_memory.app)
app.add_typer(cli_office.app)


@app.command("dead-letters")
def dead_letters(
    agent: AgentOption = None,
    status: Annotated[
        Literal["dead", "redriving", "redriven"] | None, typer.Option(help="dead, redriving or redriven.")
    ] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    as_json: Json = False,
) -> None:
    """Messages that could not be handled."""
    from viox import intervention

    service = agent if agent == "gateway" else agent_name(agent)
    run_async(intervention.show_dead_letters(status, service, cursor, limit, as_json=as_json))


@app.command()
def redrive(
    letter: Annotated[str | None, typer.Argument(help="A dead letter's id.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    as_json: Json = False,
) -> None:
    """Have dead letters handled again by the service that wrote them, with their original bytes."""
    from viox import intervention

    raise typer.Exit(run_async(intervention.redrive(letter, everything=everything, as_json=as_json)))


@app.command()
def pause(scope: str, by: By = "operator", as_json: Json = False) -> None:
    """Stop an agent, a tool, a vendor, or all: AGENT, TOOL, vendor:NAME or all."""
    from viox import intervention

    run_async(intervention.pause(scope, by, as_json=as_json))


@app.command()
def resume(scope: str, as_json: Json = False) -> None:
    """Let an agent, a tool, a vendor, or all go on."""
    from viox import intervention

    run_async(intervention.resume(scope, as_json=as_json))
