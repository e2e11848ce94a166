"""Budgets are reserved before they are spent."""

from shared.store.migrations import run_sql_file

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    run_sql_file("0020_budgets.sql")
