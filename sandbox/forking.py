"""Service processes, forked from a server that has their code loaded and none of their secrets.

Nine imports of LangGraph would take a minute and ten times the memory, so services are forked. A fork keeps its parent's
memory and its environment block (`/proc/PID/environ`), so the parent is no process that knows a secret: Python's fork
server is executed with an environment without settings, and each child is sent its own after the fork. An agent then
becomes a user of its own, who can look into no other service; where other users cannot enter the folders of our code it
stays root, without root's capabilities.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import importlib
import json
import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import setproctitle

from sandbox import children
from shared.entry import UNUSABLE_SETTINGS
from shared.errors import BadInput, VioxError

FIRST_UID = 61184  # of the range that systemd gives to services without an account (systemd.io/UIDS-GIDS)
CAPABILITIES = range(64)
READ, PASS = 0o004, 0o001  # of others
NOWHERE = "/nonexistent"  # a home for who has none: nothing in another user's is looked for
PR_SET_DUMPABLE, PR_CAPBSET_DROP = 4, 24
CAPSET_VERSION_3 = 0x20080522
# Settings that name files which an agent reads.
FILES = (
    "VIOX_MODELS",
    "VIOX_BUSINESS",
    "VIOX_KAFKA_SSL_CAFILE",
    "VIOX_KAFKA_SSL_CERTFILE",
    "VIOX_KAFKA_SSL_KEYFILE",
    "OTEL_EXPORTER_OTLP_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_CLIENT_KEY",
)


@dataclass(frozen=True)
class Seat:
    """What a child is to be. `module` is a service's `main`, or the emulators', which `listening` and `folder` are for.

    `confined`: it becomes user `uid`, or loses the capabilities of root where there is no such user.
    """

    label: str
    module: str
    log: Path
    environment: Mapping[str, str] = field(repr=False)
    confined: bool = False
    uid: int | None = None
    listening: Mapping[str, Any] | None = None
    folder: Path | None = None


class ForkServer:
    """Forks children. Its code is loaded while the caller does other things; a server that died is replaced."""

    def __init__(self, modules: Iterable[str]) -> None:
        self._context: ForkServerContext = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([__name__, *modules, "sandbox.preloaded"])

    def start(self) -> None:
        """Begin loading. The environment of this process is the server's: it must have no secret by now."""
        from multiprocessing import forkserver

        forkserver.ensure_running()

    def fork(self, seat: Seat) -> BaseProcess:
        process = self._context.Process(target=run, args=(seat,), daemon=True)
        process.start()
        return process


def run(seat: Seat) -> None:
    """Be this service until it ends. The process does not return from here."""
    code = 1
    refusal = os.open(refusal_of(seat), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)  # another user could not
    try:
        _settle_in(seat)
        module = importlib.import_module(seat.module)
        if seat.listening is None:
            module.app.serve(seat.label)
        else:
            asyncio.run(module.serve(seat.listening, seat.folder))
        code = 0
    except BadInput as error:
        _leave_word(refusal, error)
        code = UNUSABLE_SETTINGS
    except VioxError as error:
        print(error, file=sys.stderr, flush=True)  # noqa: T201
    except BaseException:  # noqa: BLE001  # the last line of a forked process
        traceback.print_exc()
    finally:
        os._exit(code)


def _leave_word(refusal: int, error: BadInput) -> None:
    """Say why no start can succeed with these settings: in the log, and for who forked us."""
    print(error, file=sys.stderr, flush=True)  # noqa: T201
    with contextlib.suppress(OSError):
        os.write(refusal, json.dumps(error.as_dict()).encode())


def refusal_of(seat: Seat) -> Path:
    """Where a service that cannot start says why."""
    return seat.log.with_suffix(".refused")


def _settle_in(seat: Seat) -> None:
    """Session, log, user and environment of a child that was just forked."""
    os.setsid()
    log = os.open(seat.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for stream in (1, 2):
        os.dup2(log, stream)
    setproctitle.setproctitle(f"viox {seat.label}")  # it looks for its place behind the environment as it was
    os.environ.clear()
    os.environ.update(seat.environment)
    if seat.uid is not None:
        _become(seat.uid)
    elif seat.confined:
        _drop_capabilities()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    # After the change of user, which clears both.
    children.die_with_parent(signal.SIGTERM if seat.listening is None else signal.SIGKILL)
    _hide_from_others_of_our_user()


def _become(uid: int) -> None:
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)
    os.environ["HOME"] = NOWHERE


def _drop_capabilities() -> None:
    """Root's files stay readable; other processes, that do not want it, are not (Linux; elsewhere nothing happens)."""
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        for one in CAPABILITIES:
            libc.prctl(PR_CAPBSET_DROP, one, 0, 0, 0)
        nothing = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable, twice 32 bits
        libc.capset((ctypes.c_uint32 * 2)(CAPSET_VERSION_3, 0), nothing)


def _hide_from_others_of_our_user() -> None:
    """Memory and environment of this process are root's to read from here on, not those of processes of the same user."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def users(services: Iterable[str], code: Iterable[Path]) -> dict[str, int]:
    """service → the user it becomes; nothing where we are not root, or our code is in a folder that only root enters."""
    if os.geteuid() != 0 or not all(_open_to_all(path, READ | PASS) for path in code):
        return {}
    return {name: FIRST_UID + place for place, name in enumerate(services)}


def check_files(environment: Mapping[str, str]) -> None:
    """Raises BadInput for a file that agents are to read and that users of their own cannot."""
    for name in FILES:
        path = environment.get(name)
        if path and path != "offline" and not _open_to_all(Path(path), READ):
            raise BadInput(
                "settings.invalid",
                f"{path} cannot be read by other users, as whom agents run when root starts them.",
                field=name,
                remedy="Let others read the file and pass through its folders (chmod o+r, o+x).",
            )


def _open_to_all(path: Path, rights: int) -> bool:
    """Whether everybody has these rights to a file or folder, and may pass through the folders above. False when it is not there."""
    place = path.resolve()
    try:
        here = place.stat().st_mode & rights == rights
        return here and all(folder.stat().st_mode & PASS for folder in place.parents)
    except OSError:
        return False
