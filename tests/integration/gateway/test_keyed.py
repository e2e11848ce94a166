"""Calls that may be repeated under their key: the same bytes each time, one effect, and unknown when the key is too old.

The vendor is Stripe, with a payment to refund; the gateway runs on a real Postgres.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from sandbox.postgres import Postgres
from sandbox.vendors.common import Handler
from sandbox.vendors.main import start
from sandbox.vendors.stripe import API_KEY, Stripe
from services.tool_gateway.call import outcome
from services.tool_gateway.catalogue.catalogue import Catalogue
from services.tool_gateway.catalogue.tools import Idempotency
from shared.budgets import Budgets
from shared.ids import call_id
from shared.store.pool import Pool
from tests.integration.gateway.test_budgets import used
from tests.integration.gateway.world import OPEN, RUN, Gateway, World, opened, until, wants

REFUND = "stripe_create_refund"
KEY = call_id(RUN, 1, 0)
FORM = "application/x-www-form-urlencoded"


class Bank(World):
    """A Stripe account with one paid charge, and everything that was asked of its refunds."""

    def __init__(self, pool: Pool, admin: Any, dsn: str) -> None:
        super().__init__(pool, admin, dsn)
        self.stripe = Stripe()
        self.stripe.unlimited = True
        self.stripe.app.middlewares.insert(0, self._keep)
        self.asked: list[tuple[str | None, bytes, dict[str, str]]] = []

    @web.middleware
    async def _keep(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.method == "POST" and request.path.startswith("/v1/"):
            given = request.headers.get("Idempotency-Key")
            self.asked.append((given, await request.read(), dict(request.headers)))
        return await handler(request)

    async def open(self) -> None:
        runner, port = await start(self.stripe, 0)
        self._runners.append(runner)
        self.secrets = {"STRIPE_BASE_URL": f"http://127.0.0.1:{port}", "STRIPE_API_KEY": API_KEY}
        intent = self.stripe.money.pay_now(5000, "eur", {"payment_method": "pm_card_visa"})
        self.charge = str(intent["latest_charge"])
        self.stripe.book.commit()

    async def gateway(self, *loops: str, **more: Any) -> Gateway:
        made = await super().gateway(*loops, **more)
        tools = made.catalogue.tools
        mine = frozenset(name for name in tools if name.startswith("stripe_"))
        made.catalogue.take(Catalogue(tools.values(), {"closer": mine}))
        return made

    def wish(self, **more: Any) -> Any:
        return wants(REFUND, {"charge": self.charge, "amount": 700, "metadata": {"why": "late & cold"}} | more)

    @property
    def refunds(self) -> list[Any]:
        return [effect for effect in self.stripe.effects if effect["operation"] == "refunds.create"]

    async def attempts(self, phase: str = "intent") -> list[Any]:
        return list(
            await self.admin.fetch(
                "select * from ledger_entries where call_id = $1 and phase = $2 order by attempt", KEY, phase
            )
        )

    def all_the_same(self, times: int) -> None:
        """The vendor was asked so often, each time with the same key and bytes."""
        assert [(key, body) for key, body, _ in self.asked] == [(KEY, self.asked[0][1])] * times
        assert b"metadata%5Bwhy%5D=late+%26+cold" in self.asked[0][1]


@pytest.fixture
async def bank(gateway_pool: Pool, admin: Any, postgres: Postgres) -> AsyncIterator[Bank]:
    async with opened(Bank(gateway_pool, admin, postgres.dsn("viox_gateway"))) as made:
        yield made


def rewritten(gateway: Gateway, **more: Any) -> None:
    """The catalogue changes under a call: another header, another default, another way to write forms."""
    tool = gateway.catalogue.tools[REFUND]
    assert tool.body is not None
    body = replace(tool.body, defaults={"reason": "duplicate"}, style=("form", True))
    gateway.catalogue.tools[REFUND] = replace(tool, headers={"Stripe-Version": "2025-01-27"}, body=body, **more)


@pytest.mark.rule(9)
async def test_a_lost_answer_is_asked_for_again_with_the_bytes_of_the_first_time(bank: Bank) -> None:
    gateway = await bank.gateway("outcomes", "resumer")
    bank.fault(bank.stripe, "cut_after", method="POST")
    await gateway.intake.accept([bank.wish()])
    await bank.state("requested")
    rewritten(gateway)
    row = await bank.state("succeeded")
    assert (row["attempt"], row["http_status"]) == (2, 200)
    bank.all_the_same(2)
    assert {headers["Stripe-Version"] for _, _, headers in bank.asked} == {"2026-10-28.endive"}
    assert {(headers["Content-Type"], headers["Authorization"]) for _, _, headers in bank.asked} == {
        (FORM, f"Bearer {API_KEY}")
    }
    assert len(bank.refunds) == 1
    first, second = await bank.attempts()
    for column in ("method", "url", "request_headers", "request_body", "request_sha256"):
        assert first[column] == second[column], column
    assert ["Idempotency-Key", KEY] in json.loads(first["request_headers"])
    lost, found = await bank.attempts("outcome")
    assert (lost["status"], found["status"]) == (None, 200)


@pytest.mark.rule(8)
async def test_a_call_of_a_dead_gateway_is_sent_again_by_another_as_it_was(bank: Bank) -> None:
    dead = await bank.gateway("outcomes")
    bank.stripe.clock.stop()
    bank.fault(bank.stripe, "slow", method="POST")
    await dead.intake.accept([bank.wish()])
    await until(lambda: bank.refunds)
    await dead.die()
    bank.stripe.clock.go_on()
    other = await bank.gateway("outcomes")
    rewritten(other)
    other._loops.append(asyncio.create_task(other.resumer.run()))
    row = await bank.state("succeeded")
    assert row["attempt"] >= 2
    bank.all_the_same(row["attempt"])
    assert len(bank.refunds) == 1
    assert len(await bank.attempts()) == row["attempt"]


@pytest.mark.rule(9)
async def test_a_key_in_use_is_no_refusal(bank: Bank) -> None:
    """The answer took too long, and the repeat met the first attempt still at work: that one may succeed, and did."""
    gateway = await bank.gateway("outcomes", "resumer", timeout=1.0)
    bank.stripe.clock.stop()
    bank.fault(bank.stripe, "slow", method="POST")
    await gateway.intake.accept([bank.wish()])
    async with asyncio.timeout(60):
        while len(await bank.attempts("outcome")) < 2:
            await asyncio.sleep(0.02)
    bank.stripe.clock.go_on()
    row = await bank.state("succeeded")
    assert [entry["status"] for entry in await bank.attempts("outcome")] == [None, 409, 200]
    assert row["attempt"] == 3
    bank.all_the_same(3)
    assert len(bank.refunds) == 1


@pytest.mark.rule(9)
async def test_a_key_that_the_vendor_may_have_forgotten_is_not_used_again(bank: Bank) -> None:
    gateway = await bank.gateway("outcomes", "resumer")
    bank.fault(bank.stripe, "cut_after", method="POST")
    await gateway.intake.accept([bank.wish()])
    await bank.state("requested")
    rewritten(gateway, idempotency=Idempotency("header", "Idempotency-Key", hours=1e-6))
    row = await bank.state("unknown")
    assert "forgotten" in row["error"]
    assert len(bank.asked) == 1
    assert len(await bank.attempts()) == 1


@pytest.mark.rule(9)
@pytest.mark.parametrize("key", ["sk_test_revoked", None])
async def test_a_repeat_that_is_not_let_in_says_nothing_of_the_first_attempt(bank: Bank, key: str | None) -> None:
    gateway = await bank.gateway("outcomes", "resumer")
    bank.fault(bank.stripe, "cut_after", method="POST")
    await gateway.intake.accept([bank.wish()])
    await bank.state("requested")
    del bank.secrets["STRIPE_API_KEY"]
    if key is not None:
        bank.secrets["STRIPE_API_KEY"] = key
    await bank.state("unknown")
    bank.secrets["STRIPE_API_KEY"] = API_KEY
    gateway._loops.append(asyncio.create_task(gateway.settler.run()))
    await bank.state("succeeded")
    assert len(bank.refunds) == 1


@pytest.mark.rule(9)
async def test_a_first_attempt_that_is_not_let_in_has_failed(bank: Bank) -> None:
    bank.secrets["STRIPE_API_KEY"] = "sk_test_revoked"
    gateway = await bank.gateway("outcomes", "resumer")
    await gateway.intake.accept([bank.wish()])
    row = await bank.state("failed")
    assert (row["attempt"], row["http_status"]) == (1, 401)
    assert bank.refunds == []


@pytest.mark.rule(9)
async def test_a_500_is_repeated_under_its_key(bank: Bank) -> None:
    gateway = await bank.gateway("outcomes", "resumer")
    bank.fault(bank.stripe, "500", method="POST")
    await gateway.intake.accept([bank.wish()])
    assert (await bank.state("succeeded"))["attempt"] == 2
    bank.all_the_same(2)
    assert len(bank.refunds) == 1


@pytest.mark.rule(10)
@pytest.mark.parametrize("first", ["cut_after", "500"])
async def test_the_event_that_names_the_key_settles_what_stays_unknown(
    bank: Bank, first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing but errors came back. Either it had happened, and is found; or it had not, and is sent again."""
    monkeypatch.setattr(outcome, "MAX_ATTEMPTS", 2)
    gateway = await bank.gateway("outcomes", "resumer")
    bank.stripe.money.create_refund({"charge": bank.charge, "amount": 700}, "")  # somebody else's, just the same
    bank.stripe.book.commit()
    bank.fault(bank.stripe, first, method="POST")
    bank.fault(bank.stripe, "500", method="POST")
    await gateway.intake.accept([bank.wish()])
    await bank.state("unknown")
    await bank.unknown_for()
    gateway._loops.append(asyncio.create_task(gateway.settler.run()))
    row = await bank.state("succeeded")
    assert row["attempt"] == (2 if first == "cut_after" else 3)
    bank.all_the_same(row["attempt"])
    assert len(bank.refunds) == 1
    assert bank.refunds[0]["id"] in row["result"]
    assert {"look_up", "settled"} <= set(await bank.phases())


