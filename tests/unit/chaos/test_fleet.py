from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.chaos import fleet


def git(folder: Path, *words: str) -> None:
    who = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
    subprocess.run(["git", "-C", folder, *who, *words], check=True, capture_output=True)


def commit(folder: Path, migration: str, code: str) -> None:
    (folder / fleet.MIGRATIONS).mkdir(parents=True, exist_ok=True)
    (folder / fleet.MIGRATIONS / migration).touch()
    for name in ("services", "shared", "viox", "sandbox"):
        (folder / name).mkdir(exist_ok=True)
        (folder / name / "code.py").write_text(code)
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", code)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "repository"
    root.mkdir()
    git(root, "init", "-q")
    commit(root, "0001_first.sql", "first")
    commit(root, "0001_first.sql", "second")
    commit(root, "0002_second.sql", "third")
    commit(root, "0002_second.sql", "fourth")
    monkeypatch.setattr(fleet, "ROOT", root)
    return root


def test_the_version_before_is_the_last_one_with_an_older_schema(repository: Path, tmp_path: Path) -> None:
    old = tmp_path / "old"
    fleet.version_before(None, old)
    assert (old / "services" / "code.py").read_text() == "second"
    assert (fleet.schema_of(old), fleet.schema_of(repository)) == ("0001", "0002")


def test_any_version_may_be_named(repository: Path, tmp_path: Path) -> None:
    fleet.version_before("HEAD~3", tmp_path / "old")
    assert (tmp_path / "old" / "services" / "code.py").read_text() == "first"


@pytest.mark.usefixtures("repository")
def test_a_version_that_git_does_not_know_is_named(tmp_path: Path) -> None:
    with pytest.raises(fleet.NoHistory, match="nothing"):
        fleet.version_before("nothing", tmp_path / "old")


def test_a_folder_that_is_no_repository_has_no_history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "folder"
    (root / fleet.MIGRATIONS).mkdir(parents=True)
    (root / fleet.MIGRATIONS / "0001_first.sql").touch()
    monkeypatch.setattr(fleet, "ROOT", root)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    with pytest.raises(fleet.NoHistory, match="not a git repository"):
        fleet.version_before(None, tmp_path / "old")
