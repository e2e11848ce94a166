"""`viox ask --wait` leaves with 3 for what needs a person, and for nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest

from services.tool_gateway.catalogue.importer import Wish, import_document
from shared.ids import call_id, run_id, thread_id
from shared.operations import store
from shared.store.pool import Pool
from viox import ingress, output

RUN = run_id("closer", "/t", "1")
SHOP = {
    "openapi": "3.1.0",
    "info": {"title": "Shop", "version": "1"},
    "servers": [{"url": "https://shop.example"}],
    "paths": {"/orders": {"get": {"operationId": "list"}, "post": {"operationId": "make"}}},
}
LOOK = {
    "tool": "shop_list",
    "arguments": {},
    "items": "orders",
    "match": {"id": "$.id"},
    "unique": "id",
    "lag_seconds": 5,
}
SETTLED = {
    "overlay": "1.0.0",
    "actions": [{"target": "$.paths['/orders'].post", "update": {"x-viox": {"settle": LOOK}}}],
}


async def running(admin: Any, *tools: str) -> None:
    """A run with an unknown call of each tool; the tools of the shop are there, one of them with a look-up."""
    await admin.execute(
        """insert into runs (run_id, agent, thread_id, conversation_id, status, trigger_source, trigger_id, trigger_type)
                           values ($1, 'closer', $2, 'c', 'running', '/t', '1', 'x')""",
        RUN,
        thread_id("closer", "c"),
    )
    made = import_document(SHOP, "https://shop.example", Wish("shop", overlay=SETTLED))
    await admin.execute(
        "insert into documents (name, content, tools, imported_by) values ('shop', $1, 2, 'x')",
        json.dumps(made.document),
    )
    for index, tool in enumerate(tools):
        await admin.execute(
            """insert into tool_calls (call_id, run_id, step, idx, agent, conversation_id, tool, state, arguments, arguments_sha256)
               values ($1, $2, 1, $3, 'closer', 'c', $4, 'unknown', '{}', '')""",
            call_id(RUN, 1, index),
            RUN,
            index,
            tool,
        )


async def waited(pool: Pool, timeout: float = 30) -> int:
    return await ingress.wait_for(pool, RUN, timeout, as_json=True)


@pytest.mark.parametrize("tool", ["shop_make", "twilio_send_message"])
async def test_waiting_goes_on_while_a_look_up_may_settle_the_call(admin: Any, operator_pool: Pool, tool: str) -> None:
    await running(admin, tool)
    run = await store.run(operator_pool, RUN)
    assert run["status"] == "waiting"
    assert not await ingress.Patience(operator_pool).ended(run)
    await admin.execute("update tool_calls set state = 'succeeded'")
    await admin.execute("update runs set status = 'finished', text = 'done' where run_id = $1", RUN)
    assert await waited(operator_pool) == output.OK


@pytest.mark.parametrize("tools", [("email_send",), ("shop_make", "email_send"), ("shop_list",), ("gone",)])
async def test_a_call_that_only_a_person_can_settle_ends_the_wait(
    admin: Any, operator_pool: Pool, tools: tuple[str, ...]
) -> None:
    await running(admin, *tools)
    assert await waited(operator_pool) == output.WAITING


async def test_a_pause_ends_the_wait_whatever_is_looked_up(admin: Any, operator_pool: Pool) -> None:
    await running(admin, "shop_make")
    await admin.execute("insert into pauses (scope, paused_by) values ('agent:closer', 'x')")
    assert await waited(operator_pool) == output.WAITING


async def test_a_look_up_that_does_not_come_to_an_end_is_a_wait_timed_out(
    admin: Any, operator_pool: Pool, capsys: pytest.CaptureFixture[str]
) -> None:
    await running(admin, "shop_make")
    assert await waited(operator_pool, 0.3) == output.TIMED_OUT
    assert json.loads(capsys.readouterr().out)["status"] == "waiting"
