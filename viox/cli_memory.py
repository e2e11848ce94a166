"""Commands about what the business knows: documents, and what is remembered of somebody or something."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from shared.errors import BadInput
from viox.cli_options import By, Cursor, Json, Limit, Person, run_async

app = typer.Typer()
knowledge_app = typer.Typer(help="The business's documents, which agents search and cite.", invoke_without_command=True)
app.add_typer(knowledge_app, name="knowledge")


@knowledge_app.callback()
def knowledge(context: typer.Context, limit: Limit = 50, cursor: Cursor = None, as_json: Json = False) -> None:
    """List the documents."""
    if context.invoked_subcommand is None:
        from viox import knowledge as documents

        run_async(documents.show(limit, cursor, as_json=as_json))


@knowledge_app.command("add")
def knowledge_add(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A file, or a folder with all below it.")],
    by: By = "operator",
    as_json: Json = False,
) -> None:
    """Add documents: Markdown, text, HTML. One that was added before is replaced when it has changed."""
    from viox import knowledge as documents

    run_async(documents.add(path, by, as_json=as_json))


@knowledge_app.command("remove")
def knowledge_remove(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of a document, or FOLDER/ for all that came from one.")],
    by: By = "operator",
    as_json: Json = False,
) -> None:
    """Remove documents: agents do not find them any more."""
    from viox import knowledge as documents

    run_async(documents.remove(name, by, as_json=as_json))


@app.command()
def memory(
    entity: Annotated[
        str, typer.Argument(metavar="ENTITY", help="Kind and name: person:ana@example.com, phone:+14155550123.")
    ],
    forget: Annotated[
        list[str] | None, typer.Option("--forget", help="Id of a fact or note to forget, repeated for more; or all.")
    ] = None,
    same_as: Annotated[
        str | None, typer.Option("--same-as", help="Another entity that is the same person: you confirm it.")
    ] = None,
    not_same_as: Annotated[
        str | None, typer.Option("--not-same-as", help="Another entity that is somebody else, whoever said otherwise.")
    ] = None,
    with_linked: Annotated[
        bool, typer.Option("--with-linked", help="With --forget: of all that are confirmed to be the same person, too.")
    ] = False,
    reason: Annotated[str | None, typer.Option("--reason", help="Why; it is on record.")] = None,
    by: Person = None,
    limit: Limit = 100,
    cursor: Cursor = None,
    as_json: Json = False,
) -> None:
    """What is remembered about somebody or something, who says so, and who else it is; --forget removes it for good."""
    from viox import memory as remembered

    if sum(map(bool, (forget, same_as, not_same_as))) > 1:
        told = "--forget, --same-as and --not-same-as exclude each other."
        raise BadInput("option.invalid", told, field="--forget", remedy="Do one after the other.")
    if forget:
        run_async(remembered.forget(entity, forget, by, reason, with_linked=with_linked, as_json=as_json))
        return
    if with_linked:
        raise BadInput("option.invalid", "--with-linked belongs to --forget.", field="--with-linked")
    if other := same_as or not_same_as:
        run_async(remembered.say(entity, other, "confirmed" if same_as else "denied", by, reason, as_json=as_json))
        return
    if reason:
        remedy = "Say what to forget, or who is the same."
        raise BadInput("option.invalid", "--reason belongs to what is done.", field="--reason", remedy=remedy)
    run_async(remembered.show(entity, limit, cursor, as_json=as_json))
