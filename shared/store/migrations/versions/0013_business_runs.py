"""Askers read runs again."""

from shared.store.migrations import run_sql_file

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    run_sql_file("0013_business_runs.sql")
