"""Records as other programs write them: compressed, in transactions, or so that nobody can decode them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import codec
from structlog.testing import capture_logs

from shared.bus import reading
from shared.settings import Settings
from tests.conftest import BROKER
from tests.integration.bus.desk import Desk, eventually, foreign_producer


@pytest.fixture
async def desk(kafka_settings: Settings) -> Desk:
    made = Desk(kafka_settings)
    await made.create_topics()
    return made


@pytest.mark.parametrize("compression", ["gzip", "snappy", "lz4", "zstd"])
async def test_every_codec_of_kafka_is_read(desk: Desk, compression: str) -> None:
    value = b"the same words again, " * 100
    await desk.put(value, compression_type=compression)
    async with desk.consuming() as consumer:
        await desk.until({value})
        assert consumer.degraded is None


@pytest.mark.skipif(BROKER != "apache", reason="the embedded broker has no transactions")
async def test_what_was_rolled_back_is_never_seen(desk: Desk) -> None:
    async with foreign_producer(desk.settings, transactional_id=desk.group) as producer:
        await producer.begin_transaction()
        await producer.send_and_wait(desk.topic, b"rolled back", key=desk.mark)
        await producer.abort_transaction()
        async with producer.transaction():
            await producer.send_and_wait(desk.topic, b"committed", key=desk.mark)
    await desk.put(b"without a transaction")
    async with desk.consuming():
        await desk.until({b"committed", b"without a transaction"})
    assert desk.values == [b"committed", b"without a transaction"]


@pytest.mark.parametrize("missing_library", [True, False])
async def test_a_record_nobody_can_decode_stops_its_partition_only_and_is_told(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, missing_library: bool
) -> None:
    monkeypatch.setattr(reading, "CLOSELY_SECONDS", 1.0)
    monkeypatch.setattr(reading, "TRY_AGAIN_SECONDS", 0.2)
    value = b"the same words again, " * 100
    await desk.put(b"before")
    await desk.put(value, compression_type="zstd")
    await desk.put(b"behind")
    with monkeypatch.context() as away, capture_logs() as lines:
        _take_zstd_away(away, missing_library)
        async with desk.consuming(desk.topic, desk.other) as consumer:
            await eventually(lambda: consumer.degraded)
            await desk.put(b"elsewhere 1", topic=desk.other)
            await desk.until({b"before", b"elsewhere 1"})
            await eventually(lambda: not consumer._reader._closely)
            await desk.put(b"elsewhere 2", topic=desk.other)
            await desk.until({b"elsewhere 2"})
            said = consumer.degraded or ""
            assert consumer.problem is None
    where = desk.stored[0]
    assert f"{desk.topic}[{where.partition}] cannot be read at offset {where.offset + 1}" in said
    told = [line for line in lines if "record_unreadable" in line["event"]]
    assert len(told) == 1, "once, not at every look"
    assert desk.values.count(value) == desk.values.count(b"behind") == 0
    assert len(desk.values) == len(set(desk.values)), "nothing was stored twice for it"
    async with desk.consuming(desk.topic, desk.other):
        await desk.until({value, b"behind"})


async def test_a_record_that_can_be_decoded_again_is_taken_without_a_restart(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "CLOSELY_SECONDS", 0.5)
    monkeypatch.setattr(reading, "TRY_AGAIN_SECONDS", 0.2)
    value = b"the same words again, " * 100
    await desk.put(value, compression_type="zstd")
    with monkeypatch.context() as away:
        _take_zstd_away(away, True)
        async with desk.consuming() as consumer:
            await eventually(lambda: consumer.degraded)
            away.undo()
            await desk.until({value})
            await eventually(lambda: consumer.degraded is None)


def _take_zstd_away(patch: pytest.MonkeyPatch, missing_library: bool) -> None:
    """Either its library is missing, or what it is given is broken."""

    def broken(payload: Any) -> Any:
        raise RuntimeError("zstd: data corruption")

    if missing_library:
        patch.setattr(codec, "has_zstd", lambda: False)
    else:
        patch.setattr(codec, "cramjam", SimpleNamespace(zstd=SimpleNamespace(decompress=broken)))
