"""The supervisor behind `viox up`: Postgres, broker, vendor emulators and every service, as processes of one machine.

Services are forked by a server of their own (`forking`), Postgres and broker are looked after by `infrastructure`. This
process never runs an event loop or a thread, so that it can be forked. When it dies, even by SIGKILL, the kernel takes
its children down (parent-death signal); what it left behind is cleaned at the next start.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import signal
import sys
import sysconfig
import time
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import sandbox
import shared
from sandbox import children, credentials, ports
from sandbox.credentials import CONSOLE, MODELS, VENDORS
from sandbox.forking import ForkServer, Seat, check_files, refusal_of, users
from sandbox.infrastructure import Infrastructure
from sandbox.net import Reserved, ready
from sandbox.plan import Plan
from shared.bus.topics import GATEWAY
from shared.entry import UNUSABLE_SETTINGS
from shared.errors import BadInput, VioxError
from shared.models import registry
from shared.redaction import Redactor
from shared.telemetry.export import settings as traces

VENDORS_MODULE = "sandbox.vendors.main"
MODELS_MODULE = "sandbox.role_players"
TRACER_MODULE = "shared.telemetry.export.tracer"
TICK_SECONDS = 0.05
READY_EVERY_SECONDS = 0.25


@dataclass
class Child:
    """One forked service."""

    seat: Seat
    service: str
    port: int
    process: BaseProcess | None = None
    pid: int = 0
    started: float = 0.0
    restarts: int = 0
    again_at: float = 0.0
    ready: bool = False
    stopped: bool = False

    @property
    def name(self) -> str:
        return self.seat.label


class Stack:
    """Starts everything in order, keeps it running, stops it in reverse."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.home = plan.home
        self._ending = False
        self._forks: ForkServer | None = None
        self._users: dict[str, int] = {}
        self._children: list[Child] = []
        self._infrastructure = Infrastructure(plan, self._say)
        self._ports: dict[str, int] = {}
        self._reserved = Reserved()
        self._ready_at = 0.0
        self._lock: Any = None
        self._models: list[dict[str, Any]] = []
        self._tails: dict[str, int] = {}

    def run(self) -> None:
        """Until SIGTERM or SIGINT. Raises VioxError when it cannot start."""
        self.home.mkdir(parents=True, exist_ok=True)
        (self.home / "logs").mkdir(exist_ok=True, mode=0o700)
        (self.home / "logs").chmod(0o700)  # vendors' answers are in there
        self._take_lock()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._end)
        try:
            self._start()
            self._watch()
        finally:
            self._stop()

    # -- start -------------------------------------------------------------------------------------------------------

    def _take_lock(self) -> None:
        self._lock = (self.home / "stack.lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise BadInput(
                "stack.running",
                f"a stack already runs in {self.home}.",
                field="VIOX_HOME",
                remedy="Use it, stop it with `viox down`, or set VIOX_HOME to another folder.",
            ) from None

    def _end(self, *_: object) -> None:
        self._ending = True

    @property
    def _agents(self) -> list[str]:
        return [name for name in self.plan.only if name in registry.ROLES]

    @property
    def _models_mode(self) -> str:
        return credentials.models_mode(self.plan.environment, self.plan.models)

    def _choose_models(self) -> None:
        """Raises BadInput when an agent would have none."""
        environment = credentials.agents_see(self.plan.environment, self.plan.models)
        chosen = registry.check(environment.get("VIOX_MODELS"), environment, self._agents)
        self._models = [choice.document() for choice in chosen]
        self._say(f"models: {self._models_mode}")
        for choice in chosen:
            self._say(f"model of {choice.agent}: {choice.sentence()}")

    def _start(self) -> None:
        self._choose_models()
        served = (*self.plan.only, MODELS) if self._models_mode == "wire" else self.plan.only
        self._ports = ports.choose(self.plan.port_base, served, self._reserved)
        self._tell_moved()
        self._write_state(ready=False)
        self._load_code()
        self._infrastructure.start(self._ports)
        self._children.append(self._vendor_child())
        if self._models_mode == "wire":
            self._children.append(self._models_child())
        for name in self.plan.only:
            for number in range(1, self.plan.replicas.get(name, 1) + 1):
                self._children.append(self._service_child(name, number))
        for child in self._children:
            self._fork(child)

    def _load_code(self) -> None:
        """Start the fork server, which loads the services' code while database and broker start."""
        environment = credentials.agents_see(self.plan.environment, self.plan.models)
        adapters = registry.preload(environment.get("VIOX_MODELS"), environment, self._agents)
        players = [MODELS_MODULE] if self._models_mode == "wire" else []
        tracers = [TRACER_MODULE] if traces.read(self.plan.environment, Redactor()).on else []
        services = (_module(name) for name in self.plan.only)
        self._forks = ForkServer([VENDORS_MODULE, *services, *adapters, *players, *tracers])
        self._users = users(self._agents, _code())
        if self._users:
            check_files(self.plan.environment)
        self._forks.start()
        if os.geteuid() == 0 and not self._users:
            self._say("agents run as root without capabilities: other users cannot enter the folders of the code")

    def _tell_moved(self) -> None:
        """A port in the range of ephemeral ones may be in use by some connection; `viox status` shows where things are."""
        wanted = {name: self.plan.port_base + place for place, name in enumerate(ports.NAMES)}
        for name, port in self._ports.items():
            if self.plan.port_base and port != wanted[name]:
                self._say(f"port {wanted[name]} is in use by a connection; {name} is on {port}")

    def _vendor_child(self) -> Child:
        listening: dict[str, Any] = {name: self._ports[name] for name in credentials.EMULATED}
        listening["mail"] = tuple(self._ports[name] for name in ("mail", "smtp", "imap"))
        environment = credentials.inherited(VENDORS, self.plan.environment)
        log, folder = self._log(VENDORS), self.home / "vendors"
        seat = Seat(VENDORS, VENDORS_MODULE, log, environment, listening=listening, folder=folder)
        return Child(seat, VENDORS, 0)

    def _models_child(self) -> Child:
        """The sandbox's model servers. They get no setting of the caller's, so no real key either."""
        port = self._ports[MODELS]
        listening = {"models": port, "faults": self.plan.model_faults}
        environment = credentials.inherited(MODELS, self.plan.environment)
        seat = Seat(MODELS, MODELS_MODULE, self._log(MODELS), environment, confined=True, listening=listening)
        return Child(seat, MODELS, port)

    def _service_child(self, name: str, number: int) -> Child:
        port = self._ports[name] if number == 1 else self._reserved.any()
        environment = self._infrastructure.settings_for(name) | {
            "VIOX_HOME": str(self.home),
            "VIOX_HTTP_PORT": str(port),
        }
        if name == GATEWAY:
            environment |= credentials.for_gateway(self._ports, self.plan.environment, self.home)
        elif name == CONSOLE:
            environment |= credentials.for_console(self._ports, self.plan.environment, self.home, self.plan.only)
        else:
            environment |= credentials.for_agents(self.plan.environment, self.plan.models, self._ports)
        label = name if number == 1 else f"{name}-{number}"
        environment = credentials.inherited(name, self.plan.environment) | environment
        seat = Seat(
            label,
            _module(name),
            self._log(label),
            environment,
            confined=name not in (GATEWAY, CONSOLE),
            uid=self._users.get(name),
        )
        return Child(seat, name, port)

    def _fork(self, child: Child) -> None:
        assert self._forks is not None  # noqa: S101  # started before there are children
        child.process = self._forks.fork(child.seat)
        child.pid, child.started, child.ready = child.process.pid or 0, time.monotonic(), False

    # -- watch -------------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        next_check = 0.0
        while not self._ending:
            self._reap()
            self._revive()
            self._infrastructure.keep()
            if time.monotonic() >= next_check:
                self._check_ready()
                next_check = time.monotonic() + (READY_EVERY_SECONDS if not self._ready_at else 2.0)
            if self.plan.foreground:
                self._show_logs()
            time.sleep(TICK_SECONDS)

    def _reap(self) -> None:
        for child in self._children:
            if child.pid and child.process and child.process.exitcode is not None:
                self._died(child, child.process.exitcode)

    def _died(self, child: Child, code: int) -> None:
        lived = time.monotonic() - child.started
        child.restarts = child.restarts + 1 if lived < 10 else 1
        child.again_at = time.monotonic() + children.pause(child.restarts)
        child.pid, child.process, child.ready = 0, None, False
        if code == UNUSABLE_SETTINGS and not self._ready_at and not child.stopped:
            raise _refusal(child)
        if not child.stopped:
            self._say(f"{child.name} ended ({children.ending(code)}) after {lived:.1f} s; starting it again")

    def _revive(self) -> None:
        for child in self._children:
            if child.pid == 0 and not child.stopped and time.monotonic() >= child.again_at:
                self._fork(child)

    def _check_ready(self) -> None:
        for child in self._children:
            child.ready = child.pid != 0 and (child.port == 0 or ready(child.port))
        everything = all(child.ready for child in self._children)
        if everything and not self._ready_at:
            self._ready_at = time.monotonic()
            self._say("ready")
        try:
            self._write_state(ready=everything)
        except OSError as error:
            self._say(f"cannot write {self.home}/state.json: {error}; going on")

    # -- stop --------------------------------------------------------------------------------------------------------

    def _stop(self) -> None:
        for child in self._children:
            child.stopped = True
        outside = (VENDORS, MODELS)
        self._terminate([c for c in self._children if c.service not in outside], 25)
        self._terminate([c for c in self._children if c.service in outside], 5)
        self._infrastructure.stop()
        self._reserved.close()
        (self.home / "state.json").unlink(missing_ok=True)
        self._say("stopped")

    def _terminate(self, group: list[Child], seconds: float) -> None:
        for child in group:
            if child.pid:
                os.kill(child.pid, signal.SIGTERM)
        deadline = time.monotonic() + seconds
        while any(child.pid for child in group) and time.monotonic() < deadline:
            self._reap()
            time.sleep(0.02)
        for child in group:
            if child.pid:
                os.kill(child.pid, signal.SIGKILL)

    # -- what others see -----------------------------------------------------------------------------------------------

    def _write_state(self, *, ready: bool) -> None:
        state = {
            "pid": os.getpid(),
            "ready": ready,
            "services": [
                {
                    "name": c.name,
                    "pid": c.pid,
                    "url": f"http://127.0.0.1:{c.port}" if c.port else None,
                    "ready": c.ready,
                }
                for c in self._children
            ],
            "gateway_url": f"http://127.0.0.1:{self._ports[GATEWAY]}",
            "console_url": f"http://127.0.0.1:{self._ports[CONSOLE]}" if CONSOLE in self.plan.only else None,
            "vendors": {name: f"http://127.0.0.1:{self._ports[name]}" for name in credentials.EMULATED},
            "emulated": credentials.emulated(self.plan.environment),
            "models": self._models,
            "models_mode": self._models_mode,
            "models_url": f"http://127.0.0.1:{self._ports[MODELS]}" if self._models_mode == "wire" else None,
            "profile": credentials.profile(self.plan.environment),
        } | self._infrastructure.document()
        file = self.home / "state.json"
        fresh = file.with_suffix(".new")
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(fd, "w") as handle:
            json.dump(state, handle, indent=1)
        fresh.rename(file)

    def _log(self, name: str) -> Path:
        return self.home / "logs" / f"{name}.log"

    def _say(self, text: str) -> None:
        """One line of our log. A full disk costs the line, not the stack."""
        with contextlib.suppress(OSError):
            print(f"{time.strftime('%H:%M:%S')} {'stack':<15} {text}", file=sys.stderr, flush=True)  # noqa: T201

    def _show_logs(self) -> None:
        for child in self._children:
            file = self._log(child.name)
            if not file.exists():
                continue
            with file.open("rb") as handle:
                handle.seek(self._tails.setdefault(child.name, file.stat().st_size))
                new = handle.read()
            self._tails[child.name] += len(new)
            if new:
                sys.stderr.write(new.decode(errors="replace"))


