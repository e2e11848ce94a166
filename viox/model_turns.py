"""How many model turns a demo took, and who answered them; with the sandbox's model servers, whether that is as configured."""

from __future__ import annotations

import json
import urllib.request
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_TURNS = """
select r.agent, s.body->>'provider' as provider, s.body->>'model' as model, count(*) as turns
from steps s join runs r using (run_id) where s.run_id = any($1::uuid[]) and s.kind = 'model'
group by 1, 2, 3 order by 1, 2, 3
"""


async def count(pool: Any, runs: Iterable[str]) -> list[dict[str, Any]]:
    """Turns on record by agent and by the model that answered."""
    return [dict(row) for row in await pool.fetch(_TURNS, list(runs))]


def total(turns: Iterable[Mapping[str, Any]], by: str) -> dict[str, int]:
    """Turns by agent or model."""
    found: Counter[str] = Counter()
    for row in turns:
        found[str(row[by])] += row["turns"]
    return dict(sorted(found.items()))


def sentence(turns: Iterable[Mapping[str, Any]]) -> str:
    """For people: how many, and whose."""
    answered = total(turns, "model")
    who = ", ".join(f"{number} of {model}" for model, number in answered.items())
    return f"{sum(answered.values())} model turns" + (f": {who}" if who else "")


def problems(stack: Mapping[str, Any], turns: Iterable[Mapping[str, Any]]) -> list[str]:
    """What is not as it should be with the sandbox's model servers. Nothing of a stack that has none."""
    if stack.get("models_mode") != "wire":
        return []
    url = f"{stack['models_url']}/_sandbox/problems"
    with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310  # loopback
        refused = [f"a model server refused a request: {one}" for one in json.load(answer)]
    return [*_strangers(stack["models"], list(turns)), *refused]


def _strangers(choices: Iterable[Mapping[str, Any]], turns: Sequence[Mapping[str, Any]]) -> list[str]:
    """Agents that another model than theirs answered."""
    found: list[str] = []
    for choice in choices:
        agent, configured = choice["agent"], choice["configured"]
        own = [row for row in turns if row["agent"] == agent]
        others = [row for row in own if not f"{row['provider']}/{row['model']}".startswith(configured)]
        found += [f"{agent} was answered by {row['provider']}/{row['model']}, not {configured}" for row in others]
    return found
