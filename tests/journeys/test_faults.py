"""A running deployment loses its broker, its database, a service: what was accepted still comes to its end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from pathlib import Path

import pytest

from shared.bus import topics
from shared.bus.kafka import Producer
from shared.settings import Settings
from tests.conftest import Deployment
from tests.journeys.test_command_line import finished, lead, waited


@pytest.mark.rule(5)
def test_runs_finish_though_the_broker_dies_with_everything_in_it(deployment: Deployment) -> None:
    leads = "\n".join(json.dumps(lead()) for _ in range(4))
    deployment("pause", "hubspot_create_deal")
    try:
        run_ids = [item["run_ids"][0] for item in deployment("publish", "--json", stdin=leads).json()["items"]]
        for run_id in run_ids:
            waited(deployment, run_id, lambda run: run["tool_calls"] >= 3)
        before = deployment.process("broker")
        os.kill(before, signal.SIGKILL)
    finally:
        deployment("resume", "hubspot_create_deal")
    more = deployment("publish", "--json", stdin=json.dumps(lead())).json()["items"][0]["run_ids"]
    for run_id in [*run_ids, *more]:
        assert finished(deployment, run_id)["status"] == "finished"
    assert deployment.process("broker") != before


def test_runs_finish_though_postgres_dies(deployment: Deployment) -> None:
    run_ids = [
        item["run_ids"][0]
        for item in deployment("publish", "--json", stdin="\n".join(json.dumps(lead()) for _ in range(4))).json()[
            "items"
        ]
    ]
    os.kill(deployment.process("postgres"), signal.SIGKILL)
    deadline = time.monotonic() + 60
    while deployment("runs", "--json").code != 0:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    for run_id in run_ids:
        assert finished(deployment, run_id)["status"] == "finished"


def test_a_killed_gateway_is_back_and_loses_nothing(deployment: Deployment) -> None:
    run_ids = [
        item["run_ids"][0]
        for item in deployment("publish", "--json", stdin="\n".join(json.dumps(lead()) for _ in range(6))).json()[
            "items"
        ]
    ]
    os.kill(deployment.process("gateway"), signal.SIGKILL)
    for run_id in run_ids:
        assert waited(deployment, run_id, lambda r: r["status"] == "finished", seconds=180)


@pytest.mark.rule(4)
def test_a_poison_record_on_kafka_becomes_a_dead_letter_and_can_be_redriven(deployment: Deployment) -> None:
    event = lead() | {"type": "viox.lead.wrong"}
    asyncio.run(straight_to_kafka(deployment.kafka(topics.UPSTREAM), "viox.events.sales", json.dumps(event).encode()))
    deadline = time.monotonic() + 60
    while not (
        letters := [x for x in deployment("dead-letters", "--json").json()["items"] if x["message_id"] == event["id"]]
    ):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert letters[0]["code"] == "event.unknown_type"
    assert "viox.lead.created" in letters[0]["error"]
    assert deployment("redrive", letters[0]["dead_letter_id"]).code == 0
    assert deployment("redrive", letters[0]["dead_letter_id"]).code == 1
    good = deployment("publish", "--json", stdin=json.dumps(lead())).json()["items"][0]["run_ids"][0]
    assert finished(deployment, good)["status"] == "finished", "its neighbours go on"


def test_the_demo_is_true_with_another_seed(deployment: Deployment, tmp_path: Path) -> None:
    file = tmp_path / "summary.json"
    answer = deployment("demo", "--seed", "7", "--json", str(file), timeout=1200)
    assert answer.code == 0, answer.out + answer.err
    summary = json.loads(file.read_text())
    assert summary["problems"] == []
    assert summary["tool_calls"] >= 400
    assert {row["part"] for row in summary["checks"]} >= {"Sales", "Money", "Hiring", "Clients", "Vendors fail"}
    assert summary["models"] == ["offline"]


async def straight_to_kafka(settings: Settings, topic: str, value: bytes) -> None:
    producer = Producer(settings, "upstream")
    connecting = asyncio.create_task(producer.run())
    headers = [("content-type", b"application/cloudevents+json")]
    async with asyncio.timeout(60):
        while True:
            try:
                await (await producer.send(topic, b"k", value, headers))
                break
            except Exception:  # noqa: BLE001  # not connected yet
                await asyncio.sleep(0.05)
    await producer.stop()
    connecting.cancel()
    await asyncio.gather(connecting, return_exceptions=True)
