"""All vendor emulators in one process: `python -m sandbox.vendors.main hubspot=8091 twilio=8092 mail=8099:8025:8143`.

Each has a port for HTTP; mail's second one is for SMTP, its third for IMAP.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from aiohttp import web

from sandbox.vendors.airtable import Airtable
from sandbox.vendors.business import Business
from sandbox.vendors.common import Emulator
from sandbox.vendors.elevenlabs import ElevenLabs
from sandbox.vendors.hubspot import HubSpot
from sandbox.vendors.keeping import Keeper
from sandbox.vendors.mail import Mail
from sandbox.vendors.make import Make
from sandbox.vendors.n8n import N8n
from sandbox.vendors.quickbooks import QuickBooks
from sandbox.vendors.stripe import Stripe
from sandbox.vendors.twilio import Twilio

EMULATORS: dict[str, type[Emulator]] = {
    "hubspot": HubSpot,
    "twilio": Twilio,
    "airtable": Airtable,
    "elevenlabs": ElevenLabs,
    "make": Make,
    "n8n": N8n,
    "business": Business,
    "mail": Mail,
    "quickbooks": QuickBooks,
    "stripe": Stripe,
}
Ports = int | tuple[int, int, int]


async def start(emulator: Emulator, port: int) -> tuple[web.AppRunner, int]:
    """Serve one emulator on loopback; returns its runner and port (useful with port 0)."""
    runner = web.AppRunner(emulator.app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    return runner, int(runner.addresses[0][1])


async def serve(ports: Mapping[str, Ports], folder: Path | None = None) -> None:
    """Serve until SIGTERM or SIGINT. With a folder, what the vendors know is kept there."""
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    emulators = {name: made(name, port) for name, port in ports.items()}
    keeper = Keeper({name: emulator for name, (emulator, _) in emulators.items()}, folder) if folder else None
    if keeper:
        keeper.load()
    runners = [(await start(*one))[0] for one in emulators.values()]
    keeping = asyncio.create_task(keeper.run()) if keeper else None
    await ended.wait()
    if keeper and keeping:
        keeping.cancel()
        keeper.save(everything=True)
    for runner in runners:
        await runner.cleanup()


def made(name: str, ports: Ports) -> tuple[Emulator, int]:
    """An emulator and its HTTP port. Only mail has more."""
    if isinstance(ports, int):
        return EMULATORS[name](), ports
    if name != "mail":
        raise ValueError(f"{name} has one port")
    return Mail(smtp_port=ports[1], imap_port=ports[2]), ports[0]


def read(arguments: list[str]) -> dict[str, Ports]:
    """`name=port` or `name=port:port:port` as `serve` takes them."""
    found: dict[str, Ports] = {}
    for name, _, given in (argument.partition("=") for argument in arguments):
        http, *others = (int(port) for port in given.split(":"))
        found[name] = (http, others[0], others[1] if len(others) > 1 else 0) if others else http
    return found


if __name__ == "__main__":
    asyncio.run(serve(read(sys.argv[1:])))