@pytest.mark.rule(12)
async def test_429_is_waited_out_as_long_as_the_vendor_says(bank: Bank) -> None:
    gateway = await bank.gateway("outcomes", "resumer")
    bank.fault(bank.stripe, "429", method="POST", retry_after=0.6)
    await gateway.intake.accept([bank.wish()])
    assert (await bank.state("succeeded"))["attempt"] == 2
    bank.all_the_same(2)
    first, second = await bank.attempts()
    assert (second["at"] - first["at"]).total_seconds() >= 0.6
    assert len(bank.refunds) == 1


async def test_a_cancellation_whose_answer_was_lost_is_settled_by_reading(bank: Bank) -> None:
    """A DELETE takes no key, and a second one would find nothing."""
    catalogue = bank.stripe.catalogue
    customer = catalogue.add_customer({"payment_method": "pm_card_visa"})["id"]
    product = catalogue.add_product({"name": "Plan"})
    price = catalogue.price({"currency": "eur", "unit_amount": 900, "recurring": {"interval": "month"}}, "", product)[
        "id"
    ]
    made = bank.stripe.subscriptions.subscribe({"customer": customer}, [{"price": price}])["id"]
    gateway = await bank.gateway()
    bank.fault(bank.stripe, "cut_after", method="DELETE")
    await gateway.intake.accept([wants("stripe_cancel_subscription", {"subscription": made})])
    row = await bank.state("succeeded")
    assert (row["attempt"], row["look_ups"]) == (1, 1)
    assert '"canceled"' in row["result"]


