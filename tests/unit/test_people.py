"""The file of people: what it takes, and that a file which an earlier version took is taken."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.errors import BadInput
from shared.people import read_people

DIGEST = "0" * 64


def people_of(folder: Path, token: str) -> Path:
    file = folder / "people.yaml"
    file.write_text(f"people:\n  - name: Dana\n    roles: [owner]\n    token_sha256: '{token}'\n")
    return file


def test_a_digest_of_a_token_is_taken(tmp_path: Path) -> None:
    (dana,) = read_people(people_of(tmp_path, DIGEST))
    assert (dana.name, dana.token_sha256) == ("Dana", DIGEST)


def test_a_token_in_the_place_of_its_digest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as error:
        read_people(people_of(tmp_path, "secret"))
    assert error.value.field == "VIOX_PEOPLE"
    assert "token_sha256" in error.value.message
