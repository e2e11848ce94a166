"""Airtable formulas, as far as filters need them: comparisons, AND, OR, NOT, a few functions. Raises ValueError otherwise."""

from __future__ import annotations

import re
from typing import Any

_TOKEN = re.compile(
    r"""\s*(?:(?P<field>\{(?:[^}\\]|\\.)*\})|(?P<text>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|(?P<number>-?\d+(?:\.\d+)?)
        |(?P<name>[A-Z_]+)|(?P<op>>=|<=|!=|=|>|<|\(|\)|,|&))""",
    re.VERBOSE,
)


def matches(formula: str, record_id: str, fields: dict[str, Any]) -> bool:
    """Does a record pass the filter? Unknown fields are blank."""
    parser = _Parser(formula, record_id, fields)
    value = parser.comparison()
    parser.end()
    return bool(value)


class _Parser:
    def __init__(self, text: str, record_id: str, fields: dict[str, Any]) -> None:
        self._tokens = list(_tokens(text))
        self._at = 0
        self._record_id = record_id
        self._fields = fields

    def comparison(self) -> Any:
        left = self._value()
        kind, text = self._peek()
        if kind != "op" or text not in ("=", "!=", ">", "<", ">=", "<="):
            return left
        self._at += 1
        return _compare(left, text, self._value())

    def end(self) -> None:
        if self._at != len(self._tokens):
            raise ValueError(f"unexpected {self._peek()[1]!r}")

    def _value(self) -> Any:
        kind, text = self._peek()
        self._at += 1
        match kind:
            case "field":
                return self._fields.get(re.sub(r"\\(.)", r"\1", text[1:-1]))
            case "text":
                return re.sub(r"\\(.)", r"\1", text[1:-1])
            case "number":
                return float(text)
            case "name":
                return self._function(text)
        if text == "(":
            value = self.comparison()
            self._take(")")
            return value
        raise ValueError(f"unexpected {text!r}")

    def _function(self, name: str) -> Any:
        self._take("(")
        arguments = []
        while self._peek()[1] != ")":
            arguments.append(self.comparison())
            if self._peek()[1] == ",":
                self._at += 1
        self._take(")")
        match name:
            case "AND":
                return all(arguments)
            case "OR":
                return any(arguments)
            case "NOT":
                return not arguments[0]
            case "TRUE":
                return True
            case "FALSE":
                return False
            case "BLANK":
                return None
            case "LOWER":
                return str(arguments[0] or "").lower()
            case "FIND":
                return float(str(arguments[1] or "").find(str(arguments[0])) + 1)
            case "RECORD_ID":
                return self._record_id
        raise ValueError(f"unknown function {name}")

    def _peek(self) -> tuple[str, str]:
        return self._tokens[self._at] if self._at < len(self._tokens) else ("end", "")

    def _take(self, text: str) -> None:
        if self._peek()[1] != text:
            raise ValueError(f"expected {text!r}")
        self._at += 1


def _tokens(text: str) -> Any:
    position = 0
    text = text.strip()
    while position < len(text):
        found = _TOKEN.match(text, position)
        if not found or found.end() == position:
            raise ValueError(f"cannot read {text[position:]!r}")
        position = found.end()
        yield found.lastgroup, found.group(found.lastgroup or 0)


def _compare(left: Any, operator: str, right: Any) -> bool:
    if operator in ("=", "!="):
        same = (left or None) == (right or None) if None in (left, right) else str(left) == str(right) or left == right
        return same if operator == "=" else not same
    try:
        a, b = float(left), float(right)
    except (TypeError, ValueError):
        return False
    return {">": a > b, "<": a < b, ">=": a >= b, "<=": a <= b}[operator]
