"""The deployment a command talks to: the stack of `viox up` in VIOX_HOME, or servers named by settings.

Every command imports this module, so it loads neither the settings model nor anything of the services at import.
"""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared.errors import Unavailable
from shared.home import state_home

if TYPE_CHECKING:
    from shared.people import People
    from shared.store.pool import Pool

CLI_ROLE = "viox_operator_cli"
KAFKA_ADMIN = "admin"


def home() -> Path:
    return state_home()


def state() -> dict[str, Any] | None:
    """What the running stack says of itself; None when none runs."""
    try:
        with (home() / "stack.lock").open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return None  # nobody holds it: what state.json says is stale, its pid may be anybody's
    except BlockingIOError:
        pass
    except OSError:
        return None
    try:
        found: dict[str, Any] = json.loads((home() / "state.json").read_text())
    except (OSError, json.JSONDecodeError):
        return None
    return found if isinstance(found, dict) and "pid" in found else None


def profile(setting: str) -> Path | None:
    """A file of the business that runs here: as the caller's environment names it, else as the stack has it."""
    running = state() or {}
    named = os.environ.get(setting) or running.get("profile", {}).get(setting)
    return Path(named) if named else None


def people() -> People:
    """Everybody of the business. Raises BadInput when the file cannot be read."""
    from shared.people import read_people

    return read_people(profile("VIOX_PEOPLE"))


def dsn(role: str = CLI_ROLE) -> str:
    """Connection string for the command line. Raises Unavailable when there is no deployment to talk to, or not yet."""
    if given := os.environ.get("VIOX_POSTGRES_DSN"):
        return given
    running = state()
    if running is None:
        raise Unavailable(
            "stack.not_running",
            "no stack runs here.",
            field="VIOX_HOME",
            remedy="Start one with `viox up`, or set VIOX_POSTGRES_DSN.",
        )
    if running["postgres_dsn"]:
        return str(running["postgres_dsn"])
    if running["postgres"] is None:
        raise Unavailable(
            "stack.starting",
            "the stack is starting, and its Postgres is not there yet.",
            field="VIOX_HOME",
            remedy="Try again in a moment; see `viox status`.",
        )
    from sandbox.postgres import Postgres

    return Postgres(home(), int(running["postgres"].rsplit(":", 1)[1])).dsn(role)


def kafka_settings(service: str) -> dict[str, str]:
    """Environment variables with which a service, or who else has a user, reaches Kafka; its password is in VIOX_HOME.

    Of a Kafka that is not the stack's: what the caller's environment says, the administrator's user being the caller's own.
    Raises Unavailable when there is no Kafka to talk to, BadInput when a password cannot be read.
    """
    from sandbox import kafka_users

    running = state()
    if running is not None and running["kafka_settings"]:
        given: dict[str, str] = running["kafka_settings"]
        return given | (kafka_users.login(home(), service) if running["broker"] == "apache" else {})
    given = {name: value for name, value in os.environ.items() if name.startswith("VIOX_KAFKA_")}
    if "VIOX_KAFKA_BOOTSTRAP_SERVERS" not in given:
        raise Unavailable(
            "stack.not_running",
            "no stack runs here.",
            field="VIOX_HOME",
            remedy="Start one with `viox up`, or set VIOX_KAFKA_BOOTSTRAP_SERVERS.",
        )
    return given | (kafka_users.foreign_login(given, service) if service != KAFKA_ADMIN else {})


def operator_token() -> str | None:
    """What the gateway wants to see before it answers an operator: ours by the settings, else that of the stack here.

    Raises BadInput when a file that should hold it cannot be read.
    """
    from services.tool_gateway.wire.credentials import Secrets

    if given := Secrets(os.environ).or_none("VIOX_OPERATOR_TOKEN"):
        return given.split(",")[0].strip()  # the newest one
    try:
        return (home() / "operator-token").read_text().strip()
    except OSError:
        return None


async def pool() -> Pool:
    from shared.store.pool import open_pool

    return await open_pool(dsn(), application="viox cli", size=2, for_people=True)
