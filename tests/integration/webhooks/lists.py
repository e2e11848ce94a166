"""All vendors that keep lists, as emulators, and replicas of the gateway that read them."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
from cryptography.fernet import Fernet

from sandbox.vendors import airtable, elevenlabs, hubspot, quickbooks, stripe, twilio
from sandbox.vendors.common import Emulator, Fault
from sandbox.vendors.main import start
from services.tool_gateway.webhooks.room import Outward
from shared.store.pool import Pool
from tests.integration.gateway.world import Gateway
from tests.integration.webhooks.world import MAC_KEY, Door, opened

AHEAD = timedelta(minutes=3)  # lists show what happened a while ago; nobody waits for that here


class Lists:
    """The vendors, with webhooks that may be lost, and a clock that is ahead so that nothing has to settle first."""

    def __init__(self, pool: Pool, admin: Any, dsn: str) -> None:
        self.admin = admin
        self.stripe, self.twilio, self.hubspot = stripe.Stripe(), twilio.Twilio(), hubspot.HubSpot(index_delay=0)
        self.quickbooks, self.elevenlabs, self.airtable = (
            quickbooks.QuickBooks(),
            elevenlabs.ElevenLabs(),
            airtable.Airtable(),
        )
        self.emulators: dict[str, Emulator] = {
            name: emulator for name, emulator in vars(self).items() if isinstance(emulator, Emulator)
        }
        for emulator in self.emulators.values():
            emulator.unlimited = True
        self.urls: dict[str, str] = {}
        self.ahead = AHEAD
        self.pool, self._dsn = pool, dsn
        self._numbers = itertools.count(1)
        self._stack = AsyncExitStack()

    async def open(self) -> None:
        for name, emulator in self.emulators.items():
            runner, port = await start(emulator, 0)
            self._stack.push_async_callback(runner.cleanup)
            self.urls[name] = f"http://127.0.0.1:{port}"
        self.session = await self._stack.enter_async_context(aiohttp.ClientSession())
        self.secrets = {
            "STRIPE_WEBHOOK_SECRET": stripe.WEBHOOK_SECRET,
            "STRIPE_API_KEY": stripe.API_KEY,
            "TWILIO_ACCOUNT_SID": twilio.ACCOUNT,
            "TWILIO_AUTH_TOKEN": twilio.AUTH_TOKEN,
            "TWILIO_FROM": twilio.NUMBER,
            "HUBSPOT_ACCESS_TOKEN": hubspot.TOKEN,
            "HUBSPOT_WEBHOOK_SECRET": hubspot.CLIENT_SECRET,
            "QUICKBOOKS_WEBHOOK_TOKEN": quickbooks.WEBHOOK_VERIFIER,
            "QUICKBOOKS_REALM_ID": quickbooks.REALM_ID,
            "QUICKBOOKS_CLIENT_ID": quickbooks.CLIENT_ID,
            "QUICKBOOKS_CLIENT_SECRET": quickbooks.CLIENT_SECRET,
            "QUICKBOOKS_REFRESH_TOKEN": quickbooks.REFRESH_TOKEN,
            "QUICKBOOKS_TOKEN_URL": self.urls["quickbooks"] + "/oauth2/v1/tokens/bearer",
            "ELEVENLABS_WEBHOOK_SECRET": elevenlabs.WEBHOOK_SECRET,
            "ELEVENLABS_API_KEY": elevenlabs.API_KEY,
            "AIRTABLE_WEBHOOK_SECRET": MAC_KEY,
            "AIRTABLE_API_KEY": airtable.TOKEN,
            "VIOX_SECRET_KEY": Fernet.generate_key().decode(),
            **{f"{name.upper()}_BASE_URL": url for name, url in self.urls.items()},
        }

    async def close(self) -> None:
        await self._stack.aclose()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    @asynccontextmanager
    async def replica(self, *, only: str | None = None, dead: bool = False, **settings: Any) -> AsyncIterator[Door]:
        """A gateway that reads every list, or one vendor's, when it is told to (`read`)."""
        own = {f"{name.upper()}_POLL_SECONDS": "0" for name in self.emulators if only not in (None, name)}
        gateway = Gateway(self.pool, self._dsn, self.secrets)
        await gateway.instance.start()
        outward = Outward(gateway.catalogue, gateway.store, gateway.sender, gateway.places, self.now)
        given = {"poll_seconds": 3600.0} | settings
        try:
            async with opened(self.pool, self.secrets | own, outward=outward, dead=dead, **given) as door:
                yield door
        finally:
            await gateway.die()
            await gateway.wire.aclose()

    async def connect(self, door: Door, vendor: str) -> None:
        """Have the vendor deliver to this replica from now on."""
        await self.sandbox(vendor, "webhooks", {"url": door.to(vendor), "events": []})

    async def lose(self, vendor: str, *, lost: bool = True) -> None:
        await self.sandbox(vendor, "webhooks", {"deliver": not lost})

    async def sandbox(self, vendor: str, what: str, body: Any) -> Any:
        async with self.session.post(f"{self.urls[vendor]}/_sandbox/{what}", json=body) as answer:
            assert answer.status < 300, await answer.text()
            return await answer.json()

    def fault(self, vendor: str, kind: str, **more: Any) -> None:
        self.emulators[vendor].faults.append(Fault(kind, **more))

    async def read(self, door: Door, vendor: str) -> list[Any]:
        """Have every list of a vendor read once more, to the end of the round. Its rows then."""
        assert door.room.poller is not None
        async with asyncio.timeout(60):
            while not await self.rows(vendor):
                await asyncio.sleep(0.02)
            await self.settled(vendor)
            before = {row["part"]: row["rounds"] for row in await self.rows(vendor)}
            await self.admin.execute("update webhook_pollers set next_at = now() where webhook = $1", vendor)
            door.room.poller.wake()
            while any(row["rounds"] <= before.get(row["part"], 0) for row in await self.rows(vendor)):
                await asyncio.sleep(0.02)
            return await self.settled(vendor)

    async def settled(self, vendor: str) -> list[Any]:
        """The vendor's rows, once none is being read and none goes on at once."""
        async with asyncio.timeout(60):
            while True:
                rows = await self.rows(vendor)
                soon = datetime.now(UTC) + timedelta(seconds=5)
                if rows and all(row["lease_owner"] is None and row["next_at"] > soon and row["rounds"] for row in rows):
                    return rows
                await asyncio.sleep(0.02)

    async def rows(self, vendor: str) -> list[Any]:
        return list(await self.admin.fetch("select * from webhook_pollers where webhook = $1 order by part", vendor))

    async def letters(self) -> list[Any]:
        return list(await self.admin.fetch("select * from dead_letters order by created_at"))

    # -- things that happen at the vendors ---------------------------------------------------------------------------

    async def post(self, vendor: str, path: str, headers: dict[str, str], **more: Any) -> Any:
        async with self.session.post(self.urls[vendor] + path, headers=headers, **more) as answer:
            assert answer.status < 300, await answer.text()
            return await answer.json()

    async def pays(self) -> str:
        """A customer pays an invoice at Stripe. The customer's id."""
        key = {"Authorization": f"Bearer {stripe.API_KEY}"}
        customer = await self.post("stripe", "/v1/customers", key, data={
            "email": f"c{next(self._numbers)}@example.com", "payment_method": "pm_card_visa",
            "invoice_settings[default_payment_method]": "pm_card_visa"})  # fmt: skip
        invoice = await self.post("stripe", "/v1/invoices", key, data={"customer": customer["id"]})
        item = {"customer": customer["id"], "invoice": invoice["id"], "amount": "1200", "currency": "usd"}
        await self.post("stripe", "/v1/invoiceitems", key, data=item)
        await self.post("stripe", f"/v1/invoices/{invoice['id']}/finalize", key)
        await self.post("stripe", f"/v1/invoices/{invoice['id']}/pay", key)
        return str(customer["id"])

    async def texts(self, body: str = "Hello") -> str:
        found = await self.sandbox("twilio", "inbound", {"from": f"+1415555{next(self._numbers):04}", "body": body})
        return str(found["sid"])

    async def hubspot_object(self, kind: str) -> str:
        key = {"Authorization": f"Bearer {hubspot.TOKEN}"}
        number = next(self._numbers)
        properties = {
            "contacts": {"email": f"h{number}@example.com"},
            "deals": {"dealname": f"Deal {number}", "dealstage": "appointmentscheduled"},
            "tickets": {"subject": f"Help {number}", "hs_pipeline_stage": "1"},
        }[kind]
        made = await self.post("hubspot", f"/crm/v3/objects/{kind}", key, json={"properties": properties})
        return str(made["id"])

    async def quickbooks_api(self, path: str, body: dict[str, Any]) -> Any:
        if not hasattr(self, "_access"):
            import base64

            basic = base64.b64encode(f"{quickbooks.CLIENT_ID}:{quickbooks.CLIENT_SECRET}".encode()).decode()
            form = {"grant_type": "refresh_token", "refresh_token": quickbooks.REFRESH_TOKEN}
            head = {"Authorization": f"Basic {basic}", "Accept": "application/json"}
            tokens = await self.post("quickbooks", "/oauth2/v1/tokens/bearer", head, data=form)
            self._access = tokens["access_token"]
            self.secrets["QUICKBOOKS_REFRESH_TOKEN"] = tokens["refresh_token"]
        head = {"Authorization": f"Bearer {self._access}", "Accept": "application/json"}
        return await self.post("quickbooks", f"/v3/company/{quickbooks.REALM_ID}/{path}", head, json=body)

    async def invoice(self) -> dict[str, Any]:
        """A new invoice at QuickBooks."""
        customer = await self.quickbooks_api("customer", {"DisplayName": f"Customer {next(self._numbers)}"})
        line = {"Amount": 10, "DetailType": "SalesItemLineDetail", "SalesItemLineDetail": {"ItemRef": {"value": "1"}}}
        given = {"CustomerRef": {"value": customer["Customer"]["Id"]}, "Line": [line]}
        return dict((await self.quickbooks_api("invoice", given))["Invoice"])

    async def changes(self, invoice: dict[str, Any], note: str) -> dict[str, Any]:
        given = {"Id": invoice["Id"], "SyncToken": invoice["SyncToken"], "sparse": True, "PrivateNote": note}
        return dict((await self.quickbooks_api("invoice", given))["Invoice"])

    async def talks(self) -> str:
        """A phone call of the voice agent's that has ended. Its conversation."""
        given = {
            "agent_id": elevenlabs.AGENT_ID,
            "agent_phone_number_id": elevenlabs.PHONE_NUMBER_ID,
            "to_number": "+14155550123",
        }
        made = await self.post(
            "elevenlabs", "/v1/convai/twilio/outbound-call", {"xi-api-key": elevenlabs.API_KEY}, json=given
        )
        key = str(made["conversation_id"])
        async with asyncio.timeout(60):
            while not self.elevenlabs.conversations[key]["ended"]:
                await asyncio.sleep(0.05)
        return key

    async def base(self) -> tuple[str, str]:
        """A base at Airtable and its table."""
        tables = [{"name": "Jobs", "fields": [{"name": "Name", "type": "singleLineText"}]}]
        given = {"name": f"Base {next(self._numbers)}", "workspaceId": airtable.WORKSPACE, "tables": tables}
        made = await self.airtable_api("/v0/meta/bases", given)
        return str(made["id"]), str(made["tables"][0]["id"])

    async def hook(self, base: str, url: str | None) -> dict[str, Any]:
        filters = {"filters": {"dataTypes": ["tableData"]}}
        given = {"notificationUrl": url, "specification": {"options": filters}}
        return dict(await self.airtable_api(f"/v0/bases/{base}/webhooks", given))

    async def airtable_api(self, path: str, body: Any) -> Any:
        return await self.post("airtable", path, {"Authorization": f"Bearer {airtable.TOKEN}"}, json=body)
