"""What agents share besides memory: delegation, timers, questions to people, take-over, the business's clock."""

from shared.store.migrations import run_sql_file

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    run_sql_file("0023_office.sql")
