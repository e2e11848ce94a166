"""Grafana dashboards as code: `python deploy/monitoring/dashboards.py` writes them to grafana/, `--check` compares.

A dashboard is a table of rows, a row a list of panels, a panel a title, a unit and its queries. Every query has to return data
from a system that runs; what may never have happened is written with `or vector(0)`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from grafana_foundation_sdk.builders import common, prometheus, stat, timeseries
from grafana_foundation_sdk.builders.dashboard import Dashboard, DatasourceVariable, Row
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import LegendDisplayMode, LegendPlacement
from grafana_foundation_sdk.models.dashboard import DataSourceRef

FOLDER = Path(__file__).parent / "grafana"
SOURCE = DataSourceRef(type_val="prometheus", uid="$datasource")
WIDTH = 24
Unit = Literal["short", "s", "reqps", "percentunit", "currencyUSD", "none", "cpm"]


@dataclass(frozen=True, slots=True)
class Panel:
    """`queries`: (PromQL, legend). `number` shows the newest value alone; `help` says how to read it."""

    title: str
    unit: Unit
    queries: Sequence[tuple[str, str]]
    help: str = ""
    number: bool = False


Rows = Mapping[str, Sequence[Panel]]


def rate(metric: str, by: str = "", where: str = "") -> str:
    """Per second, summed up."""
    return f"sum{_by(by)}(rate({metric}{where}[$__rate_interval]))"


def seldom(metric: str, where: str = "", window: str = "1h") -> str:
    """How often within the window; zero where it has never happened."""
    return f"sum(increase({metric}{where}[{window}])) or vector(0)"


def quantile(q: float, metric: str, by: str = "") -> str:
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({q}, sum by ({labels})(rate({metric}_bucket[$__rate_interval])))"


def _by(labels: str) -> str:
    return f" by ({labels})" if labels else ""


def newest(metric: str, by: str = "") -> str:
    """Of a gauge that every replica reports alike."""
    return f"max{_by(by)}({metric})"


# Zero while there is no series at all; a plain `or vector(0)` would stay beside series with labels, as a line without a name.
NEVER_YET = " or on() vector(0)"
FAILED_SHARE = (
    '(sum(rate(viox_tool_calls_total{state=~"failed|unknown"}[$__rate_interval])) or vector(0))'
    " / clamp_min(sum(rate(viox_tool_calls_total[$__rate_interval])), 0.0001)"
)

DASHBOARDS: Mapping[str, tuple[str, Rows]] = {
    "overview": (
        "VioX OS: overview",
        {
            "Does it need somebody?": [
                Panel(
                    "Services that are ready",
                    "short",
                    [("sum(viox_ready)", "")],
                    "Of those that were asked.",
                    number=True,
                ),
                Panel(
                    "Waiting for people",
                    "short",
                    [("sum(" + newest("viox_approvals_waiting", "agent") + ")", "")],
                    number=True,
                ),
                Panel("Outcome unknown", "short", [(newest("viox_tool_calls_unknown"), "")], number=True),
                Panel(
                    "Dead letters",
                    "short",
                    [("sum(" + newest("viox_dead_letters_waiting", "service") + ")", "")],
                    number=True,
                ),
                Panel(
                    "Models, today",
                    "currencyUSD",
                    [(seldom("viox_model_cost_usd_total", window="24h"), "")],
                    number=True,
                ),
            ],
            "What it does": [
                Panel("Runs that ended", "cpm", [("60 * " + rate("viox_runs_total", "status"), "{{status}}")]),
                Panel("Runs that have not ended", "short", [(newest("viox_runs_open", "agent"), "{{agent}}")]),
                Panel("Tool calls", "reqps", [(rate("viox_tool_calls_total", "state"), "{{state}}")]),
                Panel(
                    "Time of a tool call",
                    "s",
                    [(quantile(q, "viox_tool_call_seconds"), f"p{q * 100:.0f}") for q in (0.5, 0.95, 0.99)],
                    "From the gateway's intake to the outcome on record; waiting for people is in it.",
                ),
            ],
        },
    ),
    "agents": (
        "VioX OS: agents",
        {
            "Runs": [
                Panel("Ended, by agent", "cpm", [("60 * " + rate("viox_runs_total", "agent"), "{{agent}}")]),
                Panel(
                    "Failed and blocked",
                    "short",
                    [(seldom("viox_runs_total", '{status=~"failed|blocked"}'), "within an hour")],
                ),
                Panel("Have not ended", "short", [(newest("viox_runs_open", "agent"), "{{agent}}")]),
                Panel("Wait for a budget", "short", [(newest("viox_runs_waiting_for_budget", "agent"), "{{agent}}")]),
            ],
            "Activations": [
                Panel("Activations", "reqps", [(rate("viox_activations_total", "agent"), "{{agent}}")]),
                Panel("How they ended", "reqps", [(rate("viox_activations_total", "result"), "{{result}}")]),
                Panel("Claim to commit, p95", "s", [(quantile(0.95, "viox_activation_seconds", "agent"), "{{agent}}")]),
            ],
        },
    ),
    "tools": (
        "VioX OS: tools and vendors",
        {
            "Calls": [
                Panel("By tool", "reqps", [("topk(10, " + rate("viox_tool_calls_total", "tool") + ")", "{{tool}}")]),
                Panel("Share that failed", "percentunit", [(FAILED_SHARE, "failed or unknown")]),
                Panel(
                    "Time, p95",
                    "s",
                    [("topk(10, " + quantile(0.95, "viox_tool_call_seconds", "tool") + ")", "{{tool}}")],
                ),
                Panel("Attempts", "reqps", [(rate("viox_tool_call_attempts_total", "result"), "{{result}}")]),
            ],
            "Vendors": [
                Panel(
                    "Left alone",
                    "short",
                    [("sum(" + newest("viox_vendor_left_alone", "vendor") + ") or vector(0)", "vendors")],
                    "Calls to a vendor that does not answer wait until it does.",
                ),
                Panel(
                    "Webhooks",
                    "reqps",
                    [("sum(rate(viox_webhooks_total[$__rate_interval])) or vector(0)", "deliveries")],
                ),
                Panel("Events found by asking", "short", [(seldom("viox_poller_events_total"), "within an hour")]),
            ],
            "Live calls": [
                Panel(
                    "Requests", "reqps", [("sum(rate(viox_invokes_total[$__rate_interval])) or vector(0)", "requests")]
                ),
                Panel("Callers that wait", "short", [(newest("viox_invokes_open"), "")]),
            ],
        },
    ),
    "models": (
        "VioX OS: models and cost",
        {
            "Calls": [
                Panel(
                    "Answered", "reqps", [(rate("viox_model_calls_total", "model", '{result="answered"}'), "{{model}}")]
                ),
                Panel(
                    "Not answered",
                    "short",
                    [(seldom("viox_model_calls_total", '{result!="answered"}'), "within an hour")],
                ),
                Panel("Tokens", "short", [(rate("viox_model_tokens_total", "direction"), "{{direction}} a second")]),
            ],
            "Cost": [
                Panel(
                    "By agent, an hour",
                    "currencyUSD",
                    [("sum by (agent)(increase(viox_model_cost_usd_total[1h]))", "{{agent}}")],
                ),
                Panel(
                    "By model, an hour",
                    "currencyUSD",
                    [("sum by (model)(increase(viox_model_cost_usd_total[1h]))", "{{model}}")],
                ),
                Panel("Budgets that ended", "short", [(seldom("viox_budgets_exhausted_total"), "within an hour")]),
            ],
        },
    ),
    "approvals": (
        "VioX OS: approvals and money",
        {
            "People": [
                Panel("Waiting", "short", [(newest("viox_approvals_waiting", "agent"), "{{agent}}")]),
                Panel("Refused within the hour unless decided", "short", [(newest("viox_approvals_expiring"), "")]),
                Panel(
                    "Asked and decided",
                    "cpm",
                    [("60 * " + rate("viox_approvals_total", "state") + NEVER_YET, "{{state}}")],
                ),
            ],
            "Outcomes nobody knows": [
                Panel("Calls", "short", [(newest("viox_tool_calls_unknown"), "")]),
                Panel("The oldest, for", "s", [(newest("viox_tool_calls_unknown_oldest_seconds"), "")]),
                Panel("Loops that were stopped", "short", [(newest("viox_loops_open"), "not released")]),
            ],
        },
    ),
    "pipes": (
        "VioX OS: pipes",
        {
            "Kafka": [
                Panel("Taken", "reqps", [(rate("viox_messages_consumed_total", "service"), "{{service}}")]),
                Panel("Sent", "reqps", [(rate("viox_messages_sent_total", "service"), "{{service}}")]),
                Panel("Not taken yet", "short", [("sum by (service)(viox_consumer_lag_records)", "{{service}}")]),
                Panel(
                    "Repeats that were recognised",
                    "short",
                    [(seldom("viox_messages_repeated_total"), "within an hour")],
                ),
            ],
            "Outbox and dead letters": [
                Panel(
                    "Oldest message without a mark",
                    "s",
                    [(newest("viox_outbox_oldest_seconds", "service"), "{{service}}")],
                ),
                Panel("Sent again", "short", [(seldom("viox_outbox_resent_total"), "within an hour")]),
                Panel("Refused by Kafka", "short", [(seldom("viox_messages_not_sent_total"), "within an hour")]),
                Panel("Dead letters", "short", [(newest("viox_dead_letters_waiting", "service"), "{{service}}")]),
            ],
            "Gateway": [
                Panel("Calls on their way", "short", [(newest("viox_tool_calls_open"), "")]),
                Panel("Calls in Kafka", "short", [(newest("viox_tool_calls_not_taken"), "")]),
                Panel("Passages without a vector", "short", [(newest("viox_memory_to_embed"), "")]),
            ],
            "Traces": [
                Panel(
                    "Spans sent",
                    "short",
                    [(rate("viox_trace_spans_sent_total", "destination") + NEVER_YET, "{{destination}} a second")],
                ),
                Panel("Spans dropped", "short", [(seldom("viox_trace_spans_dropped_total"), "within an hour")]),
            ],
        },
    ),
    "audit": (
        "VioX OS: audit",
        {
            "Ledger": [
                Panel("Written", "reqps", [(rate("viox_ledger_writes_total", where='{result="ok"}'), "transactions")]),
                Panel(
                    "Not written",
                    "short",
                    [(seldom("viox_ledger_writes_total", '{result="failed"}'), "within an hour")],
                ),
                Panel("Incidents", "short", [(seldom("viox_incidents_total"), "within an hour")]),
            ],
            "Tree": [
                Panel("Last checkpoint, ago", "s", [(newest("viox_audit_checkpoint_age_seconds"), "")]),
                Panel("Entries that are no leaves yet", "short", [(newest("viox_audit_unsequenced"), "")]),
                Panel("Leaves", "short", [(newest("viox_audit_tree_size"), "")]),
                Panel("Stopped", "short", [(newest("viox_audit_stopped"), "")]),
            ],
        },
    ),
}


def built(name: str) -> str:
    """The JSON of a dashboard."""
    title, rows = DASHBOARDS[name]
    made = Dashboard(title).uid(f"viox-{name}").tags(["viox"]).readonly().refresh("30s").time("now-3h", "now")
    made = made.with_variable(DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
    for row, panels in rows.items():
        made = made.with_row(Row(row))
        for panel in panels:
            made = made.with_panel(_panel(panel, WIDTH // max(len(panels), 2)))
    return json.dumps(_numbered(json.loads(json.dumps(made.build(), cls=JSONEncoder))), sort_keys=True, indent=2) + "\n"


def _panel(panel: Panel, width: int) -> Any:
    made: Any = stat.Panel().height(4) if panel.number else timeseries.Panel().height(8)
    if not panel.number:
        legend = common.VizLegendOptions().display_mode(LegendDisplayMode.LIST).placement(LegendPlacement.BOTTOM)
        made = made.legend(legend.show_legend(show_legend=True)).fill_opacity(8).min(0)
    made = made.title(panel.title).unit(panel.unit).datasource(SOURCE).span(width)
    if panel.help:
        made = made.description(panel.help)
    for expression, legend_format in panel.queries:
        query = prometheus.Dataquery().expr(expression).datasource(SOURCE)
        made = made.with_target(query.legend_format(legend_format) if legend_format else query)
    return made


def _numbered(dashboard: dict[str, Any]) -> dict[str, Any]:
    """With an id for each panel, and for each query of it."""
    for number, panel in enumerate(dashboard["panels"], 1):
        panel["id"] = number
        for place, target in enumerate(panel.get("targets") or []):
            target["refId"] = chr(ord("A") + place)
    return dashboard


def main(arguments: Sequence[str]) -> int:
    different = []
    FOLDER.mkdir(exist_ok=True)
    for name in DASHBOARDS:
        file, text = FOLDER / f"{name}.json", built(name)
        if file.exists() and file.read_text() == text:
            continue
        different.append(str(file.name))
        if "--check" not in arguments:
            file.write_text(text)
    if "--check" in arguments and different:
        sys.stderr.write(f"{', '.join(different)}: not as dashboards.py makes them. Run `make dashboards`.\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
