"""The emulated Stripe account as tests use it: served without limits, its SDK client, its events verified by the SDK."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import stripe

from sandbox.vendors.stripe import API_KEY, Stripe
from tests.contract.emulators import Served
from tests.contract.receiver import Arrived, Receiver
from tests.contract.waiting import eventually


@pytest.fixture(name="served")
def stripe_served() -> Iterator[Served]:
    made = Served(Stripe(index_delay=0.3))
    made.emulator.unlimited = True
    yield made
    made.close()


@pytest.fixture(name="client")
def stripe_client(served: Served) -> Any:
    return sdk(served)


def sdk(served: Served, key: str = API_KEY) -> Any:
    made = stripe.StripeClient(key, base_addresses={"api": served.url}, max_network_retries=0)
    return made.v1


def body(error: pytest.ExceptionInfo[stripe.StripeError]) -> Any:
    """The error object of a refusal."""
    return error.value.error


def monthly(client: Any, amount: int = 1500) -> Any:
    product = client.products.create({"name": "Plan"})
    recurring = {"interval": "month"}
    given = {"product": product.id, "currency": "eur", "unit_amount": amount, "recurring": recurring}
    return client.prices.create(given)


class Events:
    """The events a receiver took, each with its signature verified by the SDK."""

    def __init__(self, receiver: Receiver, secret: str) -> None:
        self._receiver, self._secret = receiver, secret

    def event(self, kind: str) -> Any:
        """The first event of that type, once it came."""
        return eventually(lambda: next((e for e in self.events() if e.type == kind), None), kind)

    def events(self) -> list[Any]:
        return [self._verified(arrived) for arrived in list(self._receiver.arrived) if not arrived.refused]

    def _verified(self, arrived: Arrived) -> Any:
        return stripe.Webhook.construct_event(arrived.body, arrived.headers["Stripe-Signature"], self._secret)
