"""One reading of a large answer: from standard input to standard output. `apart` starts it and says why.

python -m services.tool_gateway.answers.reader < pickled (function, arguments) > pickled (result, problem)
"""

from __future__ import annotations

import pickle
import resource
import sys
from typing import Any

MEMORY_BYTES = 2_000_000_000  # of addresses; 10 MB of JSON with 600,000 keys take a tenth of it


def main() -> None:
    """Read, call, answer. What takes too much memory ends the process without an answer."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    function, arguments = pickle.load(sys.stdin.buffer)  # noqa: S301  # written by the gateway
    told: tuple[Any, str | None]
    try:
        told = (function(*arguments), None)
    except ValueError as error:
        told = (None, str(error))
    sys.stdout.buffer.write(pickle.dumps(told))


if __name__ == "__main__":
    main()
