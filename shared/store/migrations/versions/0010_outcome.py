"""How a run came out."""

from shared.store.migrations import run_sql_file

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    run_sql_file("0010_outcome.sql")
