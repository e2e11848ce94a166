"""`make k8s-check`: overlays rendered, every object against its kind's schema, everything against our own rules.

A program or definition that is missing is a failure. `--rules-only` leaves the schemas out, and says so. `--where-possible` builds
the two small programs where they are missing; what is missing nevertheless is named, and is no failure.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

from tests.k8s import rendering, schemas, tools
from tests.k8s.tools import Missing
from viox.deploy import rules
from viox.deploy.__main__ import outdated
from viox.deploy.facts import DEPLOY

SMALL = ("kubeconform", "controller-gen")  # a minute of one core together
# What schemas have to refuse: a check that refuses nothing would pass as well.
BAD: dict[str, tuple[str, str]] = {
    "a member that no schema has": (
        "  operations:\n          - Write",
        "  operations:\n          - Write\n        opinions: []",
    ),
    "an operation that Kafka does not know": ("- Write", "- Scribble"),
    "a version that is no more": ("kafka.strimzi.io/v1\n", "kafka.strimzi.io/v1beta2\n"),
    "a kind that nobody defines": ("kind: KafkaUser", "kind: KafkaLoser"),
    "a number that is a text": ("patternType: literal", "patternType: 7"),
}


def toothless() -> Iterator[str]:
    """Bad manifests that pass."""
    good = (DEPLOY / "k8s" / "base" / "closer" / "kafka-user.yaml").read_text()
    for name, (what, by) in BAD.items():
        bad = good.replace(what, by)
        if bad == good or not conform(bad):
            yield f"schemas take {name}"


def texts() -> Iterator[tuple[str, str]]:
    """(name, manifests) of everything that somebody applies."""
    for name in rendering.OVERLAYS:
        yield name, rendering.overlay(name)
    yield "restore", (DEPLOY / "k8s" / "restore" / "cluster.yaml").read_text()


def conform(text: str) -> str:
    """What kubeconform has against these manifests; empty when nothing. A kind without a schema is an error."""
    command = [str(tools.path("kubeconform")), "-strict", "-summary", "-schema-location", schemas.pattern()]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else (done.stdout + done.stderr).strip()


def problems(*, with_schemas: bool) -> Iterator[str]:
    yield from (f"{path} is out of date: run `make manifests`" for path in outdated())
    if with_schemas:
        yield from toothless()
    for name, text in texts():
        found = rendering.objects(text)
        if name in rendering.OVERLAYS:
            yield from (f"{name}: {problem}" for problem in rules.broken(found))
        if with_schemas and (said := conform(text)):
            yield f"{name}: {said}"
        print(f"{name}: {len(found)} objects looked at", flush=True)  # noqa: T201


def main() -> int:
    with_schemas, leniently = "--rules-only" not in sys.argv[1:], "--where-possible" in sys.argv[1:]
    try:
        if leniently:
            build_what_is_small()
        found = list(problems(with_schemas=with_schemas))
    except Missing as error:
        print(f"NOT CHECKED: {error}", file=sys.stderr)  # noqa: T201
        return without_schemas() if leniently else 1
    if not with_schemas:
        print("schemas were NOT checked (--rules-only)")  # noqa: T201
    return told(found)


def build_what_is_small() -> None:
    """Raises Missing."""
    try:
        tools.build([name for name in SMALL if name in tools.missing()])
    except subprocess.CalledProcessError as error:
        raise Missing(f"{error.cmd[-1]} cannot be built.") from error


def without_schemas() -> int:
    try:
        return told(list(problems(with_schemas=False)))
    except Missing as error:
        print(f"NOT CHECKED either, the rules: {error}", file=sys.stderr)  # noqa: T201
        return 0


def told(found: list[str]) -> int:
    for problem in found:
        print(problem, file=sys.stderr)  # noqa: T201
    return bool(found)


if __name__ == "__main__":
    raise SystemExit(main())
