"""Doubt about calls, turns at a rate, writes of records by their call."""

from shared.store.migrations import run_sql_file

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    run_sql_file("0004_doubt.sql")
