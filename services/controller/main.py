"""Controller as a process: `faststream run services.controller.main:app`, or `python -m services.controller.main`."""

from __future__ import annotations

from functools import partial

from services.controller.agent import CONTROLLER
from shared.bus.app import App
from shared.entry import run
from shared.runtime.service import agent_service

app = App(CONTROLLER.name, partial(agent_service, CONTROLLER))

if __name__ == "__main__":
    run(app.serve)