def _code() -> list[Path]:
    """Where the code is that the services load, also later on."""
    ours = [Path(package.__path__[0]) for package in (sandbox, shared)]
    return [*ours, Path(sysconfig.get_path("purelib")), Path(sys.executable)]


def _refusal(child: Child) -> VioxError:
    """Why a service cannot start with these settings, in its own words."""
    try:
        told = json.loads(refusal_of(child.seat).read_text())
    except (OSError, ValueError):
        return BadInput("service.refused", f"{child.name} cannot start.", remedy=f"See {child.seat.log}.")
    return BadInput(told["code"], f"{child.name}: {told['message']}", field=told["field"], remedy=told["remedy"])


def _module(service: str) -> str:
    return f"services.{'tool_gateway' if service == GATEWAY else service.replace('-', '_')}.main"


def main() -> None:
    """Entry of the detached supervisor. The plan comes from `viox up` as JSON on the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("plan")
    given = json.loads(parser.parse_args().plan)
    plan = Plan(
        home=Path(given["home"]),
        only=tuple(given["only"]),
        replicas=given["replicas"],
        broker=given["broker"],
        port_base=given["port_base"],
        foreground=given["foreground"],
        models=given["models"],
        model_faults=given["model_faults"],
        environment=dict(os.environ),
    )
    credentials.forget(os.environ)
    try:
        Stack(plan).run()
    except VioxError as error:
        told = error.as_dict() | {"bad_input": isinstance(error, BadInput)}
        (plan.home / "start-error.json").write_text(json.dumps(told))
        print(error, file=sys.stderr)  # noqa: T201
        sys.exit(1)


if __name__ == "__main__":
    main()
