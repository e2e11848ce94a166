"""Dashboards and alerts name what the services have, and every alert is told of and tried."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

from shared.telemetry import metrics

ROOT = Path(__file__).parents[3]
MONITORING = ROOT / "deploy" / "monitoring"
DASHBOARDS = sorted((MONITORING / "grafana").glob("*.json"))
NAME = re.compile(r"\bviox_[a-z0-9_]+\b")
SELECTED = re.compile(r"(viox_[a-z0-9_]+)\{([^}]*)\}")
GROUPED = re.compile(r"by \(([a-z_, ]+)\)")
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load((MONITORING / "rules.yaml").read_text())["groups"] for rule in group["rules"]
]


def known() -> dict[str, frozenset[str]]:
    """Sample name → its labels."""
    found: dict[str, frozenset[str]] = {}
    for metric in vars(metrics).values():
        if isinstance(metric, MetricWrapperBase):
            labels = frozenset(metric._labelnames)
            for family in metric.describe():
                found |= {family.name + end: labels for end in ("", "_total", "_bucket", "_count", "_sum")}
    assert found
    assert REGISTRY is not None
    return found


def queries() -> Iterator[tuple[str, str]]:
    for file in DASHBOARDS:
        for panel in json.loads(file.read_text())["panels"]:
            for target in panel.get("targets") or []:
                yield f"{file.stem}: {panel['title']}", target["expr"]
    for rule in RULES:
        yield rule["alert"], rule["expr"]


def test_every_metric_and_label_that_is_named_exists() -> None:
    samples = known()
    for where, query in queries():
        named = NAME.findall(query)
        assert named or "up{" in query, where
        for name in named:
            assert name in samples, f"{where}: there is no {name}"
        labels = {"le", "job", "instance"}.union(*(samples[name] for name in named))
        for group in GROUPED.findall(query):
            assert {one.strip() for one in group.split(",")} <= labels, f"{where}: by ({group})"
        for name, selected in SELECTED.findall(query):
            assert {one.split("=")[0].split("!")[0].strip() for one in selected.split(",")} <= samples[name], where


def test_every_alert_has_a_part_of_the_runbook_and_a_severity() -> None:
    parts = {
        line[3:].strip().lower()
        for line in (ROOT / "docs" / "runbook.md").read_text().splitlines()
        if line.startswith("## ")
    }
    for rule in RULES:
        file, _, anchor = rule["annotations"]["runbook_url"].partition("#")
        assert (ROOT / file).is_file()
        assert anchor in parts, rule["alert"]
        assert rule["labels"]["severity"] in ("page", "ticket")
    assert {rule["annotations"]["runbook_url"].partition("#")[2] for rule in RULES} == parts - {"runbook"}


def test_every_alert_is_tried() -> None:
    tried = yaml.safe_load((MONITORING / "rules_test.yaml").read_text())["tests"]
    fired = {one["alertname"] for case in tried for one in case["alert_rule_test"] if one["exp_alerts"]}
    assert fired == {rule["alert"] for rule in RULES}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not here (Debian: prometheus)")
def test_every_alert_fires_when_it_should_and_not_otherwise() -> None:
    done = subprocess.run(
        ["promtool", "test", "rules", "rules_test.yaml"], cwd=MONITORING, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_may_happen_once_in_an_hour_is_counted_from_zero() -> None:
    """A series that begins with 1 has not increased: what alerts on an increase has to be there before it happens."""
    written = {
        found
        for folder in ("services", "shared")
        for file in (ROOT / folder).rglob("*.py")
        for found in re.findall(r'INCIDENTS\.labels\("([a-z._]+)"\)', file.read_text())
    }
    assert written == set(metrics.INCIDENT_KINDS)
    fresh = CollectorRegistry()
    for counter in (metrics.INCIDENTS, metrics.LEDGER_WRITES):
        fresh.register(counter)
    found = {(one.name, *one.labels.values()) for family in fresh.collect() for one in family.samples}
    assert {("viox_incidents_total", kind) for kind in metrics.INCIDENT_KINDS} <= found
    assert ("viox_ledger_writes_total", "failed") in found
