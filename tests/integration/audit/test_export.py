"""An export is checked by the script in it alone, and by other people's verifiers; what is changed in it is found."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from shared.audit import notes
from shared.audit.export import export
from shared.audit.store import SQL, Tiles, entries, head, leaf_of
from tests.integration.audit.world import Log, log

__all__ = ["log"]
JUDGE = Path(__file__).with_name("judge")


async def exported(log: Log, to: Path, since: datetime | None = None) -> Path:
    async with log.pool.acquire() as connection:
        now = await head(connection)
        await export(connection, now, log.signer.of_log(now.log_id).key, to, since)
    return to


async def proof_of(log: Log, call: str) -> str:
    async with log.pool.acquire() as connection:
        now = await head(connection)
        number = await connection.fetchval("select min(entry_id) from ledger_entries where call_id = $1", call)
        leaf = await connection.fetchval(*SQL.bind("leaf_of", log=now.log_id, entry=number))
        rows, size = await entries(connection, [number]), now.signed or 0
        hashes = await Tiles(connection, now.log_id).inclusion(leaf, size)
        return notes.proof_text(leaf_of(rows[number]), leaf, hashes, now.note or "")


def run(folder: Path, *arguments: str) -> tuple[int, str]:
    """The script as a stranger runs it: isolated from everything of ours."""
    script = [sys.executable, "-I", str(folder / "verify.py"), str(folder), *arguments]
    done = subprocess.run(script, capture_output=True, text=True, cwd="/", check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
async def folder(log: Log, tmp_path: Path) -> Path:
    await log.calls(2)
    await log.admin.execute("insert into pauses (scope, paused_by) values ('all', 'Dana')")
    await log.tick()
    await log.calls(140)
    await log.tick()
    return await exported(log, tmp_path / "export")


async def test_a_stranger_checks_everything_with_the_script_alone(folder: Path) -> None:
    code, said = run(folder)

    assert code == 0, said
    assert "285 leaves, 285 contents, 0 erased, 0 archived, 2 checkpoints" in said
    assert "import shared" not in (folder / "verify.py").read_text()


async def test_one_call_is_shown_with_its_bytes_and_its_proof(log: Log, tmp_path: Path) -> None:
    call = await log.call(b'{"to": "leo@example.com"}')
    await log.tick()
    code, said = run(await exported(log, tmp_path / "one"), "--call", call)

    assert code == 0
    assert "leo@example.com" in said
    assert "in the tree of 2 by 1 hashes" in said
    assert run(tmp_path / "one", "--call", "nobody's")[0] == 1


async def test_contents_of_before_may_be_left_out(log: Log, tmp_path: Path) -> None:
    await log.calls(3)
    await log.tick()
    await log.call()
    await log.tick()
    later = await log.admin.fetchval("select max(at) from ledger_entries where phase = 'intent'")
    code, said = run(await exported(log, tmp_path / "late", later))

    assert code == 0, said
    assert "8 leaves, 2 contents" in said


async def test_a_checkpoint_that_somebody_kept_is_held_against_it(log: Log, tmp_path: Path) -> None:
    await log.call()
    await log.tick()
    kept = tmp_path / "kept"
    kept.write_text(log.told[-1])
    await log.calls(5)
    await log.tick()
    later = await exported(log, tmp_path / "later")

    assert run(later, "--since-checkpoint", str(kept))[0] == 0
    other = notes.Signer.make("viox.test/audit")
    kept.write_text(log.signer.checkpoint(2, bytes(32)))
    assert "others now" in run(later, "--since-checkpoint", str(kept))[1]
    kept.write_text(other.checkpoint(2, bytes(32)))
    assert run(later, "--since-checkpoint", str(kept))[0] == 1


def _line(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    file = folder / "contents" / "000000.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    change(lines[0])
    file.write_text("\n".join(json.dumps(one) for one in lines) + "\n")


def _set(name: str, value: Any) -> Callable[[Path], object]:
    return lambda folder: _line(folder, lambda line: line.update({name: value}))


def _flip(name: str, at: int) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        raw = bytearray((folder / name).read_bytes())
        raw[at] ^= 1
        (folder / name).write_bytes(raw)

    return change


def _other_key(folder: Path) -> None:
    (folder / "key").write_text(notes.key_text(notes.Signer.make("viox.test/audit").key))


def _without_content(folder: Path) -> None:
    _line(folder, lambda line: [line.pop(name) for name in list(line) if name != "leaf"] and None)


CHANGES: dict[str, Callable[[Path], object]] = {
    "body": _set("request_body", base64.b64encode(b"x").decode()),
    "body left out": _set("request_body", None),
    "header": _set("request_headers", "[]"),
    "address": _set("url", "https://other.example.com"),
    "salt": _set("salt", "00"),
    "content left out": _without_content,
    "content file removed": lambda folder: (folder / "contents" / "000000.jsonl").unlink(),
    "leaf": _flip("tile/entries/000", 40),
    "hash": _flip("tile/0/000", 5),
    "hash of a higher tile": _flip("tile/1/000.p/1", 5),
    "partial tile": _flip("tile/0/001.p/29", 5),
    "end cut off": lambda folder: (folder / "tile/entries/001.p/29").unlink(),
    "another key": _other_key,
    "fewer leaves": lambda folder: (folder / "log.json").write_text(
        (folder / "log.json").read_text().replace('"size": 285', '"size": 256')
    ),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_what_was_changed_in_an_export_is_found(folder: Path, change: str) -> None:
    CHANGES[change](folder)

    code, said = run(folder)

    assert code == 1, said
    assert "NOT OK" in said
    assert "Traceback" not in said


async def test_a_proof_is_checked_with_the_key_alone(log: Log, tmp_path: Path) -> None:
    call = await log.call()
    await log.calls(3)
    await log.tick()
    await exported(log, tmp_path / "e")
    file = tmp_path / "proof"
    file.write_text(await proof_of(log, call))

    assert run(tmp_path / "e", "--proof", str(file))[0] == 0
    file.write_text(file.read_text().replace("index 0", "index 1"))
    assert run(tmp_path / "e", "--proof", str(file))[0] == 1


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Verifiers of the Go project and of transparency.dev."""
    if shutil.which("go") is None:
        pytest.skip("Go is not installed: the judge cannot be built")
    made = tmp_path_factory.mktemp("judge") / "judge"
    done = subprocess.run(["go", "build", "-o", str(made), "."], cwd=JUDGE, capture_output=True, text=True, check=False)
    if done.returncode and ("dial tcp" in done.stderr or "proxy" in done.stderr):
        pytest.skip("Go's modules cannot be downloaded here")
    assert done.returncode == 0, done.stderr
    return made


def asked(judge: Path, folder: Path, proof: Path) -> str:
    return subprocess.run([judge, folder, proof], capture_output=True, text=True, check=False).stdout


async def test_other_peoples_verifiers_agree(log: Log, tmp_path: Path, judge: Path) -> None:
    call = await log.call()
    await log.calls(300)
    await log.tick()
    folder, file = await exported(log, tmp_path / "e"), tmp_path / "proof"
    file.write_text(await proof_of(log, call))

    assert asked(judge, folder, file) == "ok\n"
    _flip("tile/0/001", 5)(folder)
    assert "refused" in asked(judge, folder, file)


async def test_a_judge_refuses_a_changed_leaf(log: Log, tmp_path: Path, judge: Path) -> None:
    call = await log.call()
    await log.calls(3)
    await log.tick()
    folder, file = await exported(log, tmp_path / "e"), tmp_path / "proof"
    text = await proof_of(log, call)
    leaf = base64.b64decode(text.split("\n")[1].removeprefix("extra "))
    file.write_text(text.replace(base64.b64encode(leaf).decode(), base64.b64encode(leaf + b" ").decode()))

    assert "refused" in asked(judge, folder, file)
