"""`viox up`, `down`, `status`: start the stack detached, stop it, look at it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from shared.errors import BadInput, VioxError
from viox import deployment

MODES = ("offline", "wire", "real")
UP_SECONDS = 180.0  # it ends early when all is well or something died; slow machines import for a while


def plan(
    only: str | None,
    replicas: str | None,
    broker: str,
    *,
    foreground: bool,
    models: str | None = None,
    model_faults: Path | None = None,
) -> dict[str, Any]:
    """The stack to run, from options and environment. Raises BadInput naming the option at fault."""
    from sandbox.plan import DEFAULT_PORT_BASE
    from sandbox.ports import SERVICES

    if broker not in ("embedded", "apache"):
        raise BadInput(
            "option.invalid", f"{broker!r} is not a broker.", field="--broker", remedy="Use embedded or apache."
        )
    given = os.environ.get("VIOX_PORT_BASE", str(DEFAULT_PORT_BASE))
    if not given.isdecimal() or int(given) > 65000:
        raise BadInput(
            "settings.invalid", f"{given!r} is not a port.", field="VIOX_PORT_BASE", remedy="For instance 8080."
        )
    services = _services(only, "--only") if only else list(SERVICES)
    _check_models(services, models)
    return {
        "home": str(deployment.home().absolute()),
        "only": services,
        "replicas": _replicas(replicas),
        "broker": broker,
        "port_base": int(given),
        "foreground": foreground,
        "models": models,
        "model_faults": _checked_faults(model_faults, models) if model_faults else None,
    }


def _check_models(services: list[str], models: str | None) -> None:
    """An agent without any usable model would crash at every start. Raises BadInput with the key to set."""
    from sandbox import credentials
    from shared.models import registry

    if models not in (None, *MODES):
        raise BadInput(
            "option.invalid",
            f"{models!r} is no way to answer.",
            field="--models",
            remedy="Use offline (rules, no AI), wire (the sandbox's model servers) or real (providers' keys).",
        )
    environment = credentials.agents_see(os.environ, models)
    registry.check(environment.get("VIOX_MODELS"), environment, [name for name in services if name in registry.ROLES])


def _checked_faults(file: Path, models: str | None) -> str:
    """The whole path of a file of faults. Raises BadInput when the model servers could not use it."""
    from sandbox.models.faults import BadFault, Faults

    if models != "wire":
        told = "faults are for the sandbox's model servers."
        raise BadInput("option.invalid", told, field="--model-faults", remedy="Add --models wire.")
    try:
        Faults().load(file)
    except BadFault as error:
        remedy = "A JSON array of faults: see docs/models.md."
        raise BadInput("option.invalid", f"{error}.", field="--model-faults", remedy=remedy) from error
    return str(file.absolute())


def _models_file() -> dict[str, str]:
    """VIOX_MODELS with its whole path: the supervisor runs in another folder."""
    given = os.environ.get("VIOX_MODELS")
    return {"VIOX_MODELS": str(Path(given).absolute())} if given and given != "offline" else {}


def up(wanted: dict[str, Any]) -> dict[str, Any]:
    """Start detached and return the state when everything is ready. Raises VioxError with the reason when it cannot."""
    home = Path(wanted["home"])
    (home / "logs").mkdir(parents=True, exist_ok=True)
    problem = home / "start-error.json"
    problem.unlink(missing_ok=True)
    _fetch(wanted)
    with (home / "logs" / "stack.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "sandbox.stack", json.dumps(wanted)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd="/",
            env=os.environ | _models_file() | {"PYTHONPATH": _python_path()},
        )
    deadline = time.monotonic() + UP_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise _start_error(problem, home)
        found = deployment.state()
        if found and found["pid"] == process.pid and found["ready"]:
            return found
        time.sleep(0.05)
    process.terminate()
    raise VioxError("stack.start_timeout", f"not ready after {UP_SECONDS:.0f} s.", remedy=f"See {home}/logs.")


def run_in_foreground(wanted: dict[str, Any]) -> None:
    """Run the supervisor in this process until it is interrupted. Raises VioxError when the broker cannot be had."""
    _fetch(wanted)
    os.execve(
        sys.executable,
        [sys.executable, "-m", "sandbox.stack", json.dumps(wanted)],
        os.environ | {"PYTHONPATH": _python_path()},
    )


def _fetch(wanted: dict[str, Any]) -> None:
    """What has to be downloaded once is no part of starting, and its time does not count. Raises VioxError."""
    if wanted["broker"] == "apache" and not os.environ.get("VIOX_KAFKA_BOOTSTRAP_SERVERS"):
        from sandbox.broker import resolve

        resolve()


def down() -> bool:
    """Stop the stack and wait until nothing of it is left. False when none ran."""
    found = deployment.state()
    if found is None:
        return False
    os.kill(found["pid"], signal.SIGTERM)
    deadline = time.monotonic() + 45
    while Path(f"/proc/{found['pid']}").exists() and _running(found["pid"]):
        if time.monotonic() > deadline:
            raise VioxError(
                "stack.stop_timeout", "the stack did not stop in 45 s.", remedy=f"Kill process {found['pid']}."
            )
        time.sleep(0.05)
    return True


def public(found: dict[str, Any]) -> dict[str, Any]:
    """The part of the state that `status --json` shows."""
    public_view = (
        "services",
        "kafka",
        "postgres",
        "gateway_url",
        "console_url",
        "identity",
        "broker",
        "vendors",
        "emulated",
        "models",
        "models_mode",
        "ready",
    )
    return {name: found[name] for name in public_view if name in found}


def vendors_lines(found: dict[str, Any]) -> list[str]:
    """Which vendors are emulated on this machine, and which are the real ones."""
    names = found.get("emulated", [])
    real = [name for name in found["vendors"] if name not in names]
    told = ["emulated  " + (", ".join(names) or "none") + " (nothing leaves this machine)" * bool(names)]
    return [*told, f"real      {', '.join(real)} (credentials are set)"] if real else told


def console_lines(found: dict[str, Any]) -> list[str]:
    """Where the console is, and how people sign in to it."""
    if not found.get("console_url"):
        return []
    from sandbox.credentials import console_tokens

    files = {} if os.environ.get("VIOX_PEOPLE") else console_tokens(deployment.home())
    told = [f"sign in as {name} with the token in {file}" for name, file in files.items() if file.exists()]
    return [f"console   {found['console_url']}"] + [f"          {one}" for one in told]


def models_line(found: dict[str, Any]) -> str:
    """How this stack's roles are answered, for people."""
    told = {"offline": "offline (rules of the roles, no AI)", "wire": f"wire (sandbox), at {found.get('models_url')}"}
    mode = found.get("models_mode") or "real"
    return f"models: {told.get(mode, mode)}"


