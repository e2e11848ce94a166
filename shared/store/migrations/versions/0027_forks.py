"""Forks of runs."""

from shared.store.migrations import run_sql_file

revision = "0027"
down_revision = "0026"


def upgrade() -> None:
    run_sql_file("0027_forks.sql")
