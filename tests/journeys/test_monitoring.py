"""A real Prometheus scrapes the running system: every query of every panel returns data, and no rule is broken."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.net import free_ports
from tests.conftest import Deployment

MONITORING = Path(__file__).parents[2] / "deploy" / "monitoring"
pytestmark = pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="prometheus is not here (Debian: prometheus)"
)


@pytest.fixture
def prometheus(deployment: Deployment, tmp_path: Path) -> Iterator[str]:
    with scraping(deployment, tmp_path, MONITORING / "rules.yaml") as address:
        yield address


@contextmanager
def scraping(deployment: Deployment, tmp_path: Path, rules: Path) -> Iterator[str]:
    """The address of a Prometheus that scrapes every service each second, until the block ends."""
    targets = [urllib.parse.urlsplit(one["url"]).netloc for one in deployment.state["services"] if one["url"]]
    config = yaml.safe_load((MONITORING / "prometheus.yaml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(rules)]
    config["scrape_configs"][0]["static_configs"] = [{"targets": targets}]
    (tmp_path / "prometheus.yaml").write_text(yaml.safe_dump(config))
    address = f"127.0.0.1:{free_ports(1)[0]}"
    command = [
        "prometheus",
        f"--config.file={tmp_path / 'prometheus.yaml'}",
        f"--storage.tsdb.path={tmp_path / 'data'}",
        f"--web.listen-address={address}",
    ]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log)
    try:
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait(10)


def got(url: str, **query: Any) -> Any:
    with urllib.request.urlopen(f"{url}?{urllib.parse.urlencode(query)}", timeout=10) as answer:
        return json.loads(answer.read())["data"]


def panels() -> Iterator[tuple[str, str]]:
    for file in sorted((MONITORING / "grafana").glob("*.json")):
        for panel in json.loads(file.read_text())["panels"]:
            for target in panel.get("targets") or []:
                yield f"{file.stem}: {panel['title']}", target["expr"].replace("$__rate_interval", "1m")


def silent(prometheus: str) -> list[str]:
    """Panels whose query returns nothing now."""
    now = time.time()
    span = {"start": now - 5, "end": now, "step": 5}
    return [
        where for where, query in panels() if not got(f"{prometheus}/api/v1/query_range", query=query, **span)["result"]
    ]


def test_every_panel_of_every_dashboard_has_data(deployment: Deployment, prometheus: str) -> None:
    lead = {
        "specversion": "1.0", "id": "monitoring-1", "source": "/tests", "type": "viox.lead.created",
        "time": "2026-11-30T09:00:00Z", "data": {"email": "mon@example.com", "first_name": "Mon", "interest": "a website"},
    }  # fmt: skip
    deadline = time.monotonic() + 90
    while True:
        lead["id"] = f"monitoring-{time.monotonic_ns()}"
        assert deployment("publish", stdin=json.dumps(lead)).code == 0
        try:
            missing = silent(prometheus)
        except OSError:
            missing = ["prometheus"]
        if not missing:
            break
        assert time.monotonic() < deadline, missing
        time.sleep(2)
    rules = [rule for group in got(f"{prometheus}/api/v1/rules")["groups"] for rule in group["rules"]]
    assert {rule["health"] for rule in rules} == {"ok"}
    down = [
        one["labels"]
        for one in got(f"{prometheus}/api/v1/alerts")["alerts"]
        if one["labels"]["alertname"] == "VioxServiceDown"
    ]
    assert down == []
    targets = got(f"{prometheus}/api/v1/targets")["activeTargets"]
    assert {one["health"] for one in targets} == {"up"}
