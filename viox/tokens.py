"""`viox invoke-token`: tokens with which others call an agent's tools. Only their digests are ever set or stored."""

from __future__ import annotations

import hashlib
import secrets
from pathlib import Path
from typing import Any

from shared.operations.store import SQL
from shared.runs import timestamp
from viox import deployment, output

SANDBOX_AGENT, SANDBOX_FILE = "voice", "invoke-token-voice"


def make(agent: str, *, as_json: bool) -> None:
    """Print a new token and the setting that lets it in."""
    token = f"viox_{agent}_{secrets.token_urlsafe(32)}"
    setting = f"VIOX_INVOKE_TOKEN_{agent.replace('-', '_').upper()}"
    value = f"sha256:{hashlib.sha256(token.encode()).hexdigest()}"
    if as_json:
        output.emit({"agent": agent, "token": token, "setting": setting, "value": value})
        return
    output.say(f"token, for the caller: {token}")
    output.say(f"setting, for the gateway: {setting}={value}")
    output.say("The token is shown this once. While callers change over, set both digests, the new one first: new,old")


def make_for_person(name: str, *, as_json: bool) -> None:
    """Print a new token for the console and the line of VIOX_PEOPLE that lets it in. Raises BadInput for nobody's name."""
    person = deployment.people().named(name)
    token = f"viox_{secrets.token_urlsafe(32)}"
    digest = hashlib.sha256(token.encode()).hexdigest()
    if as_json:
        output.emit({"person": person.name, "token": token, "token_sha256": digest})
        return
    output.say(f"token, for {person.name}: {token}")
    output.say(f"line, below {person.name} in VIOX_PEOPLE: token_sha256: {digest}")
    output.say("The token is shown this once. It takes the place of an earlier one, and ends nobody's session.")


async def show(*, as_json: bool) -> None:
    """Print the tokens that the gateway takes, by the beginnings of their digests."""
    pool = await deployment.pool()
    try:
        items = [document(row) for row in await pool.fetch(SQL["live_tokens"])]
    finally:
        await pool.close()
    url = invoke_url(deployment.state() or {})
    if as_json:
        output.emit(output.listing(items, None) | {"url": url})
        return
    rows = [(i["agent"], i["token"], i["problem"] or "taken", i["last_used_at"] or "never") for i in items]
    nothing = "no tokens: make one with `viox invoke-token AGENT`"
    output.table(["agent", "sha256 begins with", "state", "last used"], rows, empty=nothing)
    output.say(f"POST {url}")
    for line in sandbox_lines():
        output.say(line)


def document(row: Any) -> dict[str, Any]:
    """One token as `--json` has it."""
    return {
        "agent": row["agent"],
        "token": row["token"],
        "problem": row["problem"],
        "last_used_at": timestamp(row["last_used_at"]),
        "seen_at": timestamp(row["seen_at"]),
    }


def invoke_url(state: dict[str, Any]) -> str:
    return f"{state.get('gateway_url') or ''}/v1/tools/<tool>:invoke"


def sandbox_lines() -> list[str]:
    """Where the token is that `viox up` made."""
    file = Path(deployment.home()) / SANDBOX_FILE
    return [f"the token of {SANDBOX_AGENT} on this stack is in {file}"] if file.exists() else []
