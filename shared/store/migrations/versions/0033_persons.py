"""One person under several names: which entities of memory are the same person, and who says so."""

from shared.store.migrations import run_sql_file

revision = "0033"
down_revision = "0032"


def upgrade() -> None:
    run_sql_file("0033_persons.sql")
