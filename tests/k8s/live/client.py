"""kubectl, as a test asks it."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.k8s import tools
from viox.deploy.documents import Object
from viox.deploy.facts import NAMESPACE

PATIENCE_SECONDS = 300.0


@dataclass(frozen=True)
class Said:
    """What a command left."""

    code: int
    out: str
    err: str

    @property
    def all(self) -> str:
        return self.out + self.err


class Refused(AssertionError):
    """The API server, or kubectl, does not take it."""


@dataclass(frozen=True)
class Client:
    """One user of the API server."""

    kubeconfig: Path
    living: Callable[[], None]  # raises when a program of the control plane has died

    def command(self, *arguments: str) -> list[str]:
        own = ("--kubeconfig", str(self.kubeconfig), "--cache-dir", str(self.kubeconfig.parent / "cache"))
        return [str(tools.path("kubectl")), *own, "-n", NAMESPACE, *arguments]

    def ask(self, *arguments: str, stdin: str | None = None) -> Said:
        environment = os.environ | {"KUBERC": "off"}  # no preferences of whoever runs this
        command = self.command(*arguments)
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, env=environment)
        return Said(done.returncode, done.stdout, done.stderr)

    def __call__(self, *arguments: str, stdin: str | None = None) -> str:
        """What it prints. Raises Refused with what it says against it."""
        said = self.ask(*arguments, stdin=stdin)
        if said.code:
            self.living()
            raise Refused(f"kubectl {' '.join(arguments)}: {said.err.strip()}")
        return said.out

    def apply(self, text: str, *options: str) -> str:
        """Strictly: a member that is unknown is refused, and so is what the API server warns of."""
        strict = ("--server-side", "--validate=strict", "--warnings-as-errors")
        return self("apply", *strict, *options, "-f", "-", stdin=text)

    def try_out(self, *objects: Object) -> Said:
        """As `apply`, without keeping anything."""
        strict = ("--server-side", "--validate=strict", "--warnings-as-errors", "--dry-run=server", "-o", "name")
        return self.ask("apply", *strict, "-f", "-", stdin=text_of(*objects))

    def all(self, kinds: str, *options: str) -> list[Object]:
        found: list[Object] = json.loads(self("get", kinds, "-o", "json", *options))["items"]
        return found

    def one(self, kind: str, name: str) -> Any:
        return json.loads(self("get", kind, name, "-o", "json"))

    def wait(self, condition: str, *what: str) -> None:
        self("wait", f"--for=condition={condition}", f"--timeout={PATIENCE_SECONDS:.0f}s", *what)

    def until(self, what: str, true: Callable[[], bool]) -> None:
        """Raises Refused when it does not become true."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not true():
            self.living()
            if time.monotonic() > deadline:
                raise Refused(f"waited {PATIENCE_SECONDS:.0f} s in vain: {what}")
            time.sleep(0.1)


def text_of(*objects: Object) -> str:
    """JSON, which is YAML as well: there is no text that one reader of it takes for a truth value."""
    return "\n---\n".join(map(json.dumps, objects))
