"""A person decides about a call without being shown, or putting on record, what is sensitive in it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from services.tool_gateway.catalogue.sensitive import path_marks
from shared.errors import BadInput
from shared.operations import decisions as decide
from tests.integration.gateway.test_approvals import (
    ASKS,
    DANA,
    SMS,
    TOOL,
    gateway_world,
    operator_connection,
    sent,
    waiting,
)
from tests.integration.gateway.test_redaction import everything
from tests.integration.gateway.world import Gateway, World, wants

__all__ = ["gateway_world", "operator_connection"]


@pytest.fixture
async def gateway(world: World) -> Gateway:
    made = await world.gateway(policies={"own.cedar": ASKS})
    made.catalogue.tools[TOOL] = replace(made.catalogue.tools[TOOL], redact_arguments=path_marks("$.Body"))
    await made.intake.accept([wants(TOOL, SMS)])
    await world.state("awaiting_approval")
    return made


async def test_a_person_agrees_to_what_the_vendor_then_gets(world: World, gateway: Gateway, operator: Any) -> None:
    approval = await waiting(world)
    assert approval["arguments"] == {"To": SMS["To"], "Body": "[redacted]"}
    assert SMS["Body"] not in await everything(world)
    assert await decide.approve(operator, approval, DANA, None, None) == "approved"
    await world.state("succeeded")
    assert sent(world) == [SMS["Body"]]


async def test_sensitive_arguments_are_not_edited(world: World, gateway: Gateway, operator: Any) -> None:
    """A person would send the marker to the vendor, or put the value on record."""
    approval, tool = await waiting(world), gateway.catalogue.tools[TOOL]
    for body in ("[redacted]", "Hello Ana"):
        with pytest.raises(BadInput, match="sensitive"):
            await decide.approve(operator, approval, DANA, {"To": SMS["To"], "Body": body}, tool)
