"""Child processes that cannot outlive us: started with a parent-death signal, dropped to an unprivileged user for root."""

from __future__ import annotations

import ctypes
import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

PR_SET_PDEATHSIG = 1
UNPRIVILEGED = "nobody"
LONGEST_PAUSE_SECONDS = 5.0


def die_with_parent(number: int) -> None:
    """Ask the kernel to signal this process when its parent dies (Linux; elsewhere nothing happens)."""
    try:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number)
    except (OSError, AttributeError):
        return


def start(
    command: Sequence[str | Path],
    *,
    log: IO[bytes],
    stop_signal: signal.Signals = signal.SIGTERM,
    env: Mapping[str, str] | None = None,
    unprivileged: bool = False,
) -> subprocess.Popen[bytes]:
    """Start a program in its own session; `stop_signal` reaches it when we die."""
    argv = [str(part) for part in command]
    if unprivileged and os.geteuid() == 0:
        argv = [*_drop(stop_signal), *argv]
    return subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        cwd="/",
        env=dict(env) if env is not None else None,
        start_new_session=True,
        preexec_fn=lambda: die_with_parent(stop_signal),
    )


def run_unprivileged(command: Sequence[str | Path]) -> None:
    """Run to the end, as nobody when we are root. Raises CalledProcessError with the program's words."""
    argv = [str(part) for part in command]
    if os.geteuid() == 0:
        argv = [*_drop(signal.SIGTERM), *argv]
    subprocess.run(argv, check=True, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, text=True)


def give_to_unprivileged(folder: Path) -> None:
    """Hand a folder and what is in it to the user that unprivileged children run as."""
    if os.geteuid() != 0:
        return
    user = pwd.getpwnam(UNPRIVILEGED)
    for path in (folder, *folder.rglob("*")):
        os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)


def _drop(stop_signal: signal.Signals) -> list[str]:
    """setpriv (util-linux) in front of the program: another user, who may still pass through root's private folders.

    Changing the user clears the parent-death signal, so setpriv sets it again.
    """
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise FileNotFoundError("setpriv (package util-linux) is needed to run Postgres when started by root")
    user = pwd.getpwnam(UNPRIVILEGED)
    capability = "+dac_override,+dac_read_search"
    return [
        setpriv,
        f"--reuid={user.pw_uid}",
        f"--regid={user.pw_gid}",
        "--clear-groups",
        f"--inh-caps={capability}",
        f"--ambient-caps={capability}",
        f"--pdeathsig={stop_signal.name.removeprefix('SIG')}",
        "--",
    ]


def alive(pid: int) -> bool:
    """Is there a process with this id that is not a zombie?"""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return _signalable(pid) if not Path("/proc/self").exists() else False
    return state not in ("Z", "X")


def ended(process: subprocess.Popen[bytes] | None) -> bool:
    """Was it started, and is it gone?"""
    return process is not None and process.poll() is not None


def ending(code: int) -> str:
    """How a process ended, from its exit code as Python has it: the signal's name or the code."""
    return signal.Signals(-code).name if code < 0 else f"exit {code}"


def pause(failures: int) -> float:
    """Seconds before the next start, after so many failures in a row (1 or more)."""
    return min(0.1 * 2.0 ** min(failures - 1, 10), LONGEST_PAUSE_SECONDS)


def _signalable(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
