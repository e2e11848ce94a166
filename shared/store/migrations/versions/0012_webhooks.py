"""Webhooks: accepted events, deliveries, sources."""

from shared.store.migrations import run_sql_file

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    run_sql_file("0012_webhooks.sql")
