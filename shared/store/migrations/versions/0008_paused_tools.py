"""A paused tool shows as what a run waits for."""

from shared.store.migrations import run_sql_file

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    run_sql_file("0008_paused_tools.sql")
