"""Who acts, from the session."""

from shared.store.migrations import run_sql_file

revision = "0031"
down_revision = "0030"


def upgrade() -> None:
    run_sql_file("0031_acting.sql")
