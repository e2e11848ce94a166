"""What an integrator does with tools on a running deployment: look, try, import, correct, withdraw, and ask the doctor."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import yaml

from sandbox.postgres import Postgres
from tests.conftest import ROOT, Deployment

NORTHWIND = str(ROOT / "sandbox/scenarios/northwind.openapi.yaml")
VENDORS = {"airtable", "elevenlabs", "email", "hubspot", "make", "n8n", "quickbooks", "records", "stripe", "twilio"}


def tools(deployment: Deployment, vendor: str) -> list[dict[str, Any]]:
    return [t for t in deployment("tools", "--json").json()["items"] if t["vendor"] == vendor]


def published(deployment: Deployment, vendor: str, count: int) -> list[dict[str, Any]]:
    deadline = time.monotonic() + 60
    while len(found := tools(deployment, vendor)) != count:
        assert time.monotonic() < deadline, f"{len(found)} tools of {vendor} instead of {count}"
        time.sleep(0.2)
    return found


class Shop:
    """A server with a document, and what was asked of it."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.moved_to: str | None = None
        shop = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                shop.asked.append(self.path)
                self.send_response(302 if shop.moved_to else 200)
                if shop.moved_to:
                    self.send_header("Location", shop.moved_to)
                self.end_headers()
                self.wfile.write(json.dumps(shop.document).encode())

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Tests need no log of it."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.document = {
            "openapi": "3.1.0",
            "info": {"title": "Shop", "version": "1"},
            "servers": [{"url": "/v1"}],
            "paths": {
                "/orders/{id}": {
                    "get": {
                        "operationId": "order",
                        "parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}],
                    }
                }
            },
        }
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def shop() -> Iterator[Shop]:
    made = Shop()
    yield made
    made.close()


def test_all_vendors_are_there_and_the_doctor_finds_them_well(deployment: Deployment) -> None:
    assert {t["vendor"] for t in deployment("tools", "--json").json()["items"]} >= VENDORS
    told = deployment("doctor", "--json")
    assert told.code == 0, told.out
    states = {f["what"]: f["state"] for f in told.json()["findings"]}
    assert {states[vendor] for vendor in VENDORS} == {"ok"}


def test_only_the_operator_may_ask_the_gateway(deployment: Deployment) -> None:
    request = urllib.request.Request(deployment.state["gateway_url"] + "/doctor", method="POST")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=5)
    refused.value.close()
    assert refused.value.code == 403
    environment = os.environ | {"VIOX_HOME": str(deployment.home), "VIOX_OPERATOR_TOKEN": "guessed"}
    told = Deployment(deployment.home, environment)("doctor", "--json")
    assert told.code == 1
    assert {f["what"]: f["field"] for f in told.json()["findings"] if f["state"] == "failed"} == {
        "gateway": "VIOX_OPERATOR_TOKEN"
    }


def test_vendors_that_were_restarted_are_well_again(deployment: Deployment) -> None:
    """Their memory is gone; the tokens that we were given before are still good."""
    asked = ("tools", "try", "quickbooks_get_company", "--json")
    assert deployment(*asked).json()["state"] == "succeeded"
    os.kill(deployment.process("vendors"), signal.SIGKILL)
    deadline = time.monotonic() + 60
    while (told := deployment(*asked)).code != 0:
        assert time.monotonic() < deadline, told.out
        time.sleep(0.3)


def test_the_doctor_says_which_vendor_is_ill(deployment: Deployment) -> None:
    deployment.fault("stripe", kind="500", count=1)
    told = deployment("doctor", "--json")
    assert told.code == 1
    (ill,) = [f for f in told.json()["findings"] if f["state"] == "failed"]
    assert ill["what"] == "stripe"
    assert ill["remedy"]


def test_48_endpoints_are_tools_of_whom_they_are_granted_to(deployment: Deployment) -> None:
    done = deployment(
        "tools", "import", NORTHWIND, "--name", "northwind", "--grant", "people-ops", "--replace", "--json"
    )
    assert done.code == 0, done.err
    document = done.json()
    assert (len(document["tools"]), document["skipped"]) == (48, [])
    assert {tuple(t["granted_to"]) for t in published(deployment, "northwind", 48)} == {("people-ops",)}
    tried = deployment("tools", "try", "northwind_listTechnicians", '{"skills": ["gas"]}', "--json")
    assert tried.code == 0, tried.out
    assert tried.json()["result"]["data"]
    assert "X-Northwind-Key" in str(tried.json()["request"])
    assert "$secret" in str(tried.json()["request"])
    bought = deployment("tools", "try", "northwind_listPurchaseOrders", "--json")  # behind OAuth
    assert bought.json()["state"] == "succeeded", bought.out
    for options in ([], ["--dry-run"]):
        again = deployment("tools", "import", NORTHWIND, "--name", "northwind", "--json", *options)
        assert (again.code, again.json()["error"]["code"]) == (1, "document.exists")
    compared = deployment("tools", "import", NORTHWIND, "--name", "northwind", "--dry-run", "--replace", "--json")
    assert compared.json()["changes"] == {"new": [], "changed": {}, "gone": [], "same": 48}
    assert deployment("tools", "check", "--json").json()["imported"] == ["northwind"]
    (credential,) = [f for f in deployment("doctor", "--json").json()["findings"] if "NORTHWIND" in f["what"]]
    assert (credential["state"], credential["problem"]) == ("ok", None)
    assert credential["refreshed_at"].endswith("Z")
    assert deployment("tools", "withdraw", "northwind").code == 0
    published(deployment, "northwind", 0)


