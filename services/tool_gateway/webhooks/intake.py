"""`POST /webhooks/<source>`: from a request of anybody to events that are stored, and an answer that says so.

In this order: known and configured source (404), not too often wrong (429), a body of its kind and size (415, 413), proof
of the sender (401). What its sender proved is answered with 2xx once it is in Postgres, whatever it says: events are
accepted, repeats recognised, events nobody here listens to counted. A payload that does not fit is set aside as a dead
letter with its bytes, because a vendor would only send the same bytes again and in the end switch us off.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from services.tool_gateway.http.limits import Limits, Network, client
from services.tool_gateway.http.requests import Refused, body_of, problem
from services.tool_gateway.traces import Delivery
from services.tool_gateway.webhooks.accept import Accepted, Acceptor, Delivered
from services.tool_gateway.webhooks.answers import success
from services.tool_gateway.webhooks.causes import Causes
from services.tool_gateway.webhooks.letters import POLLED, Letters
from services.tool_gateway.webhooks.messages import Opened, opened
from services.tool_gateway.webhooks.reading import UNPROVED, moment
from services.tool_gateway.webhooks.schemes.proof import Incoming
from services.tool_gateway.webhooks.sources import JSON, Source, Sources
from services.tool_gateway.webhooks.tally import UNKNOWN, Tally
from shared.bus import topics
from shared.bus.kafka import Record
from shared.errors import BadInput, Conflict, NotFound, Unavailable, VioxError
from shared.telemetry import metrics
from shared.telemetry.digest import sha256_bytes
from shared.telemetry.logs import get_logger
from shared.waiting import within

log = get_logger(__name__)
HOUR = 3600.0
MAX_BODY = topics.MAX_RECORD_BYTES
MOST_AT_A_TIME = 200


Told = Callable[[str, Sequence[Mapping[str, Any]]], Awaitable[bool]]


async def _kept(source: str, documents: Sequence[Mapping[str, Any]]) -> bool:
    del source, documents
    return False


class Webhooks:
    """Answers the senders."""

    def __init__(
        self,
        sources: Sources,
        acceptor: Acceptor,
        letters: Letters,
        causes: Causes,
        tally: Tally,
        *,
        public_url: str | None = None,
        trusted: Sequence[Network] = (),
        told: Told = _kept,
        unproved_per_hour: int = 60,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`told` hears of deliveries before they are kept, and says whether they need not be. `unproved_per_hour`: mails that
        anybody may have written; more of them are set aside."""
        self._told = told
        self._unproved = unproved_per_hour
        self._sources = sources
        self._acceptor = acceptor
        self._letters = letters
        self._causes = causes
        self._tally = tally
        self._public_url = (public_url or "").rstrip("/")
        self._trusted = trusted
        self._now = now
        self._limits = Limits()
        self._open = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._closing = False

    async def serve(self, request: web.Request) -> web.Response:
        name = request.match_info["source"]
        source = self._sources.get(name)
        label = name if source else UNKNOWN
        self._open += 1
        self._idle.clear()
        try:
            return await self._serve(request, name, source)
        except Refused as refused:
            self._tally.count(label, "refused", refused.error.code, refused.error.message)
            return problem(refused.status, refused.error.as_dict(), retry_after=refused.retry_after)
        except VioxError as error:  # Postgres away, a secret's file unreadable: the sender is to try again
            log.warning("webhooks.not_taken", source=label, error=error)
            self._tally.count(label, "refused", error.code, error.message)
            return problem(503, error.as_dict(), retry_after=5.0)
        finally:
            self._open -= 1
            if not self._open:
                self._idle.set()

    async def drain(self, seconds: float = 10.0) -> None:
        """Take nothing new, finish what is being taken, write the counts."""
        self._closing = True
        with contextlib.suppress(TimeoutError):
            await within(seconds, self._idle.wait())
        await self._tally.flush()

    async def redrive(self, record: Record) -> None:
        """Take a delivery that was set aside in again, whose sender proved it then. Raises BadInput, Conflict."""
        source = self._sources.get(record.topic.removeprefix(topics.WEBHOOKS))
        if source is None:
            raise BadInput("webhook.unknown_source", "the source is gone.", field="topic", remedy="Configure it again.")
        headers = {name: [value.decode("utf-8", "replace")] for name, value in record.headers}
        incoming = Incoming("POST", "", headers, record.value or b"")
        accepted, read = await self._take(source, incoming, opened(source, incoming, datetime.now(UTC)), free=True)
        if error := _error_in(accepted, read):
            raise error

    async def found(self, name: str, entries: Sequence[Any], read_at: datetime) -> int:
        """Take in what a vendor's list tells, entry by entry, exactly as if it had been delivered. How much of it was new.

        Raises Unavailable when something could not be stored: the list is to be read again.
        """
        source = self._sources.get(name)
        assert source is not None  # noqa: S101  # pollers are of sources that are built in
        headers = {"content-type": [JSON], POLLED: [read_at.isoformat()]}
        given: list[tuple[Incoming, Opened]] = []
        for entry in entries:
            incoming = Incoming("POST", "", headers, json.dumps(entry).encode())
            given.append((incoming, opened(source, incoming, read_at)))
            await asyncio.sleep(0)  # reading takes the time of others: a mail of a stranger's, for instance
        fresh = 0
        for incoming, read in await self._acceptor.unknown(given):
            accepted, _ = await self._take(source, incoming, read)
            error = _error_in(accepted, read)
            if error and await self._letters.keep(name, incoming, error, accepted.trips):
                log.warning("poll.set_aside", source=name, error=error)
                metrics.WEBHOOKS.labels(name, "held" if accepted.held else "unfit", error.code).inc()
            fresh += len(accepted.fresh)
        metrics.POLL_EVENTS.labels(name).inc(fresh)
        return fresh

    async def _serve(self, request: web.Request, name: str, source: Source | None) -> web.Response:
        address = client(request.remote, request.headers.getall("X-Forwarded-For", []), self._trusted)
        label = name if source else UNKNOWN
        if wait := self._limits.wait(label, address):
            raise Refused(429, _too_often(), wait)
        secrets = self._sources.secrets_of(source) if source else []
        if source is None or not secrets:
            self._limits.refused(label, address)
            raise Refused(404, _not_there(name, source))
        if self._closing or self._open > MOST_AT_A_TIME:
            raise Unavailable("webhook.busy", "no more deliveries are taken now.", remedy="Send it again later.")
        incoming = await self._read(request, source)
        verdict = source.verify(incoming, secrets, self._now())
        if verdict.refusal:
            if self._limits.refused(label, address):  # no log line either: a flood would fill the disk
                raise Refused(429, _too_often(), 60.0)
            log.warning("webhooks.refused", source=source.name, address=address, reason=verdict.refusal)
            raise Refused(401, _not_proved(verdict.refusal))
        self._limits.proved(label, address)
        read = opened(source, incoming, datetime.now(UTC))
        if read.messages and await self._told(source.name, [message.data for message in read.messages]):
            read.ignored += [f"{message.type}: its list is read" for message in read.messages]
            read.messages.clear()
        delivery = Delivery(source.name, read.messages)
        read.messages = delivery.traced(read.messages)
        accepted, read = await self._take(source, incoming, read)
        error = _error_in(accepted, read)
        if error:
            await self._letters.keep(source.name, incoming, error, accepted.trips)
        self._count(source, accepted, read, error)
        answer = success(source, accepted, read, error)
        delivery.answered(answer.status, len(accepted.fresh), error.code if error else None)
        return answer

    async def _read(self, request: web.Request, source: Source) -> Incoming:
        """The request with its body as it came. Raises Refused before more of it is read than may be."""
        coding = request.headers.get("Content-Encoding", "identity")
        if not source.takes(request.content_type.lower()) or coding.lower() != "identity":
            raise Refused(415, _wrong_kind(request, source))
        url = (self._public_url or f"{request.scheme}://{request.host}") + request.raw_path
        if not url.isascii() or not request.raw_path.startswith("/"):
            raise Refused(400, BadInput("webhook.malformed", "the URL is not one.", field="url"))
        headers = {name.lower(): request.headers.getall(name) for name in request.headers if name.lower() != POLLED}
        return Incoming(request.method, url, headers, await body_of(request, MAX_BODY, "webhook"))

    async def _take(
        self, source: Source, incoming: Incoming, read: Opened, *, free: bool = False
    ) -> tuple[Accepted, Opened]:
        if not free:
            await self._set_flood_aside(read)
        if not read.messages:
            return Accepted(), read
        polled_at = moment(incoming.header(POLLED))
        messages = await self._causes.marked(read.messages, polled=polled_at is not None)
        delivered = Delivered(source.name, sha256_bytes(incoming.body), messages, free, polled_at)
        return await self._acceptor.accept(delivered), read

    async def _set_flood_aside(self, read: Opened) -> None:
        """Each mail that anybody may have written can cost a model's turns and an answer to whoever is named in it."""
        unproved = [message for message in read.messages if message.subject == UNPROVED]
        if unproved and await self._acceptor.lately(unproved[0].source, UNPROVED, HOUR) >= self._unproved:
            read.messages = [message for message in read.messages if message.subject != UNPROVED]
            read.problem = read.problem or BadInput(
                "mail.too_many",
                f"more than {self._unproved} mails within an hour that nothing proves to be of their senders.",
                field="VIOX_MAIL_UNPROVED_PER_HOUR",
                remedy="Look at some, then `viox redrive` those that are worth it.",
            )

    def _count(self, source: Source, accepted: Accepted, read: Opened, error: VioxError | None) -> None:
        if accepted.fresh:
            metrics.WEBHOOK_EVENTS.labels(source.name).inc(len(accepted.fresh))
            self._tally.count(source.name, "accepted")
        if error:
            verdict = "held" if accepted.held else "unfit"
            self._tally.count(source.name, verdict, error.code, error.message)
            log.warning("webhooks.set_aside", source=source.name, error=error)
        elif not accepted.fresh:
            verdict = "repeated" if accepted.repeated else "ignored"
            self._tally.count(source.name, verdict, "", ", ".join(sorted(set(read.ignored))) or None)


