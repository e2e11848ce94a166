"""What no budget counts with any more is forgotten."""

from shared.store.migrations import run_sql_file

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    run_sql_file("0021_forget_budgets.sql")
