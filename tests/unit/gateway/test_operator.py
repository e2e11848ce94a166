"""The operator's token, and its exchange for another one."""

from __future__ import annotations

import pytest

from services.tool_gateway.wire.credentials import Secrets
from services.tool_gateway.wire.operator import SETTING, is_operator, tokens


@pytest.mark.parametrize(
    ("setting", "header", "right"),
    [
        ("new", "Bearer new", True),
        ("new,old", "Bearer new", True),
        ("new, old\n", "Bearer old", True),
        ("new,old", "Bearer new,old", False),
        ("new", "new", False),
        ("new,", "Bearer ", False),
        (",", "", False),
        ("", "Bearer ", False),
        ("new", "Bearer n\udcff", False),
    ],
)
def test_each_of_several_tokens_is_good_and_nothing_else(setting: str, header: str, right: bool) -> None:
    assert is_operator(header, tokens(Secrets({SETTING: setting}))) is right
