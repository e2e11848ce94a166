"""The command line's own role on real Postgres, without a stack around it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from sandbox.postgres import Postgres
from shared.store.pool import Pool, open_pool


@pytest.fixture
async def operator_pool(postgres: Postgres, admin: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Pool]:
    """The command line's, which finds the same database by itself."""
    monkeypatch.setenv("VIOX_POSTGRES_DSN", postgres.dsn("viox_operator_cli"))
    made = await open_pool(postgres.dsn("viox_operator_cli"), application="test")
    yield made
    await made.close()
