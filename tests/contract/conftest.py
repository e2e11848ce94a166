"""Fixtures of the contract tests: the module's emulator being served, and a receiver of what it sends."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sandbox.vendors.common import Emulator
from tests.contract.emulators import Served
from tests.contract.receiver import Receiver


@pytest.fixture
def served(emulator: Emulator) -> Iterator[Served]:
    """The emulator the module's fixture of that name makes."""
    made = Served(emulator)
    yield made
    made.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()
