"""Which process of a stack gets which secrets: vendors' and the operator's only the gateway, models' only the agents.

The gateway keeps the caller's environment, because any document that is imported may name a setting in it; an agent keeps
the settings of VioX OS that are not the gateway's, and the models' keys. Where the caller's environment has a credential of
its own it is used; otherwise the sandbox's invented one, together with the emulator's address.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from hashlib import sha256
from pathlib import Path
from secrets import token_hex, token_urlsafe

from cryptography.fernet import Fernet

from sandbox.models import addresses
from sandbox.vendors import airtable, business, elevenlabs, hubspot, mail, make, n8n, quickbooks, stripe, twilio
from shared.audit.notes import Signer, key_text
from shared.people import People, Person, read_people

PROFILE = Path(__file__).parent / "profile"
GATEWAY = "gateway"
CONSOLE = "console"
VENDORS = "vendors"
MODELS = "models"  # the sandbox's model servers
EMULATED = ("hubspot", "twilio", "airtable", "stripe", "quickbooks", "elevenlabs", "make", "n8n", "business", "mail")
LISTING = ("hubspot", "twilio", "airtable", "stripe", "quickbooks", "elevenlabs")  # what happened, for who missed it
INVOKE_TOKEN = "invoke-token-voice"  # the file with it
MODEL_NAMES = (
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_BASE_URL",
    "OPENAI_API_KEY",
    "OPENAI_BASE_URL",
    "GEMINI_API_KEY",
    "GEMINI_BASE_URL",
    "MISTRAL_API_KEY",
    "MISTRAL_BASE_URL",
)
MODEL_KEYS = tuple(name for name in MODEL_NAMES if name.endswith("_KEY"))
# Of VioX OS's own settings those that only the gateway may know, `<NAME>_FILE` included.
GATEWAYS_OWN = (
    "VIOX_SECRET_KEY",
    "VIOX_SECRETS_DIR",
    "VIOX_QUERY_DSN",
    "VIOX_OPERATOR_TOKEN",
    "VIOX_INVOKE_TOKEN",
    "VIOX_EMBEDDINGS_API_KEY",
    "VIOX_PEOPLE",
)
# What only the supervisor and the command line may know: with it a service could log in at Kafka as another.
NOBODYS = ("VIOX_KAFKA_PASSWORDS_DIR",)
TRACES = ("OTEL_", "LANGSMITH_", "HELICONE_")  # where traces go, and with which keys: every service sends its own
SYSTEM = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "JAVA_HOME",
    "XDG_CACHE_HOME",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "PYTHONPATH",
    "VIRTUAL_ENV",
)


def for_gateway(ports: Mapping[str, int], environment: Mapping[str, str], home: Path) -> dict[str, str]:
    """Vendor settings of the gateway: a vendor whose credential is given is the real one, else its emulator."""
    settings = _invented(ports)
    chosen: dict[str, str] = {}
    for vendor in emulated(environment):
        chosen |= settings[vendor]
        if vendor in LISTING and not {"VIOX_POLL_SECONDS", name := f"{vendor.upper()}_POLL_SECONDS"} & set(environment):
            chosen[name] = "0"  # scenarios tell of what they do at the vendors themselves
    if chosen:
        chosen["VIOX_ALLOW_LOOPBACK"] = "1"
        if "VIOX_SECRET_KEY" not in environment:
            chosen["VIOX_SECRET_KEY"] = _made_once(home / "secret-key", Fernet.generate_key)
    chosen |= profile(environment)
    if "VIOX_AUDIT_KEY" not in environment:
        chosen["VIOX_AUDIT_KEY"] = str(_audit_key(home / "audit"))
    if not any(name.startswith("VIOX_INVOKE_TOKEN") for name in environment):
        token = _made_once(home / INVOKE_TOKEN, lambda: f"viox_voice_{token_urlsafe(32)}".encode())
        chosen["VIOX_INVOKE_TOKEN_VOICE"] = f"sha256:{sha256(token.encode()).hexdigest()}"
    if not any(name.startswith("VIOX_OPERATOR_TOKEN") for name in environment):
        chosen["VIOX_OPERATOR_TOKEN"] = _made_once(home / "operator-token", lambda: token_urlsafe(32).encode())
    return chosen


def for_console(
    ports: Mapping[str, int], environment: Mapping[str, str], home: Path, services: Sequence[str]
) -> dict[str, str]:
    """Who may sign in, where the services say whether they are ready, and the token with which the gateway answers operators."""
    at = ",".join(f"{name}=http://127.0.0.1:{ports[name]}" for name in services if name != CONSOLE)
    files = profile(environment)
    people = files["VIOX_PEOPLE"] if environment.get("VIOX_PEOPLE") else str(_people_with_tokens(home))
    operator = {n: v for n, v in environment.items() if n.startswith("VIOX_OPERATOR_TOKEN")}
    if not operator:
        operator = {"VIOX_OPERATOR_TOKEN": _made_once(home / "operator-token", lambda: token_urlsafe(32).encode())}
    if "VIOX_AUDIT_KEY" not in environment:
        signer = Signer.read(_audit_key(home / "audit").read_text())
        operator["VIOX_AUDIT_PUBLIC_KEY"] = key_text(signer.key)
    own = {
        "VIOX_PEOPLE": people,
        "VIOX_BUSINESS": files["VIOX_BUSINESS"],
        "VIOX_CONSOLE_SERVICES": at,
        "VIOX_GATEWAY_URL": f"http://127.0.0.1:{ports[GATEWAY]}",
        "VIOX_EMULATED": ",".join(emulated(environment)),
        "VIOX_MODELS_MODE": models_mode(environment),
    }
    return own | operator


def console_tokens(home: Path) -> dict[str, Path]:
    """Name of each of the sandbox's people → the file with the token that they sign in to the console with."""
    return {one.name: home / "console-tokens" / one.name.lower() for one in read_people(PROFILE / "people.yaml")}


