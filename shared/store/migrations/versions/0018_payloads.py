"""Results that are too large to travel are kept apart."""

from shared.store.migrations import run_sql_file

revision = "0018"
down_revision = "0016"


def upgrade() -> None:
    run_sql_file("0018_payloads.sql")
