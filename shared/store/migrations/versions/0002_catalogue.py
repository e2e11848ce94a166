"""Imported documents and OAuth tokens."""

from shared.store.migrations import run_sql_file

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    run_sql_file("0002_catalogue.sql")
