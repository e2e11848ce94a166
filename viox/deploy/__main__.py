"""`python -m viox.deploy` writes what is generated below `deploy/`; `--check` leaves with 1 when something is out of date."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from viox.deploy import (
    external_secrets,
    kafka,
    keda,
    monitoring,
    network,
    postgres,
    retention,
    routes,
    sign_in,
    workloads,
)
from viox.deploy.compose import files as compose
from viox.deploy.documents import HEAD, dump, kustomization, made
from viox.deploy.facts import DEPLOY, NAMESPACE, SERVICES

MADE = HEAD.removeprefix("#").strip()  # whatever a comment begins with
PRIVATE = "private"  # where a deployment's secrets are, which are nobody else's to read
PARTS = ("kafka", "migrations", "postgres", "routes", *SERVICES)


def files() -> Iterator[tuple[str, str]]:
    """(path below deploy, content) of every generated file."""
    for path, text in (*workloads.files(), *kafka.files(), *routes.files(), *_base()):
        yield f"k8s/base/{path}", text
    for path, text in postgres.files():
        yield f"k8s/{path}", text
    for part in (network, keda, monitoring, external_secrets, retention, sign_in):
        for path, text in part.files():
            yield f"k8s/components/{path}", text
    for path, text in compose.files():
        yield f"compose/{path}", text


def _base() -> Iterator[tuple[str, str]]:
    secure = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")}
    namespace = made("v1", "Namespace", NAMESPACE, "viox")
    namespace["metadata"]["labels"] |= secure
    yield "namespace.yaml", dump(namespace)
    yield "kustomization.yaml", kustomization(["namespace.yaml", *sorted(PARTS)], namespace=NAMESPACE)


def outdated() -> list[str]:
    """What differs from the code, is missing, or was made once and is made no longer."""
    wanted = {DEPLOY / path: text for path, text in files()}
    wrong = [path for path, text in wanted.items() if not path.is_file() or path.read_text() != text]
    left = [path for path in _generated() if path not in wanted]
    return sorted(str(path.relative_to(DEPLOY.parent)) for path in (*wrong, *left))


def _generated() -> Iterator[Path]:
    for path in (*(DEPLOY / "k8s").rglob("*.yaml"), *(DEPLOY / "compose").rglob("*")):
        if path.is_file() and PRIVATE not in path.parts and MADE in path.read_text()[: len(HEAD) + 1]:
            yield path


def write() -> None:
    for left in list(_generated()):
        left.unlink()
    for path, text in files():
        (DEPLOY / path).parent.mkdir(parents=True, exist_ok=True)
        (DEPLOY / path).write_text(text)


def main() -> int:
    if "--check" not in sys.argv[1:]:
        write()
        return 0
    wrong = outdated()
    if wrong:
        print(f"error[manifests.outdated] {', '.join(wrong)}: run `make manifests`.", file=sys.stderr)  # noqa: T201
    return bool(wrong)


if __name__ == "__main__":
    raise SystemExit(main())
