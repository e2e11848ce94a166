"""Large answers are read in a process of their own, one at a time: the loop never stands still for them.

A thread would not do, because a JSON parser holds the interpreter's lock from the first byte to the last. The process,
`reader`, knows no setting and no secret, may take so much memory and so much time, and is gone when it has answered.
"""

from __future__ import annotations

import asyncio
import pickle
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from services.tool_gateway.answers.answer import Answer

T = TypeVar("T")
SMALL_BYTES = 200_000  # read on the loop: some milliseconds
SMALL_ENCODED_BYTES = 2_000  # it may unfold to a thousand times as much
SECONDS = 20.0
READER = "services.tool_gateway.answers.reader"
_one_at_a_time = ThreadPoolExecutor(1, thread_name_prefix="large-answer")


async def read_apart(function: Callable[..., T], *arguments: Any) -> T:
    """`function(*arguments)` in another process. The function is one of a module, so that it can be named there.

    Raises the ValueError that it raises, and ValueError when it takes too much memory or too long.
    """
    return await asyncio.get_running_loop().run_in_executor(_one_at_a_time, _in_a_process, function, arguments)


def is_large(answer: Answer, most_bytes: int) -> bool:
    """Whether reading takes so long that it is to be done apart. What is larger than may be read is not read at all."""
    if answer.encoded:
        return len(answer.body) > SMALL_ENCODED_BYTES
    return SMALL_BYTES < len(answer.body) <= most_bytes


def _in_a_process(function: Callable[..., T], arguments: tuple[Any, ...]) -> T:
    # -S: no site packages but those we have found already; it starts in half the time.
    command = [sys.executable, "-S", "-m", READER]
    environment = {"PYTHONPATH": ":".join(filter(None, sys.path)), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        ended = subprocess.run(  # noqa: S603  # a module of ours
            command, input=pickle.dumps((function, arguments)), capture_output=True, timeout=SECONDS, env=environment
        )
    except subprocess.TimeoutExpired:
        raise ValueError(f"it cannot be read within {SECONDS:g} s") from None
    except OSError as error:
        raise ValueError(f"no process could be started to read it: {error}") from error
    if ended.returncode:
        raise ValueError("it takes too much memory to be read")
    result, problem = pickle.loads(ended.stdout)  # noqa: S301  # written by our own process
    if problem is not None:
        raise ValueError(problem)
    made: T = result
    return made
