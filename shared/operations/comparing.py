"""Where one run went another way than another, step by step. Times, ids and prices are no difference."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

import orjson

from shared.operations import store

# What a step says of its own moment, and of where it came from.
ACCIDENTAL = frozenset(
    {
        "at",
        "id",
        "time",
        "source",
        "call_id",
        "provider_id",
        "provider_extra",
        "request_id",
        "latency_ms",
        "usage",
        "attempts",
    }
    | {
        "cost_microusd",
        "request_sha256",
        "prompt_sha256",
        "tools_sha256",
        "shortened",
        "has_fallback",
        "model",
        "provider",
    }
)


async def compared(pool: Any, first: UUID, second: UUID) -> tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]]]:
    """Two runs, and where they are not alike. Raises NotFound."""
    (a, of_a), (b, of_b) = [await _told(pool, run) for run in (first, second)]
    return a, b, list(differences(of_a, of_b))


async def _told(pool: Any, run: UUID) -> tuple[dict[str, Any], list[Any]]:
    document = await store.run(pool, run)
    steps, _ = await store.story(pool, document["merged_into"] or document["run_id"], document["agent"])
    return document, [step for step in steps if step["kind"] != "fork"]


def differences(first: Sequence[Any], second: Sequence[Any]) -> Iterator[dict[str, Any]]:
    """Steps that are not alike, those of both that stand in the same place together: {a, b: {step, kind, node} | None, diff}."""
    plain = [[_plain(step) for step in steps] for steps in (first, second)]
    matcher = difflib.SequenceMatcher(a=plain[0], b=plain[1], autojunk=False)
    for kind, a, a_end, b, b_end in matcher.get_opcodes():
        if kind == "equal":
            continue
        for place in range(max(a_end - a, b_end - b)):
            left = first[a + place] if a + place < a_end else None
            right = second[b + place] if b + place < b_end else None
            yield {"a": _head(left), "b": _head(right), "diff": _lines(left, right)}


def _head(step: Any) -> dict[str, Any] | None:
    if step is None:
        return None
    return {"step": step["step"], "kind": step["kind"], "node": step["body"].get("node")}


def _lines(left: Any, right: Any) -> list[str]:
    a, b = (_pretty(step).splitlines() if step else [] for step in (left, right))
    return [line for line in difflib.unified_diff(a, b, n=1, lineterm="") if not line.startswith(("---", "+++", "@@"))]


def _plain(step: Any) -> str:
    return f"{step['kind']}\n{_pretty(step)}"


def _pretty(step: Any) -> str:
    return orjson.dumps(_essential(step["body"]), option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS).decode()


def _essential(value: Any) -> Any:
    """Without what is accidental. What a trigger, a call or a result carries is kept whole."""
    if not isinstance(value, dict):
        return [_essential(one) for one in value] if isinstance(value, list) else value
    whole = ("data", "arguments", "result", "values")
    return {name: one if name in whole else _essential(one) for name, one in value.items() if name not in ACCIDENTAL}
