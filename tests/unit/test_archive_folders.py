from __future__ import annotations

from pathlib import Path

import pytest

from shared.errors import Conflict
from shared.retention import files


@pytest.mark.parametrize("name", ["2026-01-000001-ab12cd34", "2026-01-000001-ab12cd34.part"])
def test_an_archive_that_is_there_is_never_written_over(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / files.MANIFEST).write_text("somebody else's")
    with pytest.raises(Conflict, match="is there already"):
        files.fresh(tmp_path / "2026-01-000001-ab12cd34")
    assert (tmp_path / name / files.MANIFEST).read_text() == "somebody else's"


def test_a_new_one_is_for_its_owner_alone(tmp_path: Path) -> None:
    part = files.fresh(tmp_path / "archives" / "2026-01-000001-ab12cd34")
    assert part.stat().st_mode & 0o777 == 0o700
