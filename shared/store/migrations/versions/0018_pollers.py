"""How far vendors' lists have been read, and loops that were stopped."""

from shared.store.migrations import run_sql_file

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    run_sql_file("0018_pollers.sql")
