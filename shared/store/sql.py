"""SQL lives in `.sql` files beside the module that owns the tables; this reads them into named statements."""

from __future__ import annotations

import re
from pathlib import Path


class Queries:
    """Statements of one file by name: `-- name: claim_thread` starts one. Unknown names fail when looked up."""

    def __init__(self, path: Path) -> None:
        parts = re.split(r"^-- name: (\w+)[^\n]*\n", path.read_text(), flags=re.MULTILINE)
        self._statements: dict[str, str] = dict(zip(parts[1::2], (body.strip() for body in parts[2::2]), strict=True))
        self._path = path

    def __getitem__(self, name: str) -> str:
        try:
            return self._statements[name]
        except KeyError:
            raise LookupError(f"no statement {name!r} in {self._path.name}") from None
