"""Rules about the code itself."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from shared.bus.topics import AGENTS
from shared.telemetry.failpoints import FAILPOINTS

ROOT = Path(__file__).parent.parent.parent
FILES = (
    "policy.cedar",
    "README.md",
    "__init__.py",
    "agent.py",
    "agent.toml",
    "graph.py",
    "main.py",
    "offline.py",
    "prompts.py",
    "tools.yaml",
)


@pytest.mark.parametrize("agent", AGENTS)
def test_every_service_has_the_same_files(agent: str) -> None:
    folder = ROOT / "services" / agent.replace("-", "_")
    files = {f.name for f in folder.iterdir() if f.is_file()}
    rooms = {f.name for f in folder.iterdir() if f.is_dir() and f.name != "__pycache__"}
    assert set(FILES) <= files <= {*FILES, "domain.py"}
    assert rooms <= {"rules", "work"}
    assert "domain.py" in files or "rules" in rooms, "its rules have a place of their own"
    assert len((folder / "main.py").read_text().splitlines()) <= 60


def _rules_of(folder: Path) -> list[Path]:
    return [*folder.glob("domain.py"), *folder.glob("rules/*.py")]


@pytest.mark.parametrize("agent", AGENTS)
def test_domains_are_pure(agent: str) -> None:
    folder = ROOT / "services" / agent.replace("-", "_")
    text = "\n".join(file.read_text() for file in _rules_of(folder))
    imported = re.findall(r"^(?:from|import) (\S+)", text, re.MULTILINE)
    own = {name for name in imported if re.match(rf"services\.{folder.name}\.(domain|rules)\b", name)}
    assert set(imported) - own <= {
        "collections",
        "collections.abc",
        "pydantic",
        "shared.bus.events",
        "__future__",
        "json",
        "re",
        "decimal",
        "shared.automations",
        "shared.money",
        "dataclasses",
        "datetime",
        "typing",
        "unicodedata",
        "shared.bus.consent",
        "shared.heard",
        "shared.bus.topics",
        "hashlib",
        "itertools",
        "urllib.parse",
        "zoneinfo",
    }  # tables
    assert "datetime.now" not in text
    assert "date.today" not in text


def test_every_named_moment_is_in_the_code() -> None:
    source = "\n".join(f.read_text() for folder in ("shared", "services") for f in (ROOT / folder).rglob("*.py"))
    for point in FAILPOINTS:
        assert f'failpoint("{point}")' in source, point


def test_the_gateway_does_not_load_langgraph() -> None:
    import subprocess
    import sys

    code = "import sys, services.tool_gateway.main; print([m for m in sys.modules if m.startswith('langgraph')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"
