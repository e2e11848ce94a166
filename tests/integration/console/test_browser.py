"""The console in a real browser: what people do, by hand and by keys, on a desk and on a phone. No error on the browser's console."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

from tests.integration.console import world as seeds
from tests.integration.console.test_again import recorded
from tests.integration.console.world import XSS, World, call, token

CHROMIUM = next((found for name in ("chromium", "chromium-browser") if (found := shutil.which(name))), None)
AXE = Path(str(find_spec("axe_playwright_python").origin)).parent / "axe.min.js"  # type: ignore[union-attr]  # a dev dependency
PHONE = {"width": 390, "height": 844}
RULES = ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"]
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt-get install chromium")


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        made = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield made
        await made.close()


@pytest.fixture
def foreseen() -> list[str]:
    """Words of what the browser may complain of in a test that provokes it."""
    return []


@pytest.fixture
async def page(browser: Browser, world: World, foreseen: list[str]) -> AsyncIterator[Page]:
    """Signed in as Dana, the owner."""
    context = await browser.new_context(base_url=world.url)
    await context.add_init_script(path=AXE)
    made, said = await context.new_page(), list[str]()
    made.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
    made.on("pageerror", lambda error: said.append(str(error)))
    await made.goto("/sign-in")
    await made.fill("#token", token("Dana"))
    await made.click("text=Sign in")
    await expect(made.locator("h1")).to_contain_text("Dana")
    yield made
    await context.close()
    unforeseen = [one for one in said if not any(words in one for words in foreseen)]
    assert not unforeseen, unforeseen


async def test_the_failed_write_is_two_clicks_away_with_its_payload(page: Page, world: World) -> None:
    await page.click("#look >> text=New lead: Ines Moreau, a new kitchen")
    await expect(page.locator(".story .failed .t")).to_have_text("Closer could not create a contact in HubSpot (Ines).")
    await expect(page.locator("#request-1")).to_contain_text('"budget": "about 12k"')
    await expect(page.locator(".mark")).to_contain_text("budget")


async def test_approving_and_rejecting(page: Page, world: World) -> None:
    await page.click("text=Review")
    await expect(page.locator("#act-approve")).to_have_text("Approve 240.00 USD")
    await page.click("#act-reject > summary")
    await page.fill("#act-reject textarea", "Not yet.")
    await page.click("#act-reject button")
    await expect(page.locator(".notice")).to_contain_text("Rejected")
    assert await world.admin.fetchval("select reason from approvals") == "Not yet."


async def test_approving_by_keys_alone(page: Page, world: World) -> None:
    await page.keyboard.press("j")
    await page.keyboard.press("Enter")
    await expect(page.locator("#act-approve")).to_be_visible()
    await page.keyboard.press("a")
    assert await page.evaluate("document.activeElement.id") == "act-approve"
    assert await world.admin.fetchval("select state from approvals") == "waiting"
    await page.keyboard.press("Enter")
    await expect(page.locator(".notice")).to_contain_text("Approved")
    assert await world.admin.fetchval("select state from approvals") == "approved"


async def test_editing_says_why_it_cannot_be_and_keeps_the_approval(browser: Browser, world: World) -> None:
    context = await browser.new_context(base_url=world.url)
    page = await context.new_page()  # a page with an error's status is an error to the browser, too
    await page.goto("/sign-in")
    await page.fill("#token", token("Lee"))
    await page.click("text=Sign in")
    await page.goto(f"/approvals/{world.approval}")
    await page.keyboard.press("e")
    await expect(page.locator("#act-edit textarea")).to_be_focused()
    await page.fill("#act-edit textarea", '{"charge": "ch_7", "amount": 1}')
    await page.locator("#act-edit button").focus()
    await page.keyboard.press("Enter")
    await expect(page.locator("[role=alert]")).to_contain_text("does not know the gateway")
    await context.close()
    assert await world.admin.fetchval("select state from approvals") == "waiting"


async def test_forking_replaying_and_comparing(page: Page, world: World) -> None:
    run = await recorded(world)
    await page.goto(f"/runs/{run}")
    await page.click("text=Replay")
    await expect(page.locator("h1")).to_contain_text("Replay: Refund ch_7.")
    await page.goto(f"/runs/{run}")
    await page.click(".actions >> text=Fork")
    await page.click(".choices >> text=Step 1")
    await page.fill("textarea[name=instruction]", "Refund half of it.")
    await page.click("text=Fork at step 1")
    await expect(page.locator(".notice")).to_contain_text("The fork is begun")
    await expect(page.locator("#story")).to_contain_text("begun by Dana: with something else on record")
    await page.click("text=Compare the two")
    await expect(page.locator("pre .plus").first).to_contain_text("Refund half of it.")


async def test_a_waterfall_leads_to_its_calls(page: Page, world: World) -> None:
    await page.goto(f"/runs/{world.lead}?view=waterfall")
    await page.click(".bars >> text=could not create a contact")
    await expect(page.locator("#picked")).to_contain_text('"budget": "about 12k"')


async def test_taking_a_conversation_over_and_giving_it_back(page: Page, world: World) -> None:
    await page.goto(f"/runs/{world.waiting}")
    await page.click("text=Take over the conversation")
    await expect(page.locator(".notice.warn")).to_contain_text("Dana has this conversation")
    await page.click("text=Give the conversation back")
    await expect(page.locator(".notice")).to_contain_text("Given back")
    assert await world.admin.fetchval("select count(*) from pauses") == 0


async def test_a_view_is_saved_and_opened_again(page: Page, world: World) -> None:
    await page.goto("/runs?failed=1")
    await page.click("text=Save this view")
    await page.fill(".save input[name=name]", "Gone wrong")
    await page.keyboard.press("Enter")
    await expect(page.locator(".chip[aria-current]")).to_have_text("Gone wrong")
    await page.goto("/runs")
    await page.click("text=Gone wrong")
    await expect(page).to_have_url(f"{world.url}/runs?failed=1")


async def test_an_expired_session_leads_to_the_door_and_back(page: Page, world: World, foreseen: list[str]) -> None:
    foreseen.append("401")  # the page's live stream may ask once more before it is left
    await world.admin.execute("update console_sessions set expires_at = now() - interval '1 second'")
    await page.goto("/unknowns")
    await page.fill("#token", token("Dana"))
    await page.click("text=Sign in")
    await expect(page).to_have_url(f"{world.url}/unknowns")


async def test_who_only_looks_is_shown_no_button_that_does_something(browser: Browser, world: World) -> None:
    context = await browser.new_context(base_url=world.url)
    page = await context.new_page()
    await page.goto("/sign-in")
    await page.fill("#token", token("Vera"))
    await page.click("text=Sign in")
    for path in (f"/runs/{world.waiting}", f"/approvals/{world.approval}", "/unknowns", "/dead-letters", "/settings"):
        await page.goto(path)
        written = await page.eval_on_selector_all("main form[method=post]", "forms => forms.map(form => form.action)")
        assert written == [], path
    await context.close()


async def test_settling_redriving_and_pausing(page: Page, world: World) -> None:
    await page.goto("/unknowns")
    await page.click("text=It did not happen")
    await expect(page.locator(".notice")).to_contain_text("Settled")
    await page.goto("/dead-letters")
    await page.click("text=Handle again")
    await expect(page.locator(".notice")).to_contain_text("handled again")
    await page.goto("/agents/closer")
    await page.click("text=Pause Closer")
    await expect(page.locator("#head .pill")).to_have_text("paused")


async def test_a_run_is_watched_live(page: Page, world: World) -> None:
    await page.goto(f"/runs/{world.waiting}")
    await expect(page.locator("#livemark")).to_have_text("live")
    await call(world.admin, world.waiting, "controller", "stripe_get_charge", {"charge": "ch_7"}, "succeeded", step=5)
    await expect(page.locator("#story")).to_contain_text("Controller read a charge in Stripe (ch_7).")


async def test_new_rows_wait_until_they_are_asked_for(page: Page, world: World) -> None:
    await page.goto("/runs")
    await expect(page.locator("#livemark")).to_have_text("live")
    before = await page.locator("#rows tr").count()
    await seeds.run(world.admin, "closer", "lead:new@example.com", "viox.lead.created", {"first_name": "New"})
    await expect(page.locator("#fresh")).to_have_text("1 new")
    assert await page.locator("#rows tr").count() == before
    await page.click("#fresh")
    await expect(page.locator("#rows tr")).to_have_count(before + 1)


async def test_a_customers_markup_does_nothing(page: Page, world: World) -> None:
    named = await seeds.run(world.admin, "closer", "lead:x", "viox.lead.created", {"first_name": XSS}, text=XSS)
    answered = await call(world.admin, named, "closer", "hubspot_create_contact", {"name": XSS}, "failed", step=2)
    await seeds.exchange(world.admin, answered, {"name": XSS}, 400, {"message": XSS})
    paths = [
        "/",
        "/runs",
        "/unknowns",
        "/dead-letters",
        f"/calls/{world.unknown}",
        f"/calls/{answered}",
        f"/runs/{named}",
    ]
    paths += [f"/runs/{named}?view={view}" for view in ("tree", "waterfall", "log", "cost")]
    paths += [f"/runs/{named}/diff/{world.lead}", f"/runs/{named}/replay"]
    for path in paths:
        await page.goto(path)
        assert await page.title() != "owned"
        assert await page.locator("img").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_page_is_accessible_on_a_desk_and_on_a_phone(page: Page, world: World, scheme: Any) -> None:
    await page.emulate_media(color_scheme=scheme)
    paths = [
        "/",
        "/runs",
        f"/runs/{world.lead}",
        f"/calls/{world.failed}",
        "/approvals",
        f"/approvals/{world.approval}",
        f"/runs/{world.lead}?view=waterfall",
        f"/runs/{world.lead}/replay",
        f"/runs/{await recorded(world)}/fork",
        f"/runs/{world.lead}/diff/{world.waiting}",
        f"/calls/{world.failed}/audit",
        "/tools/hubspot_create_contact",
    ]
    paths += ["/unknowns", "/dead-letters", "/agents", "/agents/closer", "/tools", "/memory", "/settings", "/briefings"]
    for path in paths:
        for size in (PHONE, {"width": 1360, "height": 860}):
            await page.set_viewport_size(size)  # type: ignore[arg-type]  # playwright's own dict of both
            await page.goto(path)
            assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (path, size)
            found = await page.evaluate(
                "async (rules) => (await axe.run(document, {runOnly: rules})).violations.map(v => [v.id, v.nodes[0].html])",
                RULES,
            )
            assert found == [], (path, size, found)


async def test_everything_works_without_scripts(browser: Browser, world: World) -> None:
    context = await browser.new_context(base_url=world.url, java_script_enabled=False)
    page = await context.new_page()
    await page.goto("/sign-in")
    await page.fill("#token", token("Dana"))
    await page.click("text=Sign in")
    await page.click("text=Review")
    await page.click("#act-approve")
    await expect(page.locator(".notice")).to_contain_text("Approved")
    await context.close()
