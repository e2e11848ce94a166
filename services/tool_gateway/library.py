"""The catalogue of a running gateway: read at start, read again when a document is imported or withdrawn."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from services.tool_gateway import catalogue
from services.tool_gateway.catalogue import Catalogue, Document
from services.tool_gateway.store import GatewayStore
from shared.errors import VioxError

log = logging.getLogger(__name__)
LOOK_EVERY_SECONDS = 10.0


class Library:
    """Keeps one Catalogue up to date with the documents it is made of, and publishes it to the agents."""

    def __init__(self, store: GatewayStore, files: Sequence[Path], settings: Mapping[str, str]) -> None:
        self._store = store
        self._files = files
        self._settings = settings
        self._changed = asyncio.Event()
        self._stamp = ""
        self._current: Catalogue | None = None

    def wake(self) -> None:
        """A document changed."""
        self._changed.set()

    async def read(self) -> Catalogue:
        """The catalogue as it is now. Raises BadInput naming the document at fault."""
        stamp = await self._store.documents_stamp()
        imported = [Document(*found) for found in await self._store.documents()]
        # Beside the loop: a large document takes seconds, and leases run.
        loaded = await asyncio.to_thread(catalogue.load, self._files, imported=imported)
        found = loaded.with_rates(self._settings)
        if self._current is None:
            self._current = found
        else:
            self._current.take(found)
        self._stamp = stamp
        return self._current

    async def follow(self) -> None:
        """Read again after every change. A set of documents that does not fit together leaves the last good one in use."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), LOOK_EVERY_SECONDS)
            self._changed.clear()
            try:
                stamp = await self._store.documents_stamp()
                if stamp != self._stamp:
                    found = await self.read()
                    self._stamp = ""  # until the agents have it too
                    await self._store.publish(found)
                    self._stamp = stamp
                    log.info("catalogue: %d tools", len(found.tools))
            except VioxError as error:
                log.error("catalogue not changed: %s", error)
            except Exception as error:  # noqa: BLE001  # Postgres away: look again
                log.warning("catalogue not read: %s", error)
