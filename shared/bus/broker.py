"""A FastStream broker for our cluster, without what FastStream adds by itself."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from aiokafka.partitioner import murmur2
from faststream.kafka import KafkaBroker
from faststream.security import BaseSecurity, SASLPlaintext, SASLScram256, SASLScram512

from shared.bus import faststream_internals, topics
from shared.bus.cluster import PACE, tls_context
from shared.errors import BadInput
from shared.settings import Settings

MECHANISMS = {"PLAIN": SASLPlaintext, "SCRAM-SHA-256": SASLScram256, "SCRAM-SHA-512": SASLScram512}
HASHED_KEYS = 10_000
FLUSH_SECONDS = 3.0
FLUSH_VOLATILE_SECONDS = 0.05  # never into what comes after: rows of the outbox are sent again anyway


def security_of(settings: Settings) -> BaseSecurity:
    """How to connect, in FastStream's words. Raises BadInput for a mechanism we cannot speak."""
    context = tls_context(settings)
    if not settings.kafka_sasl_mechanism:
        return BaseSecurity(context)
    made = MECHANISMS.get(settings.kafka_sasl_mechanism.upper())
    if made is None:
        raise BadInput(
            "settings.invalid",
            f"{settings.kafka_sasl_mechanism!r} is not a supported SASL mechanism.",
            field="VIOX_KAFKA_SASL_MECHANISM",
            remedy=f"Use one of {', '.join(MECHANISMS)}.",
        )
    password = settings.kafka_sasl_plain_password
    return made(
        settings.kafka_sasl_plain_username or "",
        password.get_secret_value() if password else "",
        ssl_context=context,
        use_ssl=context is not None,
    )


@lru_cache(maxsize=HASHED_KEYS)
def _hash(key: bytes) -> int:
    found: int = murmur2(key) & 0x7FFFFFFF
    return found


def partition_of(key: bytes | None, every: Sequence[int], available: Sequence[int]) -> int:
    """The partition that every Kafka client chooses. Hashing is slow in Python, and a conversation's key comes often."""
    if key is None:
        return random.choice(available or every)  # noqa: S311  # spreads, hides nothing
    return every[_hash(key) % len(every)]


def broker_arguments(settings: Settings, client_id: str) -> dict[str, Any]:
    """A FastStream broker without what it adds by itself: types, log lines, topics, identifiers, waiting at the stop."""
    return {
        **PACE,
        "bootstrap_servers": settings.kafka_bootstrap_servers.split(","),
        "security": security_of(settings),
        "client_id": client_id,
        "acks": "all",
        "partitioner": partition_of,
        "enable_idempotence": settings.kafka_enable_idempotence,
        "max_request_size": 2 * topics.MAX_RECORD_BYTES,
        "allow_auto_create_topics": False,
        "apply_types": False,
        "logger": None,
        "graceful_timeout": None,  # we wait for the batch in hand ourselves, and longer
        "id_generator": str,
    }


def plain_broker(settings: Settings, client_id: str) -> KafkaBroker:
    broker = KafkaBroker(**broker_arguments(settings, client_id))
    prepare(broker, settings)
    return broker


def prepare(broker: KafkaBroker, settings: Settings) -> None:
    """Exchange the parts of FastStream that are not ours to use."""
    seconds = FLUSH_VOLATILE_SECONDS if settings.kafka_volatile else FLUSH_SECONDS
    faststream_internals.exchange_parts(broker, seconds)
