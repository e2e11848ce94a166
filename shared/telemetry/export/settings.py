"""What the environment says about traces. Standard names are those of OpenTelemetry's specification, LangSmith and Helicone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from shared.errors import BadInput
from shared.redaction import Redactor
from shared.telemetry.export import helicone, langsmith
from shared.telemetry.export.background import Bounds

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
HEADERS = ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS")
PROTOBUF = "http/protobuf"
# LangSmith's own names of its switch. LangChain's own tracing is switched off where graphs are compiled.
LANGCHAIN_SWITCHES = ("LANGSMITH_TRACING", "LANGSMITH_TRACING_V2", "LANGCHAIN_TRACING", "LANGCHAIN_TRACING_V2")


@dataclass(frozen=True, slots=True)
class LangSmith:
    url: str
    key: str = field(repr=False)
    project: str | None


@dataclass(frozen=True, slots=True)
class Helicone:
    url: str
    key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class TraceSettings:
    """Where spans go. Nowhere, unless something is set."""

    otlp: bool = False
    langsmith: LangSmith | None = None
    helicone: Helicone | None = None
    bounds: Bounds = field(default_factory=Bounds)

    @property
    def on(self) -> bool:
        return self.otlp or self.langsmith is not None or self.helicone is not None


def read(environment: Mapping[str, str], redactor: Redactor) -> TraceSettings:
    """Raises BadInput that names the setting at fault. `redactor` learns the keys."""
    given = {name: value.strip() for name, value in environment.items() if value.strip()}
    if _is(given, "OTEL_SDK_DISABLED"):
        return TraceSettings()
    return TraceSettings(
        _otlp(given, redactor), _langsmith(given, redactor), _helicone(given, redactor), _bounds(given)
    )


def _otlp(given: Mapping[str, str], redactor: Redactor) -> bool:
    exporters = given.get("OTEL_TRACES_EXPORTER", "otlp")
    endpoint = next((name for name in ENDPOINTS if name in given), None)
    if endpoint is None or exporters == "none":
        return False
    if exporters != "otlp":
        raise _invalid("OTEL_TRACES_EXPORTER", f"{exporters!r} is no exporter of ours", "Set otlp or none.")
    _url(endpoint, given[endpoint])
    for name in PROTOCOLS:
        if given.get(name, PROTOBUF) != PROTOBUF:
            raise _invalid(
                name, f"{given[name]!r} is not spoken here", f"Set {PROTOBUF}; collectors take it on port 4318."
            )
    for name in HEADERS:
        for pair in given.get(name, "").split(","):
            redactor.tell("traces", name, unquote(pair.partition("=")[2].strip()).removeprefix("Bearer "))
    return True


def _langsmith(given: Mapping[str, str], redactor: Redactor) -> LangSmith | None:
    if not any(_is(given, name) for name in LANGCHAIN_SWITCHES):
        return None
    key = given.get("LANGSMITH_API_KEY")
    if key is None:
        raise _invalid(
            "LANGSMITH_API_KEY", "LANGSMITH_TRACING is on and there is no key", "Set the key, or switch it off."
        )
    redactor.tell("traces", "LANGSMITH_API_KEY", key)
    url = _url("LANGSMITH_ENDPOINT", given.get("LANGSMITH_ENDPOINT", langsmith.ENDPOINT))
    return LangSmith(url + langsmith.PATH, key, given.get("LANGSMITH_PROJECT"))


def _helicone(given: Mapping[str, str], redactor: Redactor) -> Helicone | None:
    key = given.get("HELICONE_API_KEY")
    if key is None:
        return None
    redactor.tell("traces", "HELICONE_API_KEY", key)
    return Helicone(_url("HELICONE_BASE_URL", given.get("HELICONE_BASE_URL", helicone.ENDPOINT)) + helicone.PATH, key)


def _bounds(given: Mapping[str, str]) -> Bounds:
    """The names of the specification's batch span processor."""
    usual = Bounds()
    most = _number(given, "OTEL_BSP_MAX_QUEUE_SIZE", usual.queue)
    batch = _number(given, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", usual.batch)
    delay = _number(given, "OTEL_BSP_SCHEDULE_DELAY", int(usual.delay * 1000))
    return Bounds(most, min(batch, most), delay / 1000)


def _number(given: Mapping[str, str], name: str, otherwise: int) -> int:
    value = given.get(name, str(otherwise))
    if not value.isdecimal() or int(value) == 0:
        raise _invalid(name, f"{value!r} is not a number above 0", f"For instance {otherwise}.")
    return int(value)


def _is(given: Mapping[str, str], name: str) -> bool:
    return given.get(name, "").lower() in ("true", "1")


def _url(name: str, value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise _invalid(name, f"{value!r} is no address", "For instance http://collector:4318.")
    return value.rstrip("/")


def _invalid(name: str, told: str, remedy: str) -> BadInput:
    return BadInput("settings.invalid", f"{told}.", field=name, remedy=remedy)
