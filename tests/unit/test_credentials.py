"""Which process of a stack gets which part of the operator's environment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sandbox import credentials, kafka_users
from sandbox.credentials import EMULATED, GATEWAY, for_gateway, inherited
from services.tool_gateway.live.tokens import digest_of
from shared.errors import BadInput

PORTS = dict.fromkeys((*EMULATED, "smtp", "imap"), 1)
OPERATORS = {
    "PATH": "/bin",
    "VIOX_LOG_LEVEL": "DEBUG",
    "OPENAI_API_KEY": "models",
    "STRIPE_API_KEY": "stripe",
    "WEATHER_KEY": "weather",
    "WEATHER_KEY_FILE": "/weather",
    "VIOX_SECRET_KEY": "seal",
    "VIOX_SECRET_KEY_FILE": "/seal",
    "VIOX_QUERY_DSN": "ask",
    "VIOX_OPERATOR_TOKEN": "operator",
    "VIOX_OPERATOR_TOKEN_FILE": "/operator",
    "VIOX_SECRETS_DIR": "/secrets",
    "VIOX_KAFKA_PASSWORDS_DIR": "/kafka",
    "PGSSLMODE": "require",
}


@pytest.mark.parametrize("service", ["closer", "chief-of-staff", "vendors"])
def test_agents_get_none_of_the_gateways_secrets(service: str) -> None:
    assert inherited(service, OPERATORS) == {"PATH": "/bin", "VIOX_LOG_LEVEL": "DEBUG", "OPENAI_API_KEY": "models"}


def test_the_gateway_gets_what_any_imported_document_may_name_and_no_models_key() -> None:
    kept = inherited(GATEWAY, OPERATORS)
    assert OPERATORS.keys() - kept.keys() == {"OPENAI_API_KEY", "PGSSLMODE", "VIOX_KAFKA_PASSWORDS_DIR"}


@pytest.mark.parametrize("given", [{}, {"VIOX_OPERATOR_TOKEN": "mine"}, {"VIOX_OPERATOR_TOKEN_FILE": "/mine"}])
def test_a_stack_makes_its_operators_token_once_unless_there_is_one(tmp_path: Path, given: dict[str, Any]) -> None:
    first, second = (for_gateway(PORTS, given, tmp_path) for _ in range(2))
    file = tmp_path / "operator-token"
    assert file.exists() != bool(given)
    assert (
        first.get("VIOX_OPERATOR_TOKEN") == second.get("VIOX_OPERATOR_TOKEN") == (None if given else file.read_text())
    )
    assert given or (len(file.read_text()) >= 32 and file.stat().st_mode & 0o077 == 0)


@pytest.mark.parametrize("given", [{}, {"VIOX_INVOKE_TOKEN_CLOSER": "mine"}, {"VIOX_INVOKE_TOKEN_VOICE_FILE": "/mine"}])
def test_a_stack_makes_a_token_for_live_calls_once_unless_there_is_one(tmp_path: Path, given: dict[str, Any]) -> None:
    first, second = (for_gateway(PORTS, given, tmp_path) for _ in range(2))
    file = tmp_path / credentials.INVOKE_TOKEN
    assert file.exists() != bool(given)
    assert first.get("VIOX_INVOKE_TOKEN_VOICE") == second.get("VIOX_INVOKE_TOKEN_VOICE")
    assert given or file.stat().st_mode & 0o077 == 0
    assert given or first["VIOX_INVOKE_TOKEN_VOICE"] == f"sha256:{digest_of(file.read_text())}"


def test_the_emulated_vendors_are_named_as_the_gateway_knows_them(tmp_path: Path) -> None:
    assert {name for name in for_gateway(PORTS, {}, tmp_path) if name.startswith("VIOX_")} == {
        "VIOX_ALLOW_LOOPBACK",
        "VIOX_SECRET_KEY",
        "VIOX_OPERATOR_TOKEN",
        "VIOX_PEOPLE",
        "VIOX_BUSINESS",
        "VIOX_AUDIT_KEY",
        "VIOX_INVOKE_TOKEN_VOICE",
    }
    business = for_gateway(PORTS, {}, tmp_path)["VIOX_BUSINESS"]
    assert credentials.for_agents({}) == {"VIOX_MODELS": "offline", "VIOX_BUSINESS": business}


def test_a_vendor_is_emulated_when_nothing_of_it_is_set(tmp_path: Path) -> None:
    assert credentials.emulated({}) == list(EMULATED)
    mine = {"STRIPE_API_KEY": "sk", "HUBSPOT_CLIENT_ID": "oauth", "SMTP_HOST": "mail.example"}
    assert set(EMULATED) - set(credentials.emulated(mine)) == {"stripe", "hubspot", "mail"}
    settings = for_gateway(PORTS, mine, tmp_path)
    assert not {"STRIPE_BASE_URL", "HUBSPOT_BASE_URL", "SMTP_PORT"} & set(settings)
    assert "TWILIO_BASE_URL" in settings


def test_each_service_gets_its_own_kafka_password_and_no_other(tmp_path: Path) -> None:
    logins = [kafka_users.login(tmp_path, service) for service in ("closer", "voice", "closer")]
    assert logins[0] == logins[2] != logins[1]
    assert logins[0]["VIOX_KAFKA_SASL_PLAIN_USERNAME"] == "viox-closer"
    folder = kafka_users.folder(tmp_path)
    assert folder.stat().st_mode & 0o077 == 0
    assert [file.stat().st_mode & 0o077 for file in folder.iterdir()] == [0, 0]
    assert not set(folder.iterdir()) ^ {folder / "viox-closer", folder / "viox-voice"}


def test_passwords_of_a_kafka_of_yours_are_read_from_a_folder(tmp_path: Path) -> None:
    (tmp_path / "acme-closer").write_text("secret\n")
    given = {"VIOX_KAFKA_PASSWORDS_DIR": str(tmp_path), "VIOX_KAFKA_SASL_PLAIN_USERNAME": "acme-{service}"}
    assert kafka_users.foreign_login(given, "closer") == {
        "VIOX_KAFKA_SASL_PLAIN_USERNAME": "acme-closer",
        "VIOX_KAFKA_SASL_PLAIN_PASSWORD": "secret",
    }
    assert kafka_users.foreign_login({}, "closer") == {}
    with pytest.raises(BadInput, match="acme-voice") as error:
        kafka_users.foreign_login(given, "voice")
    assert error.value.field == "VIOX_KAFKA_PASSWORDS_DIR"


# -- models -------------------------------------------------------------------------------------------------------------

KEYS = {"ANTHROPIC_API_KEY": "real", "OPENAI_API_KEY": "real", "OPENAI_BASE_URL": "https://mine.example/v1"}


@pytest.mark.parametrize(
    ("environment", "wanted", "mode"),
    [
        ({}, None, "offline"),
        ({"OPENAI_API_KEY": " "}, None, "offline"),
        (KEYS, None, "real"),
        ({"VIOX_MODELS": "mine.yaml"}, None, "real"),
        (KEYS | {"VIOX_MODELS": "offline"}, None, "offline"),
        (KEYS | {"VIOX_MODELS": "offline"}, "real", "real"),
        (KEYS, "offline", "offline"),
        (KEYS, "wire", "wire"),
        ({}, "real", "real"),
    ],
)
def test_how_roles_are_answered(environment: dict[str, str], wanted: str | None, mode: str) -> None:
    assert credentials.models_mode(environment, wanted) == mode


def test_a_real_key_reaches_no_model_server_of_the_sandbox() -> None:
    """Neither as an agent's setting, nor in the servers' own environment."""
    seen = credentials.agents_see(KEYS, "wire", {"models": 99})
    assert "real" not in seen.values()
    assert {seen[name] for name in seen if name.endswith("_BASE_URL")} == {
        "http://127.0.0.1:99/anthropic",
        "http://127.0.0.1:99/openai/v1",
        "http://127.0.0.1:99/gemini/v1beta/openai",
        "http://127.0.0.1:99/mistral/v1",
    }
    assert inherited(credentials.MODELS, OPERATORS | KEYS) == {"PATH": "/bin"}


def test_rules_need_no_key_and_get_none() -> None:
    seen = credentials.agents_see(KEYS, "offline")
    assert seen.pop("VIOX_BUSINESS")
    assert seen == {"VIOX_MODELS": "offline", "ANTHROPIC_API_KEY": "", "OPENAI_API_KEY": "", "OPENAI_BASE_URL": ""}


def test_real_models_are_those_of_the_callers_file_or_of_ours() -> None:
    assert credentials.agents_see(KEYS | {"VIOX_MODELS": "mine.yaml"}, "real")["VIOX_MODELS"] == "mine.yaml"
    assert credentials.agents_see(KEYS | {"VIOX_MODELS": "offline"}, "real")["VIOX_MODELS"] == ""
    assert credentials.agents_see(KEYS, "wire", {"models": 9}).get("VIOX_MODELS", "") == ""
