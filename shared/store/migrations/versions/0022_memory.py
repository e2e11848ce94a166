"""What the business remembers in words: facts, notes and documents, found by meaning and by words."""

from shared.store.migrations import run_sql_file

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    run_sql_file("0022_memory.sql")
