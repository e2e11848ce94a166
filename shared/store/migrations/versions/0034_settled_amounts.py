"""What a call moved is counted as its answer says it."""

from shared.store.migrations import run_sql_file

revision = "0034"
down_revision = "0033"


def upgrade() -> None:
    run_sql_file("0034_settled_amounts.sql")
