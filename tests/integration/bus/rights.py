"""What the broker itself says a client may do with topics: Metadata 8, which aiokafka does not speak (it ends at 5)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Boolean, Int16, Int32, Schema, String

from shared.bus.acls import Operation
from shared.bus.kafka import client_settings
from shared.settings import Settings

TEXT = String("utf-8")


@asynccontextmanager
async def connected(settings: Settings) -> AsyncIterator[AIOKafkaClient]:
    """A client that sends what it is told, with the broker's own errors."""
    client = AIOKafkaClient(**client_settings(settings))
    await client.bootstrap()
    try:
        yield client
    finally:
        await client.close()


class MetadataResponse(Response):  # type: ignore[misc]  # aiokafka carries no types
    API_KEY = 3
    API_VERSION = 8
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("brokers", Array(("node_id", Int32), ("host", TEXT), ("port", Int32), ("rack", TEXT))),
        ("cluster_id", TEXT),
        ("controller_id", Int32),
        (
            "topics",
            Array(
                ("error_code", Int16),
                ("name", TEXT),
                ("is_internal", Boolean),
                (
                    "partitions",
                    Array(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", Array(Int32)),
                        ("in_sync", Array(Int32)),
                        ("offline", Array(Int32)),
                    ),
                ),
                ("operations", Int32),
            ),
        ),
        ("cluster_operations", Int32),
    )


class MetadataStruct(RequestStruct):  # type: ignore[misc]
    API_KEY = 3
    API_VERSION = 8
    RESPONSE_TYPE = MetadataResponse
    SCHEMA = Schema(
        ("topics", Array(TEXT)),
        ("create", Boolean),
        ("with_cluster_operations", Boolean),
        ("with_topic_operations", Boolean),
    )


class MetadataRequest(Request[MetadataStruct]):  # type: ignore[misc]
    API_KEY = 3

    def __init__(self, names: list[str]) -> None:
        self._names = names

    def build(self, request_struct_class: Any) -> Any:
        return request_struct_class(self._names, False, False, True)


async def rights(settings: Settings, names: Iterable[str]) -> dict[str, set[Operation]]:
    """topic → what this client may do with it; nothing where it may not even know that there is one."""
    client = AIOKafkaClient(**client_settings(settings))
    try:
        await client.bootstrap()
        answer = await client.send(client.get_random_node(), MetadataRequest(list(names)))
        return {name: _operations(bits) for _code, name, _internal, _partitions, bits in answer.topics}
    finally:
        await client.close()


def _operations(bits: int) -> set[Operation]:
    return {operation for operation in Operation if bits > 0 and bits >> operation & 1}
