"""secrets.sh makes what is missing and changes nothing that is there."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from shared.audit.notes import Signer
from shared.people import read_people
from viox.deploy.compose import files, names
from viox.deploy.facts import DEPLOY, MODEL_KEYS, ROOT

# Stands in for Docker: runs what the container would run, if it is the right image's Python without a network.
DOCKER = f"""#!/bin/sh
[ "$*" != "${{*#run --rm --network none --read-only --entrypoint python {names.OURS} -c }}" ] || exit 2
while [ "$1" != -c ]; do shift; done
cd {ROOT} && exec {sys.executable} "$@"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "compose"
    made.mkdir()
    for name in ("secrets.sh", "env.example", "compose.yaml"):
        shutil.copy(DEPLOY / "compose" / name, made)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "docker").write_text(DOCKER)
    (tmp_path / "bin" / "docker").chmod(0o755)
    return made


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = f"{folder.parent / 'bin'}:{os.environ['PATH']}"
    command = ["sh", str(folder / "secrets.sh"), *arguments]
    return subprocess.run(command, env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False)


def env(folder: Path) -> dict[str, str]:
    return files.properties((folder / ".env").read_text())


def everything(folder: Path) -> dict[str, str]:
    return {str(file): file.read_text() for file in (folder / ".env", *sorted((folder / "private").glob("*.*")))}


def test_all_is_made_that_compose_needs(folder: Path) -> None:
    done = run(folder, "viox.example.com/audit")
    assert done.returncode == 0, done.stderr
    found = env(folder)
    assert set(found) == names.known()
    values = [found[name] for name in names.generated()]
    assert len(set(values)) == len(values)
    assert {len(value) for value in values} == {43}  # 256 bits
    assert not any(found[name] for name in MODEL_KEYS)
    assert found["VIOX_BIND"] == "127.0.0.1"
    private = folder / "private"
    assert {file.name for file in private.iterdir()} == {*names.FILES, "vendors"}
    Fernet((private / "secret-key").read_text().strip())
    assert Signer.read((private / "audit-key").read_text()).name == "viox.example.com/audit"
    assert tuple(read_people(private / "people.yaml")) == ()
    assert not any(value in done.stdout + done.stderr for value in values)


def test_others_cannot_read_it_and_containers_can(folder: Path) -> None:
    run(folder)
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in (*folder.glob("private/*"), folder / ".env")}
    assert modes.pop(".env") == 0o600
    assert modes.pop("vendors") == 0o755
    assert set(modes.values()) == {0o644}
    assert stat.S_IMODE((folder / "private").stat().st_mode) == 0o700


def test_what_is_there_stays(folder: Path) -> None:
    run(folder)
    before = everything(folder)
    again = run(folder)
    assert (again.returncode, again.stdout) == (0, "")
    assert everything(folder) == before


def test_what_a_newer_release_wants_is_added(folder: Path) -> None:
    run(folder)
    kept = env(folder) | {"OPENAI_API_KEY": "sk-x", "VIOX_BIND": "10.0.0.1"}
    gone = kept.pop("VIOX_KAFKA_VOICE_PASSWORD")
    (folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in kept.items()) + "MINE=1\n")
    assert run(folder).stdout == "made VIOX_KAFKA_VOICE_PASSWORD in .env\n"
    found = env(folder)
    assert found.pop("VIOX_KAFKA_VOICE_PASSWORD") not in ("", gone)
    assert found == kept | {"MINE": "1"}


def test_a_key_that_cannot_be_made_is_not_left_half(folder: Path) -> None:
    (folder.parent / "bin" / "docker").write_text("#!/bin/sh\necho 'no such image' >&2\nexit 125\n")
    done = run(folder)
    assert done.returncode != 0
    assert "private/audit-key could not be made" in done.stderr
    assert {file.name for file in (folder / "private").iterdir()} == {*names.FILES, "vendors"} - {"audit-key"}
