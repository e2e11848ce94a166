"""Commands of the audit: what is on record, checked, and taken away to be checked elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from viox.cli_options import Json, Person, Since, run_async

app = typer.Typer()
audit_app = typer.Typer(help="The audit: verify it, export it, prove one call.", no_args_is_help=True)
app.add_typer(audit_app, name="audit")
PublicKey = Annotated[
    str | None,
    typer.Option("--key", envvar="VIOX_AUDIT_PUBLIC_KEY", help="The log's public key; without it the gateway's."),
]


@audit_app.command("status")
def audit_status(as_json: Json = False) -> None:
    """How far the log is, when it was signed last, and what stops it."""
    from viox import audit

    run_async(audit.show_status(as_json=as_json))


@audit_app.command("verify")
def audit_verify(key: PublicKey = None, as_json: Json = False) -> None:
    """Check every entry, tile and checkpoint of the database; leaves with 4 when something is not as it has to be."""
    from viox import audit

    raise typer.Exit(run_async(audit.verify(key, as_json=as_json)))


@audit_app.command("export")
def audit_export(
    path: Annotated[Path, typer.Argument(metavar="DIR|FILE", help="A new folder, or a .tar.gz file.")],
    since: Since = None,
    key: PublicKey = None,
    as_json: Json = False,
) -> None:
    """Write the log with all that is needed to check it elsewhere; --since leaves out older contents."""
    from viox import audit

    run_async(audit.export(path, since, key, as_json=as_json))


@audit_app.command("proof")
def audit_proof(
    call: Annotated[str, typer.Argument(metavar="CALL", help="Its id, or so much of its beginning.")],
    folder: Annotated[Path | None, typer.Option("--to", help="Folder for the files; stdout without.")] = None,
    as_json: Json = False,
) -> None:
    """Proofs that what is on record of a call is in the signed log, one for each entry."""
    from viox import audit

    run_async(audit.proof(call, folder, as_json=as_json))


@audit_app.command("restart")
def audit_restart(
    reason: Annotated[str, typer.Option(help="Why; it is on record, in the new log.")],
    by: Person = None,
    as_json: Json = False,
) -> None:
    """Begin a new log after a restore, or with a new key. The one before stays as it was signed."""
    from viox import audit

    run_async(audit.restart(reason, by, as_json=as_json))


@app.command()
def erase(
    entity: Annotated[
        str, typer.Argument(metavar="ENTITY", help="Kind and name: person:ana@example.com, phone:+14155550123.")
    ],
    reason: Annotated[str, typer.Option(help="Why; it is on record for good, so it names nobody.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without it only what there is is counted.")] = False,
    with_linked: Annotated[
        bool, typer.Option("--with-linked", help="And of all that are confirmed to be the same person.")
    ] = False,
    by: Person = None,
    as_json: Json = False,
) -> None:
    """Erase what is known of somebody, on record; the audit stays whole."""
    from viox import erasing

    run_async(erasing.erase(entity, reason, by, with_linked=with_linked, yes=yes, as_json=as_json))
