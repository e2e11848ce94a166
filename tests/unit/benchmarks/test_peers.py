"""The comparison with peers: pins, ratios, table, what a peer's failure does, and how announcements are read."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks import bench
from benchmarks.measure import ROOT, Processes, in_flight
from benchmarks.peers import compare, environment, table
from benchmarks.peers.compare import Measurement, Written, figures
from benchmarks.peers.contenders import Calfkit, Contender, LangGraph, Ours, Request, RunFailed, Stage, personal
from benchmarks.peers.table import Entry, Figures, Plan, as_json, lines, ratios
from shared.settings import Settings

ONE, MANY = Plan(1, 1, 100), Plan(1, 64, 1200)
OURS = Figures(100.0, 20.0, 50.0, 6.0, 16.0, 9000.0)
PEER = Figures(50.0, 40.0, 25.0, 12.0)


# -- pins --------------------------------------------------------------------------------------------------------------


def test_lock_holds_the_versions_the_comparison_names() -> None:
    locked = environment.pins(environment.LOCK.read_text())
    assert (locked["calfkit"], locked["faststream"]) == ("0.13.0", "0.7.2")
    assert "langgraph-checkpoint-postgres" in locked


def test_lock_is_of_the_requirements() -> None:
    wanted = environment.pins((environment.HERE / "requirements.in").read_text())
    locked = environment.pins(environment.LOCK.read_text())
    assert wanted.items() <= locked.items()


@pytest.mark.parametrize("package", ["aiohttp", "aiokafka", "langchain-core", "langgraph", "orjson", "uvloop"])
def test_peers_stand_on_the_same_version_of_what_the_project_uses_too(package: str) -> None:
    locks = [environment.LOCK, ROOT / "requirements.lock"]
    theirs, ours = (environment.pins(lock.read_text())[package] for lock in locks)
    assert theirs == ours


def test_every_locked_package_has_a_hash() -> None:
    packages = re.split(r"\n(?=[a-z])", environment.LOCK.read_text())
    assert [package for package in packages if "--hash=sha256:" not in package] == []


def test_no_module_of_the_project_imports_a_peers_program() -> None:
    programs = [Calfkit.program, LangGraph.program]
    assert all(program.parent == environment.HERE and program.exists() for program in programs)
    sources = [
        p for folder in ("benchmarks", "shared", "services", "viox", "sandbox") for p in (ROOT / folder).rglob("*.py")
    ]
    importing = [p for p in sources if re.search(r"import.*(calfkit_services|langgraph_service)\b", p.read_text())]
    assert importing == []


# -- environment -------------------------------------------------------------------------------------------------------


def test_environment_that_cannot_be_made_says_why(tmp_path: Path) -> None:
    script = tmp_path / "bootstrap.sh"
    script.write_text("echo 'error: no index\nis reachable' >&2; exit 2")
    with pytest.raises(environment.Unavailable, match=r"^error: no index is reachable$"):
        environment.prepare(script)


def test_environment_whose_script_says_nothing_is_told_by_its_exit_code(tmp_path: Path) -> None:
    script = tmp_path / "bootstrap.sh"
    script.write_text("exit 3")
    with pytest.raises(environment.Unavailable, match=r"bootstrap\.sh ended with 3"):
        environment.prepare(script)


def test_measurements_go_on_without_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def offline() -> Path:
        raise environment.Unavailable("no network")

    monkeypatch.setattr(environment, "prepare", offline)
    results: dict[str, Any] = {}
    assert bench.peers_environment(results) is None
    assert results == {"peers": {"unavailable": "no network"}}
    assert "not compared" in capsys.readouterr().out


# -- figures and table -------------------------------------------------------------------------------------------------


def test_ratio_is_ours_over_the_peers() -> None:
    found = ratios(OURS, PEER)
    assert (found["per_second"], found["p50_ms"], found["p99_ms"], found["cpu_ms_per_run"]) == (2.0, 0.5, 2.0, 0.5)


def test_ratio_to_nothing_is_none() -> None:
    assert ratios(OURS, PEER)["rows_per_run"] is None
    assert ratios(PEER, OURS)["rows_per_run"] is None
    assert ratios(OURS, Figures(1, 1, 1, 0.0))["cpu_ms_per_run"] is None


def test_what_was_written_and_taken_is_divided_by_the_runs() -> None:
    found = {"per_second": 9.0, "p50_ms": 1.0, "p99_ms": 2.0, "count": 100}
    made = figures(ONE, found, 1.5, Written(1000, 5_000), Written(2600, 905_000))
    assert made == Figures(9.0, 1.0, 2.0, 15.0, 16.0, 9000.0)
    assert figures(ONE, found, 1.5, None, None) == Figures(9.0, 1.0, 2.0, 15.0)


def test_table_has_a_block_a_plan_with_ratios_and_every_note() -> None:
    entries = [Entry("Mine", "keeps all", {ONE: OURS, MANY: OURS}), Entry("Theirs", "keeps nothing", {ONE: PEER})]
    text = lines(entries)
    first = text[: text.index("")]
    assert first[0].split()[:7] == ["runs", "of", "1", "call,", "1", "in", "flight"]
    assert first[1].split() == ["Mine", "100.0", "20.0", "50.0", "6.0", "16.0", "9000"]
    assert first[2].split() == ["Theirs", "50.0", "40.0", "25.0", "12.0", "-", "-"]
    assert first[3].split() == ["ours", "/", "its", "x2.00", "x0.50", "x2.00", "x0.50", "-", "-"]
    assert len({len(line) for line in first}) == 1
    assert "  Theirs".ljust(table.NAME_WIDTH) + "  not measured" in text
    assert text[-2:] == ["Mine: keeps all", "Theirs: keeps nothing"]


def test_table_says_why_a_peer_was_not_measured() -> None:
    text = lines([Entry("Mine", "", {ONE: OURS}), Entry("Theirs", "", error="it did not start")])
    assert "not measured: Theirs: it did not start" in text


def test_names_of_all_contenders_fit_the_table() -> None:
    names = [Ours([]).name, Calfkit().name, LangGraph("async", "", "").name, LangGraph("exit", "", "").name]
    assert max(map(len, names)) < table.NAME_WIDTH - 2


def test_json_carries_plans_and_ratios_of_peers_only() -> None:
    mine, theirs = as_json([Entry("Mine", "", {ONE: OURS}), Entry("Theirs", "", {ONE: PEER, MANY: PEER})])
    assert mine["plans"] == [
        {
            "calls": 1,
            "in_flight": 1,
            "count": 100,
            "per_second": 100.0,
            "p50_ms": 20.0,
            "p99_ms": 50.0,
            "cpu_ms_per_run": 6.0,
            "rows_per_run": 16.0,
            "wal_bytes_per_run": 9000.0,
        }
    ]
    assert theirs["plans"][0]["ours_to_its"]["per_second"] == 2.0
    assert "ours_to_its" not in theirs["plans"][1]  # there is nothing of ours to compare with
    json.dumps([mine, theirs])


# -- failures ----------------------------------------------------------------------------------------------------------


class Failing(Measurement):
    """Measures the first contender, and fails of all others."""

    async def run(self, plans: Any) -> None:
        if not isinstance(self._contender, Ours):
            raise RunFailed("it broke")
        self._entry.figures[ONE] = OURS


async def test_peer_that_fails_is_told_with_its_last_words_and_the_rest_is_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def two(*_: object) -> list[Contender]:
        return [Ours([]), LangGraph("exit", "", "")]

    monkeypatch.setattr(compare, "_contenders", two)
    monkeypatch.setattr(compare, "Measurement", Failing)
    processes = Processes(tmp_path)
    processes.log("langgraph-exit").write_text("Traceback\nKeyError: 'x'\n")
    stage = Stage(Settings.load(), processes, "", 2, Path())
    ours, peer = await compare.compare(stage, None, None, [], quick=True)  # type: ignore[arg-type]
    assert (ours.figures, ours.error) == ({ONE: OURS}, None)
    assert peer.error == "it broke. Its last words: Traceback KeyError: 'x'"
    assert "KeyError" in capsys.readouterr().out


# -- requests and announcements ----------------------------------------------------------------------------------------


def record(value: object, key: str = "k", **headers: str) -> Any:
    named = tuple((name.replace("_", "-"), text.encode()) for name, text in headers.items())
    return SimpleNamespace(
        topic="t", key=key.encode(), value=json.dumps(value, separators=(",", ":")).encode(), headers=named
    )


def ours_announced(status: str, kind: str = "viox.run.finished") -> Any:
    found = record({"run_id": "r", "status": status, "tool_calls": 8, "text": "no"})
    found.headers = (("ce_type", kind.encode()),)
    return found


def test_our_announcement_gives_run_and_calls() -> None:
    assert Ours([]).announced(ours_announced("finished")) == ("r", 8)
    assert Ours([]).announced(ours_announced("running", "viox.run.started")) is None


def test_our_run_that_did_not_finish_well_is_no_measurement() -> None:
    with pytest.raises(RunFailed, match="failed: no"):
        Ours([]).announced(ours_announced("failed"))


def test_calfkits_request_is_its_clients_with_own_ids_and_prompt() -> None:
    body = {"message": {"content": "calls 1"}, "stack": [{"frame_id": "0" * 32, "callback_topic": "inbox"}]}
    sample = record(body, key="sample", correlation_id="sample", x_calf_kind="call")
    request = personal(sample, "mine", 8)
    made = json.loads(request.value)
    assert made["message"] == {"content": "calls 8"}
    assert made["stack"][0]["frame_id"] not in (
        "0" * 32,
        json.loads(personal(sample, "mine", 8).value)["stack"][0]["frame_id"],
    )
    assert made["stack"][0]["callback_topic"] == "inbox"
    assert (request.run, request.key, request.topic) == ("mine", b"mine", "t")
    assert dict(request.headers) == {"correlation-id": b"mine", "x-calf-kind": b"call"}


def test_calfkits_return_gives_run_and_calls_and_its_steps_are_passed_over() -> None:
    calfkit = Calfkit()
    assert calfkit.announced(record({"text": "done 8"}, "mine", x_calf_wire="envelope", x_calf_kind="return")) == (
        "mine",
        8,
    )
    assert calfkit.announced(record({}, x_calf_wire="step")) is None
    with pytest.raises(RunFailed, match="fault"):
        calfkit.announced(record({}, x_calf_wire="envelope", x_calf_kind="fault"))


def test_langgraphs_announcement_gives_run_and_calls() -> None:
    graph = LangGraph("exit", "postgresql://server", "")
    assert graph.announced(record({"id": "mine", "text": "done 1"})) == ("mine", 1)
    with pytest.raises(RunFailed, match="last word"):
        graph.announced(record({"id": "mine", "text": ""}))


# -- a run of the driver -----------------------------------------------------------------------------------------------


class Answering:
    """Producer and contender in one: what is sent is announced at once, as having made `calls` calls."""

    name, note, announcements, database = "it", "", "t", None

    def __init__(self, calls: int | Exception) -> None:
        self.calls, self.processes = calls, list[str]()
        self.measurement = Measurement(None, None, self, self, Entry("it", ""))  # type: ignore[arg-type]

    async def start(self, stage: object) -> None: ...

    def request(self, calls: int) -> Request:
        return Request("run", "t", b"run", b"", [])

    async def send(self, topic: str, value: bytes, **_: object) -> None:
        self.measurement.take(record({}))

    def announced(self, record: Any) -> tuple[str, int]:
        if isinstance(self.calls, Exception):
            raise self.calls
        return "run", self.calls


async def test_run_ends_with_its_announcement() -> None:
    await Answering(3).measurement.one_run(3)


async def test_run_that_made_another_number_of_calls_fails() -> None:
    with pytest.raises(RunFailed, match="made 2 calls where 3 were wanted"):
        await Answering(2).measurement.one_run(3)


async def test_announced_failure_ends_the_runs_that_wait() -> None:
    with pytest.raises(RunFailed, match="a fault"):
        await Answering(RunFailed("a fault")).measurement.one_run(1)


async def test_announcement_that_cannot_be_read_ends_the_runs_that_wait() -> None:
    with pytest.raises(RunFailed, match="cannot be read: KeyError"):
        await Answering(KeyError("run_id")).measurement.one_run(1)


async def test_first_failure_ends_all_work_in_flight() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def one() -> None:
        if begun.is_set():
            raise RunFailed("second")
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    with pytest.raises(RunFailed, match="second"):
        await in_flight(one, 2, 2)
    assert ended.is_set()
