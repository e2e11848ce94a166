"""Where traces go is said by the standard names. Nothing goes anywhere by itself."""

from __future__ import annotations

import pytest

from sandbox.credentials import inherited
from shared.errors import BadInput
from shared.redaction import Redactor
from shared.telemetry.export.background import Bounds
from shared.telemetry.export.settings import read

COLLECTOR = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}


def test_it_is_off_unless_something_is_set() -> None:
    assert not read({}, Redactor()).on
    assert not read(
        {"OTEL_EXPORTER_OTLP_ENDPOINT": " ", "LANGSMITH_API_KEY": "k", "HELICONE_API_KEY": ""}, Redactor()
    ).on
    assert not read(COLLECTOR | {"OTEL_SDK_DISABLED": "true"}, Redactor()).on
    assert not read(COLLECTOR | {"OTEL_TRACES_EXPORTER": "none"}, Redactor()).on


def test_a_collector_is_enough() -> None:
    found = read(COLLECTOR, Redactor())
    assert (found.on, found.otlp, found.langsmith, found.helicone) == (True, True, None, None)
    assert read({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://c/v1/traces"}, Redactor()).otlp
    assert found.bounds == Bounds(2048, 512, 5.0)


def test_langsmith_is_on_by_its_own_switch_with_a_key() -> None:
    given = {"LANGSMITH_TRACING": "true", "LANGSMITH_API_KEY": "lsv2_x", "LANGSMITH_PROJECT": "office"}
    found = read(given, Redactor()).langsmith
    assert found is not None
    assert (found.url, found.project) == ("https://api.smith.langchain.com/otel/v1/traces", "office")
    other = read(given | {"LANGSMITH_ENDPOINT": "https://smith.example.com/api/v1/"}, Redactor()).langsmith
    assert other is not None
    assert other.url == "https://smith.example.com/api/v1/otel/v1/traces"


def test_helicone_is_on_by_its_key() -> None:
    found = read({"HELICONE_API_KEY": "sk-x"}, Redactor()).helicone
    assert found is not None
    assert found.url == "https://api.worker.helicone.ai/custom/v1/log"


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318"}, "OTEL_EXPORTER_OTLP_ENDPOINT"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://"}, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"),
        (COLLECTOR | {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "OTEL_EXPORTER_OTLP_PROTOCOL"),
        (COLLECTOR | {"OTEL_TRACES_EXPORTER": "zipkin"}, "OTEL_TRACES_EXPORTER"),
        (COLLECTOR | {"OTEL_BSP_MAX_QUEUE_SIZE": "0"}, "OTEL_BSP_MAX_QUEUE_SIZE"),
        (COLLECTOR | {"OTEL_BSP_SCHEDULE_DELAY": "5s"}, "OTEL_BSP_SCHEDULE_DELAY"),
        ({"LANGSMITH_TRACING": "true"}, "LANGSMITH_API_KEY"),
        ({"LANGCHAIN_TRACING_V2": "true"}, "LANGSMITH_API_KEY"),
        ({"HELICONE_API_KEY": "sk-x", "HELICONE_BASE_URL": "helicone"}, "HELICONE_BASE_URL"),
    ],
)
def test_what_cannot_be_used_is_named(given: dict[str, str], field: str) -> None:
    with pytest.raises(BadInput) as refused:
        read(given, Redactor())
    assert refused.value.field == field
    assert refused.value.remedy


def test_keys_are_secrets_of_the_process() -> None:
    redactor = Redactor()
    read(
        COLLECTOR
        | {
            "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20otlp-key-123456,x-team=blue-team-9876",
            "LANGSMITH_TRACING": "1",
            "LANGSMITH_API_KEY": "lsv2_secret_123",
            "HELICONE_API_KEY": "sk-helicone-12345",
        },
        redactor,
    )
    said = "a otlp-key-123456 b lsv2_secret_123 c sk-helicone-12345 d blue-team-9876"
    hidden = redactor.everywhere(said)
    assert not any(key in hidden for key in said.split() if len(key) > 1)


def test_keys_are_not_in_the_settings_as_they_are_shown() -> None:
    given = {"LANGSMITH_TRACING": "1", "LANGSMITH_API_KEY": "lsv2_secret_123", "HELICONE_API_KEY": "sk-helicone-12345"}
    shown = repr(read(given, Redactor()))
    assert "lsv2_secret_123" not in shown
    assert "sk-helicone-12345" not in shown


def test_on_one_machine_every_service_that_sends_spans_knows_where_to() -> None:
    given = COLLECTOR | {"LANGSMITH_API_KEY": "k", "HELICONE_API_KEY": "h", "STRIPE_API_KEY": "s"}
    assert set(inherited("closer", given)) == {"OTEL_EXPORTER_OTLP_ENDPOINT", "LANGSMITH_API_KEY", "HELICONE_API_KEY"}
    assert set(inherited("gateway", given)) == set(given)
