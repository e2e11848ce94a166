from __future__ import annotations
from collections.abc import Iterator


def files() -> Iterator[tuple[str, str]]:
    yield from ()
