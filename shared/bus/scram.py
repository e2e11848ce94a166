"""SCRAM credentials of a cluster's users: one request of Kafka's protocol (AlterUserScramCredentials) that aiokafka lacks.

It is sent to a controller, so that it also serves a cluster whose brokers let nobody in yet, because nobody has
credentials. The broker learns a salted hash and never the password.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from aiokafka.conn import create_conn
from aiokafka.errors import KafkaError, NotControllerError, for_code
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import CompactArray, CompactBytes, CompactString, Int8, Int16, Int32, Schema, TaggedFields

from shared.errors import Unavailable

MECHANISM: Final = "SCRAM-SHA-512"
SCRAM_SHA_512: Final = 2
# Kafka's least. More protects passwords that people choose; ours are 192 random bits, and each login would wait for it.
ITERATIONS: Final = 4096
SALT_BYTES: Final = 24
TRY_AGAIN_SECONDS: Final = 0.1


class _AlterResponse(Response):  # type: ignore[misc]  # aiokafka carries no types
    API_KEY = 51
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "results",
            CompactArray(
                ("user", CompactString("utf-8")),
                ("error_code", Int16),
                ("error_message", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _AlterRequest_v0(RequestStruct):  # type: ignore[misc]  # noqa: N801  # aiokafka calls them so
    FLEXIBLE_VERSION = True
    API_KEY = 51
    API_VERSION = 0
    RESPONSE_TYPE = _AlterResponse
    SCHEMA = Schema(
        ("deletions", CompactArray(("name", CompactString("utf-8")), ("mechanism", Int8), ("tags", TaggedFields))),
        (
            "upsertions",
            CompactArray(
                ("name", CompactString("utf-8")),
                ("mechanism", Int8),
                ("iterations", Int32),
                ("salt", CompactBytes),
                ("salted_password", CompactBytes),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _AlterRequest(Request[_AlterRequest_v0]):  # type: ignore[misc]
    API_KEY = 51

    def __init__(self, passwords: Mapping[str, str]) -> None:
        self._passwords = passwords

    def build(self, request_struct_class: Any) -> Any:
        return request_struct_class([], [_upsertion(*each) for each in self._passwords.items()], {})


def _upsertion(user: str, password: str) -> tuple[Any, ...]:
    salt = os.urandom(SALT_BYTES)
    salted = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, ITERATIONS)
    return (user, SCRAM_SHA_512, ITERATIONS, salt, salted, {})


@dataclass(frozen=True, slots=True)
class Controller:
    """Where a controller listens (SASL/PLAIN over loopback), and as whom it is asked."""

    host: str
    port: int
    user: str
    password: str


async def set_passwords(controller: Controller, passwords: Mapping[str, str], seconds: float) -> None:
    """Give users these passwords, whatever they had. Raises Unavailable when the controller takes none in that time."""
    try:
        async with asyncio.timeout(seconds):
            while True:
                try:
                    return await _set(controller, passwords)
                except (NotControllerError, OSError, ConnectionError):  # it has not elected itself yet
                    await asyncio.sleep(TRY_AGAIN_SECONDS)
    except (TimeoutError, KafkaError) as error:
        raise Unavailable(
            "kafka.users_not_made", f"the controller on port {controller.port} takes no users: {error!r}."
        ) from error


async def _set(controller: Controller, passwords: Mapping[str, str]) -> None:
    with _without_warning():
        connection = await create_conn(
            controller.host,
            controller.port,
            client_id="viox",
            security_protocol="SASL_PLAINTEXT",
            sasl_mechanism="PLAIN",
            sasl_plain_username=controller.user,
            sasl_plain_password=controller.password,
        )
    try:
        answer = await connection.send(_AlterRequest(passwords))
    finally:
        connection.close()
    for user, code, message, _tags in answer.results:
        if code:
            raise for_code(code)(f"{user}: {message}")


@contextmanager
def _without_warning() -> Iterator[None]:
    """aiokafka warns of PLAIN without TLS, which does not leave this machine."""
    logger = logging.getLogger("aiokafka.conn")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
