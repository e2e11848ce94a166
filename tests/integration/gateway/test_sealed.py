"""Sensitive arguments: the vendor gets the real ones, also at a repeat byte for byte, and nobody else can read them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest
from cryptography.fernet import Fernet

from services.tool_gateway.call import sealed
from services.tool_gateway.catalogue.sensitive import path_marks
from shared.operations import store
from tests.integration.gateway.test_keyed import KEY, REFUND, Bank, bank
from tests.integration.gateway.test_redaction import everything
from tests.integration.gateway.world import RESULTS, Gateway, until

__all__ = ["bank"]
WHY = "late & cold"
ENCODED = b"late+%26+cold"


async def opened(bank: Bank, *loops: str) -> Gateway:
    gateway = await bank.gateway(*loops)
    found = gateway.catalogue.tools[REFUND]
    gateway.catalogue.tools[REFUND] = replace(found, redact_arguments=path_marks("$.metadata.why"), projection=())
    return gateway


@pytest.fixture(autouse=True)
def key(bank: Bank) -> None:
    bank.secrets["VIOX_SECRET_KEY"] = Fernet.generate_key().decode()


@pytest.mark.rule(8)
async def test_a_repeat_has_the_same_bytes_and_the_record_has_none_of_them(bank: Bank) -> None:
    gateway = await opened(bank, "outcomes")
    bank.fault(bank.stripe, "cut_after", method="POST")
    await gateway.intake.accept([bank.wish()])
    await until(lambda: bank.asked)
    gateway.go_on("resumer")
    row = await bank.state("succeeded")
    assert bank.asked[0][1] == bank.asked[-1][1]
    assert len(bank.asked) >= 2
    assert ENCODED in bank.asked[0][1]
    assert len(bank.refunds) == 1

    assert orjson.loads(row["arguments"])["metadata"] == {"why": "[redacted]"}
    kept = await everything(bank)
    assert WHY not in kept
    assert ENCODED.decode() not in kept
    told = (await store.call(bank.pool, KEY))["request"][0]
    assert told["redacted"]["original_bytes"] == len(bank.asked[0][1])


async def test_what_was_sealed_is_gone_once_the_call_has_ended(bank: Bank) -> None:
    gateway = await opened(bank, "resumer")
    await gateway.intake.accept([bank.wish()])
    await until(lambda: bank.asked)
    await sealed.forget(bank.pool)
    assert await bank.admin.fetchval("select count(*) from sealed_calls") == 1, "a repeat may need it yet"
    gateway.go_on("outcomes")
    await bank.state("succeeded")
    await sealed.forget(bank.pool)
    assert await bank.admin.fetchval("select count(*) from sealed_calls") == 0


async def test_a_call_that_waited_is_sent_with_the_real_arguments(bank: Bank) -> None:
    await bank.admin.execute("insert into pauses (scope, paused_by) values ('all', 'test')")
    gateway = await opened(bank, "outcomes", "resumer")
    await gateway.intake.accept([bank.wish()])
    await bank.state("requested")
    await bank.admin.execute("delete from pauses")
    await bank.state("succeeded")
    assert ENCODED in bank.asked[0][1]


async def test_a_gateway_with_another_key_sends_nothing_in_the_place_of_a_secret(bank: Bank) -> None:
    await bank.admin.execute("insert into pauses (scope, paused_by) values ('all', 'test')")
    first = await opened(bank, "outcomes")
    await first.intake.accept([bank.wish()])
    bank.secrets["VIOX_SECRET_KEY"] = Fernet.generate_key().decode()
    await bank.admin.execute("delete from pauses")
    await opened(bank, "outcomes", "resumer")
    row = await bank.state("failed")
    assert "sealed with another" in row["error"]
    assert bank.asked == []


async def test_without_a_key_a_call_with_sensitive_arguments_is_denied(bank: Bank) -> None:
    del bank.secrets["VIOX_SECRET_KEY"]
    gateway = await opened(bank, "outcomes")
    await gateway.intake.accept([bank.wish()])
    row = await bank.state("denied")
    assert "VIOX_SECRET_KEY" in row["error"]
    assert WHY not in await everything(bank)


async def test_an_error_does_not_say_a_sensitive_argument_back(bank: Bank, capsys: pytest.CaptureFixture[str]) -> None:
    gateway = await opened(bank, "outcomes")
    tools = gateway.catalogue.tools
    tools[REFUND] = replace(tools[REFUND], redact_arguments=path_marks("$.amount"))
    await gateway.intake.accept([bank.wish(amount="seventeen thousand")])
    row = await bank.state("denied")
    assert "amount" in row["error"]
    assert "seventeen" not in await everything(bank) + str(gateway.publisher.sent(RESULTS)) + capsys.readouterr().out


async def test_what_the_vendor_says_back_is_taken_out(bank: Bank) -> None:
    gateway = await opened(bank, "outcomes")
    await gateway.intake.accept([bank.wish()])
    row: Any = await bank.state("succeeded")
    assert orjson.loads(row["result"])["metadata"]["why"] == "[secret argument]"
