"""A service as a process of its own: `python -m services.closer.main`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Final

from shared.errors import BadInput, VioxError

UNUSABLE_SETTINGS: Final = 78  # exit code of a service that no start can help (EX_CONFIG of sysexits.h)


def run(serve: Callable[[], None]) -> None:
    """Run a service until it ends. What keeps it from running is said in one line, without a traceback."""
    try:
        serve()
    except VioxError as error:
        print(error, file=sys.stderr, flush=True)  # noqa: T201  # there may be no log yet
        raise SystemExit(UNUSABLE_SETTINGS if isinstance(error, BadInput) else 1) from None
