"""Who logs in at Kafka as whom: one user for each service, one for upstream systems, one for the command line.

On a broker of ours their passwords are made here; on one of yours they are read from VIOX_KAFKA_PASSWORDS_DIR, a file for
each user. Whoever starts a service hands it its own and no other.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from sandbox.passwords import Passwords
from shared.errors import BadInput

# Names that no agent can have: a service is `viox-<name>`, and one of these may do everything.
ADMIN, CONTROLLER = "admin", "kraft-controller"
SUPER_USERS = (ADMIN, CONTROLLER)
USER = "viox-{service}"
USER_SETTING, PASSWORD_SETTING = "VIOX_KAFKA_SASL_PLAIN_USERNAME", "VIOX_KAFKA_SASL_PLAIN_PASSWORD"
FOLDER_SETTING = "VIOX_KAFKA_PASSWORDS_DIR"


def folder(home: Path) -> Path:
    """Where a stack keeps its users' passwords."""
    return home / "secrets" / "kafka"


def user_of(service: str) -> str:
    return service if service in SUPER_USERS else USER.replace("{service}", service)


def login(home: Path, service: str) -> dict[str, str]:
    """Settings with which a service logs in at the stack's own broker."""
    user = user_of(service)
    return {USER_SETTING: user, PASSWORD_SETTING: Passwords(folder(home)).of(user)}


def foreign_login(environment: Mapping[str, str], service: str) -> dict[str, str]:
    """Settings with which a service logs in at a broker of somebody else; empty when all use the same.

    Raises BadInput when the password's file cannot be read.
    """
    given = environment.get(FOLDER_SETTING)
    if not given:
        return {}
    user = environment.get(USER_SETTING, USER).replace("{service}", service)
    try:
        password = (Path(given) / user).read_text().strip()
    except OSError as error:
        raise BadInput(
            "settings.invalid",
            f"the password of {user} cannot be read: {error}.",
            field=FOLDER_SETTING,
            remedy=f"Name a folder with a file for each user; {USER_SETTING} says how users are called ({USER}).",
        ) from error
    return {USER_SETTING: user, PASSWORD_SETTING: password}