def put(deployment: Deployment, name: str, content: dict[str, Any]) -> None:
    """A document as it stands in the table, whatever an import would say of it today."""

    async def insert() -> None:
        server = Postgres(deployment.home, int(deployment.state["postgres"].rsplit(":", 1)[1]))
        connection = await asyncpg.connect(server.dsn("viox_operator_cli"))
        await connection.execute(
            "insert into documents (name, content, tools, imported_by) values ($1, $2, 1, 'x')",
            name,
            json.dumps(content),
        )
        await connection.close()

    asyncio.run(insert())


def test_a_stored_document_that_does_not_fit_is_shown_to_the_operator_and_stops_nothing(deployment: Deployment) -> None:
    put(
        deployment,
        "stale",
        {"openapi": "3.1.0", "info": {"x-viox": {"vendor": "stale", "granted_to": ["nobody"]}}, "paths": {}},
    )
    try:
        checked = deployment("tools", "check", "--json")
        assert checked.code == 2
        assert [one["document"] for one in checked.json()["left_out"]] == ["stale"]
        assert "stale is left out: error[" in deployment("tools", "check").out
        ill: list[dict[str, Any]] = []
        deadline = time.monotonic() + 20
        while not ill:
            assert time.monotonic() < deadline
            told = deployment("doctor", "--json")
            ill = [f for f in told.json()["findings"] if f["what"] == "document stale"]
        assert (told.code, ill[0]["state"], ill[0]["field"]) == (1, "failed", "info.x-viox.granted_to")
        assert deployment("tools", "import", NORTHWIND, "--name", "beside", "--json").code == 0
        published(deployment, "beside", 48)
    finally:
        assert deployment("tools", "withdraw", "stale").code == 0
        deployment("tools", "withdraw", "beside")
    published(deployment, "beside", 0)


def test_a_document_from_a_url_is_fetched_under_the_guard(deployment: Deployment, shop: Shop) -> None:
    refused = deployment("tools", "import", f"{shop.url}/openapi.json", "--name", "shop", "--dry-run")
    assert refused.code == 2
    assert "outbound guard" in refused.err
    assert shop.asked == []


def test_a_redirect_is_looked_at_like_the_first_address(shop: Shop) -> None:
    import asyncio

    from services.tool_gateway.catalogue import foreign
    from services.tool_gateway.wire.guard import Guard
    from services.tool_gateway.wire.transport import Wire
    from shared.errors import BadInput

    async def fetched() -> tuple[bytes, str]:
        wire = Wire(Guard(loopback=True))
        try:
            return await foreign.fetch(f"{shop.url}/a", wire)
        finally:
            await wire.aclose()

    raw, url = asyncio.run(fetched())
    assert (json.loads(raw)["info"]["title"], url) == ("Shop", f"{shop.url}/a")
    shop.moved_to = "http://169.254.169.254/latest/meta-data"
    with pytest.raises(BadInput, match="metadata"):
        asyncio.run(fetched())
    shop.moved_to = f"{shop.url}/round"
    with pytest.raises(BadInput, match="redirects"):
        asyncio.run(fetched())


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (["/no/such/file", "--name", "x"], "SOURCE"),
        ([NORTHWIND, "--name", "Not A Name"], "--name"),
        ([NORTHWIND, "--name", "x", "--grant", "nobody"], "--grant"),
        ([NORTHWIND, "--name", "x", "--effect", "listJobs"], "--effect"),
        ([NORTHWIND, "--name", "x", "--effect", "listJobs=maybe"], "--effect"),
        ([NORTHWIND, "--name", "x", "--overlay", "/no/file"], "--overlay"),
        ([NORTHWIND, "--name", "hubspot"], "--name"),
        ([NORTHWIND, "--name", "x", "--base-url", "ftp://x"], "--base-url"),
    ],
)
def test_what_is_wrong_with_an_import_is_named(deployment: Deployment, arguments: list[str], field: str) -> None:
    done = deployment("tools", "import", *arguments, "--dry-run", "--json")
    assert done.code == 2
    assert done.json()["error"]["field"] == field


def test_an_overlay_corrects_an_import(deployment: Deployment, tmp_path: Path) -> None:
    overlay = {
        "overlay": "1.0.0",
        "actions": [
            {
                "target": "$.paths['/jobs'].get",
                "update": {"x-viox": {"tool": "corrected_jobs", "projection": ["data.*.id"], "probe": {"per_page": 1}}},
            },
            {"target": "$.paths['/vehicles']", "remove": True},
        ],
    }
    file = tmp_path / "overlay.yaml"
    file.write_text(yaml.safe_dump(overlay))
    done = deployment(
        "tools",
        "import",
        NORTHWIND,
        "--name",
        "corrected",
        "--overlay",
        str(file),
        "--effect",
        "addNote=idempotent",
        "--dry-run",
        "--json",
    )
    assert done.code == 0, done.out
    effects = {t["tool"]: t["effect"] for t in done.json()["tools"]}
    assert "corrected_jobs" in effects
    assert effects["corrected_addNote"] == "idempotent"
    assert len(effects) == 47


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["hubspot_create_deal", "{}"], "tool.not_harmless"),
        (["no_tool"], "tool.not_found"),
        (["hubspot_list_owners", "{oops"], "option.invalid"),
        (["hubspot_get_contact", "{}"], "tool.invalid_arguments"),
    ],
)
def test_only_what_reads_can_be_tried(deployment: Deployment, arguments: list[str], code: str) -> None:
    done = deployment("tools", "try", *arguments, "--json")
    assert (done.code, done.json()["error"]["code"]) == (2, code)
