"""Signatures as the vendors make them, written anew from their documents: the code under test has no part in it."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from urllib.parse import parse_qsl

from services.tool_gateway.webhooks.schemes.proof import Incoming

NOW = 1_790_928_000
URL = "https://hooks.example.com/webhooks/x"


def incoming(body: bytes, headers: Mapping[str, str | Sequence[str]], url: str = URL, method: str = "POST") -> Incoming:
    found = {name.lower(): [value] if isinstance(value, str) else value for name, value in headers.items()}
    return Incoming(method, url, found, body)


def hexed(secret: bytes, message: bytes) -> str:
    return hmac.new(secret, message, hashlib.sha256).hexdigest()


def based(secret: bytes, message: bytes, algorithm: str = "sha256") -> str:
    return base64.b64encode(hmac.new(secret, message, algorithm).digest()).decode()


def stripe(secret: str, body: bytes, at: int) -> dict[str, str]:
    return {"Stripe-Signature": f"t={at},v1={hexed(secret.encode(), f'{at}.'.encode() + body)}"}


def elevenlabs(secret: str, body: bytes, at: int) -> dict[str, str]:
    return {"ElevenLabs-Signature": f"t={at},v0={hexed(secret.encode(), f'{at}.'.encode() + body)}"}


def hubspot(secret: str, body: bytes, at: int, url: str = URL) -> dict[str, str]:
    signature = based(secret.encode(), b"POST" + url.encode() + body + str(at * 1000).encode())
    return {"X-HubSpot-Signature-v3": signature, "X-HubSpot-Request-Timestamp": str(at * 1000)}


def quickbooks(secret: str, body: bytes) -> dict[str, str]:
    return {"intuit-signature": based(secret.encode(), body)}


def airtable(secret: str, body: bytes) -> dict[str, str]:
    return {"X-Airtable-Content-MAC": "hmac-sha256=" + hexed(base64.b64decode(secret), body)}


def standard(secret: str, body: bytes, at: int, message_id: str = "msg_1") -> dict[str, str]:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signature = based(key, f"{message_id}.{at}.".encode() + body)
    return {"webhook-id": message_id, "webhook-timestamp": str(at), "webhook-signature": f"v1,{signature}"}


def twilio(secret: str, body: bytes, url: str, algorithm: str = "sha1") -> dict[str, str]:
    fields: dict[str, set[str]] = {}
    for name, value in parse_qsl(body.decode(), keep_blank_values=True):
        fields.setdefault(name, set()).add(value)
    text = url + "".join(n + v for n in sorted(fields) for v in sorted(fields[n]))
    return {
        "X-Twilio-Signature": based(secret.encode(), text.encode(), algorithm),
        "Content-Type": "application/x-www-form-urlencoded",
    }
