"""Steward as a process: `faststream run services.steward.main:app`, or `python -m services.steward.main`."""

from __future__ import annotations

from functools import partial

from services.steward.agent import STEWARD
from shared.bus.app import App
from shared.entry import run
from shared.runtime.service import agent_service

app = App(STEWARD.name, partial(agent_service, STEWARD))

if __name__ == "__main__":
    run(app.serve)
