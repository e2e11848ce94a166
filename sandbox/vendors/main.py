"""All vendor emulators in one process: `python -m sandbox.vendors.main hubspot=8091 twilio=8092 airtable=8093`."""

from __future__ import annotations

import asyncio
import signal
import sys

from aiohttp import web

from sandbox.vendors.airtable import Airtable
from sandbox.vendors.common import Emulator
from sandbox.vendors.hubspot import HubSpot
from sandbox.vendors.stripe import Stripe
from sandbox.vendors.twilio import Twilio

EMULATORS: dict[str, type[Emulator]] = {"hubspot": HubSpot, "twilio": Twilio, "airtable": Airtable, "stripe": Stripe}


async def start(emulator: Emulator, port: int) -> tuple[web.AppRunner, int]:
    """Serve one emulator on loopback; returns its runner and port (useful with port 0)."""
    runner = web.AppRunner(emulator.app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    return runner, int(runner.addresses[0][1])


async def serve(ports: dict[str, int]) -> None:
    """Serve until SIGTERM or SIGINT."""
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    runners = [(await start(EMULATORS[name](), port))[0] for name, port in ports.items()]
    await ended.wait()
    for runner in runners:
        await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(serve({name: int(port) for name, _, port in (arg.partition("=") for arg in sys.argv[1:])}))
