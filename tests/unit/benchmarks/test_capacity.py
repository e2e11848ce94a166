from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.capacity import FULL, Cost, bends, deployments, lines, needs

COST = Cost(
    agents_ms=6.0,
    gateway_ms=1.5,
    postgres_ms=3.0,
    broker_ms=0.6,
    rows=9.0,
    commits=4.0,
    wal_bytes=20_000.0,
    kept_bytes=10_000.0,
    kafka_bytes=3_000.0,
)


def test_processes_are_counted_up_and_cores_are_not_filled() -> None:
    found = needs(COST, 1_000)
    assert (found.agents, found.gateways) == (10, 3)  # 6 and 1.5 cores, each 60 % busy, and no half of a process
    assert found.postgres_cores == pytest.approx(3.0 / FULL)
    assert found.kept_bytes_a_day == pytest.approx(864e9)
    assert found.kafka_bytes == pytest.approx(1_000 * 3_000 * 86_400 * 7 * 3)


def test_what_needs_nothing_of_a_broker_that_keeps_nothing() -> None:
    assert needs(replace(COST, kafka_bytes=None), 1_000).kafka_bytes is None


def test_the_first_part_to_be_full_stands_first() -> None:
    found = bends(COST)
    assert list(found.values()) == sorted(found.values())
    assert next(iter(found)) == "one agent's 6 partitions"
    assert found["one agent's 6 partitions"] == pytest.approx(600)
    assert found["Postgres, 200 MB of WAL a second"] == pytest.approx(10_000)


@pytest.mark.parametrize(("rate", "count"), [(10, 1), (6_400, 1), (6_401, 2), (100_000, 16)])
def test_businesses_are_cut_so_that_no_postgres_is_full(rate: float, count: int) -> None:
    assert deployments(COST, rate) == count  # 32 cores, 60 % busy, at 3 ms: 6,400 a second


def test_each_rate_has_a_line_and_what_is_arithmetic_says_so() -> None:
    measured = {f"{name}_per_call": value for name, value in vars(COST).items()}
    found = list(lines(measured))
    assert "(measured)" in found[0]
    assert [line.split()[0] for line in found[2:5]] == ["10", "1,000", "100,000"]
    assert "arithmetic" in found[-1]
