"""Witnesses: one made of other people's code signs and is verified by it; one that lies, refuses or is away stops nothing."""

from __future__ import annotations

import base64
import json
import struct
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from services.tool_gateway.audit.witnesses import Witness, Witnesses, read_witnesses
from shared.audit.notes import Signer, key_text
from shared.audit.verify import COSIGNATURE, Key, Refused
from shared.errors import BadInput
from shared.telemetry import metrics
from tests.integration.audit.test_export import exported, judge, run
from tests.integration.audit.world import Log, log

__all__ = ["judge", "log"]


class Signing:
    """A witness's key, and what it signs with it."""

    def __init__(self, name: str = "witness.test/own") -> None:
        self._private = Ed25519PrivateKey.generate()
        public = self._private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        digest = sha256(name.encode() + b"\n" + COSIGNATURE + public).digest()
        self.key = Key(name, digest[:4], COSIGNATURE, public)

    def line(self, note: str, moment: int = 1_796_000_000) -> str:
        text = note.partition("\n\n")[0] + "\n"
        signature = self._private.sign(f"cosignature/v1\ntime {moment}\n{text}".encode())
        raw = self.key.id + struct.pack(">Q", moment) + signature
        return f"\u2014 {self.key.name} {base64.b64encode(raw).decode()}\n"


class Answers:
    """A server that answers with what it is given, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answer: Callable[[str], tuple[int, str, str]] = lambda body: (500, "text/plain", "")
        self.url = ""

    async def add(self, request: web.Request) -> web.Response:
        self.asked.append(await request.text())
        status, kind, text = self.answer(self.asked[-1])
        return web.Response(status=status, content_type=kind, text=text)


@pytest.fixture
async def server() -> AsyncIterator[Answers]:
    answers, app = Answers(), web.Application()
    app.router.add_post("/w/add-checkpoint", answers.add)
    async with TestServer(app) as running:
        answers.url = str(running.make_url("/w"))
        yield answers


@pytest.fixture
def other(judge: Path, log: Log) -> Iterator[Witness]:
    """The judge's witness of this log."""
    process = subprocess.Popen([judge, "witness", key_text(log.signer.key)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    key, port = process.stdout.readline(), process.stdout.readline().strip()
    yield Witness(Key.read(key), f"http://127.0.0.1:{port}")
    process.kill()
    process.wait()
    process.stdout.close()


def asking(log: Log, *witnesses: Witness) -> Witnesses:
    return Witnesses(log.pool, witnesses, every=0.0)


def cosigned(judge: Path, log: Log, witness: Witness, folder: Path) -> str:
    """What other people's verifier says of an export's checkpoint."""
    command = [str(judge), "cosigned", key_text(log.signer.key), key_text(witness.key)]
    note = (folder / "checkpoint").read_text()
    return subprocess.run(command, input=note, capture_output=True, text=True, check=False).stdout


async def signed(log: Log) -> list[tuple[int, str]]:
    rows = await log.admin.fetch("select size, line from audit_cosignatures order by size")
    return [(row["size"], row["line"]) for row in rows]


async def test_a_witness_of_other_peoples_code_follows_the_log_and_their_verifier_agrees(
    log: Log, other: Witness, judge: Path, tmp_path: Path
) -> None:
    witnesses = asking(log, other)
    sizes = []
    for count in (3, 300, 1):
        await log.calls(count)
        await log.tick()
        await witnesses.ask(other)
        sizes.append(await log.pool.fetchval("select max(size) from audit_checkpoints"))
    assert [size for size, _ in await signed(log)] == sizes
    folder = await exported(log, tmp_path / "e")
    assert cosigned(judge, log, other, folder) == "ok\n"
    code, told = run(folder, "--witness", key_text(other.key))
    assert code == 0, told
    assert f"{other.name} signed the first {sizes[-1]} leaves at" in told


async def test_a_log_that_was_begun_anew_behind_its_back_is_refused_by_a_witness(log: Log, other: Witness) -> None:
    await log.calls(4)
    await log.tick()
    await asking(log, other).ask(other)
    await log.as_superuser(
        "truncate audit_leaves, audit_tiles, audit_checkpoints, audit_cosignatures",
        "delete from ledger_entries where entry_id = (select min(entry_id) from ledger_entries)",
        "update audit_logs set complete_to = 0",
    )
    (log.folder / "checkpoints.jsonl").unlink()
    log.sequencer = log.another()
    await log.tick()
    with pytest.raises(Refused, match="signed a log of 8 leaves, and there are 7"):
        await asking(log, other).ask(other)
    await log.calls(4)
    await log.tick()
    with pytest.raises(Refused, match="HTTP 422"):
        await asking(log, other).ask(other)
    assert await signed(log) == []


async def test_a_witness_that_lost_or_gained_a_signature_is_asked_again_from_what_it_knows(
    log: Log, server: Answers
) -> None:
    signing = Signing()
    await log.calls(5)
    await log.tick()

    def answer(body: str) -> tuple[int, str, str]:
        head, _, note = body.partition("\n\n")
        if not head.startswith("old 4\n"):
            return 409, "text/x.tlog.size", "4\n"
        return 200, "text/plain", "\u2014 somebody.else AAAAAAAA\n" + signing.line(note)

    server.answer = answer
    witness = Witness(signing.key, server.url)
    await asking(log, witness).ask(witness)
    assert [body.partition("\n")[0] for body in server.asked] == ["old 0", "old 4"]
    ((size, line),) = await signed(log)
    assert (size, line + "\n") == (10, signing.line(server.asked[-1].partition("\n\n")[2]))


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (lambda signing, note: (200, "text/plain", signing.line("another\n1\nAAAA\n\n")), "not of this text"),
        (lambda signing, note: (200, "text/plain", Signing().line(note)), "no signature of witness.test/own"),
        (lambda signing, note: (200, "text/plain", "<html>\n"), "no signature of witness.test/own"),
        (lambda signing, note: (409, "text/x.tlog.size", "many\n"), "says that it signed 'many' leaves"),
        (lambda signing, note: (409, "text/x.tlog.size", "0\n"), "HTTP 409"),
        (lambda signing, note: (404, "text/plain", "unknown log"), "HTTP 404 unknown log"),
        (lambda signing, note: (302, "text/plain", ""), "HTTP 302"),
    ],
)  # fmt: skip
async def test_what_is_no_signature_of_the_checkpoint_is_not_kept(
    log: Log, server: Answers, answer: Any, why: str
) -> None:
    signing = Signing()
    await log.calls(2)
    await log.tick()
    server.answer = lambda body: answer(signing, body.partition("\n\n")[2])
    witness = Witness(signing.key, server.url)
    with pytest.raises(Refused, match=why):
        await asking(log, witness).ask(witness)
    assert await signed(log) == []


