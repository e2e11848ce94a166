"""Bring the database to the newest schema: `python -m shared.store.migrate`, before new code starts."""

from __future__ import annotations

import logging
from urllib.parse import urlsplit, urlunsplit

from alembic import command
from alembic.config import Config
from alembic.util import CommandError

from shared.errors import Conflict
from shared.settings import Settings
from shared.store.migrations import HERE

UNKNOWN_REVISION = "Can't locate revision identified by"


def migrate(dsn: str, to: str = "head") -> None:
    """Apply all pending migrations, or those up to a revision.

    Raises what the server says when one cannot be applied; nothing is half done. Raises Conflict for the database of a newer
    version.
    """
    config = Config()
    config.set_main_option("script_location", str(HERE))
    config.set_main_option("sqlalchemy.url", _sqlalchemy_url(dsn).replace("%", "%%"))
    try:
        command.upgrade(config, to)
    except CommandError as error:
        if UNKNOWN_REVISION not in str(error):
            raise
        raise Conflict(
            "database.newer",
            f"a newer version of VioX OS has been at this database: {str(error).removeprefix(UNKNOWN_REVISION).strip()} is no schema "
            "of this one. Nothing was changed.",
            remedy="Start that version again, restore a backup from before it, or use another database (VIOX_HOME).",
        ) from error


def _sqlalchemy_url(dsn: str) -> str:
    parts = urlsplit(dsn)
    return urlunsplit(parts._replace(scheme="postgresql+asyncpg"))


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    migrate(Settings().postgres_dsn.get_secret_value())
