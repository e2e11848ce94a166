"""Storing deliveries when things go wrong around it."""

from __future__ import annotations

from typing import Any, cast

import pytest

from services.tool_gateway.webhooks.accept import Acceptor, Delivered
from shared.errors import Unavailable


class Away:
    """Postgres is not there."""

    async def fetch(self, *_: Any) -> Any:
        raise ConnectionError("no route to host")


async def test_a_sender_that_hung_up_while_postgres_was_away_does_not_stop_the_others() -> None:
    acceptor = Acceptor(cast(Any, Away()), cast(Any, None), cast(Any, None))
    acceptor._parameters = lambda *_: {}  # type: ignore[method-assign]
    gone, waits = Delivered("stripe", "0" * 64, []), Delivered("stripe", "1" * 64, [])
    gone.done.cancel()
    await acceptor._store([gone, waits])
    with pytest.raises(Unavailable):
        await waits.done
