"""Bring the database to the newest schema: `python -m shared.store.migrate`, before new code starts.

`--wait SECONDS` changes nothing: it returns when the schema is as new as this code, whoever brings it there. Any role may wait.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import time

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from shared.entry import run
from shared.errors import Conflict, Unavailable
from shared.settings import Settings
from shared.store.migrations import HERE

log = logging.getLogger(__name__)
LOOK_SECONDS, CONNECT_SECONDS = 1.0, 5.0
UNKNOWN_REVISION = "Can't locate revision identified by"


def migrate(dsn: str, to: str = "head") -> None:
    """Apply all pending migrations, or those up to a revision.

    Raises what the server says when one cannot be applied; nothing is half done. Raises Conflict for the database of a newer
    version.
    """
    config = Config()
    config.set_main_option("script_location", str(HERE))
    config.attributes["dsn"] = dsn
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


async def wait(dsn: str, seconds: float) -> None:
    """Until the schema is at least this code's. Raises Unavailable when it is not in time.

    A newer one will do: while a release is rolled out, pods of the one before it are still started.
    """
    wanted = str(ScriptDirectory(str(HERE)).get_current_head())
    deadline = time.monotonic() + seconds
    while True:
        found = await _revision(dsn)
        if found is not None and found.isdigit() and found >= wanted:  # four digits each
            return
        log.info("the schema is %s, this code needs %s", found or "not there", wanted)
        if time.monotonic() > deadline:
            raise Unavailable(
                "database.older",
                f"the schema is {found or 'not there, or Postgres does not answer'}; this code needs {wanted}.",
                field="VIOX_POSTGRES_DSN",
                remedy="Run the migrations (python -m shared.store.migrate) as the schema's owner.",
            )
        await asyncio.sleep(LOOK_SECONDS)


async def _revision(dsn: str) -> str | None:
    """Which schema this is, as the migrations say it to everybody. None where there is none, or no server."""
    try:
        connection = await asyncpg.connect(dsn, timeout=CONNECT_SECONDS)
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        log.info("no connection: %s", error)
        return None
    try:
        found: str | None = await connection.fetchval(
            "select obj_description(to_regclass('alembic_version'), 'pg_class')"
        )
        return found
    finally:
        await connection.close()


def main() -> None:
    """Entry of the job that runs before a release, and of what waits for it."""
    parser = argparse.ArgumentParser(prog="python -m shared.store.migrate", description=__doc__)
    parser.add_argument("--wait", type=float, metavar="SECONDS", help="change nothing, wait until it was done")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    dsn = Settings.load().postgres_dsn.get_secret_value()
    if given.wait is None:
        migrate(dsn)
    else:
        asyncio.run(wait(dsn, given.wait))


if __name__ == "__main__":
    run(main)
