"""Passwords of the sandbox's own servers: made at first use and kept in files that only their owner can read."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


class Passwords:
    """A folder with a file for each user. `prefix` tells those of one server from those of another."""

    def __init__(self, folder: Path, prefix: str = "") -> None:
        self._folder = folder
        self._prefix = prefix

    def of(self, user: str) -> str:
        file = self._folder / f"{self._prefix}{user}"
        if not file.exists():
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(fd, "w") as handle:
                handle.write(secrets.token_urlsafe(24))
        return file.read_text().strip()
