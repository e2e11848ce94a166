"""`python -m viox.kafka_setup`: users, rights and topics on a Kafka that is started with nothing but its controller's password.

It runs beside the controller, whose port is on loopback, and may run again at any time: passwords become those of the
settings, rights those of the topics, and topics that are there stay as they are.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from typing import Final

from sandbox import kafka_users
from sandbox.broker import USERS_SECONDS, apply_rights
from sandbox.kafka_users import ADMIN, CONTROLLER, PASSWORD_SETTING, USER_SETTING
from shared.bus import acls, authorizer, scram, topics
from shared.bus.cluster import ensure_topics
from shared.entry import run
from shared.errors import BadInput, VioxError
from shared.settings import Settings

ADDRESS: Final = "VIOX_KAFKA_CONTROLLER_ADDRESS"
CLIENTS: Final = (ADMIN, *acls.CLIENTS)  # who has a password by SCRAM; the controller's own is in the broker's settings
# Signed checkpoints are kept for good; all else as long as the broker says.
KEPT: Final = {topics.AUDIT_CHECKPOINTS: {"retention.ms": "-1"}}


def password_setting(client: str) -> str:
    """The setting that holds a client's password, as this program alone is given them all."""
    return f"VIOX_KAFKA_{client.replace('-', '_').upper()}_PASSWORD"


async def prepare(environment: Mapping[str, str]) -> None:
    """Raises BadInput for a setting that is missing, VioxError when the broker does not tell services apart afterwards."""
    passwords = {client: _needed(environment, password_setting(client)) for client in CLIENTS}
    controller = _controller(environment)
    users = {kafka_users.user_of(client): password for client, password in passwords.items()}
    await scram.set_passwords(controller, users, USERS_SECONDS)
    await apply_rights(_settings(ADMIN, passwords))
    operator = _settings(topics.OPERATOR_CLI, passwords)
    await ensure_topics(operator, configs=KEPT)
    found, why = await authorizer.identity(operator)
    if found != authorizer.ENFORCED:
        raise VioxError("kafka.identity", f"the broker does not tell services apart: {found}: {why}.")


def _controller(environment: Mapping[str, str]) -> scram.Controller:
    host, _, port = _needed(environment, ADDRESS).rpartition(":")
    if not (host and port.isdigit()):
        raise BadInput("settings.invalid", "this is no address.", field=ADDRESS, remedy="For instance 127.0.0.1:9093.")
    return scram.Controller(host, int(port), CONTROLLER, _needed(environment, password_setting(CONTROLLER)))


def _settings(client: str, passwords: Mapping[str, str]) -> Settings:
    login = {USER_SETTING: kafka_users.user_of(client), PASSWORD_SETTING: passwords[client]}
    return Settings.load(**{name.removeprefix("VIOX_").lower(): value for name, value in login.items()})


def _needed(environment: Mapping[str, str], name: str) -> str:
    if not (given := environment.get(name, "").strip()):
        raise BadInput("settings.missing", f"{name} is not set.", field=name, remedy="See docs/compose.md.")
    return given


if __name__ == "__main__":
    run(lambda: asyncio.run(prepare(os.environ)))
