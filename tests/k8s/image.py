"""The image without Docker: `python -m tests.k8s.image` carries out the steps of its Dockerfile in a folder, and starts what
comes out as the image's user, who may write nothing of it.

Against nothing a service has to say what is missing; against a Postgres and a broker it has to become ready. Prints what
each took, in seconds and memory. Needs root, to become another user, and the package index.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sandbox.broker import Tansu
from sandbox.net import free_ports
from sandbox.postgres import Postgres
from shared.bus.topics import GATEWAY
from shared.entry import UNUSABLE_SETTINGS
from viox.deploy.facts import SERVICES, service

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "deploy" / "image" / "Dockerfile"
USER = 65532
READY_SECONDS = 180.0


class Wrong(Exception):
    """The image is not as it has to be."""


def say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


def build(into: Path) -> None:
    """COPY and RUN of the first stage, with absolute paths below `into`."""
    text = re.sub(r"(?m)^#.*\n", "", DOCKERFILE.read_text()).replace("\\\n", " ")
    for line in text.partition("\nFROM ")[2].partition("\nFROM ")[0].splitlines():
        word, _, rest = line.partition(" ")
        if word == "COPY":
            source, to = rest.split()
            _copy(ROOT / source, into / to.lstrip("/"))
        elif word == "RUN":
            command = [_below(part, into) for part in json.loads(rest)]
            began = time.monotonic()
            done = subprocess.run(
                command, capture_output=True, text=True, check=False, env=clean_environment(), cwd=into
            )
            if done.returncode:
                raise Wrong(f"{rest}: {done.stderr[-2000:]}")
            say(f"{time.monotonic() - began:6.1f} s  {' '.join(json.loads(rest))[:100]}")


def base(into: Path) -> None:
    """The base image's Python, at its place there: the one that runs this may lie where no other user enters."""
    unneeded = shutil.ignore_patterns("__pycache__", "test", "tests", "idlelib", "site-packages", "*.a")
    shutil.copytree(sys.base_prefix, into / "usr" / "local", symlinks=True, ignore=unneeded)


