"""Screenshots of every page of a running console: light and dark, desk and phone.

python -m scripts.screenshots FOLDER [--as NAME] [--url URL] [--only WORD] [--whole]
python -m scripts.screenshots --docs FOLDER      the few that the documentation shows, small (`make screenshots`)

Signed in as NAME (dana), with the token that `viox up` made. `--whole` takes pages in their whole length.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
from itertools import product
from pathlib import Path
from typing import Literal

from playwright.async_api import Page, ViewportSize, async_playwright

from sandbox.credentials import console_tokens
from viox import deployment

SIZES = {"desk": ViewportSize(width=1360, height=860), "phone": ViewportSize(width=390, height=844)}
DEADLINE_MS = 300_000  # a replay of many runs on a busy machine; pages come as soon as they are made
DRAWN = """async () => {
  await document.fonts.ready;
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
}"""
SCHEMES: tuple[Literal["light"], Literal["dark"]] = ("light", "dark")
SMALL = {"desk": ViewportSize(width=1120, height=720), "phone": ViewportSize(width=390, height=720)}
# What a demo that was kept shows: the documentation's pictures, by the page's name.
DOCUMENTED: dict[str, tuple[str, Literal["light", "dark"]]] = {
    "now": ("desk", "light"),
    "run": ("desk", "light"),
    "approval": ("desk", "light"),
    "fork": ("desk", "light"),
    "unknown-call": ("desk", "light"),
    "run-live": ("desk", "light"),
    "run-waterfall": ("phone", "dark"),
}
PAGES = {
    "now": "/",
    "runs": "/runs",
    "runs-none": "/runs?q=nobody-is-called-so",
    "calls": "/calls",
    "approvals": "/approvals",
    "approvals-decided": "/approvals?tab=decided",
    "approvals-standing": "/approvals?tab=standing",
    "unknown": "/unknowns",
    "dead-letters": "/dead-letters",
    "agents": "/agents",
    "agent": "/agents/closer",
    "tools": "/tools",
    "memory": "/memory",
    "briefings": "/briefings",
    "settings": "/settings",
    "not-found": "/runs/ffffffff",
}
# Pages of what is found in a list: the list, and what is put behind the address of its first entry, by the page's name.
FOUND = {
    "/runs?failed=1": {
        "run": "",
        "run-tree": "?view=tree",
        "run-waterfall": "?view=waterfall",
        "run-log": "?view=log",
        "run-cost": "?view=cost",
        "replay": "/replay",
        "fork": "/fork",
    },
    "/runs?status=waiting&agent=closer": {"run-live": ""},
    "/calls?failed=1": {"call": "", "audit": "/audit"},
    "/approvals": {"approval": ""},
    "/approvals?tab=decided": {"approval-decided": ""},
    "/unknowns": {"unknown-call": ""},
    "/tools": {"tool": ""},
    "/memory": {"memory-of": ""},
}


async def main(given: argparse.Namespace) -> None:
    url = given.url or (deployment.state() or {}).get("console_url")
    if url is None:
        raise SystemExit("no stack runs here: start one with `viox up`, or give --url")
    tokens = {one.lower(): file for one, file in console_tokens(deployment.home()).items()}
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = await browser.new_page(base_url=url)
        if given.only in "sign-in" and not given.docs:
            await _taken(page, "sign-in", "/sign-in", given)
        await _opened(page, "/sign-in")
        await page.fill("#token", tokens[given.name.lower()].read_text())
        await page.click("text=Sign in")
        await page.locator("text=Sign out").wait_for()
        pages = PAGES | await _found(page)
        for title in DOCUMENTED if given.docs else pages:
            if title not in pages:
                raise SystemExit(f"nothing here shows {title}: run `make demo KEEP=1` first")
            if given.only in title:
                await (_documented if given.docs else _taken)(page, title, pages[title], given)
        await browser.close()


async def _taken(page: Page, title: str, path: str, given: argparse.Namespace) -> None:
    """Loaded once, however long the server works for it: size and colours are the style sheet's alone."""
    await _opened(page, path, 404 if title == "not-found" else 200)
    for (shape, size), scheme in product(SIZES.items(), SCHEMES):
        await page.emulate_media(color_scheme=scheme)
        await page.set_viewport_size(size)
        await page.evaluate(DRAWN)
        await page.screenshot(path=given.folder / f"{title}-{shape}-{scheme}.png", full_page=given.whole)


async def _documented(page: Page, title: str, path: str, given: argparse.Namespace) -> None:
    shape, scheme = DOCUMENTED[title]
    await page.emulate_media(color_scheme=scheme)
    await page.set_viewport_size(SMALL[shape])
    await _opened(page, path)
    await page.evaluate(DRAWN)
    await page.screenshot(path=given.folder / f"{title}.jpg", type="jpeg", quality=72)


async def _opened(page: Page, path: str, status: int = 200) -> None:
    """Raises SystemExit where the console shows another page than was asked for."""
    answer = await page.goto(path, timeout=DEADLINE_MS)
    if answer is None or answer.status != status:
        raise SystemExit(f"{path}: HTTP {answer.status if answer else 'nothing'} instead of {status}")
    await page.locator("h1").wait_for()


async def _found(page: Page) -> dict[str, str]:
    """Pages of the first entry of each list that has one, and of two runs side by side."""
    found: dict[str, str] = {}
    for listing, endings in FOUND.items():
        await _opened(page, listing)
        links = page.locator("main [data-item]")
        if not await links.count():
            continue
        link = await links.first.get_attribute("href") or ""
        found |= {title: link + ending for title, ending in endings.items()}
    await _opened(page, "/runs")
    runs = [await link.get_attribute("href") or "" for link in (await page.locator("main [data-item]").all())[:2]]
    if len(runs) == 2:
        found["compare"] = f"{runs[0]}/diff/{runs[1].removeprefix('/runs/')}"
    return found


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m scripts.screenshots")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--as", dest="name", default="dana", help="who signs in (dana)")
    parser.add_argument("--url", help="another console than that of the stack in VIOX_HOME")
    parser.add_argument("--only", default="", help="pages whose name has this in it")
    parser.add_argument("--docs", action="store_true", help="only those that the documentation shows")
    parser.add_argument("--whole", action="store_true", help="pages in their whole length")
    return parser.parse_args()


if __name__ == "__main__":
    chosen = arguments()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    asyncio.run(main(chosen))
