"""What listings only refer to: large results, and the bytes that a vendor answered."""

from __future__ import annotations

import base64
from typing import Any

from shared.errors import NotFound
from shared.operations import store


def reference_in(result: Any) -> dict[str, Any] | None:
    """What a result says of itself when it is kept apart."""
    found = result.get("$payload") if isinstance(result, dict) else None
    return found if isinstance(found, dict) and "id" in found else None


async def body(pool: Any, document: dict[str, Any]) -> bytes:
    """The whole result of a call where it is a reference, else the last answer of its vendor, without its head. Raises NotFound."""
    if reference := reference_in(document["result"]):
        content: bytes = (await store.payload(pool, reference["id"]))["content"]
        return content
    if not document["response"]:
        raise NotFound(
            "call.no_answer",
            f"no answer of {document['tool']} is on record.",
            field="call",
            remedy="`viox call ID` tells why.",
        )
    return base64.b64decode(document["response"][-1]["body_base64"])
