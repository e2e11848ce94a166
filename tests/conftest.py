"""Fixtures of all suites: one Postgres and one broker a session, started only for tests that ask for them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import asyncpg
import hypothesis
import pytest

from sandbox import kafka_users
from sandbox.broker import ApacheKafka, Broker, Tansu
from sandbox.children import alive
from sandbox.kafka_users import ADMIN
from sandbox.net import free_ports
from sandbox.postgres import Postgres
from shared.settings import Settings
from shared.store.pool import Pool, open_pool
from shared.telemetry import logs
from tests.traces.receivers import Receiver, receiving

# A slow machine is no failure: speed is measured in benchmarks.
hypothesis.settings.register_profile("untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("untimed")

logs.configure("test")
ON_THE_BROKER = {"broker", "kafka_settings", "deployment"}  # fixtures of tests that another broker may fail

ROOT = Path(__file__).parent.parent
BROKER = os.environ.get("VIOX_TEST_BROKER", "embedded")
HANGS_SECONDS = 300
TABLES = (
    "threads, runs, steps, prompts, inbox, outbox, contact_owners, routes, catalogue, tool_calls, ledger_entries, "
    "dead_letters, rate_limits, pauses, announcers, documents, oauth_tokens, records, record_writes, notes, contact_wishes, "
    "webhook_events, webhook_deliveries, webhook_sources, webhook_pollers, webhook_trips, approvals, approval_votes, "
    "approval_notices, call_parties, thread_labels, live_calls, live_tokens, standing_approvals, payloads, payload_uses, "
    "sealed_calls, facts, person_links, knowledge, passages, memory_model, forgettings, call_labels, budgets, budget_settings, budget_use, "
    "budget_releases, budget_raises, budget_notices, model_holds, sandbox_clock, waits, delegations, timers, schedule_marks, "
    "audit_acts, audit_leaves, audit_tiles, audit_checkpoints, audit_cosignatures, audit_erased, "
    "console_sessions, console_failures, console_acts, console_views, archives, archive_threads, archived_entries"
)
# Only what has rows: to truncate seventy tables takes longer than most tests.
EMPTY = f"""do $$
declare one text; filled text[] := '{{}}'; has_rows boolean;
begin
    foreach one in array string_to_array('{TABLES}', ', ') loop
        execute format('select exists (select from %I)', one) into has_rows;
        filled := case when has_rows then filled || quote_ident(one) else filled end;
    end loop;
    if filled <> '{{}}' then
        set session_replication_role = replica;
        execute 'truncate ' || array_to_string(filled, ', ') || ' cascade';
        reset session_replication_role;
    end if;
end $$"""  # noqa: S608  # names of our own tables


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On another broker than the embedded one only tests that touch the broker are run."""
    if BROKER == "embedded":
        for one in items:
            if one.get_closest_marker("apache"):
                one.add_marker(pytest.mark.skip(reason="only Apache Kafka can show it: VIOX_TEST_BROKER=apache"))
        return
    kept = [one for one in items if _is_for_another_broker(one)]
    config.hook.pytest_deselected(items=[one for one in items if one not in kept])
    items[:] = kept


def _is_for_another_broker(test: pytest.Item) -> bool:
    if test.get_closest_marker("any_broker"):
        return False
    touches = ON_THE_BROKER & set(getattr(test, "fixturenames", ()))
    return bool(touches) or test.get_closest_marker("apache") is not None


