"""A publisher that keeps what it is given, for tests without a broker."""

from __future__ import annotations

from typing import Any

from shared.bus.envelope import Headers, Message, parse_record
from shared.bus.publisher import Ended, Publisher
from shared.errors import VioxError


class _NoProducer:
    """A broker that takes nothing."""

    connected = True

    async def send(self, *_: Any) -> Any:
        raise VioxError("kafka.unavailable", "none in this test")


class RecordingPublisher(Publisher):
    """Keeps what is published; the broker has it at once."""

    def __init__(self, service: str) -> None:
        super().__init__(service, _NoProducer())
        self.messages: list[tuple[str, Message]] = []

    def publish_record(
        self, topic: str, key: bytes, value: bytes, headers: Headers, ended: Ended | None = None
    ) -> None:
        self.messages.append((topic, parse_record(value, headers)))
        if ended:
            ended(None)

    def sent(self, topic: str) -> list[Message]:
        """The messages that were published to a topic, in order."""
        return [message for to, message in self.messages if to == topic]
