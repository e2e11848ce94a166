"""One trace across services, from what came in to the last effect; what the backends got, and what they did not."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
import urllib.request
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from sandbox.scenarios import upstream
from tests.conftest import Deployment
from tests.journeys.test_command_line import finished, lead, waited
from tests.journeys.test_webhooks import post, runs_of, told
from tests.traces import conventions
from tests.traces.receivers import Receiver, Taken

pytestmark = pytest.mark.any_broker
MARKER = f"customer{uuid.uuid4().hex[:12]}"


def trace_of(deployment: Deployment, run_id: str) -> str:
    found: str = deployment("run", run_id, "--json").json()["trace_id"]
    return found


def spans_of(backends: Receiver, trace: str, complete: Callable[[list[Taken]], bool]) -> list[Taken]:
    """The spans of a trace, once they are `complete`."""
    deadline = time.monotonic() + 90
    while True:
        found = [span for span in backends.spans() if span.trace_id == trace]
        if complete(found):
            return found
        assert time.monotonic() < deadline, sorted((span.service, span.name) for span in found)
        time.sleep(0.3)


def whole(found: list[Taken]) -> bool:
    """Every span has its parent, but for the one with which the trace begins."""
    ids = {span.span_id for span in found}
    return bool(found) and sum(not span.parent_id for span in found) == 1 and not orphans(found, ids)


def orphans(found: list[Taken], ids: set[str]) -> list[str]:
    return [span.name for span in found if span.parent_id and span.parent_id not in ids]


def names(found: list[Taken], service: str) -> set[str]:
    return {span.name for span in found if span.service == service}


def test_one_trace_from_a_webhook_to_the_last_effect(deployment: Deployment, trace_backends: Receiver) -> None:
    vendors = deployment.state["vendors"]
    hook = {"url": told(deployment, "stripe")["url"], "events": ["invoice.paid", "invoice.payment_failed"]}
    post(f"{vendors['stripe']}/_sandbox/webhooks", hook)
    failed = "com.stripe.invoice.payment_failed"
    before = {run["run_id"] for run in runs_of(deployment, "controller", failed, 0)}
    asyncio.run(upstream.bill(vendors["stripe"], f"{MARKER}@webhooks.example", "pm_card_chargeCustomerFail", 12_345))
    runs = runs_of(deployment, "controller", failed, len(before) + 1)
    (run,) = [one for one in runs if one["run_id"] not in before]
    found = spans_of(trace_backends, trace_of(deployment, run["run_id"]), whole)

    (root,) = [span for span in found if not span.parent_id]
    assert (root.service, root.name, root.kind) == ("gateway", "POST /webhooks/{source}", conventions.SERVER)
    agent, gateway = names(found, "controller"), names(found, "gateway")
    assert {"invoke_agent controller", "activate controller"} <= agent
    assert any(name.startswith("process viox.events.") for name in agent)
    assert "judge" in gateway
    (ended,) = [span for span in found if span.name == "invoke_agent controller"]
    assert ended.parent_id == root.span_id
    called = [span for span in found if span.name.startswith("execute_tool ")]
    assert {span.parent_id for span in called if span.attributes["gen_ai.agent.name"] == "controller"} == {
        ended.span_id
    }
    attempts = [span for span in found if span.kind == conventions.CLIENT and "http.request.method" in span.attributes]
    assert {span.parent_id for span in attempts} <= {span.span_id for span in called}
    assert attempts
    linked = {link for span in found for link in span.links}
    assert linked <= {span.span_id for span in called}
    assert linked


def test_a_delegation_is_in_the_trace_of_who_delegates(deployment: Deployment, trace_backends: Receiver) -> None:
    asked = deployment(
        "ask", "chief-of-staff", f"Ask the closer to find {MARKER}", "--wait", "--timeout", "120", "--json"
    )
    run_id = asked.json()["run_id"]
    found = spans_of(trace_backends, trace_of(deployment, run_id), whole)
    assert {"invoke_agent chief-of-staff"} <= names(found, "chief-of-staff")
    (delegated,) = [span for span in found if span.name == "execute_tool task_delegate"]
    (child,) = [span for span in found if span.name == "invoke_agent closer"]
    assert child.parent_id == delegated.span_id
    chats = [span for span in found if span.name == "chat offline"]
    assert chats
    assert "trace: " + child.trace_id in deployment("run", run_id).out


def test_a_run_that_is_killed_in_the_middle_keeps_its_trace(deployment: Deployment, trace_backends: Receiver) -> None:
    deployment("pause", "hubspot_create_deal")
    try:
        event = lead() | {"traceparent": f"00-{uuid.uuid4().hex}-{uuid.uuid4().hex[:16]}-01"}
        run_id = deployment("publish", "--json", stdin=json.dumps(event)).json()["items"][0]["run_ids"][0]
        waited(deployment, run_id, lambda run: run["tool_calls"] >= 3)
        for service in ("closer", "gateway"):
            os.kill(deployment.process(service), signal.SIGKILL)
            deployment.process(service)
    finally:
        deadline = time.monotonic() + 120
        while deployment("resume", "hubspot_create_deal").code != 0:
            assert time.monotonic() < deadline
    assert finished(deployment, run_id)["status"] == "finished"
    trace = trace_of(deployment, run_id)
    assert trace == event["traceparent"][3:35]
    found = spans_of(trace_backends, trace, lambda spans: "invoke_agent closer" in names(spans, "closer"))
    ended = [span for span in found if span.name == "invoke_agent closer"]
    assert [span.parent_id for span in ended] == [event["traceparent"][36:52]]
    assert "execute_tool hubspot_create_deal" in names(found, "gateway")


def test_what_backends_got_is_as_the_conventions_say_and_has_no_contents(
    deployment: Deployment, trace_backends: Receiver
) -> None:
    data = lead()
    data["data"] |= {"first_name": MARKER, "email": f"{MARKER}.two@example.com", "interest": f"a roof for {MARKER}"}
    run_id = deployment("publish", "--json", stdin=json.dumps(data)).json()["items"][0]["run_ids"][0]
    finished(deployment, run_id)
    spans_of(trace_backends, trace_of(deployment, run_id), whole)
    seen = conventions.check(trace_backends.spans())
    assert {"invoke_agent", "execute_tool"} <= set(seen)
    kinds = {span.attributes["langsmith.span.kind"] for span in trace_backends.spans("/langsmith/otel/v1/traces")}
    assert {"chain", "tool"} <= kinds
    deadline = time.monotonic() + 60
    while not trace_backends.documents("/helicone/custom/v1/log"):
        assert time.monotonic() < deadline
        time.sleep(0.3)
    assert trace_backends.headers("/langsmith/otel/v1/traces")["x-api-key"] == "lsv2_key_of_the_tests"
    assert MARKER.encode() not in trace_backends.everything()


def test_a_collector_that_hangs_or_fails_slows_nothing_and_drops_are_counted(
    deployment: Deployment, trace_backends: Receiver
) -> None:
    for behaviour in ("hang", "500"):
        before = dropped(deployment)
        trace_backends.behaviour = behaviour
        try:
            run_id = deployment("publish", "--json", stdin=json.dumps(lead())).json()["items"][0]["run_ids"][0]
            assert finished(deployment, run_id)["status"] == "finished"
            deadline = time.monotonic() + 60
            while dropped(deployment) <= before:
                assert time.monotonic() < deadline, "nothing was dropped"
                time.sleep(0.3)
        finally:
            trace_backends.behaviour = "take"
    run_id = deployment("publish", "--json", stdin=json.dumps(lead())).json()["items"][0]["run_ids"][0]
    finished(deployment, run_id)
    spans_of(
        trace_backends, trace_of(deployment, run_id), lambda spans: "invoke_agent closer" in names(spans, "closer")
    )


def dropped(deployment: Deployment) -> float:
    """Spans that the collector did not take, of closer and gateway."""
    urls = [one["url"] for one in deployment.state["services"] if one["name"] in ("closer", "gateway")]
    return sum(_counted(url) for url in urls)


def _counted(url: str) -> float:
    with urllib.request.urlopen(f"{url}/metrics", timeout=60) as answer:
        lines: list[Any] = answer.read().decode().splitlines()
    wanted = 'viox_trace_spans_dropped_total{destination="otlp",reason="not_taken"}'
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(wanted))
