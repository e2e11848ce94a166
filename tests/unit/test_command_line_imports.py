"""A command that only looks loads nothing that only running agents, tools or migrations need."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
HEAVY = {
    "aiohttp",
    "aiokafka",
    "alembic",
    "anthropic",
    "cloudevents",
    "cryptography",
    "faststream",
    "jsonschema_rs",
    "langchain_core",
    "langgraph",
    "openai",
    "prometheus_client",
    "pydantic_settings",
    "rich",
    "sqlalchemy",
    "structlog",
    "uvloop",
    "yaml",
}
RUN = "591f5ae0-d675-519c-b9a6-0e3a5f87e3b4"
LOOKING = (
    ["runs"],
    ["runs", "--failed", "--json"],
    ["run", RUN],
    ["run", RUN[:6]],
    ["calls"],
    ["call", f"{RUN}.2.0"],
    ["unknowns"],
    ["dead-letters"],
    ["tools"],
    ["webhooks"],
    ["knowledge"],
    ["memory", "person:ana@example.com"],
    ["status"],
)
PROGRAM = """
import json, sys
from viox.cli import main
code = None
try:
    main()
except SystemExit as left:
    code = left.code
sys.stderr.write("\\n" + json.dumps([code, sorted({name.split(".")[0] for name in sys.modules})]))
"""


def run(command: Sequence[str], environment: Mapping[str, str]) -> tuple[int, set[str], str]:
    """(exit code, top-level modules that are loaded at the end, what was printed)."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *command],
        env=os.environ | environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    code, modules = json.loads(done.stderr.splitlines()[-1])
    return code, set(modules), done.stdout + done.stderr


@pytest.mark.parametrize("command", LOOKING, ids=" ".join)
def test_what_a_command_that_looks_loads_before_it_asks(command: list[str], tmp_path: Path) -> None:
    nobody = {"VIOX_HOME": str(tmp_path), "VIOX_POSTGRES_DSN": "postgresql://nobody@127.0.0.1:1/none"}
    code, modules, printed = run(command, nobody)
    assert code == 1
    assert "unavailable" in printed or "not_running" in printed
    assert not modules & HEAVY


def test_help_does_not_load_the_driver(tmp_path: Path) -> None:
    code, modules, printed = run(["--help"], {"VIOX_HOME": str(tmp_path)})
    assert code == 0
    assert "dead-letters" in printed
    assert not modules & (HEAVY | {"asyncpg"})
