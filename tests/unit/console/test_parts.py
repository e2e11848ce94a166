"""What the console's pages are made of, without a database."""

from __future__ import annotations

import base64

import pytest
from starlette.datastructures import Headers

from services.console import curl, drawing, shown
from services.console.guard import same_origin


@pytest.mark.parametrize(
    ("headers", "same"),
    [
        ({"sec-fetch-site": "same-origin"}, True),
        ({"sec-fetch-site": "none"}, True),
        ({"sec-fetch-site": "cross-site", "origin": "http://us", "host": "us"}, False),
        ({"origin": "http://us:1", "host": "us:1"}, True),
        ({"origin": "http://us:1", "host": "us:2"}, False),
        ({"origin": "null", "host": "us"}, False),
        ({"host": "us"}, False),
    ],
)
def test_only_requests_of_our_own_pages_write(headers: dict[str, str], same: bool) -> None:
    assert same_origin(Headers(headers)) is same


def test_what_is_no_http_is_offered_as_no_curl_command() -> None:
    assert curl.speaks({"url": "https://api.example/v1"})
    assert not any(curl.speaks({"url": one}) for one in ("smtp://127.0.0.1:25", "records_write", None))


def test_a_curl_command_has_no_secret_and_runs_nothing_else() -> None:
    request = {
        "method": "POST",
        "url": "https://x.example/a?b='$(id)'",
        "headers": [["Authorization", "Bearer s3cret"], ["X-Note", "it's `id`"], ["Content-Length", "9"]],
        "body_base64": base64.b64encode(b'{"a": "\'$(id)\'"}').decode(),
    }
    told = curl.of(request)
    assert "s3cret" not in told
    assert "Authorization: $SECRET" in told
    assert "Content-Length" not in told
    assert "'X-Note: it'\"'\"'s `id`'" in told
    assert told.startswith("curl -X POST 'https://x.example/a?b='\"'\"'$(id)'\"'\"''")


def test_payloads_are_escaped_and_marked_by_their_keys() -> None:
    told = str(shown.marked({"budget": "<b>12k</b>", "name": "Ines"}, {"budget"}))
    assert '<span class="mark">' in told
    assert "<b>" not in told
    assert told.count("mark") == 1
    assert "no text" in str(shown.body(b"\xff\xfe\x00"))


@pytest.mark.parametrize(
    ("milliseconds", "told"),
    [
        (131, "131 ms"),
        (4200, "4.2 s"),
        (41_000, "41 s"),
        (180_000, "3 min"),
        (7_800_000, "2 h 10"),
        (172_800_000, "2 days"),
    ],
)
def test_spans_as_people_say_them(milliseconds: float, told: str) -> None:
    assert shown.span(milliseconds) == told


def test_small_money_keeps_its_digits() -> None:
    assert [shown.usd(x) for x in (0, 0.0182, 2.17, 1284)] == ["$0.00", "$0.018", "$2.17", "$1,284.00"]


def test_a_graph_is_drawn_without_two_nodes_in_one_place() -> None:
    names = ["__start__", "a", "b", "c", "__end__"]
    ways = [["__start__", "a"], ["a", "b"], ["a", "c"], ["c", "a"], ["b", "__end__"], ["c", "__end__"]]
    graph = {"nodes": [{"name": name, "asks": None} for name in names], "ways": ways}
    picture = drawing.draw(graph, {"b": ["run"]})
    places = {(node.x, node.y) for node in picture.nodes}
    assert len(places) == len(names)
    assert len(picture.ways) == len(ways)
    assert [node.threads for node in picture.nodes if node.name == "b"] == [1]
    assert all(x >= 0 and x + drawing.WIDTH <= picture.width for x, _ in places)


@pytest.mark.parametrize(
    ("value", "measure", "told"),
    [
        ("25000.00", "money:usd", "25,000.00 USD"),
        ("0.000000", "model_usd", "$0.00"),
        (1200, "calls", "1,200 calls"),
        (3, "open_tasks", "3 open tasks"),
    ],
)
def test_a_budget_is_written_as_people_write_it(value: object, measure: str, told: str) -> None:
    assert shown.measured(value, measure) == told


def test_a_difference_is_escaped_coloured_and_bounded() -> None:
    text = shown.unified(["--- a", "+++ b", "-<b>", "+x", " same", "more"], 5)
    assert text == (
        '--- a\n+++ b\n<span class="minus">-&lt;b&gt;</span><span class="plus">+x</span> same\n(1 more lines)'
    )


@pytest.mark.parametrize(("a_second", "told"), [(10.0, "10 a second"), (0.1, "6 a minute"), (2.5, "2.5 a second")])
def test_a_rate_is_written_as_people_say_it(a_second: float, told: str) -> None:
    assert shown.rate(a_second) == told
