"""Kafka's jars are fetched once for all stacks of a user, whole or not at all."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sandbox.broker import KAFKA_VERSION, resolve
from shared.errors import VioxError
from viox import lifecycle


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "viox"


def jars(work: Path) -> None:
    (work / "lib").mkdir()
    (work / "lib" / "kafka.jar").write_text("jar")


def test_two_at_once_fetch_once(cache: Path) -> None:
    begun, go_on, fetched = threading.Event(), threading.Event(), []

    def fetch(work: Path) -> None:
        begun.set()
        assert go_on.wait(60)
        fetched.append(work)
        jars(work)

    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(resolve, fetch) for _ in range(2)]
        assert begun.wait(60)
        assert not (cache / f"kafka-{KAFKA_VERSION}").exists(), "it is not there before it is whole"
        go_on.set()
        assert {one.result(60) for one in both} == {cache / f"kafka-{KAFKA_VERSION}"}
    assert len(fetched) == 1
    assert (resolve(fetch) / "kafka.jar").read_text() == "jar"
    assert len(fetched) == 1


def test_what_was_fetched_in_part_is_fetched_again(cache: Path) -> None:
    def breaks_off(work: Path) -> None:
        jars(work)
        raise VioxError("broker.not_installed", "Maven could not fetch Kafka.")

    with pytest.raises(VioxError):
        resolve(breaks_off)
    assert [file.suffix for file in cache.iterdir()] == [".lock"]
    assert (resolve(jars) / "kafka.jar").exists()


def test_a_cache_that_cannot_be_written_is_named(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")
    with pytest.raises(VioxError) as error:
        resolve(jars)
    assert "XDG_CACHE_HOME" in (error.value.remedy or "")


def test_up_fetches_before_it_counts_the_time(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Maven it ends there, and no stack was started."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("VIOX_KAFKA_BOOTSTRAP_SERVERS", raising=False)
    with pytest.raises(VioxError, match="mvn is not installed"):
        lifecycle.up({"home": str(tmp_path / "home"), "broker": "apache"})
    assert not (tmp_path / "home" / "logs" / "stack.log").exists()