@pytest.fixture
def no_hang(request: pytest.FixtureRequest) -> Iterator[None]:
    """What could take for ever is stopped and named. The limit is far from what it takes: it measures nothing."""

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        raise AssertionError(f"{request.node.nodeid} hangs: it did not end in {HANGS_SECONDS} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(HANGS_SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("viox")
    (folder / "logs").mkdir()
    return folder


@pytest.fixture(scope="session")
def postgres(home: Path) -> Iterator[Postgres]:
    server = Postgres(home, free_ports(1)[0])
    server.start()
    _in_thread(server.prepare)
    yield server
    server.stop()


@pytest.fixture
async def admin(postgres: Postgres) -> AsyncIterator[Any]:
    """Superuser connection on an empty database."""
    connection = await asyncpg.connect(postgres.dsn("postgres"))
    await connection.execute(EMPTY)
    yield connection
    await connection.close()


@pytest.fixture
async def closer_pool(postgres: Postgres, admin: Any) -> AsyncIterator[Pool]:
    pool = await open_pool(postgres.dsn("viox_closer"), application="test closer")
    yield pool
    await pool.close()


@pytest.fixture
async def gateway_pool(postgres: Postgres, admin: Any) -> AsyncIterator[Pool]:
    pool = await open_pool(postgres.dsn("viox_gateway"), application="test gateway")
    yield pool
    await pool.close()


@pytest.fixture(scope="session")
def broker(home: Path) -> Iterator[Broker]:
    ports = free_ports(2)
    made: Broker = ApacheKafka(home, *ports) if BROKER == "apache" else Tansu(home, ports[0])
    made.start()
    _in_thread(made.prepare)
    yield made
    made.stop()


def _in_thread(prepare: Callable[[], object]) -> None:
    """It runs an event loop of its own, and there is one in this thread. Raises what it raises."""
    with ThreadPoolExecutor(1) as other:
        other.submit(prepare).result()


def settings_of(broker: Broker, service: str) -> Settings:
    """Settings with which a service reaches this broker."""
    names = {name.removeprefix("VIOX_").lower(): value for name, value in broker.client_settings(service).items()}
    return Settings.load(**names, kafka_partitions=2)


@pytest.fixture(scope="session")
def kafka_settings(broker: Broker) -> Settings:
    """Those of a super user, where there is one: tests make topics and groups of their own."""
    return settings_of(broker, ADMIN)


@dataclass(frozen=True)
class Answer:
    """What a command left: exit code, stdout, stderr."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


class Deployment:
    """A running stack and its command line, as an operator uses it."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.home = folder
        self._environment = environment

    def __call__(self, *arguments: str, stdin: str | None = None, timeout: float = 300) -> Answer:
        done = subprocess.run(
            [sys.executable, "-m", "viox", *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            env=self._environment,
            cwd=ROOT,
            timeout=timeout,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    def fault(self, vendor: str, **what: Any) -> None:
        """Have an emulator misbehave: `kind` and the rest of `/_sandbox/faults`."""
        url, body = self.state["vendors"][vendor], json.dumps(what).encode()
        request = urllib.request.Request(f"{url}/_sandbox/faults", body, {"Content-Type": "application/json"})
        urllib.request.urlopen(request, timeout=60).close()

    @property
    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.home / "state.json").read_text())
        return found

    def kafka(self, service: str) -> Settings:
        """Settings with which a service of this stack reaches its broker."""
        login = kafka_users.login(self.home, service) if self.state["broker"] == "apache" else {}
        names = {**self.state["kafka_settings"], **login}
        return Settings.load(**{name.removeprefix("VIOX_").lower(): value for name, value in names.items()})

    def process(self, name: str, seconds: float = 60) -> int:
        """The pid of a service, of `broker` or `postgres`, as soon as it lives: between two lives there is none.

        Raises AssertionError when it does not come to life.
        """
        deadline = time.monotonic() + seconds
        while True:
            state = self.state
            pids = {service["name"]: service["pid"] for service in state["services"]}
            pid = (pids | {"broker": state["broker_pid"], "postgres": state["postgres_pid"]})[name]
            if pid and alive(pid):
                return int(pid)
            assert time.monotonic() < deadline, f"{name} does not live: its pid is {pid}"
            time.sleep(0.05)


@pytest.fixture(scope="session")
def trace_backends() -> Iterator[Receiver]:
    """A collector, LangSmith and Helicone, in one, to which the deployment sends its traces."""
    with receiving() as receiver:
        yield receiver


@pytest.fixture(scope="session")
def deployment(tmp_path_factory: pytest.TempPathFactory, trace_backends: Receiver) -> Iterator[Deployment]:
    with deployed(tmp_path_factory.mktemp("stack"), trace_backends) as made:
        yield made


@contextmanager
def deployed(folder: Path, backends: Receiver, *options: str) -> Iterator[Deployment]:
    """A stack in a folder, which sends its traces to these backends. `options` are those of `viox up`."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("VIOX_")}
    environment |= {
        "VIOX_HOME": str(folder),
        "VIOX_PORT_BASE": "0",
        "COLUMNS": "200",
        "VIOX_LEASE_SECONDS": "4",
        "HUBSPOT_RATE_PER_SECOND": "1000",
        "OTEL_EXPORTER_OTLP_ENDPOINT": backends.url,
        "OTEL_EXPORTER_OTLP_TIMEOUT": "2",
        "OTEL_BSP_SCHEDULE_DELAY": "500",
        "LANGSMITH_TRACING": "true",
        "LANGSMITH_API_KEY": "lsv2_key_of_the_tests",
        "LANGSMITH_ENDPOINT": f"{backends.url}/langsmith",
        "HELICONE_API_KEY": "sk-helicone-of-the-tests",
        "HELICONE_BASE_URL": f"{backends.url}/helicone",
    }
    made = Deployment(folder, environment)
    started = made("up", "--broker", BROKER, *options, "--json")
    assert started.code == 0, started.err
    yield made
    stopped = made("down")
    assert stopped.code == 0, stopped.err
