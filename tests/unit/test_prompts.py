"""Prompts as the command line reads them: what is stored under a digest is checked against it."""

from __future__ import annotations

from typing import Any

import pytest

from shared.errors import Conflict
from shared.models.port import canonical_json, sha256_json
from shared.operations import store
from shared.telemetry.digest import sha256_bytes

TOOLS = [{"name": "b", "description": "é", "input_schema": {"z": 1, "a": 2}}]


class Stored:
    def __init__(self, body: str | None) -> None:
        self._body = body

    async def fetchval(self, *_: Any) -> str | None:
        return self._body


def test_the_stored_form_has_the_digest_that_names_it() -> None:
    """The table has a constraint that says so."""
    assert sha256_bytes(canonical_json(TOOLS)) == sha256_json(TOOLS)


@pytest.mark.parametrize(
    "body", [canonical_json(TOOLS).decode(), '[{"input_schema":{"z":1,"a":2},"name":"b","description":"é"}]']
)
async def test_a_prompt_is_read_whatever_the_order_of_its_keys(body: str) -> None:
    assert await store.prompt(Stored(body), sha256_json(TOOLS)) == body


async def test_a_prompt_that_is_not_the_one_of_its_digest_is_refused() -> None:
    assert await store.prompt(Stored(None), sha256_json(TOOLS)) is None
    with pytest.raises(Conflict) as error:
        await store.prompt(Stored('"be rude"'), sha256_json("be kind"))
    assert error.value.code == "prompt.altered"
