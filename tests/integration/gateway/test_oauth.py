"""Access tokens against a vendor whose refresh tokens work once, on real Postgres: fetched, renewed, shared, never shown."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from cryptography.fernet import Fernet

from sandbox.postgres import Postgres
from sandbox.vendors import hubspot
from sandbox.vendors.quickbooks import REFRESH_TOKEN
from services.tool_gateway.catalogue.tools import Credential
from services.tool_gateway.wire.credentials import Secrets
from services.tool_gateway.wire.oauth import Tokens
from services.tool_gateway.wire.transport import NotSent
from shared.redaction import Redactions
from shared.store.pool import Pool, open_pool
from tests.integration.gateway.world import Gateway, World, gateway_world, wants

__all__ = ["gateway_world"]
TOOL, ASKED = "quickbooks_get_company", dict[str, Any]()
NAMES = ("QUICKBOOKS_CLIENT_ID", "QUICKBOOKS_CLIENT_SECRET", "QUICKBOOKS_REFRESH_TOKEN")


def credential(gateway: Gateway) -> Credential:
    return gateway.catalogue.tools[TOOL].credentials[0][0]


def granted(world: World) -> list[bool]:
    """Every call of the token endpoint, and whether it gave a token."""
    return [grant["granted"] for grant in world.quickbooks.oauth.grants]


async def ask(world: World, gateway: Gateway, step: int, state: str = "succeeded") -> Any:
    await gateway.intake.accept([wants(TOOL, ASKED, step=step)])
    return await world.state(state, step=step)


async def error_of(world: World, gateway: Gateway, step: int = 1, state: str = "failed") -> Any:
    return json.loads((await ask(world, gateway, step, state))["error"])


async def whole_database(admin: Any) -> str:
    tables = await admin.fetch("select table_name from information_schema.tables where table_schema = 'public'")
    assert "oauth_tokens" in [row["table_name"] for row in tables]
    rows = [await admin.fetch(f'select t::text from "{row["table_name"]}" t') for row in tables]  # noqa: S608
    return str(rows)


async def test_a_token_endpoint_that_hangs_up_once_is_asked_again(world: World) -> None:
    gateway = await world.gateway()
    world.fault(world.quickbooks, "cut_before", path="tokens")
    assert (await ask(world, gateway, 1))["attempt"] == 2


async def test_a_token_is_fetched_when_needed_and_used_again(world: World) -> None:
    gateway = await world.gateway()
    assert granted(world) == []
    await ask(world, gateway, 1)
    await ask(world, gateway, 2)
    another = await world.gateway()
    await ask(world, another, 3)
    assert granted(world) == [True]


async def test_a_rotated_refresh_token_is_kept_sealed(world: World) -> None:
    gateway = await world.gateway()
    await ask(world, gateway, 1)
    (refresh,) = world.quickbooks.oauth.refresh
    assert refresh != REFRESH_TOKEN
    stored = await world.admin.fetchrow("select * from oauth_tokens")
    assert stored["name"] == "+".join(NAMES)
    held = json.loads(Fernet(world.secrets["VIOX_SECRET_KEY"]).decrypt(stored["sealed"]))
    assert held["refresh"] == refresh
    text = await whole_database(world.admin)
    for secret in (refresh, held["access"], REFRESH_TOKEN, world.secrets["QUICKBOOKS_CLIENT_SECRET"]):
        assert secret not in text
        assert secret.encode().hex() not in text


async def test_a_token_that_ends_is_renewed_before_it_is_used(world: World) -> None:
    gateway = await world.gateway()
    world.quickbooks.oauth.lifetime = 60  # sooner than the margin kept before a token's end
    await ask(world, gateway, 1)
    world.quickbooks.oauth.lifetime = 3600
    await ask(world, gateway, 2)
    await ask(world, gateway, 3)
    assert granted(world) == [True, True]
    assert [row["attempt"] for row in await world.admin.fetch("select attempt from tool_calls")] == [1, 1, 1]
    assert sum(count for path, count in world.quickbooks.requests.items() if "companyinfo" in path) == 3, (
        "no 401 between"
    )


def end_all(world: World) -> None:
    world.quickbooks.oauth.access.clear()


async def test_a_token_taken_back_early_costs_one_renewal(world: World) -> None:
    gateway = await world.gateway()
    await ask(world, gateway, 1)
    end_all(world)
    row = await ask(world, gateway, 2)
    assert (row["attempt"], row["http_status"]) == (1, 200)
    assert granted(world) == [True, True]


async def test_calls_refused_side_by_side_share_one_renewal(world: World) -> None:
    gateway, another = await world.gateway(), await world.gateway()
    await ask(world, gateway, 1)
    await ask(world, another, 2)
    end_all(world)
    await asyncio.gather(
        gateway.intake.accept([wants(TOOL, ASKED, step=n) for n in range(3, 7)]),
        another.intake.accept([wants(TOOL, ASKED, step=n) for n in range(7, 11)]),
    )
    for step in range(3, 11):
        assert (await world.state("succeeded", step=step))["attempt"] == 1
    assert granted(world) == [True, True]


async def test_a_vendor_that_refuses_every_token_is_not_asked_for_ever(world: World) -> None:
    gateway = await world.gateway()
    world.quickbooks.oauth.bearer = lambda request: None  # type: ignore[method-assign]
    error = await error_of(world, gateway)
    assert error["code"] == "http.401"
    assert granted(world) == [True, True]


async def test_two_gateways_refresh_once_between_them(world: World, gateway_pool: Pool, postgres: Postgres) -> None:
    gateway = await world.gateway()
    second_pool = await open_pool(postgres.dsn("viox_gateway"), application="second gateway")
    try:
        both = [Tokens(Secrets(world.secrets), pool, gateway.wire) for pool in (gateway_pool, second_pool)]
        world.fault(world.quickbooks, "slow", path="/oauth2/", seconds=0.3)
        wanted = [tokens.get(credential(gateway), Redactions()) for tokens in both for _ in range(5)]
        assert len(set(await asyncio.gather(*wanted))) == 1
    finally:
        await second_pool.close()
    assert granted(world) == [True]


async def test_a_refused_refresh_names_the_setting_and_the_remedy(world: World) -> None:
    world.quickbooks.oauth.refresh.clear()
    gateway = await world.gateway()
    error = await error_of(world, gateway)
    assert (error["code"], error["field"]) == ("credential.refused", "QUICKBOOKS_REFRESH_TOKEN")
    assert "invalid_grant" in error["message"]
    assert "set QUICKBOOKS_REFRESH_TOKEN to the new refresh token" in error["remedy"]
    assert "invalid_grant" in await world.admin.fetchval("select problem from oauth_tokens")
    assert granted(world) == [False], "asking again would not help"


async def test_a_wrong_client_names_the_client(world: World) -> None:
    world.secrets["QUICKBOOKS_CLIENT_SECRET"] = "wrong"
    error = await error_of(world, await world.gateway())
    assert error["code"] == "credential.refused"
    assert error["field"] == "QUICKBOOKS_CLIENT_ID, QUICKBOOKS_CLIENT_SECRET"


async def test_a_token_endpoint_that_is_down_is_asked_again(world: World) -> None:
    gateway = await world.gateway()
    world.fault(world.quickbooks, "503", path="/oauth2/")
    row = await ask(world, gateway, 1)
    assert row["attempt"] == 2


async def test_another_refresh_token_in_the_settings_starts_anew(world: World) -> None:
    gateway = await world.gateway()
    await ask(world, gateway, 1)
    oauth = world.quickbooks.oauth
    oauth.refresh = {"RT-authorised-anew": "another consent"}
    end_all(world)
    assert (await error_of(world, gateway, 2))["code"] == "credential.refused"
    world.secrets["QUICKBOOKS_REFRESH_TOKEN"] = "RT-authorised-anew"
    await ask(world, gateway, 3)
    assert granted(world) == [True, False, True]
    assert await world.admin.fetchval("select problem from oauth_tokens") is None


@pytest.mark.parametrize(("key", "code"), [("not a key", "settings.invalid"), (None, "credential.missing")])
async def test_a_key_that_is_none_is_named(world: World, key: str | None, code: str) -> None:
    world.secrets.pop("VIOX_SECRET_KEY")
    if key:
        world.secrets["VIOX_SECRET_KEY"] = key
    error = await error_of(world, await world.gateway())
    assert (error["code"], error["field"]) == (code, "VIOX_SECRET_KEY")
    assert granted(world) == [], "no refresh token is spent whose successor could not be kept"


async def test_another_key_is_named_when_the_settings_token_is_spent(world: World) -> None:
    await ask(world, await world.gateway(), 1)
    world.secrets["VIOX_SECRET_KEY"] = Fernet.generate_key().decode()
    error = await error_of(world, await world.gateway(), 2)
    assert (error["code"], error["field"]) == ("credential.refused", "VIOX_SECRET_KEY")
    assert "sealed with another VIOX_SECRET_KEY" in error["message"]
    assert "after the new one and a comma" in error["remedy"]


async def test_keys_are_rotated_with_two_of_them(world: World) -> None:
    old, new = world.secrets["VIOX_SECRET_KEY"], Fernet.generate_key().decode()
    await ask(world, await world.gateway(), 1)
    world.secrets["VIOX_SECRET_KEY"] = f"{new},{old}"
    second = await world.gateway()
    await ask(world, second, 2)
    assert granted(world) == [True], "the stored token was opened with the old key"
    end_all(world)
    await ask(world, second, 3)
    sealed = await world.admin.fetchval("select sealed from oauth_tokens")
    assert Fernet(new).decrypt(sealed)
    world.secrets["VIOX_SECRET_KEY"] = new
    await ask(world, await world.gateway(), 4)
    assert granted(world) == [True, True]


async def test_a_token_endpoint_is_never_asked_without_a_client(world: World) -> None:
    gateway = await world.gateway()
    del world.secrets["QUICKBOOKS_CLIENT_SECRET"]
    with pytest.raises(NotSent) as error:
        await gateway.tokens.get(credential(gateway), Redactions())
    assert (error.value.code, error.value.field) == ("credential.missing", "QUICKBOOKS_CLIENT_SECRET")
    assert granted(world) == []


async def test_a_public_app_of_hubspot_proves_itself_in_the_form(world: World) -> None:
    del world.secrets["HUBSPOT_ACCESS_TOKEN"]
    world.secrets |= {
        "HUBSPOT_CLIENT_ID": hubspot.CLIENT_ID,
        "HUBSPOT_CLIENT_SECRET": hubspot.CLIENT_SECRET,
        "HUBSPOT_REFRESH_TOKEN": hubspot.REFRESH_TOKEN,
        "HUBSPOT_TOKEN_URL": world.secrets["HUBSPOT_BASE_URL"] + "/oauth/v1/token",
    }
    gateway = await world.gateway()
    for step in (1, 2):
        await gateway.intake.accept([wants("hubspot_list_owners", {}, step=step)])
        await world.state("succeeded", step=step)
    assert [grant["granted"] for grant in world.hubspot.oauth.grants] == [True]
    (asked,) = [body for _, path, body in world.seen if path == "/oauth/v1/token"]
    assert b"client_secret=" in asked
