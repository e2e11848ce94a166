"""The cluster behind the bus: how to connect to it, its topics, and the tripwire that tells when it is gone."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaConnectionError,
    KafkaError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    for_code,
)
from aiokafka.helpers import create_ssl_context

from shared.bus import topics
from shared.errors import Unavailable, VioxError
from shared.settings import Settings
from shared.waiting import within

CONNECT_SECONDS = 5.0
FORBIDDEN = (TopicAuthorizationFailedError, GroupAuthorizationFailedError, ClusterAuthorizationFailedError)
REFUSED = "kafka.refused"
PACE = {"request_timeout_ms": 10_000, "retry_backoff_ms": 100, "metadata_max_age_ms": 10_000}


def tls_context(settings: Settings) -> ssl.SSLContext | None:
    """The TLS settings of the connection; None when it is not encrypted."""
    if settings.kafka_security_protocol not in ("SSL", "SASL_SSL"):
        return None
    context: ssl.SSLContext = create_ssl_context(
        cafile=settings.kafka_ssl_cafile, certfile=settings.kafka_ssl_certfile, keyfile=settings.kafka_ssl_keyfile
    )
    return context


def client_settings(settings: Settings) -> dict[str, Any]:
    """Connection arguments of an aiokafka client."""
    given: dict[str, Any] = {
        "bootstrap_servers": settings.kafka_bootstrap_servers,
        "security_protocol": settings.kafka_security_protocol,
        "ssl_context": tls_context(settings),
        **PACE,
    }
    if settings.kafka_sasl_mechanism:
        password = settings.kafka_sasl_plain_password
        given |= {
            "sasl_mechanism": settings.kafka_sasl_mechanism,
            "sasl_plain_username": settings.kafka_sasl_plain_username,
            "sasl_plain_password": password.get_secret_value() if password else None,
        }
    return given


async def ensure_topics(
    settings: Settings,
    wanted: Sequence[topics.Topic] | None = None,
    *,
    configs: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
) -> str:
    """Create the topics that are missing, those in `configs` with settings of their own; returns the cluster's id.

    Raises Unavailable when the broker does not answer, VioxError when it lets us neither see nor create them.
    """
    missing: list[NewTopic] = []
    admin = AIOKafkaAdminClient(**_without_backoff(client_settings(settings)))
    try:
        await admin.start()
        existing = set(await admin.list_topics())
        missing = [
            NewTopic(
                topic.name,
                num_partitions=settings.kafka_partitions,
                replication_factor=settings.kafka_replication_factor,
                topic_configs=dict(configs.get(topic.name, {})),
            )
            for topic in wanted or topics.all_topics()
            if topic.name not in existing
        ]
        if missing:
            _raise_topic_errors(await admin.create_topics(missing))
        return str((await admin.describe_cluster())["cluster_id"])
    except (KafkaConnectionError, OSError) as error:
        raise await explained(settings, error) from error
    except FORBIDDEN as error:
        raise _topics_refused(settings, [topic.name for topic in missing]) from error
    finally:
        await admin.close()


def _topics_refused(settings: Settings, names: Sequence[str]) -> VioxError:
    return VioxError(
        "kafka.topics_refused",
        f"the broker lets {settings.kafka_sasl_plain_username or 'us'} neither see nor create {', '.join(names[:3])}"
        + (f" and {len(names) - 3} topics more." if len(names) > 3 else "."),
        field="VIOX_KAFKA_SASL_PLAIN_USERNAME",
        remedy="Grant it DESCRIBE, and CREATE where they do not exist: `viox kafka acls` prints what every user needs.",
    )


def _raise_topic_errors(response: Any) -> None:
    """aiokafka reports failed topics in the answer. One that exists already was made by a faster starter."""
    for _name, code, *_rest in response.topic_errors:
        if code not in (0, TopicAlreadyExistsError.errno):
            raise for_code(code)


def _without_backoff(given: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in given.items() if key != "metadata_max_age_ms"}


def unavailable(settings: Settings, error: BaseException) -> Unavailable:
    return Unavailable(
        "kafka.unavailable",
        f"no Kafka broker answers at {settings.kafka_bootstrap_servers}: {error}.",
        field="VIOX_KAFKA_BOOTSTRAP_SERVERS",
        remedy="Start it (`viox up`), or correct the address and security settings.",
    )


async def explained(settings: Settings, error: BaseException) -> Unavailable:
    """Why no client can be had. aiokafka says the same of a broker that is down and of one that refuses a password."""
    host, _, port = settings.kafka_bootstrap_servers.split(",")[0].rpartition(":")
    try:
        _reader, writer = await within(CONNECT_SECONDS, asyncio.open_connection(host, int(port)))
        writer.close()
    except (OSError, TimeoutError, ValueError):
        return unavailable(settings, error)
    protocol, user = settings.kafka_security_protocol, settings.kafka_sasl_plain_username
    return Unavailable(
        REFUSED,
        f"the broker at {settings.kafka_bootstrap_servers} lets nobody in over {protocol} as {user or 'an anonymous client'}: {error}.",
        field="VIOX_KAFKA_SASL_PLAIN_PASSWORD" if user else "VIOX_KAFKA_SECURITY_PROTOCOL",
        remedy="Correct user, password, mechanism and protocol; its log says which of them it refuses.",
    )


async def refusal(settings: Settings, error: BaseException) -> str | None:
    """What the broker refuses us, in words for readiness and log; None when it is merely not there."""
    if isinstance(error, Unavailable) and error.code == REFUSED:
        return error.message
    if isinstance(error, FORBIDDEN):
        return f"the broker refuses {settings.kafka_sasl_plain_username or 'us'}: {error}"
    if settings.kafka_sasl_mechanism and isinstance(error, KafkaConnectionError):
        found = await explained(settings, error)
        return found.message if found.code == REFUSED else None
    return None


async def refused_login(settings: Settings) -> Unavailable | None:
    """Why the broker does not take our login, by trying it. None when it does, and when it is merely not there."""
    admin = AIOKafkaAdminClient(**_without_backoff(client_settings(settings)))
    try:
        await admin.start()
    except KafkaConnectionError as error:
        found = await explained(settings, error)
        return found if found.code == REFUSED else None
    except (KafkaError, OSError):
        return None
    finally:
        await admin.close()
    return None


async def broken(settings: Settings) -> None:
    """Returns when the broker is gone: the tripwire. Raises OSError when it is not there in the first place."""
    host, _, port = settings.kafka_bootstrap_servers.split(",")[0].rpartition(":")
    reader, writer = await within(CONNECT_SECONDS, asyncio.open_connection(host, int(port)))
    try:
        with contextlib.suppress(OSError):
            await reader.read(1)
    finally:
        writer.close()
