"""Where the nodes of an agent's graph stand in a picture: columns by how far they are from the beginning, rows by their neighbours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

WIDTH, HEIGHT = 150, 30  # of a node
ACROSS, DOWN = 196, 42  # from one column, and one row, to the next
MARGIN = 12
ROUNDS = 6  # of putting nodes next to their neighbours


@dataclass(frozen=True, slots=True)
class Node:
    name: str
    label: str
    x: int
    y: int
    asks: str | None
    threads: int


@dataclass(frozen=True, slots=True)
class Picture:
    width: int
    height: int
    nodes: tuple[Node, ...]
    ways: tuple[str, ...]  # paths of SVG


def draw(graph: Mapping[str, Any], standing: Mapping[str, Sequence[str]]) -> Picture:
    """`standing` is where open runs stand."""
    names = [node["name"] for node in graph["nodes"]]
    asks = {node["name"]: node["asks"] for node in graph["nodes"]}
    ways = [(a, b) for a, b in graph["ways"] if a != b]
    columns = _columns(names, ways)
    places = _places(columns, ways)
    tallest = max((len(column) for column in columns), default=1)
    nodes = tuple(
        Node(name, _label(name), MARGIN + x * ACROSS, MARGIN + round(y * DOWN), asks[name], len(standing.get(name, ())))
        for name, (x, y) in places.items()
    )
    paths = tuple(_path(places[a], places[b]) for a, b in ways)
    return Picture(
        2 * MARGIN + (len(columns) - 1) * ACROSS + WIDTH, 2 * MARGIN + (tallest - 1) * DOWN + HEIGHT, nodes, paths
    )


def _label(name: str) -> str:
    return {"__start__": "begins", "__end__": "ends"}.get(name) or name.replace("_", " ")


def _columns(names: Sequence[str], ways: Sequence[tuple[str, str]]) -> list[list[str]]:
    """By the shortest way from the beginning; the end stands last."""
    after: dict[str, list[str]] = {}
    for a, b in ways:
        after.setdefault(a, []).append(b)
    depth = {names[0]: 0} if names else {}
    frontier = list(depth)
    while frontier:
        nearer, frontier = frontier, []
        for name in nearer:
            for following in after.get(name, ()):
                if following not in depth:
                    depth[following] = depth[name] + 1
                    frontier.append(following)
    last = max(depth.values(), default=0)
    for name in names:
        depth.setdefault(name, last)
    if "__end__" in depth:
        depth["__end__"] = max((d for name, d in depth.items() if name != "__end__"), default=0) + 1
    columns: list[list[str]] = [[] for _ in range(max(depth.values(), default=0) + 1)]
    for name in names:
        columns[depth[name]].append(name)
    return columns


def _places(columns: Sequence[list[str]], ways: Sequence[tuple[str, str]]) -> dict[str, tuple[int, float]]:
    near: dict[str, list[str]] = {}
    for a, b in ways:
        near.setdefault(a, []).append(b)
        near.setdefault(b, []).append(a)
    tallest = max((len(column) for column in columns), default=1)
    row = {name: float(place) for column in columns for place, name in enumerate(column)}
    for _ in range(ROUNDS):
        for column in columns:
            column.sort(key=lambda name: _middle(row, near.get(name, ()), row[name]))
            begin = (tallest - len(column)) / 2
            row |= {name: begin + place for place, name in enumerate(column)}
    return {name: (x, row[name]) for x, column in enumerate(columns) for name in column}


def _middle(row: Mapping[str, float], names: Sequence[str], own: float) -> float:
    return sum(row[name] for name in names) / len(names) if names else own


def _path(a: tuple[int, float], b: tuple[int, float]) -> str:
    """From the right side of one node to the left side of another; backwards it goes around below."""
    x1, y1 = MARGIN + a[0] * ACROSS + WIDTH, MARGIN + a[1] * DOWN + HEIGHT / 2
    x2, y2 = MARGIN + b[0] * ACROSS, MARGIN + b[1] * DOWN + HEIGHT / 2
    if x2 > x1:
        bend = (x2 - x1) / 2
        return f"M{x1:.0f} {y1:.0f}C{x1 + bend:.0f} {y1:.0f} {x2 - bend:.0f} {y2:.0f} {x2:.0f} {y2:.0f}"
    return f"M{x1:.0f} {y1:.0f}C{x1 + 40:.0f} {y1 + 36:.0f} {x2 - 40:.0f} {y2 + 36:.0f} {x2:.0f} {y2:.0f}"
