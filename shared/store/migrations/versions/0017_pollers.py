"""How far vendors' lists have been read, and loops that were stopped."""

from shared.store.migrations import run_sql_file

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    run_sql_file("0017_pollers.sql")
