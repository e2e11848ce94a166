"""People decide on calls."""

from shared.store.migrations import run_sql_file

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    run_sql_file("0015_approvals.sql")