def _people_with_tokens(home: Path) -> Path:
    """The sandbox's people with the digests of tokens that are made once and kept with its state."""
    people: list[Person] = []
    (home / "console-tokens").mkdir(mode=0o700, exist_ok=True)
    for one in read_people(PROFILE / "people.yaml"):
        made = _made_once(console_tokens(home)[one.name], lambda: f"viox_{token_urlsafe(32)}".encode())
        people.append(one.model_copy(update={"token_sha256": sha256(made.encode()).hexdigest()}))
    file = home / "people.yaml"
    file.write_text(People(people=tuple(people)).model_dump_json(indent=1, exclude_none=True))  # JSON is YAML
    return file


def profile(environment: Mapping[str, str]) -> dict[str, str]:
    """Files about the business: the sandbox's invented ones where the caller names none."""
    ours = {"VIOX_PEOPLE": str(PROFILE / "people.yaml"), "VIOX_BUSINESS": str(PROFILE / "business.yaml")}
    given = {name: environment[name] for name in (*ours, "VIOX_POLICIES") if environment.get(name)}
    return ours | given


def emulated(environment: Mapping[str, str]) -> list[str]:
    """Vendors of which nothing is set: their emulators answer."""
    named = {vendor: set(values) for vendor, values in _invented(dict.fromkeys((*EMULATED, "smtp", "imap"), 0)).items()}
    named["hubspot"].add("HUBSPOT_CLIENT_ID")
    return [vendor for vendor in EMULATED if not named[vendor] & set(environment)]


def _invented(ports: Mapping[str, int]) -> dict[str, dict[str, str]]:
    """Each emulator's address and the credential it takes."""
    at = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
    return {
        "hubspot": {"HUBSPOT_ACCESS_TOKEN": hubspot.TOKEN, "HUBSPOT_BASE_URL": at["hubspot"]},
        "twilio": {
            "TWILIO_ACCOUNT_SID": twilio.ACCOUNT,
            "TWILIO_AUTH_TOKEN": twilio.AUTH_TOKEN,
            "TWILIO_FROM": twilio.NUMBER,
            "TWILIO_BASE_URL": at["twilio"],
            "TWILIO_LOOKUPS_BASE_URL": at["twilio"],
        },
        "airtable": {"AIRTABLE_API_KEY": airtable.TOKEN, "AIRTABLE_BASE_URL": at["airtable"]},
        "stripe": {
            "STRIPE_API_KEY": stripe.API_KEY,
            "STRIPE_BASE_URL": at["stripe"],
            "STRIPE_WEBHOOK_SECRET": stripe.WEBHOOK_SECRET,
        },
        "quickbooks": {
            "QUICKBOOKS_CLIENT_ID": quickbooks.CLIENT_ID,
            "QUICKBOOKS_CLIENT_SECRET": quickbooks.CLIENT_SECRET,
            "QUICKBOOKS_REFRESH_TOKEN": quickbooks.REFRESH_TOKEN,
            "QUICKBOOKS_REALM_ID": quickbooks.REALM_ID,
            "QUICKBOOKS_BASE_URL": at["quickbooks"],
            "QUICKBOOKS_TOKEN_URL": at["quickbooks"] + "/oauth2/v1/tokens/bearer",
        },
        "elevenlabs": {
            "ELEVENLABS_API_KEY": elevenlabs.API_KEY,
            "ELEVENLABS_AGENT_ID": elevenlabs.AGENT_ID,
            "ELEVENLABS_PHONE_NUMBER_ID": elevenlabs.PHONE_NUMBER_ID,
            "ELEVENLABS_BASE_URL": at["elevenlabs"],
            "ELEVENLABS_WEBHOOK_SECRET": elevenlabs.WEBHOOK_SECRET,
        },
        "make": {
            "MAKE_API_KEY": make.API_KEY,
            "MAKE_ORGANIZATION_ID": str(make.ORGANIZATION_ID),
            "MAKE_BASE_URL": at["make"] + "/api/v2",
        },
        "n8n": {"N8N_API_KEY": n8n.API_KEY, "N8N_BASE_URL": at["n8n"]},
        "mail": {
            "SMTP_HOST": "127.0.0.1",
            "SMTP_PORT": str(ports["smtp"]),
            "SMTP_USERNAME": mail.USER,
            "SMTP_TLS": "none",
            "SMTP_PASSWORD": mail.PASSWORD,
            "SMTP_FROM": "Sandbox Business <office@sandbox.example>",
            "IMAP_HOST": "127.0.0.1",
            "IMAP_PORT": str(ports["imap"]),
            "IMAP_USERNAME": mail.USER,
            "IMAP_TLS": "none",
            "IMAP_PASSWORD": mail.PASSWORD,
            "MAIL_AUTHSERV_ID": mail.HOST,
            "MAIL_POLL_SECONDS": "2",
        },
        "business": {
            "NORTHWIND_APIKEY": business.API_KEY,
            "NORTHWIND_BASE_URL": at["business"] + business.ROOT,
            "NORTHWIND_TOKEN_URL": at["business"] + "/oauth/token",
            "NORTHWIND_PURCHASING_CLIENT_ID": business.CLIENT_ID,
            "NORTHWIND_PURCHASING_CLIENT_SECRET": business.CLIENT_SECRET,
            "NORTHWIND_FLEET_USER": business.BASIC_USER,
            "NORTHWIND_FLEET_PASSWORD": business.BASIC_PASSWORD,
            "NORTHWIND_PAYROLL": business.BEARER_TOKEN,
        },
    }


