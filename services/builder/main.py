"""Builder as a process: `faststream run services.builder.main:app`, or `python -m services.builder.main`."""

from __future__ import annotations

from functools import partial

from services.builder.agent import BUILDER
from shared.bus.app import App
from shared.entry import run
from shared.runtime.service import agent_service

app = App(BUILDER.name, partial(agent_service, BUILDER))

if __name__ == "__main__":
    run(app.serve)
