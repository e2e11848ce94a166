"""The benchmark's run on LangGraph with AsyncPostgresSaver in one process, between two topics of Kafka.

Run by the interpreter of the peers' environment; the project never imports it. An event's offset is committed once its
run's announcement is acknowledged, so an event that was taken and not finished comes again.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections import deque
from contextlib import asynccontextmanager
from typing import Any, Literal

import aiohttp
import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

AT_ONCE = 64
COMMIT_SECONDS = 0.1


async def think(state: MessagesState) -> dict[str, Any]:
    """The scripted model: ask for one call more until there were as many as the event wants."""
    wanted = int(str(state["messages"][0].content).rsplit(" ", 1)[1])
    done = sum(isinstance(message, ToolMessage) for message in state["messages"])
    if done >= wanted:
        return {"messages": [AIMessage(f"done {done}")]}
    call = {"name": "bench_echo", "args": {"n": done, "text": "x" * 100}, "id": f"call-{done}"}
    return {"messages": [AIMessage("", tool_calls=[call])]}


async def next_step(state: MessagesState) -> Literal["tools", "__end__"]:
    last = state["messages"][-1]
    return "tools" if isinstance(last, AIMessage) and last.tool_calls else "__end__"


def compiled(session: aiohttp.ClientSession, vendor: str, saver: AsyncPostgresSaver) -> Any:
    @tool
    async def bench_echo(n: int, text: str) -> str:
        """Echo."""
        async with session.post(vendor + "/echo", json={"n": n, "text": text}) as answer:
            answer.raise_for_status()
            return await answer.text()

    graph = StateGraph(MessagesState)
    graph.add_node("think", think)
    graph.add_node("tools", ToolNode([bench_echo]))
    graph.add_edge(START, "think")
    graph.add_conditional_edges("think", next_step)
    graph.add_edge("tools", "think")
    return graph.compile(checkpointer=saver)


class Service:
    """Takes events in, a run each, and commits a partition's offsets up to the first run that is not over."""

    def __init__(self, graph: Any, given: argparse.Namespace, consumer: AIOKafkaConsumer, producer: AIOKafkaProducer):
        self._graph, self._durability = graph, given.durability
        self._announcements = f"bench.{given.name}.out"
        self._consumer, self._producer = consumer, producer
        self._places = asyncio.Semaphore(AT_ONCE)
        self._open: dict[TopicPartition, deque[tuple[int, asyncio.Task[None]]]] = {}

    async def run(self) -> None:
        committing = asyncio.create_task(self._commit_regularly())
        while not committing.done():
            for partition, records in (await self._consumer.getmany(timeout_ms=200)).items():
                for record in records:
                    await self._places.acquire()
                    task = asyncio.create_task(self._one(record.key, json.loads(record.value)))
                    self._open.setdefault(partition, deque()).append((record.offset, task))
        committing.result()

    async def _one(self, key: bytes, event: dict[str, Any]) -> None:
        try:
            state = await self._graph.ainvoke(
                {"messages": [HumanMessage(event["text"])]},
                {"configurable": {"thread_id": event["id"]}, "recursion_limit": 500},
                durability=self._durability,
            )
            outcome = {"id": event["id"], "status": "finished", "text": state["messages"][-1].content}
            await self._producer.send_and_wait(self._announcements, json.dumps(outcome).encode(), key=key)
        finally:
            self._places.release()

    async def _commit_regularly(self) -> None:
        while True:
            await asyncio.sleep(COMMIT_SECONDS)
            if offsets := {p: offset for p, tasks in self._open.items() if (offset := _done_up_to(tasks))}:
                await self._consumer.commit(offsets)


def _done_up_to(tasks: deque[tuple[int, asyncio.Task[None]]]) -> int:
    """The offset to commit, 0 when nothing new is done. Raises what a run raised: the process ends, the event comes again."""
    offset = 0
    while tasks and tasks[0][1].done():
        number, task = tasks.popleft()
        task.result()
        offset = number + 1
    return offset


@asynccontextmanager
async def bus(given: argparse.Namespace) -> Any:
    consumer = AIOKafkaConsumer(
        f"bench.{given.name}.in",
        bootstrap_servers=given.kafka,
        group_id=given.name,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=given.fetch_wait_ms,
    )
    producer = AIOKafkaProducer(bootstrap_servers=given.kafka, acks="all")
    await consumer.start()
    await producer.start()
    try:
        yield consumer, producer
    finally:
        await consumer.stop()
        await producer.stop()


async def main(given: argparse.Namespace) -> None:
    connection = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
    async with (
        AsyncConnectionPool(given.postgres, kwargs=connection, min_size=4, max_size=16, open=False) as pool,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=AT_ONCE)) as session,
    ):
        saver = AsyncPostgresSaver(pool)
        await saver.setup()
        async with bus(given) as (consumer, producer):
            print("serving", flush=True)
            await Service(compiled(session, given.vendor, saver), given, consumer, producer).run()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", required=True, help="of its topics and consumer group")
    parser.add_argument("--kafka", required=True)
    parser.add_argument("--fetch-wait-ms", type=int, required=True)
    parser.add_argument("--postgres", required=True)
    parser.add_argument("--vendor", required=True)
    parser.add_argument("--durability", choices=["sync", "async", "exit"], required=True)
    uvloop.run(main(parser.parse_args()))
