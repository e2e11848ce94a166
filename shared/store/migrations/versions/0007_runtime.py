"""Runs stand on their threads, results on their calls; checkpoints go."""

from shared.store.migrations import run_sql_file

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    run_sql_file("0007_runtime.sql")
