"""From what a call costs here to what a rate of calls needs: arithmetic on measured figures, printed at the end of `make bench`.

Measured on two cores of one machine; everything that is not measured is a constant below, with its reason. A core of yours
is another core: measure there (`python -m benchmarks.bench --broker apache`), the arithmetic stays.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from math import ceil, floor
from typing import Any

RATES = (10, 1_000, 100_000)
FULL = 0.6  # how busy a core may be when replicas are counted: the rest is for peaks and for one replica that is away
PARTITIONS = 6  # of each topic, so most replicas of a service (viox/deploy/facts.py)
POSTGRES_CORES = 32  # of the largest primary that is easily had
POSTGRES_WAL = 200e6  # bytes a second that such a primary writes and archives all day
KAFKA_REPLICAS, KAFKA_DAYS = 3, 7  # replication of the manifests, and how long topics keep their records
DAY = 86_400


@dataclass(frozen=True)
class Cost:
    """What one call of a run takes, turns of the model and the run's own rows included. Of the model itself, nothing."""

    agents_ms: float
    gateway_ms: float
    postgres_ms: float
    broker_ms: float
    rows: float
    commits: float
    wal_bytes: float
    kept_bytes: float
    kafka_bytes: float | None  # None of a broker that keeps nothing

    @classmethod
    def of(cls, measured: Mapping[str, Any]) -> Cost:
        return cls(**{one.name: measured[f"{one.name}_per_call"] for one in fields(cls)})


@dataclass(frozen=True)
class Needs:
    """What a rate of calls takes of one deployment, as if it could be one."""

    rate: float
    agents: int
    gateways: int
    postgres_cores: float
    broker_cores: float
    wal_bytes_a_second: float
    commits_a_second: float
    kept_bytes_a_day: float
    kafka_bytes: float | None


def needs(cost: Cost, rate: float) -> Needs:
    return Needs(
        rate,
        agents=ceil(rate * cost.agents_ms / 1000 / FULL),
        gateways=ceil(rate * cost.gateway_ms / 1000 / FULL),
        postgres_cores=rate * cost.postgres_ms / 1000 / FULL,
        broker_cores=rate * cost.broker_ms / 1000 / FULL,
        wal_bytes_a_second=rate * cost.wal_bytes,
        commits_a_second=rate * cost.commits,
        kept_bytes_a_day=rate * cost.kept_bytes * DAY,
        kafka_bytes=None if cost.kafka_bytes is None else rate * cost.kafka_bytes * DAY * KAFKA_DAYS * KAFKA_REPLICAS,
    )


def bends(cost: Cost) -> dict[str, float]:
    """Calls a second at which each part is full, the first to be full first."""
    limits = {
        f"one agent's {PARTITIONS} partitions": PARTITIONS * FULL * 1000 / cost.agents_ms,
        f"the gateway's {PARTITIONS} partitions": PARTITIONS * FULL * 1000 / cost.gateway_ms,
        f"Postgres, {POSTGRES_CORES} cores": POSTGRES_CORES * FULL * 1000 / cost.postgres_ms,
        f"Postgres, {POSTGRES_WAL / 1e6:.0f} MB of WAL a second": POSTGRES_WAL / cost.wal_bytes,
    }
    return dict(sorted(limits.items(), key=lambda one: one[1]))


def deployments(cost: Cost, rate: float) -> int:
    """Into how many deployments the businesses are cut, so that no Postgres is full. Partitions are only a number to raise."""
    most = min(calls for name, calls in bends(cost).items() if name.startswith("Postgres"))
    return ceil(rate / floor(most)) if most >= 1 else 0


def lines(measured: Mapping[str, Any]) -> Iterator[str]:
    cost = Cost.of(measured)
    kafka = "not kept" if cost.kafka_bytes is None else f"{cost.kafka_bytes / 1e3:.1f} kB of Kafka"
    yield (
        f"a call costs: agents {cost.agents_ms:.2f} ms of CPU, gateway {cost.gateway_ms:.2f}, Postgres {cost.postgres_ms:.2f}, "
        f"broker {cost.broker_ms:.2f}; {cost.rows:.1f} rows, {cost.commits:.1f} commits, {cost.wal_bytes / 1e3:.1f} kB of WAL, "
        f"{cost.kept_bytes / 1e3:.1f} kB kept, {kafka} (measured)"
    )
    yield f"{'calls/s':>8}{'agents':>8}{'gateways':>10}{'Postgres':>10}{'broker':>8}{'WAL MB/s':>10}{'commits/s':>11}{'kept/day':>11}{'Kafka':>10}{'deployments':>13}"
    for rate in RATES:
        one = needs(cost, rate)
        stored = "" if one.kafka_bytes is None else _bytes(one.kafka_bytes)
        yield (
            f"{rate:>8,}{one.agents:>8,}{one.gateways:>10,}{one.postgres_cores:>10,.1f}{one.broker_cores:>8,.1f}"
            f"{one.wal_bytes_a_second / 1e6:>10,.1f}{one.commits_a_second:>11,.0f}{_bytes(one.kept_bytes_a_day):>11}{stored:>10}"
            f"{deployments(cost, rate):>13,}"
        )
    for name, calls in bends(cost).items():
        yield f"full at {calls:>8,.0f} calls/s: {name}"
    yield (
        f"(arithmetic: cores {FULL:.0%} busy; Kafka {KAFKA_REPLICAS} copies of {KAFKA_DAYS} days; of agents and gateways a process is a core at most)"
    )


def _bytes(count: float) -> str:
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return f"{count / size:,.1f} {unit}"
    return f"{count / 1e3:,.1f} kB"
