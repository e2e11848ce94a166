"""Draws every panel of the Grafana dashboards from what a Prometheus has: a page to look at, without Grafana.

python -m scripts.panels [FOLDER] [--prometheus URL] [--minutes N]

Writes FOLDER/index.html (panels/), and a picture of each dashboard where there is Chromium. Panels without data are named, and
make it leave with 1.
"""

from __future__ import annotations

import argparse
import asyncio
import html
import itertools
import json
import math
import re
import shutil
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pygal
from pygal.style import Style

DASHBOARDS = Path(__file__).parents[1] / "deploy" / "monitoring" / "grafana"
RATE_INTERVAL = "1m"
POINTS = 180
CELL, HEIGHT = 48, {8: 290, 4: 110}  # pixels of one of Grafana's 24 columns; of a panel's height
STYLE = """
body { font: 14px/20px Inter, system-ui, sans-serif; margin: 24px auto; max-width: 1200px; color: #1b1a18; background: #fafaf9 }
h1 { font-size: 20px; margin: 32px 0 8px } h2 { font-size: 14px; color: #5f5b53; margin: 18px 0 6px }
.row { display: flex; gap: 12px }
.panel { flex: 1 1 0; background: #fff; border: 1px solid #e4e2dd; border-radius: 8px; padding: 10px; min-width: 0 }
h3 { font-size: 13px; margin: 0 0 4px } .none { color: #b3261e } .number { font-size: 30px; line-height: 44px; font-weight: 640 }
ul { list-style: none; margin: 4px 0 0; padding: 0; display: flex; flex-wrap: wrap; gap: 0 14px; font-size: 12px; line-height: 18px }
li { overflow-wrap: anywhere } i { display: inline-block; width: 9px; height: 9px; border-radius: 2px; margin-right: 6px }
figure { margin: 0 } svg { width: 100%; height: auto; display: block }
"""


COLOURS = ("#1f5f5b", "#b3261e", "#8a5200", "#6b3fa0", "#1b6b3a", "#2a62b8", "#5f5b53", "#c05780", "#00798c", "#6c757d")
LOOK = Style(
    background="#ffffff",
    plot_background="#ffffff",
    foreground_subtle="#e4e2dd",
    guide_stroke_color="#e4e2dd",
    major_guide_stroke_color="#e4e2dd",
    colors=COLOURS,
    label_font_size=12,
    major_label_font_size=12,
)


@dataclass(frozen=True, slots=True)
class Series:
    """One line of a panel: how it is called, and its points in time."""

    name: str
    points: Sequence[tuple[datetime, float]]


