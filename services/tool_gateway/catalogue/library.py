"""The catalogue of a running gateway: read at start, read again when a document is imported or withdrawn.

A stored document that no longer fits (after an upgrade, say) is left out and named; everything else works.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from services.tool_gateway.catalogue import catalogue
from services.tool_gateway.catalogue.catalogue import Catalogue, Document
from services.tool_gateway.catalogue.document import reason
from services.tool_gateway.catalogue.store import CatalogueStore
from shared.errors import BadInput, VioxError
from shared.telemetry.logs import get_logger
from shared.waiting import within

log = get_logger(__name__)
LOOK_EVERY_SECONDS = 10.0
UNFIT = (VioxError, KeyError, TypeError, ValueError, AttributeError, RecursionError)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An imported document that cannot be used, and why."""

    document: str
    error: VioxError

    def as_dict(self) -> dict[str, str | None]:
        """{document, code, message, field, remedy}."""
        told = self.error.as_dict()
        return {"document": self.document} | {key: told[key] for key in ("code", "message", "field", "remedy")}


class Library:
    """Keeps one Catalogue up to date with the documents it is made of, and publishes it to the agents."""

    def __init__(
        self,
        store: CatalogueStore,
        files: Sequence[Path],
        settings: Mapping[str, str],
        fits: Callable[[Catalogue], Callable[[], None]] = lambda _: lambda: None,
    ) -> None:
        """`fits` is asked before another catalogue is taken: it raises VioxError, or says what else has to be exchanged."""
        self._store = store
        self._files = files
        self._settings = settings
        self._fits = fits
        self._changed = asyncio.Event()
        self._stamp = ""
        self._current: Catalogue | None = None
        self.left_out: list[LeftOut] = []

    def wake(self) -> None:
        """A document changed."""
        self._changed.set()

    async def read(self) -> Catalogue:
        """The catalogue as it is now. Raises BadInput when our own documents, grants or settings are at fault."""
        stamp = await self._store.documents_stamp()
        imported = [Document(*found) for found in await self._store.documents()]
        # Beside the loop: a large document takes seconds, and leases run.
        loaded, left_out = await asyncio.to_thread(fitting, self._files, imported)
        found = loaded.with_rates(self._settings)
        if self._current is None:
            self._current = found
        else:
            exchange = self._fits(found)
            self._current.take(found)
            exchange()
        for one in left_out if _told(left_out) != _told(self.left_out) else ():
            log.error("document.left_out", document=one.document, error=one.error)
        self.left_out = left_out
        self._stamp = stamp
        return self._current

    async def follow(self) -> None:
        """Read again after every change. When our own files do not fit any more, what was there stays in use."""
        while True:
            with contextlib.suppress(TimeoutError):
                await within(LOOK_EVERY_SECONDS, self._changed.wait())
            self._changed.clear()
            try:
                stamp = await self._store.documents_stamp()
                if stamp != self._stamp:
                    found = await self.read()
                    self._stamp = ""  # until the agents have it too
                    await self._store.publish(found)
                    self._stamp = stamp
                    log.info("catalogue.changed", tools=len(found.tools))
            except VioxError as error:
                log.error("catalogue.not_changed", error=error)
            except Exception as error:  # noqa: BLE001  # Postgres away: look again
                log.warning("catalogue.not_read", error=error)


def fitting(files: Sequence[Path], documents: Sequence[Document]) -> tuple[Catalogue, list[LeftOut]]:
    """The catalogue of our documents, further files, and those imported documents that fit to them and to the ones before.

    Raises BadInput when not even the first two fit together.
    """
    try:
        return catalogue.load(files, imported=documents), []
    except UNFIT:
        ours = set(catalogue.load(files).tools)
    taken, kept, left_out = set(ours), list[Document](), list[LeftOut]()
    for document in documents:
        try:
            added = catalogue.load(files, imported=[document]).tools.keys() - ours
            if both := sorted(added & taken):
                raise BadInput("catalogue.invalid", f"another document has a tool called {both[0]!r}.", field=both[0])
        except UNFIT as error:
            left_out.append(LeftOut(document.name, _explained(document, error)))
        else:
            taken |= added
            kept.append(document)
    return catalogue.load(files, imported=kept), left_out


def _explained(document: Document, error: Exception) -> VioxError:
    """The error with what an operator can do about it."""
    name = document.name
    mend = f"Import {name} again with --replace, or take it away: `viox tools withdraw {name}`."
    if not isinstance(error, VioxError):
        return BadInput("document.invalid", f"{reason(error)}.", field="content", remedy=mend)
    return BadInput(error.code, error.message, field=error.field, remedy=mend)


def _told(left_out: Sequence[LeftOut]) -> list[tuple[str, str]]:
    return [(one.document, str(one.error)) for one in left_out]
