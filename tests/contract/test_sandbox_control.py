"""Who may tell the emulators what to do."""

from __future__ import annotations

import urllib.error
import urllib.request

import pytest

from sandbox.vendors.make import Make
from tests.contract.emulators import Served


@pytest.fixture
def emulator() -> Make:
    return Make()


@pytest.mark.parametrize(
    "header",
    [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Host": "evil.example"}, {"Host": "evil.example:80"}],
)
@pytest.mark.parametrize("path", ["state", "reset"])
def test_a_page_in_a_browser_may_not(served: Served, path: str, header: dict[str, str]) -> None:
    method = "GET" if path == "state" else "POST"
    request = urllib.request.Request(f"{served.url}/_sandbox/{path}", headers=header, method=method)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=60)
    refused.value.close()
    assert refused.value.code == 403


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_a_program_of_this_machine_may(served: Served, host: str) -> None:
    url = served.url.replace("127.0.0.1", host)
    with urllib.request.urlopen(f"{url}/_sandbox/state", timeout=60) as answer:
        assert answer.status == 200
