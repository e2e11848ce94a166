"""The eight roles as models: what each one's offline policy decides, behind the wires of real providers.

A request that came over a provider's wire is made again into what the policy is asked, and the policy's turn into the
provider's answer. So the same day runs offline and through the real adapters, and no behaviour exists only in one of them.

    python -m sandbox.role_players --port 8190 [--faults FILE] [--seed N]
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import re
import signal
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web

from sandbox.models.server import ModelServers
from sandbox.models.turns import Call, Message, Player, Question, Result, Said, Turn
from shared.models import port, registry
from shared.models.offline import Unable

LISTENING = "models"  # the name of the port
OFFLINE_MARK = "[offline] "
STANDS_FOR_NOTHING = "(nothing)"  # what adapters send where a provider takes no empty text
FILLER = "(results received)"  # and where it takes no user after a tool
# Adapters join texts of the user that follow each other, where servers want sides to alternate.
JOINED = re.compile(
    r"\n\n(?=\[(?:note|retry|done|what came before, in short|done by the role's rules)\]\s"
    r"|Event \S+ from |Task: |<question name=)"
)
FAILED = {"failed", "unknown", "denied", "rejected", "expired", "cancelled"}


def player() -> Player:
    """Who plays all roles."""
    return Player(play, role_of, registry.ROLES)


def play(question: Question) -> Turn:
    """The turn of the role whose prompt the request has. Somebody else's prompt is answered with two letters."""
    agent = role_of(question.system)
    if not agent:
        return Turn("OK")
    message = _policy(agent)(asked(question))
    if isinstance(message, Unable):
        return Turn(stop="refusal", why=message.text.removeprefix(OFFLINE_MARK))
    properties = {tool.name: set(tool.schema.get("properties", {})) for tool in question.tools}
    calls = (Call(c.tool, _as_offered(c.arguments or {}, properties.get(c.tool, set()))) for c in message.calls)
    return Turn(message.text.removeprefix(OFFLINE_MARK), tuple(calls))


def role_of(system: str) -> str:
    """The agent that a prompt begins with ("You are Closer, …", "You are the Chief of Staff …"); "" for nobody."""
    found = re.match(r"\s*You are (?:the )?(.{1,40})", system)
    said = found[1].lower() if found else ""
    names = {agent.replace("-", " "): agent for agent in registry.ROLES}
    return next((agent for name, agent in names.items() if re.match(rf"{re.escape(name)}\b", said)), "")


@cache
def _policy(agent: str) -> Any:
    return importlib.import_module(f"services.{agent.replace('-', '_')}.offline").policy


# -- from the wire ------------------------------------------------------------------------------------------------------


def asked(question: Question) -> port.ChatRequest:
    """The request as an agent's own code would have made it."""
    messages = tuple(one for message in question.messages for one in _said(message))
    tools = tuple(port.ToolSpec(t.name, t.description, dict(t.schema)) for t in question.tools)
    return port.ChatRequest(
        question.model, question.system, messages, tools, question.max_tokens, must_call=question.must_call
    )


def _said(message: Message) -> Iterator[port.ChatMessage]:
    match message:
        case Said(text):
            for part in JOINED.split(text):
                if part != STANDS_FOR_NOTHING:
                    yield port.UserMessage(part)
        case Turn() if message.text == FILLER and not message.calls:
            return
        case Turn():
            calls = tuple(port.ModelToolCall(c.id, c.tool, dict(c.arguments)) for c in message.calls)
            yield port.AssistantMessage("" if message.text == STANDS_FOR_NOTHING else message.text, calls)
        case Result():
            failed = message.is_error or _failed(message.content)
            yield port.ToolMessage(message.call_id, message.tool, message.content, failed)


def _failed(content: str) -> bool:
    """Whether a result is an error, where the wire has no word for it: it says so itself."""
    try:
        found = orjson.loads(content)
    except orjson.JSONDecodeError:
        return False
    return isinstance(found, dict) and found.get("state") in FAILED and {"code", "message"} <= found.keys()


def _as_offered(arguments: Mapping[str, Any], offered: set[str]) -> dict[str, Any]:
    """Arguments under the names that the request has for them: adapters rename what their provider refuses."""
    renamed = {name: re.sub(r"[^a-zA-Z0-9_.-]+", "_", name).strip("_") for name in arguments if name not in offered}
    return {renamed.get(n, n) if renamed.get(n) in offered else n: value for n, value in arguments.items()}


# -- serving ------------------------------------------------------------------------------------------------------------


async def serve(listening: Mapping[str, Any], folder: Path | None = None) -> None:
    """Serve until SIGTERM or SIGINT. `listening`: the port, and the file of faults and the seed where there are any."""
    servers = ModelServers(player(), seed=int(listening.get("seed", 0)))
    if file := listening.get("faults"):
        servers.faults.load(Path(file))
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    runner = web.AppRunner(servers.app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", int(listening[LISTENING])).start()
    await ended.wait()
    await runner.cleanup()


def main() -> None:
    """Serve alone, for agents that run elsewhere: set `<PROVIDER>_BASE_URL` and the key that the page names."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--faults")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    asyncio.run(serve({LISTENING: given.port, "faults": given.faults, "seed": given.seed}))


if __name__ == "__main__":
    main()
