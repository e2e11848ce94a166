"""Answers of vendors without a Python SDK, held against what the vendor's documents say of them."""

from __future__ import annotations

from typing import Any


def shaped(row: dict[str, Any], shape: dict[str, Any]) -> dict[str, Any]:
    """The row, which has every name of the shape with a value of its type (or one of its types)."""
    wrong = {name: row.get(name) for name, kind in shape.items() if name not in row or not isinstance(row[name], kind)}
    assert wrong == {}
    return row
