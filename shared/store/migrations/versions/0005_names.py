"""Tables, columns and functions under the names the code uses."""

from shared.store.migrations import run_sql_file

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    run_sql_file("0005_names.sql")
