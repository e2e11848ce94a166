"""The benchmark's run on calfkit, in processes of its own: `agent`, `tool`, and `client`, which sends one sample.

Run by the interpreter of the peers' environment; the project never imports it. calfkit is used as its documentation shows
(an Agent, an agent_tool, a Worker in each process) with its own defaults, and with what speeds it up here: the broker's
short fetch wait, several lanes a worker, uvloop, no log line a message.
"""

from __future__ import annotations

import argparse
from typing import Any

import aiohttp
import uvloop
from calfkit import Agent, Client, ProvisioningConfig, Worker, agent_tool

# The scripted model. calfkit has no public name for one; this is the class that its own tests and examples use.
from calfkit._vendor.pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart, UserPromptPart
from calfkit._vendor.pydantic_ai.models.function import AgentInfo, FunctionModel

AGENT = "bench"
INBOX = "bench.calfkit.inbox"
LANES = 16  # messages that a worker handles at a time; its default is 1
VENDOR: dict[str, str] = {}  # the vendor's address, set before the tool serves
_sessions: list[aiohttp.ClientSession] = []


async def model(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """Ask for one call more until there were as many as the prompt wants."""
    parts = [part for message in messages for part in message.parts]
    wanted = next(int(str(part.content).rsplit(" ", 1)[1]) for part in parts if isinstance(part, UserPromptPart))
    done = sum(part.part_kind == "tool-return" for part in parts)
    if done >= wanted:
        return ModelResponse(parts=[TextPart(f"done {done}")])
    return ModelResponse(parts=[ToolCallPart("bench_echo", {"n": done, "text": "x" * 100})])


@agent_tool
async def bench_echo(n: int, text: str) -> dict[str, Any]:
    """Echo."""
    if not _sessions:
        _sessions.append(aiohttp.ClientSession())
    async with _sessions[0].post(VENDOR["url"] + "/echo", json={"n": n, "text": text}) as answer:
        answer.raise_for_status()
        found: dict[str, Any] = await answer.json()
        return found


async def serve(client: Client, role: str, fetch_wait_ms: int) -> None:
    node = bench_echo if role == "tool" else Agent(AGENT, tools=[bench_echo], model_client=FunctionModel(model))
    worker = Worker(
        client, nodes=[node], max_workers=LANES, extra_subscribe_kwargs={"fetch_max_wait_ms": fetch_wait_ms}
    )

    @worker.after_startup
    async def say_so(context: object) -> None:
        print("serving", flush=True)

    await worker.run()


async def send_sample(client: Client) -> None:
    await client.agent(AGENT).send("calls 1")
    await client.broker.stop()


async def main(given: argparse.Namespace) -> None:
    VENDOR["url"] = given.vendor
    client = Client.connect(
        given.kafka,
        inbox_topic=INBOX,
        provisioning=ProvisioningConfig(enabled=True, num_partitions=given.partitions),
        logger=None,
    )
    if given.role == "client":
        await send_sample(client)
    else:
        await serve(client, given.role, given.fetch_wait_ms)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=["agent", "tool", "client"])
    parser.add_argument("--kafka", required=True)
    parser.add_argument("--partitions", type=int, required=True)
    parser.add_argument("--fetch-wait-ms", type=int, required=True)
    parser.add_argument("--vendor", default="")
    uvloop.run(main(parser.parse_args()))
