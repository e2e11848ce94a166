"""Log lines: an event name plus fields, bound ids on every line, secrets filtered last."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest

from shared.telemetry import logs


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    handlers, level = list(logging.root.handlers), logging.root.level
    yield
    logs.configure("test")
    logs.redact_with(lambda text: text)
    logging.basicConfig(level=level, handlers=handlers, force=True)


def test_a_line_is_an_event_with_fields_and_bound_ids(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("closer")
    with logs.bound(run_id="r1"):
        logs.get_logger("shared.bus.outbox").warning("outbox.sweep_failed", error='no "broker"')
    line = capsys.readouterr().err
    assert line.split()[1:4] == ["closer", "warning", "outbox.sweep_failed"]
    assert line.rstrip().endswith('error="no \\"broker\\"" run_id=r1')


def test_json_lines_are_documents(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("closer", output="json")
    logs.get_logger("shared.x").info("run.finished", steps=3)
    logging.getLogger("some.library").warning("odd: %s", 1)
    ours, library = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert (ours["service"], ours["event"], ours["steps"], ours["module"]) == ("closer", "run.finished", 3, "x")
    assert (library["event"], library["library"], library["message"]) == ("library", "some.library", "odd: 1")


def test_levels_below_the_configured_one_are_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("closer", "WARNING")
    logs.get_logger("x").info("run.finished")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("output", ["text", "json"])
def test_the_last_filter_sees_tracebacks_and_library_lines_too(
    output: logs.Format, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure("gateway", output=output)
    logs.redact_with(lambda text: text.replace("hunter2", "[redacted]"))
    try:
        raise ValueError("bad token hunter2")
    except ValueError:
        logs.get_logger("x").exception("call.unforeseen")
        logging.getLogger("aiohttp").exception("again hunter2")
    written = capsys.readouterr().err
    assert "hunter2" not in written
    assert written.count("[redacted]") >= 3