def _audit_key(folder: Path) -> Path:
    """The key of the audit's log, whose name no other deployment has."""
    folder.mkdir(mode=0o700, exist_ok=True)
    _made_once(folder / "key", lambda: Signer.make(f"viox-{token_hex(6)}.local/audit").secret_text().encode())
    return folder / "key"


def _made_once(file: Path, make: Callable[[], bytes]) -> str:
    """A secret of the sandbox, such as the key that seals its tokens: made once and kept with its state."""
    if not file.exists():
        file.touch(mode=0o600)
        file.write_bytes(make())
    return file.read_text()


def models_mode(environment: Mapping[str, str], wanted: str | None = None) -> str:
    """How roles are answered: by rules (offline), by the sandbox's servers (wire) or by real models.

    Real, unless somebody wants another, where a provider's key or a file of models is given.
    """
    given = environment.get("VIOX_MODELS")
    if wanted:
        return wanted
    has_key = any(environment.get(name, "").strip() for name in MODEL_KEYS)
    return "real" if given != "offline" and (given or has_key) else "offline"


def for_agents(
    environment: Mapping[str, str], mode: str | None = None, ports: Mapping[str, int] | None = None
) -> dict[str, str]:
    """The business's profile, and the settings that say which models agents have. A real key is for no server of the sandbox."""
    business = {"VIOX_BUSINESS": profile(environment)["VIOX_BUSINESS"]}
    mode = models_mode(environment, mode)
    if mode == "offline":
        without_keys = {name: "" for name in MODEL_NAMES if environment.get(name)}
        return business | without_keys | {"VIOX_MODELS": "offline"}
    # Where rules were asked for and models are wanted now, it is our own file that says which.
    file = {"VIOX_MODELS": ""} if environment.get("VIOX_MODELS") == "offline" else {}
    return business | file | (addresses.settings((ports or {}).get(MODELS, 0)) if mode == "wire" else {})


def agents_see(
    environment: Mapping[str, str], mode: str | None = None, ports: Mapping[str, int] | None = None
) -> dict[str, str]:
    """The caller's environment with the models that agents have."""
    return {**environment, **for_agents(environment, mode, ports)}


def inherited(service: str, environment: Mapping[str, str]) -> dict[str, str]:
    """What a service keeps of the caller's environment. Model servers of the sandbox know no setting, and no key."""
    if service in (MODELS, CONSOLE):
        return {name: value for name, value in environment.items() if name in SYSTEM}
    if service == GATEWAY:
        return {n: v for n, v in environment.items() if n not in (*MODEL_NAMES, *NOBODYS) and not _for_postgres(n)}
    ours = {
        n: v
        for n, v in environment.items()
        if n.startswith(("VIOX_", *TRACES)) and not n.startswith((*GATEWAYS_OWN, *NOBODYS))
    }
    return ours | {name: value for name, value in environment.items() if name in SYSTEM or name in MODEL_NAMES}


def forget(environment: MutableMapping[str, str]) -> None:
    """Keep of the supervisor's own environment only what programs need to run: what it starts inherits it."""
    for name in [name for name in environment if name not in SYSTEM]:
        del environment[name]


def _for_postgres(name: str) -> bool:
    """PGSSLMODE and its like would be taken for ours, and keep the gateway from its database."""
    return name.startswith("PG") and "_" not in name
