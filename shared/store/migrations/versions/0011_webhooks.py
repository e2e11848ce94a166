"""Webhooks: accepted events, deliveries, sources."""

from shared.store.migrations import run_sql_file

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    run_sql_file("0011_webhooks.sql")
