"""A reader's questions to a vendor: through the gateway's own wire, as a call's look-up goes, with credentials, guard, rate,
place and breaker. They only read; what they bring is on record as the events that are accepted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID, uuid4

from services.tool_gateway.call.call import Requested
from services.tool_gateway.call.execute import Sender
from services.tool_gateway.call.in_flight import InFlightLimiter
from services.tool_gateway.call.questions import UNREADABLE, Found, NoAnswer, Questions, understood
from services.tool_gateway.call.store import GatewayStore
from services.tool_gateway.catalogue.catalogue import Catalogue
from services.tool_gateway.catalogue.tools import MAX_RESPONSE_BYTES, Tool
from services.tool_gateway.webhooks.polling.step import NotNow
from services.tool_gateway.webhooks.polling.store import PollStore
from services.tool_gateway.wire.credentials import Secrets
from services.tool_gateway.wire.encode import prepare
from services.tool_gateway.wire.prepared import Prepared
from shared.bus import topics
from shared.errors import BadInput
from shared.ids import CallId, RunId, ThreadId

NOBODY = UUID(int=0)
WAIT_SECONDS = 1.0  # where a vendor that we ask too often says no time


class Asker:
    """The desk of all readers."""

    def __init__(
        self,
        catalogue: Catalogue,
        secrets: Secrets,
        calls: GatewayStore,
        polls: PollStore,
        sender: Sender,
        places: InFlightLimiter,
    ) -> None:
        self._catalogue = catalogue
        self._secrets = secrets
        self._polls = polls
        self._sender = sender
        self._questions = Questions(calls, sender, places)

    def has_credentials(self, tool: str, settings: Sequence[str]) -> bool:
        """Whether everything is set that a request needs. Raises BadInput when a file with a secret cannot be read."""
        found = self._catalogue.tools.get(tool)
        if found is None or any(self._secrets.or_none(name) is None for name in settings):
            return False
        return any(
            all(self._secrets.or_none(name) is not None for credential in one for name in credential.secrets)
            for one in found.credentials
        )

    def setting(self, name: str) -> str:
        try:
            return self._secrets.get(name)
        except BadInput as error:
            raise NotNow(error.code, error.message, field=error.field, remedy=error.remedy) from error

    async def known(self, source: str, ids: Sequence[str]) -> set[str]:
        return await self._polls.known(source, ids)

    async def ask(self, tool: str, arguments: Mapping[str, Any]) -> Any:
        """The answer's JSON. Raises NotNow when there is none that says anything."""
        found = self._catalogue.tools[tool]
        if problem := found.problem_with(arguments):
            raise NotNow("poll.invalid_arguments", f"{tool}: {problem['message']}")
        try:
            prepared = prepare(found, arguments, self._secrets)
        except BadInput as error:
            raise NotNow(error.code, error.message, field=error.field, remedy=error.remedy) from error
        try:
            said = await self._said(found, prepared, dict(arguments))
        except NoAnswer as error:
            code = "poll.unreadable" if error.code == UNREADABLE else error.code
            raise NotNow(code, error.message, status=error.status) from error
        return self._sender.without_secrets(found, said.value)

    async def _said(self, tool: Tool, prepared: Prepared, arguments: dict[str, Any]) -> Found:
        answer = await self._questions.ask(_request(tool, arguments), tool, arguments, prepared)
        if wait := await self._questions.held_back(tool, arguments, answer, WAIT_SECONDS):
            status = answer.status
            raise NotNow("vendor.too_often", f"{tool.vendor} asks to wait.", wait_seconds=wait, status=status)
        return await understood(tool, answer, MAX_RESPONSE_BYTES)


def _request(tool: Tool, arguments: dict[str, Any]) -> Requested:
    """Stands for a call where one is asked for; it is none, and no row has its id."""
    made = CallId(f"poll:{tool.vendor}:{uuid4()}")
    return Requested(made, RunId(NOBODY), 0, 0, topics.GATEWAY, ThreadId(NOBODY), "", tool.name, arguments, None)
