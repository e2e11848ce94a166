"""Which process of a stack gets which secrets: vendors' only the gateway, models' only the agents.

Where the caller's environment has a credential of its own it is used; otherwise the sandbox's invented one, together
with the emulator's address.
"""

from __future__ import annotations

from collections.abc import Mapping

from sandbox.vendors import airtable, hubspot, twilio

GATEWAY = "gateway"
MODEL_NAMES = (
    "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", "OPENAI_API_KEY", "OPENAI_BASE_URL", "GEMINI_API_KEY", "GEMINI_BASE_URL",
    "MISTRAL_API_KEY", "MISTRAL_BASE_URL",
)  # fmt: skip
MODEL_KEYS = tuple(name for name in MODEL_NAMES if name.endswith("_KEY"))
VENDOR_PREFIXES = (
    "HUBSPOT_",
    "TWILIO_",
    "AIRTABLE_",
    "STRIPE_",
    "QUICKBOOKS_",
    "ELEVENLABS_",
    "MAKE_",
    "N8N_",
    "SMTP_",
)
SYSTEM = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "PYTHONPATH",
    "VIRTUAL_ENV",
)


def for_gateway(ports: Mapping[str, int], environment: Mapping[str, str]) -> dict[str, str]:
    """Vendor settings of the gateway: a vendor whose credential is given is the real one, else its emulator."""
    invented = {
        "HUBSPOT": {
            "HUBSPOT_ACCESS_TOKEN": hubspot.TOKEN,
            "HUBSPOT_BASE_URL": f"http://127.0.0.1:{ports['hubspot']}",
        },
        "TWILIO": {
            "TWILIO_ACCOUNT_SID": twilio.ACCOUNT,
            "TWILIO_AUTH_TOKEN": twilio.AUTH_TOKEN,
            "TWILIO_FROM": twilio.NUMBER,
            "TWILIO_BASE_URL": f"http://127.0.0.1:{ports['twilio']}",
            "TWILIO_LOOKUPS_BASE_URL": f"http://127.0.0.1:{ports['twilio']}",
        },
        "AIRTABLE": {
            "AIRTABLE_API_KEY": airtable.TOKEN,
            "AIRTABLE_BASE_URL": f"http://127.0.0.1:{ports['airtable']}",
        },
    }
    chosen: dict[str, str] = {}
    for values in invented.values():
        if not any(name in environment for name in values):
            chosen |= values
    if chosen:
        chosen["VIOX_ALLOW_LOOPBACK"] = "1"
    return chosen


def for_agents(environment: Mapping[str, str]) -> dict[str, str]:
    """Without any provider's key the agents run on their offline policies, and say so."""
    if "VIOX_MODELS" in environment or any(environment.get(name) for name in MODEL_KEYS):
        return {}
    return {"VIOX_MODELS": "offline"}


def inherited(service: str, environment: Mapping[str, str]) -> dict[str, str]:
    """What a service keeps of the caller's environment."""
    kept = {name: value for name, value in environment.items() if name in SYSTEM or name.startswith(("VIOX_", "OTEL_"))}
    if service == GATEWAY:
        kept |= {name: value for name, value in environment.items() if name.startswith(VENDOR_PREFIXES)}
    else:
        kept |= {name: value for name, value in environment.items() if name in MODEL_NAMES}
    return kept
