"""The validator of a tool's arguments, and what is wrong with them in words that a model can use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import jsonschema_rs

from services.tool_gateway.catalogue.schema.dialect import FORMATS
from services.tool_gateway.catalogue.schema.patterns import OPTIONS


class DecimalStep:
    """`multipleOf` in decimal: 0.3 is a multiple of 0.1, which binary fractions deny."""

    def __init__(self, parent: dict[str, Any], value: Any, path: list[Any]) -> None:
        self._step = Decimal(repr(value))

    def validate(self, instance: Any) -> None:
        """Raises ValueError for a number that is no multiple."""
        if isinstance(instance, int | float) and not isinstance(instance, bool):
            number = Decimal(repr(instance))
            if abs(number) < Decimal(10) ** 20 * self._step and number % self._step != 0:
                raise ValueError(f"{instance} is not a multiple of {self._step}")


def validator(schema: dict[str, Any]) -> Any:
    """Checks arguments. Raises ValueError in one line when the schema is none."""
    keywords: dict[str, Any] = {"multipleOf": DecimalStep} if _has_fractions(schema) else {}
    try:
        return jsonschema_rs.Draft202012Validator(
            schema, validate_formats=True, formats=FORMATS, pattern_options=OPTIONS, keywords=keywords
        )
    except ValueError as error:
        where = ".".join(str(part) for part in getattr(error, "instance_path", ()))
        told = getattr(error, "message", str(error))
        raise ValueError(
            f"its schema cannot be checked at {where or 'its top'}: {' '.join(told.split())[:200]}"
        ) from error


def _has_fractions(node: Any) -> bool:
    if isinstance(node, list):
        return any(_has_fractions(item) for item in node)
    if not isinstance(node, dict):
        return False
    return isinstance(node.get("multipleOf"), float) or any(_has_fractions(value) for value in node.values())


def problem(check: Any, arguments: Mapping[str, Any]) -> tuple[str, str] | None:
    """(where, what is wrong) of the first thing that does not fit, or None."""
    error = next(iter(check.iter_errors(arguments)), None)
    if error is None:
        return None
    error = _nearest(error)
    where = ".".join(str(part) for part in error.instance_path) or "arguments"
    told = "it is not for a call to give" if error.kind.name == "falseSchema" else error.message
    return where, told[:600]


def _nearest(error: Any) -> Any:
    """Of alternatives none of which fits, what keeps the value from the one that it is nearest to, if that is clear."""
    for _ in range(8):
        branches = getattr(error.kind, "context", None)
        if not branches:
            return error
        ranked = sorted(((_distance(error, found), n) for n, found in enumerate(branches)))
        if len(ranked) > 1 and ranked[0][0] == ranked[1][0]:
            return error
        error = branches[ranked[0][1]][0]
    return error


def _distance(parent: Any, found: Sequence[Any]) -> tuple[int, int, int]:
    """How far a value is from an alternative: another type is farthest, then another kind, then many mistakes."""
    above = len(parent.instance_path)
    kinds = [(type(error.kind).__name__, len(error.instance_path)) for error in found]
    types = sum(1 for kind, depth in kinds if kind == "Type" and depth == above)
    values = sum(1 for kind, depth in kinds if kind in ("Enum", "Constant") and depth <= above + 1)
    return types, values, len(found)


def misspelt(name: str, described: Mapping[str, Any], given: Mapping[str, Any]) -> str | None:
    """The described name, not given, that an undescribed one was probably meant to be.

    Other letter case or separators, or one letter more, less or other. Names that differ in digits are not mistaken.
    """
    plain = _letters(name)
    for other in described:
        if other in given or other == name:
            continue
        known = _letters(other)
        if plain == known or (min(len(plain), len(known)) >= 4 and _one_apart(plain, known)):
            return other
    return None


def _letters(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())


def _one_apart(one: str, other: str) -> bool:
    """Whether a single letter was typed wrongly, left out, added, or two neighbours changed places."""
    if abs(len(one) - len(other)) > 1 or [c for c in one if c.isdigit()] != [c for c in other if c.isdigit()]:
        return False
    first = next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    rest, theirs = one[first:], other[first:]
    if len(one) == len(other):
        return rest[1:] == theirs[1:] or (rest[:2] == theirs[1::-1] and rest[2:] == theirs[2:])
    return rest[1:] == theirs if len(one) > len(other) else rest == theirs[1:]