async def test_a_witness_that_is_away_is_told_of_and_the_log_goes_on(log: Log, server: Answers) -> None:
    signing = Signing()
    away, there = Witness(Signing("witness.test/away").key, "http://127.0.0.1:9"), Witness(signing.key, server.url)
    server.answer = lambda body: (200, "text/plain", signing.line(body.partition("\n\n")[2]))
    witnesses = asking(log, away, there)
    await log.calls(2)
    await log.tick()
    for witness in (away, there):
        await witnesses._try(witness)
    assert (witnesses.problem or "").startswith("witness.test/away: ")
    assert len(await signed(log)) == 1
    await log.calls(1)
    await log.tick()
    assert (await log.verify()).problems == []
    ages = {
        one.labels["witness"]: one.value for family in metrics.AUDIT_WITNESS_AGE.collect() for one in family.samples
    }
    assert ages[away.name] > ages[there.name] >= 0


async def test_of_replicas_one_asks_a_minute(log: Log, server: Answers) -> None:
    signing = Signing()
    witness = Witness(signing.key, server.url)
    server.answer = lambda body: (200, "text/plain", signing.line(body.partition("\n\n")[2]))
    for _ in range(3):
        await log.calls(1)
        await log.tick()
        await Witnesses(log.pool, [witness], every=60.0).ask(witness)
    assert len(server.asked) == 1


async def test_an_export_without_the_witness_that_is_wanted_is_not_ok(
    log: Log, server: Answers, tmp_path: Path
) -> None:
    signing = Signing()
    witness = Witness(signing.key, server.url)
    server.answer = lambda body: (200, "text/plain", signing.line(body.partition("\n\n")[2]))
    await log.calls(2)
    await log.tick()
    await asking(log, witness).ask(witness)
    await log.calls(2)
    await log.tick()
    folder = await exported(log, tmp_path / "e")
    code, told = run(folder, "--witness", key_text(signing.key))
    assert (code, "signed the first 4 leaves" in told) == (0, True), told
    code, told = run(folder, "--witness", key_text(Signing("witness.test/own").key))
    assert (code, "checkpoint.witness" in told) == (1, True), told
    lines = folder / "checkpoints.jsonl"
    (line,) = [one for _, one in await signed(log)]
    forged = line[:-20] + ("A" if line[-20] != "A" else "B") + line[-19:]
    lines.write_text(lines.read_text().replace(json.dumps(line)[1:-1], json.dumps(forged)[1:-1]))
    code, told = run(folder, "--witness", key_text(signing.key))
    assert (code, "is not of this text" in told) == (1, True), told


def test_the_file_of_witnesses_is_read_and_its_mistakes_are_named(tmp_path: Path) -> None:
    key, file = key_text(Signing().key), tmp_path / "witnesses"
    file.write_text(f"# who signs\n\n{key} https://witness.example/w/\n")
    (found,) = read_witnesses(file)
    assert (found.name, found.address) == ("witness.test/own", "https://witness.example/w")
    assert read_witnesses(None) == []
    log_key = key_text(Signer.make("log.test/audit").key)
    for text, told in (
        (f"{key}\n", "line 1 has no address"),
        (f"{key} ftp://x\n", "line 1 has no address"),
        (f"{log_key} https://x\n", "no key of a witness"),
        ("nonsense https://x\n", "line 1: 'nonsense' is no key"),
        (f"{key} https://x\n{key} https://y\n", "names a witness twice"),
    ):
        file.write_text(text)
        with pytest.raises(BadInput, match=told) as refused:
            read_witnesses(file)
        assert refused.value.field == "VIOX_AUDIT_WITNESSES"
