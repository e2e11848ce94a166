"""A request as a curl command that can be shown around: what is secret stands in it as a variable's name."""

from __future__ import annotations

import base64
import shlex
from typing import Any

# The ledger has redacted values already; these headers say nothing without their secrets, or are made by curl itself.
SECRET = frozenset(
    {"authorization", "x-api-key", "api-key", "xi-api-key", "x-n8n-api-key", "cookie", "proxy-authorization"}
)
MADE = frozenset({"content-length", "host", "accept-encoding", "connection", "user-agent", "traceparent"})
MOST_BYTES = 20_000


def speaks(request: dict[str, Any]) -> bool:
    """Whether it is HTTP: a letter, a statement or a question to people is no request that curl could make."""
    return (request["url"] or "").startswith(("http://", "https://"))


def of(request: dict[str, Any]) -> str:
    """The command. A body that is no text, or a long one, is named instead of written out."""
    parts = ["curl", "-X", request["method"] or "GET", shlex.quote(request["url"] or "")]
    lines = [" ".join(parts)]
    for name, value in request["headers"] or []:
        if name.lower() in MADE:
            continue
        told = f"{name}: $SECRET" if name.lower() in SECRET else f"{name}: {value}"
        lines.append(f'  -H "{told}"' if told.endswith("$SECRET") else f"  -H {shlex.quote(told)}")
    content = base64.b64decode(request["body_base64"])
    if content:
        lines.append(f"  --data-binary {_body(content)}")
    return " \\\n".join(lines)


def _body(content: bytes) -> str:
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = ""
    return shlex.quote(text) if text and len(content) <= MOST_BYTES else "@body.bin"
