"""`make k8s-live`; with `--if-built` it is no failure that its programs were not built, and it says so."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.k8s import crds, tools
from tests.k8s.live import control_plane
from tests.k8s.tools import Missing

IF_BUILT = "--if-built"


def main() -> int:
    arguments = [one for one in sys.argv[1:] if one != IF_BUILT]
    try:
        for name in control_plane.PROGRAMS:
            tools.path(name)
        crds.folder()
    except Missing as error:
        print(f"NOT CHECKED on an API server: {error}", file=sys.stderr)  # noqa: T201
        return 0 if IF_BUILT in sys.argv[1:] else 1
    return int(pytest.main([str(Path(__file__).parent), "-vv", *arguments]))


if __name__ == "__main__":
    raise SystemExit(main())
