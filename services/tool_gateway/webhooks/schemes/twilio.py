"""Twilio: `X-Twilio-Signature` over the URL it called and, for a form, every parameter; JSON bodies by their digest.

Signatures have no time in them: that a request is a repeat is known by what it tells of (message and status). The port of
the URL is signed or not, as Twilio's servers have it: with it, without it, or with the usual one for the scheme.

A secret is the account's auth token. One that begins with `sha256:` is a shared key instead, whose requests name
HMAC_SHA256 in `X-Twilio-Webhooks-Signature-Settings`: a key is used with its own algorithm only.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterator, Sequence
from urllib.parse import parse_qs, parse_qsl, urlsplit, urlunsplit

from services.tool_gateway.webhooks.schemes.proof import (
    MALFORMED,
    MISSING,
    PROVED,
    WRONG,
    Incoming,
    Verdict,
    matches_any,
    same,
)

FORM = "application/x-www-form-urlencoded"
SHARED_KEY = "sha256:"
MOST_FIELDS = 1000
_PORTS = {"https": 443, "http": 80}


def verify(request: Incoming, secrets: Sequence[str], now: float) -> Verdict:
    del now
    given = request.header("x-twilio-signature")
    if given is None:
        return MISSING
    try:
        signed = _signed_parameters(request)
        keys = list(_keys(request, secrets))
        urls = list(_urls(request.url))
    except ValueError:
        return MALFORMED
    expected = [_signature(key, algorithm, url + signed) for key, algorithm in keys for url in urls]
    if not matches_any(expected, [given]):
        return WRONG
    return PROVED if signed or _body_is_the_signed_one(request) else WRONG


def parameters(body: bytes) -> list[tuple[str, str]]:
    """A form's fields, decoded. Raises ValueError when it is none, or has too many."""
    return parse_qsl(
        body.decode(), keep_blank_values=True, strict_parsing=bool(body), errors="strict", max_num_fields=MOST_FIELDS
    )


def _signed_parameters(request: Incoming) -> str:
    if request.content_type != FORM:
        return ""
    by_name: dict[str, set[str]] = {}
    for name, value in parameters(request.body):
        by_name.setdefault(name, set()).add(value)
    return "".join(name + value for name in sorted(by_name) for value in sorted(by_name[name]))


def _body_is_the_signed_one(request: Incoming) -> bool:
    """A body that is no form is signed by its digest in the URL; without one, anybody could have written it."""
    digests = parse_qs(urlsplit(request.url).query).get("bodySHA256", [])
    return len(digests) == 1 and same(hashlib.sha256(request.body).hexdigest(), digests[0])


def _keys(request: Incoming, secrets: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(key, algorithm) of the secrets that can have signed this. Raises ValueError for an algorithm that is not spoken."""
    wanted = _algorithm(request.header("x-twilio-webhooks-signature-settings") or "")
    for secret in secrets:
        shared = secret.startswith(SHARED_KEY)
        if shared == (wanted == "sha256"):
            yield secret.removeprefix(SHARED_KEY), wanted


def _algorithm(settings: str) -> str:
    for part in settings.split(","):
        name, _, value = part.partition("=")
        if name.strip() == "algorithm" and value.strip():
            return {"HMAC_SHA1": "sha1", "HMAC_SHA256": "sha256"}.get(value.strip().upper()) or _not_spoken(value)
    return "sha1"


def _not_spoken(algorithm: str) -> str:
    raise ValueError(algorithm)


def _signature(key: str, algorithm: str, text: str) -> str:
    return base64.b64encode(hmac.new(key.encode(), text.encode(), algorithm).digest()).decode()


def _urls(url: str) -> Iterator[str]:
    """The URL with its port, without one, and with the usual one."""
    parts = urlsplit(url)
    plain = parts.netloc if parts.port is None else parts.netloc.rpartition(":")[0]
    usual = _PORTS.get(parts.scheme)
    for place in dict.fromkeys((parts.netloc, plain, f"{plain}:{usual}" if parts.port is None else parts.netloc)):
        yield urlunsplit(parts._replace(netloc=place, fragment=""))
