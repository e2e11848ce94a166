"""Saved views of the console, and indexes for its listings."""

from shared.store.migrations import run_sql_file

revision = "0030"
down_revision = "0027"


def upgrade() -> None:
    run_sql_file("0030_console_views.sql")
