"""Results that are too large to travel are kept apart."""

from shared.store.migrations import run_sql_file

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    run_sql_file("0019_payloads.sql")
