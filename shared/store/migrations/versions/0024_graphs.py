"""Steps of graphs that act."""

from shared.store.migrations import run_sql_file

revision = "0024"
down_revision = "0023"


def upgrade() -> None:
    run_sql_file("0024_graphs.sql")
