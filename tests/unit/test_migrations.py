"""Migrations are applied once, somewhere out there: what was delivered is never changed, only followed by another one."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from shared.store.migrations import HERE

DELIVERED = Path(__file__).with_name("migrations.sha256")  # as sha256sum writes them; a new migration adds its line


def test_no_migration_was_changed_and_each_has_its_digest() -> None:
    known = {name: digest for digest, name in (line.split() for line in DELIVERED.read_text().splitlines())}
    found = {file.name: sha256(file.read_bytes()).hexdigest() for file in HERE.glob("[0-9]*.sql")}
    assert found == known