def main(given: argparse.Namespace) -> int:
    end = time.time()
    span = {"start": end - 60 * given.minutes, "end": end, "step": max(60 * given.minutes // POINTS, 1)}
    sections: list[str] = []
    empty: list[str] = []
    for file in sorted(DASHBOARDS.glob("*.json")):
        section, missing = _dashboard(file, given.prometheus, span)
        sections.append(section)
        empty += missing
    given.folder.mkdir(parents=True, exist_ok=True)
    page = given.folder / "index.html"
    page.write_text(
        f"<!doctype html><meta charset=utf-8><title>Panels</title><style>{STYLE}</style>{''.join(sections)}"
    )
    _say(f"{page} shows the last {given.minutes} minutes")
    if chromium := shutil.which("chromium"):
        asyncio.run(_pictures(page.resolve().as_uri(), given.folder, chromium))
    for title in empty:
        _say(f"no data: {title}")
    return 1 if empty else 0


def _dashboard(file: Path, prometheus: str, span: Mapping[str, float]) -> tuple[str, list[str]]:
    """A dashboard as HTML, and its panels without data."""
    document = json.loads(file.read_text())
    parts, empty, in_row = [f'<section id="{file.stem}"><h1>{html.escape(document["title"])}</h1>'], [], False
    for panel in document["panels"]:
        if panel["type"] == "row":
            parts.append(f"{'</div>' if in_row else ''}<h2>{html.escape(panel['title'])}</h2><div class=row>")
            in_row = True
            continue
        series = [one for target in panel["targets"] for one in _asked(prometheus, target, span)]
        if not series:
            empty.append(f"{file.stem}: {panel['title']}")
        parts.append(f"<figure class=panel><h3>{html.escape(panel['title'])}</h3>{_drawn(panel, series)}</figure>")
    return "".join([*parts, "</div></section>"]), empty


def _asked(prometheus: str, target: Mapping[str, Any], span: Mapping[str, float]) -> Iterator[Series]:
    query = target["expr"].replace("$__rate_interval", RATE_INTERVAL)
    asked = urllib.parse.urlencode({"query": query, **span})
    with urllib.request.urlopen(f"{prometheus}/api/v1/query_range?{asked}", timeout=30) as answer:  # noqa: S310  # the caller's own
        for one in json.loads(answer.read())["data"]["result"]:
            points = [(datetime.fromtimestamp(at, UTC), float(value)) for at, value in one["values"]]
            yield Series(_legend(target.get("legendFormat") or "", one["metric"]), points)


def _legend(form: str, labels: Mapping[str, str]) -> str:
    """As Grafana writes one: a label that is not there stands for itself."""
    return re.sub(r"{{\s*(.+?)\s*}}", lambda found: labels.get(found[1], found[1]), form)


def _drawn(panel: Mapping[str, Any], series: Sequence[Series]) -> str:
    unit = panel["fieldConfig"]["defaults"]["unit"]
    if not series:
        return "<p class=none>no data</p>"
    if panel["type"] == "stat":
        return f"<div class=number>{html.escape(written(series[0].points[-1][1], unit))}</div>"
    chart = pygal.DateTimeLine(
        width=CELL * panel["gridPos"]["w"],
        height=HEIGHT[panel["gridPos"]["h"]],
        show_legend=False,
        truncate_label=-1,
        show_dots=False,
        js=[],
        disable_xml_declaration=True,
        x_labels=_ticks(series),
        max_scale=5,
        x_value_formatter=lambda at: f"{at:%H:%M}",
        value_formatter=lambda value: written(value, unit),
        range=(0, max((v for one in series for _, v in one.points if math.isfinite(v)), default=0) or 1),
        style=LOOK,
    )
    for one in series:
        chart.add(one.name, [(at, value if math.isfinite(value) else None) for at, value in one.points])
    return str(chart.render(is_unicode=True)) + _names(series)


def _names(series: Sequence[Series]) -> str:
    """The legend, which pygal would cut."""
    colours = itertools.cycle(COLOURS)
    told = [
        f'<li><i style="background:{colour}"></i>{html.escape(one.name)}</li>'
        for one, colour in zip(series, colours, strict=False)
        if one.name
    ]
    return f"<ul>{''.join(told)}</ul>"


def _ticks(series: Sequence[Series]) -> list[datetime]:
    """The first, the middle and the last moment."""
    begun = min(one.points[0][0] for one in series)
    ended = max(one.points[-1][0] for one in series)
    return [begun, begun + (ended - begun) / 2, ended]


def written(value: float, unit: str) -> str:
    """A value as Grafana writes one of its unit."""
    match unit:
        case _ if not math.isfinite(value):
            return "none"
        case "s":
            return f"{value * 1000:.3g} ms" if value < 1 else f"{value:.3g} s"
        case "percentunit":
            return f"{value:.3g}" if value == 0 else f"{value * 100:.3g} %"
        case "currencyUSD":
            return f"${value:.3g}"
        case "reqps":
            return f"{value:.3g}/s"
        case "cpm":
            return f"{value:.3g}/min"
        case _:
            return f"{value:,.0f}" if value == round(value) else f"{value:.3g}"


async def _pictures(page: str, folder: Path, chromium: str) -> None:
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        shown = await browser.new_page(viewport={"width": 1240, "height": 800})
        await shown.goto(page)
        for section in await shown.locator("section").all():
            name = await section.get_attribute("id")
            await section.screenshot(path=folder / f"{name}.png")
        await browser.close()


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m scripts.panels")
    parser.add_argument("folder", type=Path, nargs="?", default=Path("panels"))
    parser.add_argument("--prometheus", default="http://127.0.0.1:9090", help="its address (http://127.0.0.1:9090)")
    parser.add_argument("--minutes", type=int, default=30, help="so far back (30)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main(arguments()))
