"""Alembic's entry: one transaction for all pending migrations, under an advisory lock so that two starters do not race.

In the same transaction `topic_writers` is made to say what `shared/bus/topics.py` of this code says, and the comment on
Alembic's table which schema this is: a comment can be read by every role, the table by its owner only.
"""

from __future__ import annotations

import asyncio

import asyncpg
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
    tell_revision(connection)


def tell_revision(connection: Connection) -> None:
    revision = str(connection.scalar(text("select version_num from alembic_version")))
    assert revision.isalnum()  # noqa: S101  # a comment takes no parameters
    connection.execute(text(f"comment on table alembic_version is '{revision}'"))


def copy_topic_writers(connection: Connection) -> None:
    if connection.scalar(text("select to_regclass('topic_writers')")) is None:
        return  # an earlier schema was asked for
    rows = [{"topic": topic.name, "writer": writer} for topic in all_topics() for writer in topic.writers]
    connection.execute(text("delete from topic_writers"))
    connection.execute(text("insert into topic_writers (topic, writer) values (:topic, :writer)"), rows)


async def main() -> None:
    dsn = context.config.attributes["dsn"]
    # asyncpg reads the DSN, as it does for services: SQLAlchemy would not understand sslmode and its like.
    engine = create_async_engine("postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(dsn))
    try:
        async with engine.begin() as connection:
            await connection.run_sync(migrate)
    finally:
        await engine.dispose()


asyncio.run(main())
