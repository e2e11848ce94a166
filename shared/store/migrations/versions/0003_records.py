"""Records and notes, and the role that may only ask."""

from shared.store.migrations import run_sql_file

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    run_sql_file("0003_records.sql")