def _error_in(accepted: Accepted, read: Opened) -> VioxError | None:
    """Why a delivery is set aside, if it is: what did not fit, contradicts what was accepted, or was held back."""
    if read.problem:
        return read.problem
    if accepted.conflicting:
        message = read.messages[accepted.conflicting[0]]
        return Conflict(
            "event.conflict",
            f"{message.id} from {message.source} was accepted before with other content.",
            field="id",
            remedy="Compare the two with `viox runs` and the vendor.",
        )
    if accepted.trips:
        message = read.messages[accepted.held[0]]
        return BadInput(
            "webhook.loop",
            f"{message.source} tells of {message.subject} because of calls of ours, again and again: stopped.",
            field="subject",
            remedy=f"End what causes it, then `viox webhooks --release {min(accepted.trips)}`.",
        )
    if accepted.held:
        message = read.messages[accepted.held[0]]
        return BadInput(
            "webhook.loop",
            f"{message.source} told of {message.subject} too often in a short time: is something of ours its cause?",
            field="subject",
            remedy="Stop what causes it, then `viox redrive` the letters.",
        )
    return None


def _not_there(name: str, source: Source | None) -> VioxError:
    if source is None:
        return NotFound(
            "webhook.unknown_source", "there is no such source.", field="source", remedy="See `viox webhooks`."
        )
    return NotFound(
        "webhook.not_configured",
        f"{name} has no secret here.",
        field=source.secrets[0],
        remedy=f"Set {' or '.join(source.secrets)} for the gateway.",
    )


def _too_often() -> VioxError:
    return BadInput("webhook.too_often", "too many refused deliveries from this address.", field="address")


def _not_proved(reason: str) -> VioxError:
    return BadInput(
        f"webhook.{reason}",
        "the delivery does not prove its sender.",
        field="signature",
        remedy="Check secret, URL and clock; docs/webhooks.md says how for each vendor.",
    )


def _wrong_kind(request: web.Request, source: Source) -> VioxError:
    kind, coding = request.content_type, request.headers.get("Content-Encoding")
    return BadInput(
        "webhook.wrong_content_type",
        f"{kind!r}{f' in {coding!r}' if coding else ''} is not taken from {source.name}.",
        field="Content-Type",
        remedy=f"Send {' or '.join(sorted(source.content_types))}, not compressed.",
    )
