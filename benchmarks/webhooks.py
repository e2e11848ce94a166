"""Webhooks a second: signed deliveries of Stripe's kind, each another event, answered once they are in Postgres."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any

import aiohttp

from benchmarks.measure import in_flight

SECRET = "whsec_benchmark"  # noqa: S105  # of the benchmark
FLIGHTS = (1, 16, 64)
_numbers = count()


async def measure(port: int, deliveries: int) -> dict[str, dict[str, float]]:
    """Latency and rate by how many are on their way at once. Raises RuntimeError for an answer that is not 200."""
    found = {}
    connector = aiohttp.TCPConnector(limit=max(FLIGHTS))
    async with aiohttp.ClientSession(connector=connector) as session:
        for flight in FLIGHTS:
            found[str(flight)] = await in_flight(
                _sender(session, port), flight, deliveries if flight > 1 else deliveries // 5
            )
    return found


def _sender(session: aiohttp.ClientSession, port: int) -> Callable[[], Awaitable[Any]]:
    async def one() -> None:
        body = json.dumps(_event(next(_numbers))).encode()
        headers = {"Content-Type": "application/json", "Stripe-Signature": _signature(body)}
        async with session.post(f"http://127.0.0.1:{port}/webhooks/stripe", data=body, headers=headers) as answer:
            if answer.status != 200:
                raise RuntimeError(f"{answer.status}: {await answer.text()}")

    return one


def _signature(body: bytes) -> str:
    at = int(time.time())
    return f"t={at},v1={hmac.new(SECRET.encode(), f'{at}.'.encode() + body, hashlib.sha256).hexdigest()}"


def _event(number: int) -> dict[str, Any]:
    """Of the size that Stripe's are."""
    lines = [
        {"id": f"il_{number}_{place}", "description": "Monthly service, as agreed", "amount": 4200}
        for place in range(12)
    ]
    invoice = {
        "id": f"in_{number}",
        "object": "invoice",
        "customer": f"cus_{number}",
        "currency": "usd",
        "lines": lines,
    }
    return {"id": f"evt_{number}", "object": "event", "type": "invoice.paid", "data": {"object": invoice}}
