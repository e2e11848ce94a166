"""Closer as a process: `faststream run services.closer.main:app`, or `python -m services.closer.main`."""

from __future__ import annotations

from functools import partial

from services.closer.agent import CLOSER
from shared.bus.app import App
from shared.entry import run
from shared.runtime.service import agent_service

app = App(CLOSER.name, partial(agent_service, CLOSER))

if __name__ == "__main__":
    run(app.serve)
