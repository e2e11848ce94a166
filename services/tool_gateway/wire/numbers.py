"""Numbers as vendors read them: a model may write 10.0 where an integer is meant, which is the same number in JSON only."""

from __future__ import annotations

from typing import Any

LARGEST = 2.0**63


def with_integers(value: Any) -> Any:
    """The value with every float that is a whole number as an integer."""
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < LARGEST else value
    if isinstance(value, dict):
        return {key: with_integers(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [with_integers(inner) for inner in value]
    return value
