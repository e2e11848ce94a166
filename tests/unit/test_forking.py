"""Which users agents become, and what those must be able to read."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox import forking
from sandbox.forking import FIRST_UID, check_files, users
from shared.errors import BadInput


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that others may enter. pytest's own are closed to them."""
    monkeypatch.setattr("os.geteuid", lambda: 0)
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder)
        if not all(above.stat().st_mode & 0o001 for above in made.resolve().parents):
            pytest.skip("others cannot enter the folder for temporary files")
        made.chmod(0o755)
        yield made
        made.chmod(0o755)


def test_root_gives_each_agent_a_user_where_everybody_may_read_the_code(place: Path) -> None:
    assert users(["closer", "voice"], [place]) == {"closer": FIRST_UID, "voice": FIRST_UID + 1}
    place.chmod(0o711)
    assert users(["closer"], [place]) == {}, "it could be passed through, not read"
    inner = place / "inner"
    inner.mkdir(mode=0o755)
    assert users(["closer"], [inner]) == {"closer": FIRST_UID}, "passing through is enough above it"
    place.chmod(0o700)
    assert users(["closer"], [inner]) == {}


def test_who_is_not_root_gives_none(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert users(["closer"], [place]) == {}


@pytest.mark.parametrize("name", forking.FILES)
def test_a_file_that_agents_could_not_read_is_named_before_anything_starts(place: Path, name: str) -> None:
    file = place / "given"
    file.write_text("x")
    file.chmod(0o644)
    check_files({name: str(file)})
    file.chmod(0o600)
    with pytest.raises(BadInput) as error:
        check_files({name: str(file)})
    assert error.value.field == name
    with pytest.raises(BadInput):
        check_files({name: str(place / "nowhere")})
    check_files({"VIOX_MODELS": "offline"})
