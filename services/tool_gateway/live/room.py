"""The room put together: who calls, what they ask for, how it stands, and the runs that their calls are of.

In this order: not too often wrong (429), a token (401), not too many at a time (429, 503), a request that can be read (400,
413, 415), an identity and a place on record, and then the wait for an outcome that is committed. Whoever hangs up stops
nothing: their call is made and settled as any.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from aiohttp import web

from services.tool_gateway.call.in_flight import InFlightLimiter
from services.tool_gateway.call.intake import Intake
from services.tool_gateway.call.store import GatewayStore
from services.tool_gateway.catalogue.catalogue import Catalogue
from services.tool_gateway.http.limits import Limits, client, trusted
from services.tool_gateway.http.requests import Refused
from services.tool_gateway.live import answers, openapi
from services.tool_gateway.live.asking import SQL, Asking, Begun
from services.tool_gateway.live.request import Asked, read
from services.tool_gateway.live.runs import LiveRuns
from services.tool_gateway.live.tokens import Tokens
from services.tool_gateway.live.waiting import Standing, Waiting
from services.tool_gateway.traces import Incoming
from services.tool_gateway.wire.credentials import Secrets
from shared.bus.messages import LIVE_SOURCE
from shared.bus.outbox import Outbox
from shared.errors import BadInput, Conflict, Unavailable, VioxError
from shared.settings import Settings
from shared.store.pool import Pool, dumps, is_transient
from shared.telemetry import genai, metrics
from shared.telemetry.logs import get_logger
from shared.waiting import within

log = get_logger(__name__)
PATH = "/v1/tools/{tool}:invoke"
DESCRIPTION = "/v1/openapi.json"
TELL_SECONDS = 10.0
NOBODY = "-"  # the agent of requests without a token
MOST_OF_AN_AGENT = 100
MOST = 400


class Room:
    """Live calls of one gateway."""

    def __init__(
        self,
        settings: Settings,
        secrets: Secrets,
        pool: Pool,
        store: GatewayStore,
        intake: Intake,
        catalogue: Catalogue,
        places: InFlightLimiter,
        outbox: Outbox,
    ) -> None:
        self.tokens = Tokens(secrets)
        self._pool = pool
        self._places = places
        self._catalogue = catalogue
        self._url = settings.public_url or "/"
        self._trusted = trusted(settings.trusted_proxies)
        self._limits = Limits()
        self._asking = Asking(intake, pool)
        self.waiting = Waiting(pool, self._unanswering)
        self.runs = LiveRuns(store, outbox, settings.invoke_idle_seconds)
        self._open = Counter[str]()
        self._idle = asyncio.Event()
        self._idle.set()
        self._closing = False

    async def run(self) -> None:
        """Take in, wait, end runs and say which tokens there are, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._asking.run())
            group.create_task(self.waiting.run())
            group.create_task(self.runs.run())
            group.create_task(self._tell())

    async def serve(self, request: web.Request) -> web.Response:
        started = time.monotonic()
        agent, code = NOBODY, ""
        try:
            agent = self._caller(request)
            with self._counted(agent):
                answer = await self._answer(request, agent)
        except Refused as refused:
            code = refused.error.code
            answer = answers.of_refusal(refused.status, refused.error, refused.retry_after)
        except Exception:
            log.exception("invoke.failed_unforeseen", agent=agent)
            code = "invoke.error"
            answer = answers.of_refusal(500, VioxError(code, "an error of the gateway's own."))
        metrics.INVOKES.labels(agent, str(answer.status), code).inc()
        if agent != NOBODY:
            metrics.INVOKE_SECONDS.labels(agent).observe(time.monotonic() - started)
        return answer

    async def describe(self, request: web.Request) -> web.Response:
        """The tools of the token's agent as an OpenAPI document."""
        try:
            agent = self._caller(request)
        except Refused as refused:
            return answers.of_refusal(refused.status, refused.error, refused.retry_after)
        tools = [tool for name, tool in sorted(self._catalogue.tools.items()) if self._catalogue.granted(agent, name)]
        return web.json_response(openapi.document(tools, self._url), dumps=dumps)

    async def drain(self, seconds: float = 5.0) -> None:
        """Take nothing new, and give calls that are under way a little time. Who still waits then is told how far it is."""
        self._closing = True
        for _ in range(2):
            with contextlib.suppress(TimeoutError):
                await within(seconds, self._idle.wait())
                return
            await self.waiting.tell_all()

    async def tell_tokens(self) -> None:
        """Write down which tokens are taken."""
        await self._pool.execute(*SQL.bind("tell_tokens", rows=self.tokens.rows()))

    def _caller(self, request: web.Request) -> str:
        """The agent whose token the request has. Raises Refused."""
        address = client(request.remote, request.headers.getall("X-Forwarded-For", []), self._trusted)
        if wait := self._limits.wait("invoke", address):
            raise Refused(429, _too_often(), wait)
        agent = self.tokens.agent_of(request.headers.get("Authorization"))
        if agent is None:
            if self._limits.refused("invoke", address):  # no log line either: a flood would fill the disk
                raise Refused(429, _too_often(), 60.0)
            log.warning("invoke.refused", address=address)
            raise Refused(401, _no_token())
        self._limits.proved("invoke", address)
        return agent

    @contextlib.contextmanager
    def _counted(self, agent: str) -> Iterator[None]:
        """One caller more while it waits. Raises Refused when there are too many."""
        if self._closing or self._open.total() >= MOST:
            raise Refused(
                503, Unavailable("invoke.busy", "no more callers are taken now.", remedy="Send it again."), 2.0
            )
        if self._open[agent] >= MOST_OF_AN_AGENT:
            raise Refused(
                429, Unavailable("invoke.busy", f"{agent} has too many calls under way.", remedy="Send it again."), 1.0
            )
        self._open[agent] += 1
        self._idle.clear()
        metrics.INVOKES_OPEN.set(self._open.total())
        try:
            yield
        finally:
            self._open[agent] -= 1
            metrics.INVOKES_OPEN.set(self._open.total())
            if not self._open.total():
                self._idle.set()

    async def _answer(self, request: web.Request, agent: str) -> web.Response:
        deadline = time.monotonic()
        asked = await read(request, agent)
        deadline += asked.seconds
        incoming = Incoming("/v1/tools/{tool}:invoke", LIVE_SOURCE, asked.conversation, asked.traceparent)
        told = {genai.TOOL: asked.tool, genai.AGENT: agent}
        try:
            answer = await self._answered(replace(asked, traceparent=incoming.context.traceparent), deadline)
        except Refused as refused:
            incoming.answered(refused.status, told, refused.error.code)
            raise
        incoming.answered(answer.status, told, None)
        return answer

    async def _answered(self, asked: Asked, deadline: float) -> web.Response:
        try:
            begun = await self._begin(asked, deadline)
            standing = await self._standing(begun, deadline)
        except Conflict as error:
            raise Refused(409, error) from error
        except Unavailable as error:
            raise Refused(503, error, 2.0) from error
        except VioxError as error:
            raise Refused(400, error) from error
        except Exception as error:
            if not is_transient(error):
                raise
            log.warning("invoke.not_answered", error=error)
            raise Refused(503, _not_known(), 2.0) from error
        return answers.of_call(standing, unanswering=self._unanswering(standing))

    async def _begin(self, asked: Asked, deadline: float) -> Begun:
        """The call, on record. Who hangs up, or waits no longer, does not stop it from getting there."""
        taking = asyncio.ensure_future(self._asking.begin(asked))
        try:
            begun = await within(max(deadline - time.monotonic(), 0.1), asyncio.shield(taking))
        except TimeoutError:
            taking.add_done_callback(lambda done: done.cancelled() or done.exception())
            raise Unavailable(
                "invoke.unavailable", "it could not be stored in time.", remedy="Send it again."
            ) from None
        if begun.opened:
            self.runs.opened(begun.call.run_id)
        return begun

    async def _standing(self, begun: Begun, deadline: float) -> Standing:
        call, decision = begun.call, begun.decision
        if decision is not None and decision.error:
            return Standing(
                call.call_id, call.run_id, call.agent, call.tool, None, decision.state, False, None, decision.error
            )
        on_its_way = decision is not None and decision.prepared is not None
        return await self.waiting.until_told(call.call_id, deadline - time.monotonic(), look=not on_its_way)

    def _unanswering(self, standing: Standing) -> bool:
        """Its vendor is left alone, so that a call that has not begun will not for a while."""
        return standing.vendor is not None and self._places.breakers.places(standing.vendor) == 0

    async def _tell(self) -> None:
        while True:
            try:
                await self.tell_tokens()
            except Exception as error:  # noqa: BLE001  # said again later
                log.warning("invoke.tokens_not_told", error=error)
            await asyncio.sleep(TELL_SECONDS)


def starting() -> web.Response:
    """What callers are answered before there is a room."""
    error = Unavailable("invoke.unavailable", "the gateway is starting.", remedy="Send the same request again.")
    return answers.of_refusal(503, error, 2.0)


def _too_often() -> VioxError:
    return BadInput("invoke.too_often", "too many requests without a token from this address.", field="address")


def _no_token() -> VioxError:
    return BadInput(
        "invoke.unauthorized",
        "the request has no token of an agent.",
        field="Authorization",
        remedy="Send `Authorization: Bearer <token>`; `viox invoke-token AGENT` makes one.",
    )


def _not_known() -> VioxError:
    return Unavailable(
        "invoke.unavailable", "how the call stands is not known now.", remedy="Send the same request again."
    )
