"""What is missing is said: a failure for who asks for the check, and none where CI asks for what can be had."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.k8s import check, tools
from tests.k8s.live import __main__ as live
from tests.k8s.tools import Missing

OUTDATED = "closer.yaml is out of date"


@pytest.fixture(autouse=True)
def nothing_is_built(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(shutil, "which", lambda name: None)


def asked(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["check", *arguments])


@pytest.fixture
def one_rule_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    def problems(*, with_schemas: bool) -> Iterator[str]:
        yield OUTDATED
        if with_schemas:
            raise Missing("kubeconform is not built.")

    monkeypatch.setattr(check, "problems", problems)


def test_what_is_missing_is_a_failure(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    asked(monkeypatch)
    assert check.main() == 1
    assert "NOT CHECKED" in capsys.readouterr().err


def test_where_it_cannot_be_had_it_is_only_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked(monkeypatch, "--where-possible")
    assert check.main() == 0
    said = capsys.readouterr().err
    assert "NOT CHECKED: go is not installed" in said
    assert "NOT CHECKED either, the rules: kubectl is not built" in said


@pytest.mark.usefixtures("one_rule_is_broken")
def test_what_is_broken_is_a_failure_whatever_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked(monkeypatch, "--where-possible")
    monkeypatch.setattr(check, "build_what_is_small", lambda: None)
    assert check.main() == 1
    said = capsys.readouterr().err
    assert "NOT CHECKED: kubeconform" in said
    assert OUTDATED in said


def test_a_program_that_cannot_be_built_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "go", lambda: "false")
    with pytest.raises(Missing, match="cannot be built"):
        check.build_what_is_small()


@pytest.mark.parametrize(("arguments", "code"), [((), 1), (("--if-built",), 0)])
def test_without_an_api_server_it_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], code: int
) -> None:
    asked(monkeypatch, *arguments)
    assert live.main() == code
    assert "NOT CHECKED on an API server: etcd is not built: run `make k8s-tools`" in capsys.readouterr().err
