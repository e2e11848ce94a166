"""Names of FastStream and aiokafka outside their documented interface. A new version of either fails here first."""

from __future__ import annotations

import inspect
import re
from importlib.metadata import version
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.client import AIOKafkaClient
from aiokafka.conn import AIOKafkaConnection, create_conn
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.consumer.group_coordinator import BaseCoordinator, GroupCoordinator, LeaveGroupRequest
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.protocol.admin import CreateAclsRequest
from aiokafka.protocol.api import Request
from faststream import AckPolicy
from faststream._internal.broker import BrokerUsecase
from faststream._internal.endpoint.subscriber.mixins import TasksMixin
from faststream._internal.endpoint.subscriber.usecase import SubscriberUsecase
from faststream._internal.endpoint.usecase import Endpoint
from faststream.kafka import KafkaBroker
from faststream.kafka.configs import KafkaBrokerConfig
from faststream.kafka.helpers import AdminService
from faststream.kafka.publisher.producer import AioKafkaFastProducerImpl
from faststream.kafka.publisher.state import RealProducer
from faststream.kafka.subscriber.usecase import BatchSubscriber, LogicSubscriber
from faststream.specification.base import SpecificationFactory

from shared.bus.broker import partition_of
from shared.bus.faststream_internals import ExactProducer, NoAdmin, parse
from shared.bus.kafka import Bus, Consumer
from shared.settings import Settings

ROOT = Path(__file__).parent.parent.parent


def source(of: object) -> str:
    return inspect.getsource(of)  # type: ignore[arg-type]


def parameters(of: object) -> list[str]:
    return list(inspect.signature(of).parameters)  # type: ignore[arg-type]


def test_the_versions_that_were_read() -> None:
    assert (version("faststream"), version("aiokafka")) == ("0.7.8", "0.14.0")


def test_the_consume_loop_asks_get_msg_of_the_instance_and_consumes_what_it_gave() -> None:
    loop = source(LogicSubscriber._run_consume_loop)
    for used in ("self.get_msg(consumer)", "while self.running", "self.consume_one(msg)", "ConsumerStoppedError"):
        assert used in loop
    assert parameters(BatchSubscriber.get_msg) == ["self", "consumer"]
    assert "__dict__" in Endpoint.__slots__, "an instance takes another get_msg"


def test_a_start_makes_a_new_consumer_in_the_group_of_that_moment() -> None:
    start = source(LogicSubscriber.start)
    for used in ("self.consumer = consumer = self.builder(", "group_id=self.group_id", "await consumer.start()"):
        assert used in start
    assert "make_logging_listener" in start, "without a logger it hands over our listener as it is"


def test_a_stop_cancels_the_loop_before_it_stops_the_consumer() -> None:
    assert source(SubscriberUsecase.stop).index("self.running = False") < source(SubscriberUsecase.stop).index("wait_")
    assert "task.cancel()" in source(TasksMixin.stop)
    stop = source(LogicSubscriber.stop)
    assert stop.index("await super().stop()") < stop.index("await self.consumer.stop()")


def test_what_a_handler_raises_is_swallowed_which_is_why_ours_never_does() -> None:
    assert re.search(r"except Exception:.*\n(\s+#.*\n)*\s+pass", source(SubscriberUsecase.consume))


def test_the_broker_takes_our_producer_and_admin() -> None:
    fields = KafkaBrokerConfig.__dataclass_fields__
    assert {"producer", "admin", "builder", "graceful_timeout", "id_generator"} <= set(fields)
    connect = source(KafkaBrokerConfig.connect)
    assert "self.producer.connect(" in connect
    assert "self.admin.connect(" in connect
    assert "self._connection is None" in source(BrokerUsecase.connect)
    assert callable(KafkaBroker._setup_logger)
    assert {"connect", "disconnect", "flush", "publish"} <= set(vars(AioKafkaFastProducerImpl))
    assert "_producer" in AioKafkaFastProducerImpl.__slots__
    assert RealProducer.__slots__ == ("producer",)
    assert {"connect", "disconnect"} <= set(vars(AdminService))


