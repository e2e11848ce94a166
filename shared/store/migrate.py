"""Bring the database to the newest schema: `python -m shared.store.migrate`, before new code starts."""

from __future__ import annotations

import logging
from urllib.parse import urlsplit, urlunsplit

from alembic import command
from alembic.config import Config

from shared.settings import Settings
from shared.store.migrations import HERE


def migrate(dsn: str, to: str = "head") -> None:
    """Apply all pending migrations, or those up to a revision.

    Raises what the server says when one cannot be applied; nothing is half done.
    """
    config = Config()
    config.set_main_option("script_location", str(HERE))
    config.set_main_option("sqlalchemy.url", _sqlalchemy_url(dsn).replace("%", "%%"))
    command.upgrade(config, to)


def _sqlalchemy_url(dsn: str) -> str:
    parts = urlsplit(dsn)
    return urlunsplit(parts._replace(scheme="postgresql+asyncpg"))


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    migrate(Settings().postgres_dsn.get_secret_value())
