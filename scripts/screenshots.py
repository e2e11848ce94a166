"""Screenshots of every page of a running console: light and dark, desk and phone.

python -m scripts.screenshots FOLDER [NAME]     signed in as NAME (dana), with the token that `viox up` made
"""

from __future__ import annotations

import asyncio
import shutil
import sys
from pathlib import Path

from playwright.async_api import Page, ViewportSize, async_playwright

from sandbox.credentials import console_tokens
from viox import deployment

DESK, PHONE = ViewportSize(width=1360, height=860), ViewportSize(width=390, height=844)
PAGES = {
    "now": "/",
    "runs": "/runs",
    "approvals": "/approvals?tab=decided",
    "unknown": "/unknowns",
    "dead-letters": "/dead-letters",
    "agents": "/agents",
    "agent": "/agents/closer",
    "tools": "/tools",
    "memory": "/memory",
    "briefings": "/briefings",
    "settings": "/settings",
}


async def main(folder: Path, name: str) -> None:
    running = deployment.state() or {}
    tokens = {one.lower(): file for one, file in console_tokens(deployment.home()).items()}
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = await browser.new_page(base_url=running["console_url"])
        await page.goto("/sign-in")
        await page.fill("#token", tokens[name.lower()].read_text())
        await page.click("text=Sign in")
        for title, path in (PAGES | await _chosen(page)).items():
            for shape, size in (("desk", DESK), ("phone", PHONE)):
                for scheme in ("light", "dark"):
                    await page.emulate_media(color_scheme="light" if scheme == "light" else "dark")
                    await page.set_viewport_size(size)
                    await page.goto(path)
                    await page.screenshot(path=folder / f"{title}-{shape}-{scheme}.png")
        await browser.close()


async def _chosen(page: Page) -> dict[str, str]:
    """A run that did not go well, or else the last one, and an approval."""
    found: dict[str, str] = {}
    for name, listing in (("run", "/runs"), ("run", "/runs?failed=1"), ("approval", "/approvals?tab=decided")):
        await page.goto(listing)
        if link := await page.locator("main [data-item]").first.get_attribute("href", timeout=2_000):
            found[name] = link
    return found


if __name__ == "__main__":
    Path(sys.argv[1]).mkdir(parents=True, exist_ok=True)
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "dana"))