def test_the_settings_that_make_faststream_harmless_reach_its_consumer() -> None:
    consumer = Consumer(Settings.load(), "group", ["topic"], _store, _bury, lambda _: True)
    subscriber = consumer._subscriber
    given = subscriber._connection_args
    assert (given["enable_auto_commit"], given["auto_offset_reset"]) == (False, "earliest")
    assert given["isolation_level"] == "read_committed"
    assert subscriber.ack_policy is AckPolicy.MANUAL
    assert subscriber._no_reply is True
    assert subscriber._outer_config.graceful_timeout is None
    bus = Bus(Settings.load(), "test")
    assert isinstance(bus.config.producer, ExactProducer)
    assert isinstance(bus.config.admin, NoAdmin)
    assert bus.config.id_generator() == ""


def test_a_specification_has_the_parts_that_ours_has() -> None:
    assert {"add_broker", "add_http_route", "to_specification"} <= set(dir(SpecificationFactory))


async def test_nothing_of_a_record_reaches_the_message_that_faststream_sees() -> None:
    message = await parse(())
    assert (message.raw_message, message.reply_to, message.headers) == ((), "", {})


def test_aiokafka_has_what_we_touch() -> None:
    assert "self._fetch_max_wait_ms," in source(Fetcher._get_actions_per_node), "read anew for each fetch"
    assert "self._fetcher = Fetcher(" in source(AIOKafkaConsumer)
    assert "self._coordinator = GroupCoordinator(" in source(AIOKafkaConsumer)
    assert "self._client = AIOKafkaClient(" in source(AIOKafkaConsumer)
    assert "self.client = AIOKafkaClient(" in source(AIOKafkaProducer)
    assert callable(GroupCoordinator._send_req)
    assert "self.generation" in source(GroupCoordinator)
    assert "self.member_id" in source(GroupCoordinator)
    assert "group_id" in source(BaseCoordinator) + source(GroupCoordinator)
    assert LeaveGroupRequest.__name__ == "LeaveGroupRequest"


def test_aiokafka_sends_requests_it_has_no_method_for() -> None:
    """Nothing of it is documented: ACLs and users are changed by requests that are handed to a client or a connection."""
    assert parameters(AIOKafkaClient.send)[:3] == ["self", "node_id", "request"]
    assert callable(AIOKafkaClient.bootstrap)
    assert callable(AIOKafkaClient.get_random_node)
    assert {"security_protocol", "sasl_mechanism", "sasl_plain_username"} <= set(parameters(create_conn))
    assert parameters(AIOKafkaConnection.send)[:2] == ["self", "request"]
    assert "for req_class in reversed(self._CLASSES)" in source(Request.prepare)
    assert "Sending username and password in the clear" in source(AIOKafkaConnection)


def test_aiokafka_creates_one_acl_a_request_which_is_why_ours_creates_many() -> None:
    assert "struct_class(\n                [\n                    (" in source(CreateAclsRequest.build)


def test_aiokafka_still_forgets_to_leave_in_generation_0() -> None:
    """When it no longer does, `leave_group` can go."""
    leave = source(GroupCoordinator._maybe_leave_group)
    assert "self.generation > 0" in leave


@pytest.mark.parametrize("key", [b"", b"a", b"conversation-7", b"\xff" * 40])
@pytest.mark.parametrize("partitions", [1, 4, 12])
def test_a_key_goes_where_every_kafka_client_sends_it(key: bytes, partitions: int) -> None:
    every = list(range(partitions))
    wanted = DefaultPartitioner()(key, every, every)
    assert [partition_of(key, every, every) for _ in range(2)] == [wanted, wanted]
    assert partition_of(None, every, [0]) == 0, "without a key, where somebody leads"


@pytest.mark.parametrize(
    ("library", "private"),
    [
        ("faststream", r"\._connection\b|\._setup_logger\b|\._producer\.producer|\.get_msg\s*=|\.group_id\s*="),
        ("aiokafka", r"\._fetcher\b|\._coordinator\b|\._client\b|\bconsumer\._"),
    ],
)
def test_private_names_stand_in_one_module_each(library: str, private: str) -> None:
    files = [file for folder in ("shared", "services") for file in (ROOT / folder).rglob("*.py")]
    using = {file.name for file in files if library in file.read_text() and re.search(private, file.read_text())}
    assert using == {f"{library}_internals.py"}


async def _store(records: object) -> None: ...


async def _bury(record: object, error: Exception) -> None: ...
