"""What keeps a service from running is said in one line, and by the exit code."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from shared.entry import UNUSABLE_SETTINGS, run
from shared.errors import BadInput, Unavailable, VioxError

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BadInput("settings.invalid", "no.", field="VIOX_X", remedy="Mend it."), UNUSABLE_SETTINGS),
        (Unavailable("postgres.unavailable", "away."), 1),
    ],
)
def test_an_error_of_ours_is_one_line(error: VioxError, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    def serve() -> None:
        raise error

    with pytest.raises(SystemExit) as left:
        run(serve)
    assert left.value.code == code
    assert capsys.readouterr().err == f"{error}\n"


def test_an_error_nobody_foresaw_keeps_its_traceback() -> None:
    def serve() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(serve)


@pytest.mark.parametrize("module", ["services.console.main", "shared.store.migrate"])
def test_a_process_names_the_setting_that_cannot_be_used(module: str) -> None:
    environment = {"PATH": os.environ["PATH"], "VIOX_HTTP_PORT": "99999"}
    done = subprocess.run(
        [sys.executable, "-m", module], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == UNUSABLE_SETTINGS
    assert done.stderr.startswith("error[settings.invalid] VIOX_HTTP_PORT:")
    assert "Traceback" not in done.stderr


def test_a_console_without_postgres_says_so_last() -> None:
    environment = {"PATH": os.environ["PATH"], "VIOX_POSTGRES_DSN": "postgresql://viox@127.0.0.1:1/viox"}
    command = [sys.executable, "-m", "services.console.main"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error[postgres.unavailable] VIOX_POSTGRES_DSN:")
