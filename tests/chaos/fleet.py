"""Services of two versions side by side on one Postgres and one Kafka, each started and stopped by itself, as a cluster does it."""

from __future__ import annotations

import asyncio
import io
import itertools
import os
import signal
import subprocess
import sys
import tarfile
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

from sandbox import children
from sandbox.broker import ApacheKafka
from sandbox.net import Reserved, ready
from sandbox.postgres import Postgres
from shared.bus.cluster import ensure_topics
from shared.bus.topics import GATEWAY, OPERATOR_CLI
from shared.settings import Settings

ROOT = Path(__file__).parents[2]
MIGRATIONS = Path("shared/store/migrations")
READY_SECONDS, GONE_SECONDS = 180.0, 60.0


class NoHistory(Exception):
    """The version before cannot be had. Says why."""


def version_before(revision: str | None, into: Path) -> str:
    """The code of an older version, taken from git into a folder. Returns its revision.

    Without one given it is the last one that knew an older schema. Raises NoHistory.
    """
    if revision is None:
        newest = max(path.name for path in (ROOT / MIGRATIONS).glob("[0-9]*.sql"))
        added = (
            _git("log", "-1", "--first-parent", "-m", "--diff-filter=A", "--format=%H", "--", str(MIGRATIONS / newest))
            .decode()
            .strip()
        )
        if not added:
            raise NoHistory(f"git does not know when {newest} came: say which version with --from")
        revision = f"{added}^"
    found = _git("rev-parse", "--short", f"{revision}^{{commit}}").decode().strip()
    with tarfile.open(fileobj=io.BytesIO(_git("archive", found, "services", "shared", "viox", "sandbox"))) as archive:
        archive.extractall(into, filter="data")
    return found


def _why_not(port: int) -> str:
    """What a service says of itself when it is not ready."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return str(answer.read())
    except urllib.error.HTTPError as error:
        return error.read().decode()
    except OSError as error:
        return str(error)


def schema_of(code: Path) -> str:
    return max(path.name[:4] for path in (code / MIGRATIONS).glob("[0-9]*.sql"))


def _git(*words: str) -> bytes:
    try:
        return subprocess.run(["git", "-C", ROOT, *words], capture_output=True, check=True).stdout
    except FileNotFoundError:
        raise NoHistory("git is not installed") from None
    except subprocess.CalledProcessError as error:
        raise NoHistory(f"{words[-1]}: {error.stderr.decode().strip()}") from None


@dataclass
class Replica:
    service: str
    version: str
    port: int
    process: subprocess.Popen[bytes]
    log: Path


@dataclass
class Fleet:
    """One Postgres, one Kafka that proves who calls, and whatever services are started."""

    home: Path
    settings: Mapping[str, str]
    partitions: int
    replicas: dict[str, list[Replica]] = field(default_factory=lambda: defaultdict(list))

    async def open(self, schema: str) -> None:
        """Database and broker, with the schema of a version."""
        (self.home / "logs").mkdir()
        self._reserved = Reserved()
        self._numbers = itertools.count(1)
        postgres, kafka, controller = (self._reserved.any() for _ in range(3))
        self.postgres = Postgres(self.home, postgres)
        self.broker = ApacheKafka(self.home, kafka, controller)
        await asyncio.gather(asyncio.to_thread(self.postgres.start), asyncio.to_thread(self.broker.start))
        await asyncio.to_thread(self.postgres.prepare, schema)
        await asyncio.to_thread(self.broker.prepare)
        with mock.patch.dict(os.environ, self._kafka(OPERATOR_CLI)):
            await ensure_topics(Settings.load())

    def command_line(self) -> dict[str, str]:
        """Settings with which tasks are published."""
        return self._kafka(OPERATOR_CLI) | {"VIOX_POSTGRES_DSN": self.postgres.dsn("viox_operator_cli")}

    async def migrate(self) -> float:
        """To the newest schema, while services of the older one work. Seconds that it took."""
        began = time.monotonic()
        await asyncio.to_thread(self.postgres.prepare)
        return time.monotonic() - began

    async def start(self, service: str, version: str, code: Path) -> Replica:
        """One more of a service. Returns when it says that it is ready."""
        number, port = next(self._numbers), self._reserved.any()
        module = f"services.{'tool_gateway' if service == GATEWAY else service.replace('-', '_')}.main"
        log = self.home / "logs" / f"{service}-{number}.log"
        with log.open("ab") as file:
            process = children.start(
                [sys.executable, "-m", module], log=file, env=self._environment(service, code, port)
            )
        made = Replica(service, version, port, process, log)
        self.replicas[service].append(made)
        deadline = time.monotonic() + READY_SECONDS
        while not await asyncio.to_thread(ready, port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{log.name} of {version} is not ready: {_why_not(port)} {log.read_text()[-1500:]}")
            await asyncio.sleep(0.1)
        return made

    async def stop(self, replica: Replica) -> float:
        """As a cluster does it: SIGTERM, and it ends what it has begun. Seconds until it was gone."""
        self.replicas[replica.service].remove(replica)
        began = time.monotonic()
        replica.process.send_signal(signal.SIGTERM)
        code = await asyncio.to_thread(replica.process.wait, GONE_SECONDS)
        if code:
            raise RuntimeError(f"{replica.log.name} ended with {code}: {replica.log.read_text()[-1500:]}")
        return time.monotonic() - began

    async def close(self) -> None:
        everyone = [one for group in self.replicas.values() for one in group]
        for one in everyone:
            one.process.terminate()
        for one in everyone:
            try:
                await asyncio.to_thread(one.process.wait, 20)
            except subprocess.TimeoutExpired:
                one.process.kill()
        for server in (self.broker, self.postgres):
            await asyncio.to_thread(server.stop)
        self._reserved.close()

    def _environment(self, service: str, code: Path, port: int) -> dict[str, str]:
        system = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
        role = f"viox_{service.replace('-', '_')}"
        return {
            **system,
            **self._kafka(service),
            **self.settings,
            "PYTHONPATH": str(code),
            "VIOX_HOME": str(self.home),
            "VIOX_HTTP_PORT": str(port),
            "VIOX_POSTGRES_DSN": self.postgres.dsn(role),
        }

    def _kafka(self, client: str) -> dict[str, str]:
        ours = self.broker.settings() | self.broker.client_settings(client)
        return ours | {"VIOX_KAFKA_PARTITIONS": str(self.partitions)}