async def test_a_model_learns_why_and_what_to_change(bank: Bank) -> None:
    gateway = await bank.gateway()
    await gateway.intake.accept([bank.wish(amount=5001)])
    row = await bank.state("failed")
    assert "Refund amount (5001) is greater than unrefunded amount on charge (5000) · amount" in row["error"]
    assert len(row["error"]) < 200


TWO_CURRENCIES = Budgets.model_validate(
    {"budgets": [{"name": "day", "of": "agent", "per": "day", "calls": 9, "money": {"usd": "10.00", "eur": "10.00"}}]}
)
ONLY_DOLLARS = Budgets.model_validate(
    {"budgets": [{"name": "day", "of": "agent", "per": "day", "money": {"usd": "10.00"}}]}
)


async def amount(bank: Bank, step: int = 1) -> tuple[int | None, str | None]:
    row = await bank.call(step)
    return row["amount_minor"], row["currency"]


async def test_a_refund_counts_in_every_currency_until_its_answer_says_which(bank: Bank) -> None:
    gateway = await bank.gateway("outcomes", "resumer", budgets=TWO_CURRENCIES)
    bank.fault(bank.stripe, "cut_after", method="POST")
    await gateway.intake.accept([bank.wish()])
    await bank.state("requested")
    assert await amount(bank) == (700, "")
    assert await used(bank) == {"calls": 1, "money:usd": 700, "money:eur": 700}
    await bank.state("succeeded")
    assert await amount(bank) == (700, "eur")
    assert await used(bank) == {"calls": 1, "money:usd": 0, "money:eur": 700}
    kept = json.loads((await bank.call())["reserved"])
    assert {one[3]: one[4] for one in kept} == {"calls": 1, "money:eur": 700}


