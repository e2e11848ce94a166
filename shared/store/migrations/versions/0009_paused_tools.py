"""A paused tool shows as what a run waits for."""

from shared.store.migrations import run_sql_file

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    run_sql_file("0009_paused_tools.sql")
