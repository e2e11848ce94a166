"""A role reaches its own rows only; all rights of all roles stated anew."""

from shared.store.migrations import run_sql_file

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    run_sql_file("0006_isolation.sql")
