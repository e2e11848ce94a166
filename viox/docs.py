"""Reference pages made from the code: topics, event types, settings, JSON Schemas, the AsyncAPI document.

`python -m viox.docs` writes them, `--check` says which are out of date and leaves with 1.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sandbox.plan import DEFAULT_PORT_BASE
from sandbox.ports import NAMES
from services.tool_gateway.live import openapi
from shared.bus import asyncapi, topics
from shared.bus.asyncapi import OWN
from shared.bus.events import REGISTRY
from shared.settings import Settings
from viox.examples import EXAMPLES
from viox.output import EXIT_CODES

REFERENCE = Path(__file__).parent.parent / "docs" / "reference"
HEAD = "<!-- Made by `make docs` from the code. Do not edit. -->\n\n"


def pages() -> Iterator[tuple[str, str]]:
    """(path below docs/reference, content) of every generated file."""
    yield "topics.md", _topics()
    yield "events.md", _events()
    yield "settings.md", _settings()
    yield "examples.md", _examples()
    yield "exit-codes.md", _exit_codes()
    yield "ports.md", _ports()
    yield "asyncapi.json", _json(asyncapi.document())
    yield "live-calls.openapi.json", _json(openapi.document())
    for name, (model, _) in OWN.items():
        yield f"schemas/{name}.json", _json(asyncapi.schema(name, model))


def _topics() -> str:
    rows = [
        f"| `{t.name}` | {t.key} | {', '.join(t.writers)} | {', '.join(t.readers)} | {t.about} |"
        for t in topics.all_topics()
    ]
    return HEAD + "\n".join(
        [
            "# Topics",
            "",
            "| topic | key | who may write | who reads | what it carries |",
            "|---|---|---|---|---|",
            *rows,
            "",
        ]
    )


def _events() -> str:
    rows = [
        f"| `{e.type}` | `{e.topic}` | {', '.join(e.owners)}{' (when nobody owns the conversation)' if e.addressed else ''} "
        f"| {e.about} | {f'[schema](schemas/{e.type}.json)' if e.data else 'the vendor’s own'}, [example](examples.md#{_anchor(e.type)}) |"
        for e in REGISTRY.values()
    ]
    own = [f"| `{n}` | {about} | [schema](schemas/{n}.json) |" for n, (_, about) in OWN.items() if n not in REGISTRY]
    return HEAD + "\n".join(
        [
            "# Event types",
            "",
            "An unknown type is refused by name.",
            "",
            "| type | topic | handled by | meaning | data |",
            "|---|---|---|---|---|",
            *rows,
            "",
            "## Messages of our own making",
            "",
            "| type | meaning | data |",
            "|---|---|---|",
            *own,
            "",
        ]
    )


def _anchor(name: str) -> str:
    """As Markdown viewers make one of a heading in backticks."""
    return name.replace(".", "")


def _settings() -> str:
    rows = []
    for name, field in Settings.model_fields.items():
        default = "`~/.local/state/viox`, for root `/var/lib/viox`" if name == "home" else f"`{field.get_default()}`"
        rows.append(f"| `VIOX_{name.upper()}` | {field.description or default} |")
    extra = [
        "| `VIOX_WAL_ARCHIVE` | folder to which the embedded Postgres copies its log, for [restoring](../operations-guide.md#restore) it to any moment |",
        f"| `VIOX_PORT_BASE` | first of {len(NAMES)} ports of `viox up`, [each named here](ports.md); `0` takes any free ones. `8080` |",
        "| `<VENDOR>_BASE_URL` | where a vendor is reached; the vendor's real address without it |",
        "| `<VENDOR>_RATE_PER_SECOND` | calls a second the business's plan allows; the smallest plan's without it |",
        "| `STRIPE_API_KEY`, `STRIPE_API_VERSION` | credential, and the API version its requests name; `2026-10-28.endive` |",
        "| `HUBSPOT_ACCESS_TOKEN`, `TWILIO_ACCOUNT_SID`, `TWILIO_AUTH_TOKEN`, `TWILIO_FROM`, `AIRTABLE_API_KEY` | credentials, read by the gateway only |",
        "| `TWILIO_LOOKUPS_BASE_URL` | where Twilio's lookups are reached, which have an address of their own |",
        "| `ELEVENLABS_API_KEY`, `ELEVENLABS_AGENT_ID`, `ELEVENLABS_PHONE_NUMBER_ID` | credential, and the agent and number that calls are made with |",
        "| `MAKE_API_KEY`, `MAKE_ORGANIZATION_ID`, `MAKE_BASE_URL` | credential, organization, and address of its zone; `https://eu1.make.com/api/v2` |",
        "| `N8N_API_KEY`, `N8N_BASE_URL`, `N8N_WEBHOOK_KEY` | credential, address of the instance (no default), and what its webhooks want as `X-Viox-Key`, if anything |",
        "| `QUICKBOOKS_CLIENT_ID`, `QUICKBOOKS_CLIENT_SECRET`, `QUICKBOOKS_REFRESH_TOKEN`, `QUICKBOOKS_REALM_ID` | QuickBooks Online: the app, its refresh token, the company |",
        "| `QUICKBOOKS_MINOR_VERSION` | `75` |",
        "| `HUBSPOT_CLIENT_ID`, `HUBSPOT_CLIENT_SECRET`, `HUBSPOT_REFRESH_TOKEN` | HubSpot by OAuth, where there is no `HUBSPOT_ACCESS_TOKEN` |",
        "| `QUICKBOOKS_TOKEN_URL`, `HUBSPOT_TOKEN_URL` | where access tokens are fetched; the vendor's real address without it |",
        "| `SMTP_HOST`, `SMTP_PORT`, `SMTP_TLS`, `SMTP_USERNAME`, `SMTP_PASSWORD`, `SMTP_FROM` | e-mail: submission server, `587`, `starttls` (or `implicit`, `none`), login, the business's address |",
        "| `IMAP_HOST`, `IMAP_PORT`, `IMAP_TLS`, `IMAP_USERNAME`, `IMAP_PASSWORD`, `IMAP_MAILBOX` | the mailbox that is [read](../mail.md): server, `993`, `implicit` (or `starttls`, `none`), login, `INBOX` |",
        "| `MAIL_OAUTH_CLIENT_ID`, `MAIL_OAUTH_CLIENT_SECRET`, `MAIL_OAUTH_REFRESH_TOKEN`, `MAIL_OAUTH_TOKEN_URL` | mail by OAuth 2.0 in the place of passwords, for sending and reading |",
        "| `MAIL_AUTHSERV_ID` | the server whose `Authentication-Results` prove who wrote a mail; without it only answers to our own mails are proved |",
        "| `MAIL_POLL_SECONDS` | seconds between looks into the mailbox, `0` reads none; `30` |",
        "| `STRIPE_WEBHOOK_SECRET`, `TWILIO_WEBHOOK_AUTH_TOKEN`, `HUBSPOT_WEBHOOK_SECRET`, `QUICKBOOKS_WEBHOOK_TOKEN`, `ELEVENLABS_WEBHOOK_SECRET`, `AIRTABLE_WEBHOOK_SECRET`, `MAKE_WEBHOOK_SECRET`, `N8N_WEBHOOK_SECRET`, `MAIL_WEBHOOK_SECRET` | what proves [webhooks](../webhooks.md); several, newest first, separated by commas, while one is rotated |",
        "| `VIOX_INVOKE_TOKEN_<AGENT>` | digests (`sha256:…`) of the tokens with which others [call the agent's tools](../live-calls.md); several, newest first, separated by commas; `viox invoke-token AGENT` makes one |",
        "| `VIOX_SECRET_KEY` | Fernet key that seals stored OAuth tokens; several, newest first, separated by commas, while it is rotated |",
        "| `VIOX_SECRETS_DIR`, `<NAME>_FILE` | where the gateway finds secrets that are not in its environment: a folder with a file for each, or a file |",
        "| `VIOX_EMBEDDINGS_API_KEY`, `VIOX_EMBEDDINGS_BASE_URL` | a provider's embeddings: key, and address; `https://api.openai.com/v1` |",
        "| `VIOX_QUERY_DSN` | Postgres as the role that may only ask; `records_query` needs it |",
        "| `VIOX_ALLOW_NETWORKS`, `VIOX_ALLOW_LOOPBACK` | networks of your own (`10.20.0.0/16,…`) that the gateway may call; `1` allows this machine, for a sandbox |",
        "| `VIOX_OPERATOR_TOKEN` | what `viox doctor` and `viox tools try` show to the gateway, which answers nobody without it; `viox up` makes one in `VIOX_HOME` |",
        "| `VIOX_KAFKA_PASSWORDS_DIR` | for `viox up` and the command line on a Kafka of yours: a folder with a file for each user, so that every service logs in as itself; `VIOX_KAFKA_SASL_PLAIN_USERNAME` then says how users are called, `viox-{service}` |",
        "| `VIOX_GATEWAY_URL` | where `viox doctor` finds the gateway's port, when it is not the stack of `viox up` |",
        "| `OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_EXPORTER_OTLP_HEADERS` and OpenTelemetry's other `OTEL_EXPORTER_OTLP_*` | a collector for [traces](../traces.md), over HTTP with protobuf; none without it |",
        "| `OTEL_TRACES_SAMPLER`, `OTEL_TRACES_SAMPLER_ARG` | which traces are recorded; `parentbased_always_on` |",
        "| `OTEL_BSP_MAX_QUEUE_SIZE`, `OTEL_BSP_MAX_EXPORT_BATCH_SIZE`, `OTEL_BSP_SCHEDULE_DELAY` | spans of a process that wait at most, go together, and milliseconds they wait for others; `2048`, `512`, `5000` |",
        "| `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_SDK_DISABLED`, `OTEL_TRACES_EXPORTER` | attributes of every span's resource; `true` switches all traces off; `otlp` or `none` |",
        "| `LANGSMITH_TRACING`, `LANGSMITH_API_KEY`, `LANGSMITH_PROJECT`, `LANGSMITH_ENDPOINT` | traces to [LangSmith](../traces.md#langsmith) with `true` and a key; `https://api.smith.langchain.com` |",
        "| `HELICONE_API_KEY`, `HELICONE_BASE_URL` | model and tool calls to [Helicone](../traces.md#helicone) with a key; `https://api.worker.helicone.ai` |",
        "| `ANTHROPIC_API_KEY`, `OPENAI_API_KEY`, `GEMINI_API_KEY`, `MISTRAL_API_KEY` (+ `_BASE_URL`) | models, read by the agents only |",
    ]
    return HEAD + "\n".join(["# Settings", "", "| variable | default or meaning |", "|---|---|", *rows, *extra, ""])


def _examples() -> str:
    parts = [
        f"## `{name}`\n\n```json\n{json.dumps(data, indent=2, ensure_ascii=False)}\n```\n"
        for name, data in EXAMPLES.items()
    ]
    return HEAD + "\n".join(
        [
            "# An example of the data of each event type",
            "",
            "As the `data` of a CloudEvent; `viox publish` takes one event a line:",
            "",
            '    {"specversion":"1.0","id":"1","source":"/me","type":"viox.briefing.due","data":{"day":"2026-12-01"}}',
            "",
            "Vendors' types carry the vendor's own payload, unchanged. Shown is what matters here; one that lacks what its type",
            "needs is refused by name.",
            "",
            *parts,
        ]
    )


def _exit_codes() -> str:
    rows = [f"| {code} | {meaning} |" for code, meaning in EXIT_CODES.items()]
    return HEAD + "\n".join(["# Exit codes of `viox`", "", "| code | meaning |", "|---|---|", *rows, ""])


def _ports() -> str:
    rows = [f"| {name} | +{place} | {DEFAULT_PORT_BASE + place} |" for place, name in enumerate(NAMES)]
    return HEAD + "\n".join(
        [
            "# Ports of `viox up`",
            "",
            "On 127.0.0.1, counted from `VIOX_PORT_BASE`. A port that some connection occupies is replaced by a free one, and",
            "`viox status` shows where everything is. More replicas of a service take any free ports.",
            "",
            "| what | offset | by default |",
            "|---|---|---|",
            *rows,
            "",
        ]
    )


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, sort_keys=True) + "\n"


def main() -> None:
    check = "--check" in sys.argv[1:]
    stale = []
    for path, content in pages():
        file = REFERENCE / path
        if file.exists() and file.read_text() == content:
            continue
        stale.append(path)
        if not check:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)
    if check and stale:
        sys.stderr.write(
            f"error[docs.stale] docs/reference: {', '.join(stale)} differ from the code. Run `make docs`.\n"
        )
        sys.exit(1)


if __name__ == "__main__":
    main()
