"""Parameter styles: the specification's own table, and that what is written can be read back whatever it is."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.tool_gateway.catalogue.tools import Parameter
from services.tool_gateway.wire import styles

ARRAY = ["blue", "black", "brown"]
OBJECT = {"R": 100, "G": 200, "B": 150}
NAMES = st.text("abcdefgh_", min_size=1, max_size=6)
LEAVES = st.one_of(st.text(max_size=12), st.integers(-(10**9), 10**9), st.booleans())
DEEP = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3), st.dictionaries(NAMES, inner, min_size=1, max_size=3)
    ),
    max_leaves=8,
)


def parameter(style: Any, explode: bool) -> Parameter:
    return Parameter("color", "color", "path", True, style, explode)


@pytest.mark.parametrize(
    ("style", "explode", "value", "wanted"),
    [
        ("simple", False, "blue", "blue"),
        ("simple", False, ARRAY, "blue,black,brown"),
        ("simple", False, OBJECT, "R,100,G,200,B,150"),
        ("simple", True, OBJECT, "R=100,G=200,B=150"),
        ("label", False, "blue", ".blue"),
        ("label", False, ARRAY, ".blue,black,brown"),
        ("label", True, ARRAY, ".blue.black.brown"),
        ("label", True, OBJECT, ".R=100.G=200.B=150"),
        ("matrix", False, "blue", ";color=blue"),
        ("matrix", False, ARRAY, ";color=blue,black,brown"),
        ("matrix", True, ARRAY, ";color=blue;color=black;color=brown"),
        ("matrix", True, OBJECT, ";R=100;G=200;B=150"),
    ],
)
def test_paths_as_the_specification_has_them(style: Any, explode: bool, value: Any, wanted: str) -> None:
    assert styles.path_segment(parameter(style, explode), value) == wanted


@pytest.mark.parametrize(
    ("style", "explode", "value", "wanted"),
    [
        ("form", True, ARRAY, "color=blue&color=black&color=brown"),
        ("form", False, ARRAY, "color=blue%2Cblack%2Cbrown"),
        ("form", True, OBJECT, "R=100&G=200&B=150"),
        ("form", False, OBJECT, "color=R%2C100%2CG%2C200%2CB%2C150"),
        ("spaceDelimited", False, ARRAY, "color=blue+black+brown"),
        ("pipeDelimited", False, ARRAY, "color=blue%7Cblack%7Cbrown"),
        ("deepObject", True, OBJECT, "color%5BR%5D=100&color%5BG%5D=200&color%5BB%5D=150"),
    ],
)
def test_queries_as_the_specification_has_them(style: Any, explode: bool, value: Any, wanted: str) -> None:
    assert styles.query([(n, v, False) for n, v in styles.pairs("color", value, style, explode)]) == wanted


@given(st.dictionaries(NAMES, DEEP, min_size=1, max_size=4))
def test_brackets_can_be_read_back(values: dict[str, Any]) -> None:
    pairs = [pair for name, value in values.items() for pair in styles.pairs(name, value, "deepObject", True)]
    read: Any = {}
    for name, text in parse_qsl(styles.query([(n, v, False) for n, v in pairs]), keep_blank_values=True):
        keys = re.findall(r"[^\[\]]+", name)
        node = read
        for key in keys[:-1]:
            node = node.setdefault(key, {})
        node[keys[-1]] = text
    assert read == _texts(values)


@given(st.lists(st.text(max_size=20), min_size=1, max_size=5))
def test_any_text_survives_a_query(items: list[str]) -> None:
    text = styles.query([(n, v, False) for n, v in styles.pairs("q", items, "form", True)])
    assert parse_qsl(text, keep_blank_values=True) == [("q", item) for item in items]
    assert not set(text) & set(' #"<>\\^`{|}\r\n'), "only what a URL may hold"


@given(st.text(min_size=1, max_size=30))
def test_any_text_stays_in_its_path_segment(value: str) -> None:
    segment = styles.path_segment(parameter("simple", False), value)
    assert not set(segment) & set("/?#%") - {"%"}
    assert unquote(segment) == value


def _texts(value: Any) -> Any:
    """What brackets can say: objects, lists as objects by index, and text."""
    if isinstance(value, dict):
        return {key: _texts(item) for key, item in value.items()}
    if isinstance(value, list):
        return {str(index): _texts(item) for index, item in enumerate(value)}
    return styles.text(value)
