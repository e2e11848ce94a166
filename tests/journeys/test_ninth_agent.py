"""CONTRIBUTING's "Add an agent", done to the letter in a copy of the project, and the agent at work."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PARTS = re.compile(
    r"`(services/reviewer/[\w.]+)`(?: and `(services/reviewer/[\w.]+)`)?:.*?\n\n((?:```\w+\n.*?```\n\n?)+)", re.S
)
BLOCK = re.compile(r"```\w+\n(.*?)```", re.S)
REVIEW = {"review_id": "r1", "stars": 2, "text": "The plumber came late."}


@pytest.fixture(scope="module")
def project(tmp_path_factory: Any) -> Iterator[Any]:
    """A copy of the project with the ninth agent in it, and its command line."""
    copy = tmp_path_factory.mktemp("ninth") / "project"
    for package in ("shared", "services", "sandbox", "viox"):
        shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", copy)
    _add_agent(copy, (ROOT / "CONTRIBUTING.md").read_text())
    keep = {k: v for k, v in os.environ.items() if not k.startswith("VIOX_")}
    environment = keep | {"VIOX_HOME": str(copy / "home"), "VIOX_PORT_BASE": "0", "PYTHONPATH": str(copy)}

    def viox(*words: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "viox", *words]
        return subprocess.run(
            command, cwd=copy, env=environment, input=given, capture_output=True, text=True, timeout=180
        )

    yield viox
    viox("down")


def _add_agent(copy: Path, text: str) -> None:
    section = text[text.index("## Add an agent") : text.index("## House rules")]
    (copy / "services/reviewer").mkdir()
    (copy / "services/reviewer/__init__.py").touch()
    found: dict[str, str] = {}
    for first, second, blocks in PARTS.findall(section):
        found |= dict(zip(filter(None, (first, second)), BLOCK.findall(blocks), strict=True))
    assert len(found) == 8, sorted(found)
    for name, content in found.items():
        (copy / name).write_text(content)


def test_a_ninth_agent_is_one_folder(project: Any) -> None:
    drawn = project("graph", "reviewer")
    assert "reply --> keep_reply" in drawn.stdout, drawn.stderr
    started = project("up", "--only", "gateway,reviewer")
    assert started.returncode == 0, started.stderr
    event = {"specversion": "1.0", "id": "1", "source": "/reviews", "type": "com.example.review.posted", "data": REVIEW}
    assert project("publish", given=json.dumps(event)).returncode == 0
    for _ in range(60):
        listed = json.loads(project("runs", "--agent", "reviewer", "--json").stdout)["items"]
        if listed and listed[0]["status"] == "finished":
            break
    assert [(run["status"], run["text"]) for run in listed] == [("finished", "A reply is suggested.")]
    calls = json.loads(project("calls", "--json").stdout)["items"]
    assert [(call["agent"], call["tool"], call["state"]) for call in calls] == [("reviewer", "notes_add", "succeeded")]
    assert "2 stars are not what we want" in calls[0]["arguments"]["text"]
    assert project("replay", listed[0]["run_id"]).stdout.startswith("same:")
