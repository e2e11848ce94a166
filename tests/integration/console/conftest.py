"""The console in its own database role."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.postgres import Postgres
from shared.store.pool import open_pool
from tests.integration.console.world import World, console_world


@pytest.fixture
async def world(postgres: Postgres, admin: Any, tmp_path: Path) -> AsyncIterator[World]:
    pool = await open_pool(postgres.dsn("viox_console"), application="test console", size=4, for_people=True)
    async with console_world(admin, pool, postgres.dsn("viox_console"), tmp_path) as made:
        yield made
    await pool.close()
