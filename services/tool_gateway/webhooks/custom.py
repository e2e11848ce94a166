"""Sources of the customer's own, described in the file that VIOX_WEBHOOKS names:

    shop:
      scheme: standard-webhooks            # or hmac-sha256, shared-secret
      secret: SHOP_WEBHOOK_SECRET          # the setting that holds it
      type: viox.lead.created              # a registered event type
      domain: sales                        # its domain
      id: $.order.id                       # or header:X-Delivery; what is unique
      data: {email: $.customer.email, source: shop}

`$.path` reads from an item of the payload, anything else is itself. Nothing of a configuration is code.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from services.tool_gateway.answers import paths
from services.tool_gateway.catalogue.reading import UNREADABLE
from services.tool_gateway.catalogue.reading import read as read_document
from services.tool_gateway.webhooks.reading import Read, Told, moment, read_object
from services.tool_gateway.webhooks.schemes import body_mac, shared_secret, standard
from services.tool_gateway.webhooks.schemes.proof import Incoming, Verdict, Verify
from services.tool_gateway.webhooks.sources import RESERVED, Source
from shared.bus.envelope import conversation_key
from shared.bus.events import event_type
from shared.errors import BadInput

_NAME = r"^[a-z0-9][a-z0-9_-]{0,62}$"
_SETTING = r"^[A-Z][A-Z0-9_]*$"
_HEADER = r"^[A-Za-z0-9-]+$"
_WHERE = r"^(\$\.\S+|header:[A-Za-z0-9-]+)$"
REMEDY = "docs/webhooks.md has an example of each scheme."


class Entry(BaseModel):
    """One source."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    scheme: Literal["standard-webhooks", "hmac-sha256", "shared-secret"]
    secret: str = Field(pattern=_SETTING)
    header: str | None = Field(default=None, pattern=_HEADER)
    spelling: Literal["hex", "base64"] = "hex"
    prefix: str = ""
    type: str
    domain: str
    id: str = Field(pattern=_WHERE)
    subject: str | None = Field(default=None, pattern=_WHERE)
    time: str | None = Field(default=None, pattern=_WHERE)
    items: str | None = Field(default=None, pattern=r"^\$\.\S+$")
    data: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _header_fits(self) -> Entry:
        if self.scheme == "hmac-sha256" and self.header is None:
            raise ValueError("hmac-sha256 needs the header that holds the signature")
        if self.scheme == "standard-webhooks" and self.header is not None:
            raise ValueError("standard-webhooks has headers of its own: leave header out")
        return self


def read(path: Path) -> list[Source]:
    """The sources of a file. Raises BadInput naming source, field and remedy."""
    try:
        document = read_document(path.read_bytes())
    except OSError as error:
        raise BadInput("webhooks.unreadable", f"{path}: {error.strerror}.", field="VIOX_WEBHOOKS") from error
    except UNREADABLE as error:
        raise BadInput("webhooks.unreadable", f"{path} is not YAML: {error}.", field="VIOX_WEBHOOKS") from error
    if not isinstance(document, dict):
        raise _wrong(str(path), "it is no mapping of sources")
    return [_source(str(name), given) for name, given in document.items()]


def _source(name: str, given: Any) -> Source:
    if not re.fullmatch(_NAME, name) or name in RESERVED:
        raise _wrong(name, "the name is taken, or is not made of small letters, digits, - and _")
    try:
        entry = Entry.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise _wrong(".".join([name, *map(str, first["loc"])]), first["msg"]) from error
    domain = event_type(entry.type).domain  # raises BadInput with the nearest names
    if entry.domain != domain:
        raise _wrong(f"{name}.domain", f"{entry.type} belongs to {domain}, not {entry.domain}")
    made = Source(name, entry.scheme, (entry.secret,), _verifier(entry), _reader(name, entry))
    return replace(made, check_secret=standard.check_secret) if entry.scheme == "standard-webhooks" else made


def _wrong(field: str, problem: str) -> BadInput:
    return BadInput("webhooks.invalid", f"{problem}.", field=field, remedy=REMEDY)


def _verifier(entry: Entry) -> Verify:
    if entry.scheme == "standard-webhooks":
        return standard.verify
    if entry.scheme == "shared-secret":
        return partial(shared_secret.verify, header=entry.header or shared_secret.HEADER)
    header, spelling, prefix = str(entry.header), entry.spelling, entry.prefix

    def verify(request: Incoming, secrets: Sequence[str], now: float) -> Verdict:
        del now
        keys = [secret.encode() for secret in secrets]
        return body_mac.verify(request, keys, header=header, spelling=spelling, prefix=prefix)

    return verify


def _reader(name: str, entry: Entry) -> Read:
    def read_events(request: Incoming) -> Iterator[Told]:
        body = read_object(request)
        items = paths.at(body, entry.items[2:]) if entry.items else [body]
        if not isinstance(items, list):
            raise _unfit(entry.items or "body", "there is no list")
        for item in items:
            yield _told(name, entry, request, item)

    return read_events


def _told(name: str, entry: Entry, request: Incoming, item: Any) -> Told:
    found = _at(entry.id, request, item)
    if isinstance(found, bool) or not isinstance(found, str | int) or found == "":
        raise _unfit(entry.id, "there is no id")
    data = item if entry.data is None else _without_none(paths.filled(entry.data, item))
    subject, time = (_at(where, request, item) if where else None for where in (entry.subject, entry.time))
    return Told(
        entry.type,
        f"/webhooks/{name}",
        conversation_key(str(found)),
        data,
        conversation_key(str(subject)) if isinstance(subject, str | int) else None,
        moment(time),
    )


def _at(where: str, request: Incoming, item: Any) -> Any:
    kind, _, rest = where.partition(":")
    return request.header(rest) if kind == "header" else paths.at(item, where[2:])


def _without_none(value: Any) -> Any:
    """What the payload does not have is not in the data either."""
    if isinstance(value, dict):
        return {key: _without_none(one) for key, one in value.items() if one is not None}
    return [_without_none(one) for one in value] if isinstance(value, list) else value


def _unfit(field: str, problem: str) -> BadInput:
    return BadInput("webhook.unfit", f"the payload does not fit: {problem}.", field=field, remedy=REMEDY)
