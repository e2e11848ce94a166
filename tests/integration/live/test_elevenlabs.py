"""The tool of docs/live-calls.md, as the platform would read it and call us."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from elevenlabs.types import ConvAiDynamicVariable, ConvAiSecretLocator, WebhookToolConfigInput

from tests.integration.live.world import VOICE, LiveWorld, live_world

__all__ = ["live_world"]
DOCS = Path(__file__).parents[3] / "docs" / "live-calls.md"


def documented() -> WebhookToolConfigInput:
    (block,) = re.findall(r"```json\n(.*?)```", DOCS.read_text(), re.DOTALL)
    given = json.loads(block)
    assert given.pop("type") == "webhook"
    return WebhookToolConfigInput(**given)


def sent(header: Any) -> str:
    """What the platform puts in the place of a secret or a variable."""
    if isinstance(header, ConvAiSecretLocator):
        return f"Bearer {VOICE}"
    if isinstance(header, ConvAiDynamicVariable):
        return {"system__conversation_id": "conv_01jz"}[header.variable_name]
    assert isinstance(header, str)
    return header


async def test_the_documented_tool_is_one_and_works(world: LiveWorld) -> None:
    door = await world.door()
    config = documented()
    schema = config.api_schema
    headers = {name: sent(value) for name, value in (schema.request_headers or {}).items()}
    assert schema.url.endswith(f"/v1/tools/{config.name}:invoke")
    assert int(headers["Request-Timeout"]) < (config.response_timeout_secs or 0) * 1000
    assert config.tool_error_handling_mode == "passthrough"
    answer = await door(config.name, {"PhoneNumber": "+14155550123"}, headers, token=None)
    assert (answer.status, answer.state) == (200, "succeeded")
    (run,) = await world.runs()
    assert (run["agent"], run["conversation_id"]) == ("voice", "conv_01jz")
    body = schema.request_body_schema
    assert body is not None
    described = (await door.description(VOICE)).json["paths"][f"/v1/tools/{config.name}:invoke"]["post"]
    ours = described["requestBody"]["content"]["application/json"]["schema"]
    assert set(body.properties or {}) <= set(ours["properties"])
    assert set(ours.get("required", [])) <= set(body.required or [])
