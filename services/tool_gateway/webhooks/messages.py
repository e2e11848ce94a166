"""From what a delivery tells to messages for the bus: checked as their readers will check them, each by its event type."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

import orjson

from services.tool_gateway.webhooks.reading import Told
from services.tool_gateway.webhooks.schemes.proof import Incoming
from services.tool_gateway.webhooks.sources import Source
from shared.bus.envelope import Message, conversation_key, parse_record
from shared.bus.events import REGISTRY, check_data
from shared.errors import BadInput, VioxError


@dataclass(slots=True)
class Opened:
    """A delivery's messages, the types of what nobody here listens to, and the first thing that did not fit."""

    messages: list[Message] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    problem: VioxError | None = None


def opened(source: Source, incoming: Incoming, arrived: datetime) -> Opened:
    """All that can be used of a delivery: one bad item does not keep the others out."""
    found = Opened()
    try:
        for told in source.read(incoming):
            if told.type not in REGISTRY:
                found.ignored.append(told.type)
            else:
                _add(found, told, arrived)
    except BadInput as error:
        found.problem = found.problem or error
    except RecursionError:
        found.problem = found.problem or _too_deep()
    return found


def _too_deep() -> BadInput:
    return BadInput("webhook.unfit", "the payload is nested too deeply.", field="body", remedy="Send a flatter one.")


def _add(found: Opened, told: Told, arrived: datetime) -> None:
    try:
        found.messages.append(_message(told, arrived))
    except BadInput as error:
        found.problem = found.problem or error


def _message(told: Told, arrived: datetime) -> Message:
    """Raises BadInput when the agents could not read it."""
    check_data(told.type, told.data)
    subject = conversation_key(told.subject) if told.subject else None
    source, key = conversation_key(told.source), conversation_key(told.id)
    message = Message(key, source, told.type, told.data, told.time or arrived, subject)
    try:
        _, value, headers = message.to_kafka()
    except orjson.JSONEncodeError as error:
        raise BadInput("event.invalid_data", f"data cannot be written as JSON: {error}.", field="data") from error
    parse_record(value, headers)
    return message
