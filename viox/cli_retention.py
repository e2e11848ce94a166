"""Commands of retention: what is old leaves the database for archives, on record."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from viox.cli_options import Json, Person, run_async

app = typer.Typer()


@app.command()
def retention(
    months: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=1200,
            envvar="VIOX_RETENTION_MONTHS",
            help="Whole months that conversations stay after they ended.",
        ),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option("--to", envvar="VIOX_ARCHIVES", help="Folder of the archives; `archives` in VIOX_HOME without."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without it what would leave is shown.")] = False,
    show: Annotated[
        Path | None,
        typer.Option("--show", metavar="ARCHIVE", help="Print an archive: its manifest, or the rows of --table."),
    ] = None,
    table: Annotated[str | None, typer.Option(help="With --show: steps, tool_calls or ledger_entries.")] = None,
    of: Annotated[
        str | None, typer.Option(metavar="ID", help="With --table: only rows of this run, or of this call.")
    ] = None,
    check: Annotated[
        Path | None,
        typer.Option("--check", metavar="ARCHIVE", help="Hold an archive against what is on record and signed."),
    ] = None,
    by: Person = None,
    as_json: Json = False,
) -> None:
    """Conversations that ended months ago leave the database for an archive, on record; the audit stays whole."""
    from shared.errors import BadInput
    from viox import retention as work

    if show is not None:
        work.show(show, table, of)
        return
    if check is not None:
        raise typer.Exit(run_async(work.check(check.resolve(), as_json=as_json)))
    if months is None:
        remedy = "Name a number, or set VIOX_RETENTION_MONTHS; `viox retention --months 12` changes nothing."
        raise BadInput("option.missing", "say how many months conversations stay.", field="--months", remedy=remedy)
    raise typer.Exit(run_async(work.retain(months, to, by, yes=yes, as_json=as_json)))