def _copy(source: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, to, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
    else:
        shutil.copyfile(source, to)


def _below(part: str, into: Path) -> str:
    """Where a part of a command is that is absolute inside the image."""
    if part == "python":
        return str(into / "usr" / "local" / "bin" / "python3")
    return str(into / part.lstrip("/")) if part.startswith(("/opt", "/app", "/tmp")) else part  # noqa: S108


def clean_environment() -> dict[str, str]:
    kept = (
        "PATH",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "PIP_INDEX_URL",
        "PIP_CONFIG_FILE",
        "HTTPS_PROXY",
        "REQUESTS_CA_BUNDLE",
    )
    own = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_CACHE_DIR": "1", "PIP_ROOT_USER_ACTION": "ignore"}
    return {name: os.environ[name] for name in kept if name in os.environ} | own


def lock_up(into: Path) -> None:
    """The image's files belong to root, and everybody reads them."""
    for path in (into, *into.rglob("*")):
        if not path.is_symlink():
            path.chmod((path.stat().st_mode | 0o444 | (0o111 if path.is_dir() else 0)) & ~0o022)


@contextmanager
def started(into: Path, module: list[str], settings: dict[str, str], home: Path) -> Iterator[subprocess.Popen[str]]:
    """A process as the image starts it: its user, its folder, its environment, nothing else."""
    environment = {
        "PATH": f"{into}/opt/viox/bin:/usr/bin:/bin",
        "LD_LIBRARY_PATH": f"{into}/usr/local/lib",  # where the base image's linker looks anyway
        "PYTHONPATH": f"{into}/app",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        "VIOX_HOME": str(home),
        "VIOX_HTTP_HOST": "127.0.0.1",
        **settings,
    }
    process = subprocess.Popen(
        [f"{into}/opt/viox/bin/python", "-m", *module],
        cwd=into / "app",
        env=environment,
        user=USER,
        group=USER,
        extra_groups=[],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        if process.stderr:
            process.stderr.close()


def against_nothing(into: Path, home: Path) -> None:
    """Each says in one line what is missing, and does not linger."""
    cases = [
        (
            {"VIOX_POSTGRES_DSN": "postgresql://viox@127.0.0.1:1/viox"},
            1,
            "error[postgres.unavailable] VIOX_POSTGRES_DSN",
        ),
        ({"VIOX_CONCURRENCY": "many"}, UNUSABLE_SETTINGS, "error[settings.invalid] VIOX_CONCURRENCY"),
    ]
    for name in (GATEWAY, "closer", "console"):
        for settings, code, said in cases:
            module = service(name).module
            models = {"VIOX_MODELS": "offline"}
            with started(into, [module], settings | models, home) as process:
                _, errors = process.communicate(timeout=READY_SECONDS)
            lines = [line for line in errors.splitlines() if line.startswith("error[")]
            if process.returncode != code or not lines or not lines[0].startswith(said):
                raise Wrong(f"{name} left with {process.returncode} and said: {errors[-1500:]}")
            say(f"against nothing: {name} leaves with {code}: {lines[0][:110]}")


def against_a_stack(into: Path, home: Path, work: Path) -> None:
    """The schema is waited for, then every service becomes ready, and ends when it is told to."""
    postgres, broker = servers(work)
    try:
        postgres.start()
        broker.start()
        postgres.prepare()
        broker.prepare()
        for name in SERVICES:
            own = {
                "VIOX_POSTGRES_DSN": postgres.dsn(service(name).login),
                "VIOX_MODELS": "offline",
                "VIOX_KAFKA_PARTITIONS": "2",
                **broker.client_settings(name),
            }
            with started(into, ["shared.store.migrate", "--wait", "60"], own, home) as waiting:
                if waiting.wait(120):
                    raise Wrong(f"{name} does not see the schema")
            _becomes_ready(into, home, name, own)
    finally:
        broker.stop()
        postgres.stop()


def servers(work: Path) -> tuple[Postgres, Tansu]:
    (work / "logs").mkdir(parents=True, exist_ok=True)
    ports = free_ports(2)
    return Postgres(work, ports[0]), Tansu(work, ports[1])


def _becomes_ready(into: Path, home: Path, name: str, own: dict[str, str]) -> None:
    port = free_ports(1)[0]
    began = time.monotonic()
    with started(into, [service(name).module], own | {"VIOX_HTTP_PORT": str(port)}, home) as process:
        while not _ready(port):
            if process.poll() is not None or time.monotonic() - began > READY_SECONDS:
                process.kill()
                raise Wrong(f"{name} did not become ready: {process.communicate()[1][-2000:]}")
            time.sleep(0.1)
        took, memory = time.monotonic() - began, _memory(process.pid)
        process.terminate()
        if process.wait(60) not in (0, -signal.SIGTERM):  # uvicorn ends by the signal once it has shut down
            raise Wrong(f"{name} ended with {process.returncode}: {process.communicate()[1][-2000:]}")
    say(f"ready: {name:15} after {took:5.1f} s, {memory} MB resident")


def _ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=3) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _memory(pid: int) -> int:
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) // 1024 if found else 0


def main() -> None:
    if os.geteuid() != 0:
        raise SystemExit("the image's user can only be tried by root")
    with tempfile.TemporaryDirectory(prefix="viox-image-") as place:
        into, home, work = (Path(place) / name for name in ("image", "home", "work"))
        Path(place).chmod(0o755)
        for folder in (into, home, work):
            folder.mkdir()
        (into / "tmp").mkdir()
        os.chown(home, USER, USER)
        try:
            base(into)
            build(into)
            lock_up(into)
            against_nothing(into, home)
            against_a_stack(into, home, work)
        except Wrong as error:
            raise SystemExit(f"wrong: {error}") from None
    say("the image's steps are right")


if __name__ == "__main__":
    main()
