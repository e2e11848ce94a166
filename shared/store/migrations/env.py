"""Alembic's entry: one transaction for all pending migrations, under an advisory lock so that two starters do not race.

In the same transaction `topic_writers` is made to say what `shared/bus/topics.py` of this code says.
"""

from __future__ import annotations

import asyncio

from alembic import context
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine

from shared.bus.topics import all_topics

LOCK = 7_001_001


def migrate(connection: Connection) -> None:
    connection.execute(text(f"select pg_advisory_xact_lock({LOCK})"))
    context.configure(connection=connection, transaction_per_migration=False)
    context.run_migrations()
    copy_topic_writers(connection)


def copy_topic_writers(connection: Connection) -> None:
    if connection.scalar(text("select to_regclass('topic_writers')")) is None:
        return  # an earlier schema was asked for
    rows = [{"topic": topic.name, "writer": writer} for topic in all_topics() for writer in topic.writers]
    connection.execute(text("delete from topic_writers"))
    connection.execute(text("insert into topic_writers (topic, writer) values (:topic, :writer)"), rows)


async def main() -> None:
    url = context.config.get_main_option("sqlalchemy.url")
    assert url is not None  # noqa: S101  # set by shared.store.migrate
    engine = create_async_engine(url)
    try:
        async with engine.begin() as connection:
            await connection.run_sync(migrate)
    finally:
        await engine.dispose()


asyncio.run(main())