async def test_a_refund_found_by_its_event_is_counted_as_the_event_says(bank: Bank) -> None:
    gateway = await bank.gateway("outcomes", budgets=TWO_CURRENCIES)
    bank.fault(bank.stripe, "cut_after", method="POST", count=99)
    await gateway.intake.accept([bank.wish()])
    await bank.state("requested")
    await bank.admin.execute("update tool_calls set state = 'unknown', unknown_since = now(), not_before = now()")
    gateway.go_on("settler")
    await bank.state("succeeded")
    assert await amount(bank) == (700, "eur")
    assert await used(bank) == {"calls": 1, "money:usd": 0, "money:eur": 700}


async def test_a_refund_in_a_currency_without_a_limit_stays_counted_in_every_one(bank: Bank) -> None:
    gateway = await bank.gateway(budgets=ONLY_DOLLARS)
    await gateway.intake.accept([bank.wish()])
    await bank.state("succeeded")
    assert await amount(bank) == (700, "eur")
    assert await used(bank) == {"money:usd": 700}
    await gateway.intake.accept([wants(REFUND, {"charge": bank.charge, "amount": 400}, 2)])
    await bank.state("awaiting_approval", 2)


async def test_a_refund_of_all_that_is_left_says_afterwards_how_much_it_was(bank: Bank) -> None:
    gateway = await bank.gateway()
    await gateway.intake.accept([wants(REFUND, {"charge": bank.charge})])
    await bank.state("succeeded")
    assert await amount(bank) == (5000, "eur")


async def test_refunds_whose_currency_is_known_still_add_up_for_the_next_one(bank: Bank) -> None:
    limit = f"""@id("limit") forbid (principal, action == Action::"{REFUND}", resource)
    unless {{ context has amount && context.history.sum_24h + context.amount.minor <= 1000 }};"""
    gateway = await bank.gateway(policies=OPEN | {"limit.cedar": limit})
    await gateway.intake.accept([bank.wish()])
    await bank.state("succeeded")
    await gateway.intake.accept([wants(REFUND, {"charge": bank.charge, "amount": 400}, 2)])
    assert (await bank.state("denied", 2))["error"] is not None
    await gateway.intake.accept([wants(REFUND, {"charge": bank.charge, "amount": 300}, 3)])
    await bank.state("succeeded", 3)
