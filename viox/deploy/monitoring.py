"""prometheus-operator's objects: what is scraped, and the alerts of deploy/monitoring/rules.yaml."""

from __future__ import annotations

from collections.abc import Iterator

import yaml

from viox.deploy.documents import PART_OF, Object, component, dump, made
from viox.deploy.facts import DEPLOY

API = "monitoring.coreos.com/v1"
JOB = "viox"  # the alerts select by it
RULES = DEPLOY / "monitoring" / "rules.yaml"


def files() -> Iterator[tuple[str, str]]:
    """(path below deploy/k8s/components, content)."""
    yield "monitoring/pod-monitor.yaml", dump(pod_monitor())
    yield "monitoring/rules.yaml", dump(rules())
    # Dashboards are a kustomization of their own beside the files, because kustomize reads nothing above its folder.
    yield "monitoring/kustomization.yaml", component(["../../../monitoring", "pod-monitor.yaml", "rules.yaml"])


def pod_monitor() -> Object:
    """Every service of ours, under one job as on a single machine."""
    endpoint = {
        "port": "http",
        "path": "/metrics",
        "interval": "15s",
        "relabelings": [{"targetLabel": "job", "replacement": JOB}],
    }
    selector = {"matchLabels": {"app.kubernetes.io/part-of": PART_OF}}
    spec = {"selector": selector, "podMetricsEndpoints": [endpoint]}
    return made(API, "PodMonitor", "viox", PART_OF, spec)


def rules() -> Object:
    return made(API, "PrometheusRule", "viox", PART_OF, yaml.safe_load(RULES.read_text()))
