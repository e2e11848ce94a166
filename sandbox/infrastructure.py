"""What services of a stack stand on: Postgres and a broker, started here or somebody else's, prepared, and kept running.

They are prepared in a fork, because that needs an event loop and the supervisor has none.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sandbox import children, credentials, kafka_users
from sandbox.broker import ApacheKafka, Broker, Tansu
from sandbox.credentials import CONSOLE
from sandbox.plan import Plan
from sandbox.ports import SERVICES
from sandbox.postgres import Postgres
from shared.bus.topics import GATEWAY, OPERATOR_CLI
from shared.errors import VioxError
from shared.settings import Settings

TOLD = 3  # exit code of a child that says in JSON what is wrong


class Infrastructure:
    """Database and broker of one stack. `identity` is what the broker's word on callers is worth."""

    def __init__(self, plan: Plan, say: Callable[[str], None]) -> None:
        self.plan = plan
        self.identity = "not checked"
        self._say = say
        self._ports: Mapping[str, int] = {}
        self._postgres: Postgres | None = None
        self._broker: Broker | None = None
        self._dsns: dict[str, str] = {}
        self._kafka_settings: dict[str, str] = {}
        self._topics_missing = False
        self._mends_failed = 0
        self._mend_at = 0.0

    def start(self, ports: Mapping[str, int]) -> None:
        """Start both and prepare them for the services. Raises VioxError with the reason."""
        self._ports = ports
        self._start_postgres()
        self._start_broker()
        self.identity = self._in_child(self._prepare)

    def stop(self) -> None:
        for thing in (self._broker, self._postgres):
            if thing:
                thing.stop()

    def settings_for(self, service: str) -> dict[str, str]:
        """Where a service finds both, with its own passwords and nobody else's."""
        found = {"VIOX_POSTGRES_DSN": self._dsns[service]}
        if service == CONSOLE:  # which has nothing to say or hear there
            return found
        found |= self._kafka_for(service)
        if service == GATEWAY and self._postgres:
            found["VIOX_QUERY_DSN"] = self._postgres.dsn("viox_query")
        return found

    def document(self) -> dict[str, Any]:
        """What the state of the stack says of both, for our own command line only: a server of the operator's with its login.
        Of a server of ours that has not started yet, nothing."""
        given = self.plan.environment
        dsn = given.get("VIOX_POSTGRES_DSN")
        return {
            "kafka": self._kafka_settings.get(
                "VIOX_KAFKA_BOOTSTRAP_SERVERS", given.get("VIOX_KAFKA_BOOTSTRAP_SERVERS")
            ),
            "kafka_settings": self._kafka_settings,
            "broker": self.plan.broker,
            "broker_pid": self._broker.process.pid if self._broker and self._broker.process else None,
            "postgres": f"127.0.0.1:{self._ports['postgres']}" if self._postgres else dsn and "external",
            "postgres_pid": self._postgres.process.pid if self._postgres and self._postgres.process else None,
            "postgres_dsn": None if self._postgres else dsn,
            "identity": self.identity,
        }

    # -- start -------------------------------------------------------------------------------------------------------

    def _start_postgres(self) -> None:
        given = self.plan.environment.get("VIOX_POSTGRES_DSN")
        if given:
            self._dsns = dict.fromkeys((*SERVICES, "owner"), given)
            return
        archive = self.plan.environment.get("VIOX_WAL_ARCHIVE")
        postgres = Postgres(self.plan.home, self._ports["postgres"], Path(archive).absolute() if archive else None)
        postgres.start()
        self._postgres = postgres
        self._dsns = {name: postgres.dsn(f"viox_{name.replace('-', '_')}") for name in SERVICES}
        self._dsns["owner"] = postgres.dsn("viox")
        self._say(f"postgres on port {self._ports['postgres']}")

    def _start_broker(self) -> None:
        if self.plan.environment.get("VIOX_KAFKA_BOOTSTRAP_SERVERS"):
            return
        if self.plan.broker == "apache":
            self._broker = ApacheKafka(self.plan.home, self._ports["kafka"], self._ports["kafka-controller"])
        else:
            self._broker = Tansu(self.plan.home, self._ports["kafka"])
        self._broker.start()
        partitions = max([1, *self.plan.replicas.values()])
        self._kafka_settings = self._broker.settings() | {"VIOX_KAFKA_PARTITIONS": str(partitions)}
        self._say(f"{self.plan.broker} broker on port {self._ports['kafka']}")

    def _kafka_for(self, service: str) -> dict[str, str]:
        """What a service needs to know of Kafka: its own password and nobody else's."""
        if self._broker:
            return self._kafka_settings | self._broker.client_settings(service)
        return kafka_users.foreign_login(self.plan.environment, service)

    def _prepare(self) -> str:
        """In a child, because it needs an event loop: roles, schema, users, topics. Returns what identity is worth."""
        if self._postgres:
            self._postgres.prepare()
            asyncio.run(
                self._postgres.may_move_clock(
                    set(credentials.emulated(self.plan.environment)) == set(credentials.EMULATED)
                )
            )
        else:
            from shared.store.migrate import migrate

            migrate(self._dsns["owner"])
        return self._prepare_broker()

    def _prepare_broker(self) -> str:
        from shared.bus import authorizer
        from shared.bus.cluster import ensure_topics

        found, why = self._broker.prepare() if self._broker else ("", "")
        os.environ.update(
            credentials.inherited(credentials.VENDORS, self.plan.environment) | self._kafka_for(OPERATOR_CLI)
        )
        settings = Settings.load()
        asyncio.run(ensure_topics(settings))
        if not self._broker:
            found, why = asyncio.run(authorizer.identity(settings))
            if found == authorizer.ENFORCED and not kafka_users.foreign_login(self.plan.environment, GATEWAY):
                found, why = authorizer.NOT_ENFORCED, "all services log in as the same user"
        if why:
            self._say(f"identity: {found}: {why}")
        return found

    def _in_child(self, action: Callable[[], str]) -> str:
        """Run something that needs an event loop, without one in this process. Returns what it returned."""
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            code = 0
            try:
                message = action()
            except VioxError as error:
                code, message = TOLD, json.dumps(error.as_dict())
            except BaseException as error:  # noqa: BLE001  # handed to the parent below
                code, message = 1, str(error)
            os.write(writer, message.encode()[:4000])
            os._exit(code)
        os.close(writer)
        with os.fdopen(reader, "rb") as pipe:
            message = pipe.read().decode()
        _, status = os.waitpid(pid, 0)
        if os.waitstatus_to_exitcode(status) == TOLD:
            told = json.loads(message)
            raise VioxError(told["code"], told["message"], field=told["field"], remedy=told["remedy"])
        if status != 0:
            raise VioxError("stack.prepare_failed", message or "preparing database and topics failed.")
        return message

    # -- keep --------------------------------------------------------------------------------------------------------

    def keep(self) -> None:
        """Start again what ended. What cannot be mended now is tried again after a pause; the services wait for it."""
        for thing in (self._postgres, self._broker):
            if thing and thing.process:
                thing.process.poll()
        if time.monotonic() < self._mend_at:
            return
        try:
            self._mend()
        except (VioxError, OSError) as error:
            self._mends_failed += 1
            self._mend_at = time.monotonic() + children.pause(self._mends_failed)
            self._say(f"{error}; trying again")
        else:
            self._mends_failed = 0

    def _mend(self) -> None:
        if self._postgres and children.ended(self._postgres.process):
            self._say("postgres ended; starting it again")
            self._postgres.start()
        if self._broker and children.ended(self._broker.process):
            self._say("the broker ended; starting it again")
            self._topics_missing = True
            self._broker.start()
        if self._topics_missing:
            self.identity = self._in_child(self._prepare_broker)
            self._topics_missing = False
