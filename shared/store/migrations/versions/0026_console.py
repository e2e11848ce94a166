"""The console's sessions, and what people did there."""

from shared.store.migrations import run_sql_file

revision = "0026"
down_revision = "0025"


def upgrade() -> None:
    run_sql_file("0026_console.sql")
