"""Preparing a broker: what it is told, in which order, and what is said when it cannot be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from sandbox.kafka_users import CONTROLLER
from shared.bus import acls, authorizer, scram, topics
from shared.errors import BadInput, VioxError
from shared.settings import Settings
from viox import kafka_setup
from viox.kafka_setup import ADDRESS, CLIENTS, KEPT, password_setting, prepare

GIVEN = {password_setting(client): f"of {client}" for client in (CONTROLLER, *CLIENTS)} | {ADDRESS: "127.0.0.1:9093"}


class Cluster:
    """Takes down what it is asked for."""

    def __init__(self, found: str = authorizer.ENFORCED) -> None:
        self.asked: list[tuple[str, Any]] = []
        self._found = found

    async def set_passwords(self, controller: scram.Controller, passwords: Mapping[str, str], seconds: float) -> None:
        self.asked.append(("passwords", (controller, dict(passwords))))

    async def apply_rights(self, given: Settings) -> None:
        self.asked.append(("rights", _login(given)))

    async def ensure_topics(self, given: Settings, *, configs: Mapping[str, Mapping[str, str]]) -> str:
        self.asked.append(("topics", (_login(given), configs)))
        return "viox"

    async def identity(self, given: Settings) -> tuple[str, str]:
        return self._found, "nobody logs in"


def _login(given: Settings) -> tuple[str | None, str]:
    assert given.kafka_sasl_plain_password
    return given.kafka_sasl_plain_username, given.kafka_sasl_plain_password.get_secret_value()


def use(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scram, "set_passwords", cluster.set_passwords)
    monkeypatch.setattr(kafka_setup, "apply_rights", cluster.apply_rights)
    monkeypatch.setattr(kafka_setup, "ensure_topics", cluster.ensure_topics)
    monkeypatch.setattr(authorizer, "identity", cluster.identity)


async def test_users_come_first_then_rights_then_topics(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster()
    use(cluster, monkeypatch)
    await prepare(GIVEN)
    users = {"admin": "of admin"} | {f"viox-{client}": f"of {client}" for client in acls.CLIENTS}
    controller = scram.Controller("127.0.0.1", 9093, "kraft-controller", "of kraft-controller")
    assert cluster.asked == [
        ("passwords", (controller, users)),
        ("rights", ("admin", "of admin")),
        ("topics", (("viox-operator-cli", "of operator-cli"), KEPT)),
    ]
    assert set(KEPT) <= {topic.name for topic in topics.all_topics()}


async def test_a_broker_that_keeps_rules_and_ignores_them_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    use(Cluster(authorizer.NOT_ENFORCED), monkeypatch)
    with pytest.raises(VioxError, match="does not tell services apart: not enforced: nobody logs in"):
        await prepare(GIVEN)


@pytest.mark.parametrize("name", GIVEN)
async def test_a_setting_that_is_missing_is_named(name: str) -> None:
    with pytest.raises(BadInput, match="is not set") as refused:
        await prepare(GIVEN | {name: " "})
    assert refused.value.field == name


@pytest.mark.parametrize("address", ["9093", "127.0.0.1", ":9093", "kafka:port"])
async def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(BadInput, match="no address"):
        await prepare(GIVEN | {ADDRESS: address})


def test_an_agent_of_that_name_does_not_share_the_controllers_password() -> None:
    settings = [password_setting(client) for client in (CONTROLLER, *CLIENTS)]
    assert len(set(settings)) == len(settings)
