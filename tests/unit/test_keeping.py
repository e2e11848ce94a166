"""Emulators keep what they know over a restart, and nobody can put more into their files."""

from __future__ import annotations

import pickle
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from sandbox.vendors import airtable, hubspot, stripe, twilio
from sandbox.vendors.common import Emulator
from sandbox.vendors.keeping import Keeper, restore, snapshot
from sandbox.vendors.main import EMULATORS, start

BASE = {
    "name": "b",
    "workspaceId": airtable.WORKSPACE,
    "tables": [{"name": "T", "fields": [{"name": "Name", "type": "singleLineText"}]}],
}
WORK: dict[str, tuple[str, dict[str, Any]]] = {
    "hubspot": (
        "/crm/v3/objects/contacts",
        {"json": {"properties": {"email": "a@b.co"}}, "headers": {"Authorization": f"Bearer {hubspot.TOKEN}"}},
    ),
    "twilio": (
        f"/2010-04-01/Accounts/{twilio.ACCOUNT}/Messages.json",
        {
            "data": {"To": "+14155550123", "From": twilio.NUMBER, "Body": "hi"},
            "headers": {
                "Authorization": "Basic " + b64encode(f"{twilio.ACCOUNT}:{twilio.AUTH_TOKEN}".encode()).decode()
            },
        },
    ),
    "stripe": (
        "/v1/customers",
        {"data": {"email": "a@b.co"}, "headers": {"Authorization": f"Bearer {stripe.API_KEY}", "Idempotency-Key": "k"}},
    ),
    "airtable": ("/v0/meta/bases", {"json": BASE, "headers": {"Authorization": f"Bearer {airtable.TOKEN}"}}),
}


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as made:
        yield made


async def worked(name: str, emulator: Emulator, session: aiohttp.ClientSession) -> Any:
    """What a vendor answers to the same work."""
    runner, port = await start(emulator, 0)
    path, request = WORK[name]
    try:
        async with session.post(f"http://127.0.0.1:{port}{path}", **request) as answer:
            assert answer.status < 300, await answer.text()
            return await answer.json()
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("name", WORK)
async def test_a_vendor_knows_after_a_restart_what_it_knew_before(
    name: str, tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    before, after = EMULATORS[name](), EMULATORS[name]()
    first = await worked(name, before, session)
    Keeper({name: before}, tmp_path).save()  # it changed, so it is written without being asked to
    Keeper({name: after}, tmp_path).load()
    assert after.state() == before.state()
    assert after.effects == before.effects != []
    if name == "hubspot":
        return  # which takes the same address once only
    second = await worked(name, after, session)
    ids = [one.get("id") or one.get("sid") for one in (first, second)]
    assert (ids[0] == ids[1]) == (name == "stripe"), "no id is given twice, and an idempotency key is known again"


@pytest.mark.parametrize("name", EMULATORS)
async def test_every_vendor_can_be_kept(name: str) -> None:
    before, after = EMULATORS[name](), EMULATORS[name]()
    before.effect("test", number=1)
    restore(after, snapshot(before))
    assert after.state() == before.state()
    assert after.effects == before.effects


async def test_what_did_not_change_is_not_written(tmp_path: Path) -> None:
    keeper = Keeper({"mail": EMULATORS["mail"]()}, tmp_path)
    keeper.save()
    assert list(tmp_path.iterdir()) == []
    keeper.save(everything=True)
    (file,) = tmp_path.iterdir()
    assert file.stat().st_mode & 0o077 == 0


class Command:
    def __reduce__(self) -> Any:
        return print, ("run",)


@pytest.mark.parametrize(
    "content",
    [b"", b"not a file of ours", pickle.dumps({"version": 0}), pickle.dumps(Command())],
    ids=["empty", "junk", "version", "code"],
)
async def test_a_file_that_cannot_be_read_is_set_aside_and_nothing_in_it_is_run(
    content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mail.state").write_bytes(content)
    emulator = EMULATORS["mail"]()
    Keeper({"mail": emulator}, tmp_path).load()
    assert emulator.effects == []
    assert [file.name for file in tmp_path.iterdir()] == ["mail.unreadable"]
    told = capsys.readouterr()
    assert "vendor mail starts empty" in told.err
    assert told.out == ""


async def test_moments_of_another_boot_are_in_the_past(monkeypatch: pytest.MonkeyPatch) -> None:
    before, after = EMULATORS["hubspot"](), EMULATORS["hubspot"]()
    assert isinstance(before, hubspot.HubSpot)
    assert isinstance(after, hubspot.HubSpot)
    monkeypatch.setattr("sandbox.vendors.keeping.time.monotonic", lambda: 5_000.0)
    before.objects["contacts"]["1"] = {"id": "1", "_at": 4_990.0}
    kept = snapshot(before)
    monkeypatch.setattr("sandbox.vendors.keeping.time.monotonic", lambda: 20.0)
    restore(after, kept)
    assert after.objects["contacts"]["1"]["_at"] == 10.0
