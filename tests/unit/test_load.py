"""What load tests need to be a proof: policies that do not stall them, and faults that really happen."""

from __future__ import annotations

import base64
from pathlib import Path

import aiohttp

from sandbox.vendors.common import Fault
from sandbox.vendors.main import start
from sandbox.vendors.twilio import ACCOUNT, AUTH_TOKEN, Twilio
from services.tool_gateway.catalogue import catalogue
from services.tool_gateway.policy import files
from services.tool_gateway.policy.rulebook import Rulebook
from tests.chaos.faults import unmet
from tests.chaos.policies import PACE, unpaced


def test_only_the_pace_is_lifted(tmp_path: Path) -> None:
    ours, theirs = files.texts(None), files.texts(str(unpaced(tmp_path / "policies")))
    assert theirs.keys() == ours.keys()
    assert [name for name in ours if ours[name] != theirs[name]] == ["common.cedar"]
    before, after = (text["common.cedar"].count("@id(") for text in (ours, theirs))
    assert (after, PACE in theirs["common.cedar"]) == (before - 1, False)
    Rulebook(theirs, catalogue.Catalogue(catalogue.load().tools.values(), catalogue.read_grants()))


def test_a_fault_that_no_request_met_is_named() -> None:
    assert unmet({"429", "slow"}, {"429": 2, "500": 1}) == ["no request met the fault slow"]


async def test_an_emulator_counts_the_faults_that_were_met() -> None:
    twilio = Twilio()
    runner, port = await start(twilio, 0)
    url, login = f"http://127.0.0.1:{port}", base64.b64encode(f"{ACCOUNT}:{AUTH_TOKEN}".encode()).decode()
    messages = f"{url}/2010-04-01/Accounts/{ACCOUNT}/Messages.json"
    try:
        async with aiohttp.ClientSession() as session:
            twilio.faults += [Fault("500"), Fault("429", retry_after=1)]
            for status in (500, 429, 200):
                async with session.get(messages, headers={"Authorization": f"Basic {login}"}) as answer:
                    assert answer.status == status
            async with session.get(f"{url}/_sandbox/faults") as answer:
                assert await answer.json() == {"met": {"500": 1, "429 with Retry-After": 1}, "waiting": []}
    finally:
        await runner.cleanup()
