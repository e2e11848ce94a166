"""The comparison as numbers and text: what was measured of each contender, ratios of the project to a peer, the table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

NAME_WIDTH = 36


@dataclass(frozen=True)
class Plan:
    """Runs of one shape: calls in each, how many under way at a time, how many in all."""

    calls: int
    in_flight: int
    count: int

    def __str__(self) -> str:
        return f"runs of {self.calls} call{'s' if self.calls > 1 else ''}, {self.in_flight} in flight"


@dataclass(frozen=True)
class Figures:
    """One plan of one contender. None: there is nothing to count (a contender without Postgres)."""

    per_second: float
    p50_ms: float
    p99_ms: float
    cpu_ms_per_run: float
    rows_per_run: float | None = None
    wal_bytes_per_run: float | None = None


@dataclass(frozen=True)
class Column:
    figure: str
    title: str
    digits: int


COLUMNS = (
    Column("per_second", "runs/s", 1),
    Column("p50_ms", "p50 ms", 1),
    Column("p99_ms", "p99 ms", 1),
    Column("cpu_ms_per_run", "CPU ms", 1),
    Column("rows_per_run", "rows", 1),
    Column("wal_bytes_per_run", "WAL B", 0),
)


@dataclass
class Entry:
    """A contender: its name, what it does not do that another of the table does, its figures, or why there are none."""

    name: str
    note: str
    figures: dict[Plan, Figures] = field(default_factory=dict)
    error: str | None = None
    load_average: float = 0.0  # of the machine, before it was measured: what else went on


def ratios(ours: Figures, peer: Figures) -> dict[str, float | None]:
    """The project's figure divided by the peer's. Runs a second: above 1 the project does more; all else: below 1 it takes less."""
    return {column.figure: _ratio(getattr(ours, column.figure), getattr(peer, column.figure)) for column in COLUMNS}


def _ratio(ours: float | None, peer: float | None) -> float | None:
    return None if ours is None or not peer else ours / peer


def lines(entries: Sequence[Entry]) -> list[str]:
    """The table, the project's entry first: a block a plan, then what each does not do."""
    ours, *peers = entries
    head = "".join(f"{column.title:>9}" for column in COLUMNS)
    text = []
    for plan, figures in ours.figures.items():
        text += [f"{plan!s:<{NAME_WIDTH}}{head}", f"  {ours.name:<{NAME_WIDTH - 2}}{_numbers(figures)}"]
        for peer in peers:
            if found := peer.figures.get(plan):
                text.append(f"  {peer.name:<{NAME_WIDTH - 2}}{_numbers(found)}")
                text.append(f"  {'  ours / its':<{NAME_WIDTH - 2}}{_factors(ratios(figures, found))}")
            else:
                text.append(f"  {peer.name:<{NAME_WIDTH - 2}}  not measured")
        text.append("")
    text += [f"not measured: {entry.name}: {entry.error}" for entry in entries if entry.error]
    return [*text, *(f"{entry.name}: {entry.note}" for entry in entries)]


def _numbers(figures: Figures) -> str:
    return "".join(_cell(getattr(figures, column.figure), f".{column.digits}f") for column in COLUMNS)


def _factors(factors: Mapping[str, float | None]) -> str:
    return "".join(_cell(factors[column.figure], ".2f", "x") for column in COLUMNS)


def _cell(value: float | None, form: str, mark: str = "") -> str:
    return f"{'-' if value is None else mark + format(value, form):>9}"


def as_json(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """The same for a machine; each peer's plans carry `ours_to_its`."""
    ours = entries[0]
    return [
        {
            "name": entry.name,
            "note": entry.note,
            "error": entry.error,
            "load_average": entry.load_average,
            "plans": [
                asdict(plan)
                | asdict(found)
                | (
                    {"ours_to_its": ratios(ours.figures[plan], found)}
                    if entry is not ours and plan in ours.figures
                    else {}
                )
                for plan, found in entry.figures.items()
            ],
        }
        for entry in entries
    ]
