"""A service as a FastStream application: `faststream run services.closer.main:app` and `faststream docs gen` work on it.

Importing a service's `main` makes one of these and nothing else: settings are read, and the broker made, when it runs.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol

import yaml
from faststream import FastStream
from faststream.specification.base import Specification, SpecificationFactory

from shared.bus import asyncapi
from shared.bus.events import check_owners
from shared.bus.kafka import Bus
from shared.settings import Settings


class Service(Protocol):
    """What a service has beside its bus, in the order in which it is used."""

    bus: Bus

    def opened(self, label: str, stop: Callable[[], None]) -> AbstractAsyncContextManager[None]:
        """Open before the bus starts, close after it stopped. `stop` ends the application."""

    async def begin(self) -> None:
        """The bus has started: start what runs for as long as the service does."""

    async def drain(self) -> None:
        """The bus is about to stop: take nothing new, finish what is under way, hand over what is committed."""


class App(FastStream):
    """One service. FastStream has the signals and the order of start and stop."""

    def __init__(self, name: str, build: Callable[[Settings], Service]) -> None:
        super().__init__(logger=None, lifespan=self._opened, specification=Document())
        self.name = name
        self._label = name
        self._build = build

    def serve(self, label: str | None = None) -> None:
        """Run until SIGTERM or SIGINT, under `label` in the logs. Raises what ended it otherwise."""
        import uvloop

        self._label = label or self.name
        uvloop.run(self.run())

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[None]:
        check_owners()
        service = self._build(Settings.load())
        self.add_broker(service.bus)
        self.after_startup(service.begin)
        self.on_shutdown(service.drain)
        async with service.opened(self._label, self.exit):
            yield


class Document(SpecificationFactory, Specification):
    """Our AsyncAPI document, whatever the broker: FastStream's own knows one payload a topic and no CloudEvents."""

    title = asyncapi.TITLE
    version = asyncapi.VERSION
    description = asyncapi.DESCRIPTION
    contact = None
    license = None

    def add_broker(self, broker: Any, /) -> SpecificationFactory:
        return self

    def add_http_route(self, path: str, handler: Any) -> SpecificationFactory:
        return self

    def to_specification(self) -> Specification:
        return self

    def to_jsonable(self) -> Any:
        return asyncapi.document()

    def to_json(self) -> str:
        return json.dumps(self.to_jsonable())

    def to_yaml(self) -> str:
        return yaml.safe_dump(self.to_jsonable(), sort_keys=False)
