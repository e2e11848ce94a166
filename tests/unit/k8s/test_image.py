"""What the image is made of: the lock of its requirements, and the steps of its Dockerfile."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
IMAGE = ROOT / "deploy" / "image"
PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==(\S+)", re.MULTILINE)
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def pins(text: str) -> dict[str, str]:
    return {name.lower().replace("_", "-"): version for name, version in PIN.findall(text)}


OURS, ALL = (pins((folder / "requirements.lock").read_text()) for folder in (IMAGE, ROOT))


def named(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[=<>~;! ]", one)[0].lower() for one in requirements}


def test_it_has_what_is_tested_and_no_other_version() -> None:
    assert {name: version for name, version in OURS.items() if ALL.get(name) != version} == {}


def test_it_has_every_requirement_of_the_project() -> None:
    assert named(PROJECT["dependencies"]) <= set(OURS)


@pytest.mark.parametrize("extra", ["embedded", "dev", "multilingual"])
def test_it_has_nothing_that_only_an_extra_wants(extra: str) -> None:
    assert not named(PROJECT["optional-dependencies"][extra]) & set(OURS)


def steps() -> list[tuple[str, str]]:
    text = re.sub(r"(?m)^#.*\n", "", (IMAGE / "Dockerfile").read_text()).replace("\\\n", " ")
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in text.splitlines() if line.strip())]


def test_it_is_pinned_and_runs_as_nobody_special() -> None:
    bases = [rest for word, rest in steps() if word == "FROM"]
    assert len(bases) == 2
    assert all(base.startswith("${PYTHON}") for base in bases)
    arguments = dict(rest.partition("=")[::2] for word, rest in steps() if word == "ARG")
    assert re.fullmatch(r"docker\.io/library/python:3\.\d+\.\d+-slim-\w+", arguments["PYTHON"])
    assert [rest for word, rest in steps() if word == "USER"] == ["65532:65532"]
    assert all(rest.startswith("[") for word, rest in steps() if word in ("RUN", "ENTRYPOINT", "CMD"))


def test_what_is_copied_is_let_through_and_is_there() -> None:
    copied = [rest.split()[0] for word, rest in steps() if word == "COPY" and not rest.startswith("--from")]
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in lines
    assert set(copied) == {line[1:] for line in lines if line.startswith("!")}
    assert all((ROOT / path).exists() for path in copied)