def model_line(model: dict[str, Any]) -> str:
    """One agent's model, for people."""
    from shared.models.choice import Choice

    return f"{model['agent']:<15} {Choice.of(model).sentence()}"


def _running(pid: int) -> bool:
    from sandbox.children import alive

    return alive(pid)


def _start_error(problem: Path, home: Path) -> VioxError:
    try:
        told = json.loads(problem.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return VioxError("stack.start_failed", "the stack ended while starting.", remedy=f"See {home}/logs/stack.log.")
    kind = BadInput if told["bad_input"] else VioxError
    return kind(told["code"], told["message"], field=told["field"], remedy=told["remedy"])


def _services(given: str, option: str) -> list[str]:
    from sandbox.ports import SERVICES

    names = [part.strip().replace("_", "-") for part in given.split(",") if part.strip()]
    for name in names:
        if name not in SERVICES:
            raise BadInput(
                "option.invalid", f"{name!r} is not a service.", field=option, remedy=f"Known: {', '.join(SERVICES)}."
            )
    return names


def _replicas(given: str | None) -> dict[str, int]:
    wanted: dict[str, int] = {}
    for part in (given or "").split(","):
        if not part:
            continue
        name, _, number = part.partition("=")
        if not number.isdecimal() or not 1 <= int(number) <= 8:
            raise BadInput(
                "option.invalid",
                f"{part!r} is not S=N with N from 1 to 8.",
                field="--replicas",
                remedy="For instance --replicas closer=2,gateway=2.",
            )
        wanted[_services(name, "--replicas")[0]] = int(number)
    return wanted


def _python_path() -> str:
    """Where our own packages are, for a process started elsewhere."""
    ours = str(Path(__file__).parent.parent)
    given = os.environ.get("PYTHONPATH")
    return f"{ours}{os.pathsep}{given}" if given else ours
