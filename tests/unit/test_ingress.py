"""What `viox publish` and `viox ask` take in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from shared.errors import BadInput
from viox import ingress

LEAD = {"specversion": "1.0", "id": "1", "source": "/shop", "type": "viox.lead.created", "data": {"email": "a@b.co"}}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"source": "/viox/gateway"}, "source"),
        ({"source": "/viox/agents/closer", "type": "viox.task.requested", "data": {"instruction": "x"}}, "source"),
        ({"parentrunid": "6f0f9a52-3d1b-5c64-9a77-2b7c1f6d4e10"}, "parentrunid"),
    ],
)
def test_an_event_that_says_what_only_we_may_say_is_refused_with_its_line(
    tmp_path: Path, change: dict[str, Any], field: str
) -> None:
    file = tmp_path / "events.jsonl"
    file.write_text(json.dumps(LEAD) + "\n" + json.dumps(LEAD | change))
    with pytest.raises(BadInput) as error:
        ingress.read_events(file)
    assert (error.value.code, error.value.field) == ("event.reserved", field)
    assert error.value.message.startswith("line 2: ")


async def test_a_conversation_that_no_message_can_carry_is_refused_before_anything_is_stored() -> None:
    with pytest.raises(BadInput) as error:
        await ingress.ask("closer", "hi", "a\nb", wait=False, timeout=1, as_json=True)
    assert error.value.field == "conversation"
