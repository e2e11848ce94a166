"""The commands. Each reads its options, asks one module to do the work, and prints; errors and exit codes are handled here."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from shared.errors import BadInput, Unavailable, VioxError
from viox import (
    cli_audit,
    cli_gateway,
    cli_looking,
    cli_memory,
    cli_office,
    cli_people,
    cli_replay,
    cli_retention,
    output,
)
from viox.cli_options import AgentOption, By, Cursor, Json, Limit, ModelFaults, ModelsOption, agent_name, run_async

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
    output.say(f"kafka     {found['kafka'] or 'starting'} ({found['broker']})")
    output.say(f"postgres  {found['postgres'] or 'starting'}")
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


app.add_typer(cli_looking.app)
app.add_typer(cli_replay.app)
app.add_typer(cli_retention.app)
app.add_typer(cli_gateway.app)


@app.command()
def doctor(as_json: Json = False) -> None:
    """Try Postgres, the gateway and every vendor with a harmless call; say what is wrong and how to mend it."""
    from viox import doctor as examination

    raise typer.Exit(run_async(examination.examine(as_json=as_json)))


# -- stepping in -------------------------------------------------------------------------------------------------------


@app.command()
def cancel(run_id: str, by: By = "operator", as_json: Json = False) -> None:
    """End a run."""
    from viox import intervention

    run_async(intervention.cancel(run_id, by, as_json=as_json))


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
    by: By = "operator",
    as_json: Json = False,
) -> None:
    """Have dead letters handled again by the service that wrote them, with their original bytes."""
    from viox import intervention

    raise typer.Exit(run_async(intervention.redrive(letter, by, everything=everything, as_json=as_json)))


@app.command()
def pause(scope: str, by: By = "operator", as_json: Json = False) -> None:
    """Stop an agent, a tool, a vendor, or all: AGENT, TOOL, vendor:NAME or all."""
    from viox import intervention

    run_async(intervention.pause(scope, by, as_json=as_json))


@app.command()
def resume(scope: str, by: By = "operator", as_json: Json = False) -> None:
    """Let an agent, a tool, a vendor, or all go on."""
    from viox import intervention

    run_async(intervention.resume(scope, by, as_json=as_json))
