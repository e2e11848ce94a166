"""Topics are created with settings of their own where somebody says so, and only those that are missing."""

from __future__ import annotations

from typing import Any

import pytest

from shared.bus import cluster, topics
from shared.settings import Settings


class Admin:
    """A cluster that has the topic of runs, and takes down what it is told to create."""

    made: list[Any]

    def __init__(self, **given: Any) -> None:
        Admin.made = []

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def list_topics(self) -> list[str]:
        return [topics.RUNS]

    async def create_topics(self, wanted: list[Any]) -> Any:
        Admin.made += wanted
        return type("Answer", (), {"topic_errors": [(topic.name, 0, None) for topic in wanted]})

    async def describe_cluster(self) -> dict[str, str]:
        return {"cluster_id": "viox"}


async def test_only_the_topic_that_is_named_has_settings_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "AIOKafkaAdminClient", Admin)
    configs = {topics.AUDIT_CHECKPOINTS: {"retention.ms": "-1"}}
    assert await cluster.ensure_topics(Settings(), configs=configs) == "viox"
    assert {topic.name for topic in Admin.made} == {topic.name for topic in topics.all_topics()} - {topics.RUNS}
    assert {topic.name: topic.topic_configs for topic in Admin.made if topic.topic_configs} == configs
