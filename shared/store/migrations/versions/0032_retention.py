"""Retention: archives, and what may leave."""

from shared.store.migrations import run_sql_file

revision = "0032"
down_revision = "0031"


def upgrade() -> None:
    run_sql_file("0032_retention.sql")
