"""Forward-only migrations: numbered SQL files, applied in order by Alembic, which records the version reached."""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).parent


def run_sql_file(name: str) -> None:
    """Execute one SQL script inside the migration's transaction (asyncpg takes several statements when none has arguments)."""
    from alembic import op

    text = (HERE / name).read_text()
    connection = op.get_bind().connection.dbapi_connection
    assert connection is not None  # noqa: S101  # Alembic runs online only
    connection.run_async(lambda raw: raw.execute(text))
