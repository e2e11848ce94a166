"""The audit's tree, checkpoints, acts of people, erasure."""

from shared.store.migrations import run_sql_file

revision = "0025"
down_revision = "0024"


def upgrade() -> None:
    run_sql_file("0025_audit.sql")
