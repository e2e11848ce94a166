"""Operator as a process: `faststream run services.operator.main:app`, or `python -m services.operator.main`."""

from __future__ import annotations

from functools import partial

from services.operator.agent import OPERATOR
from shared.bus.app import App
from shared.entry import run
from shared.runtime.service import agent_service

app = App(OPERATOR.name, partial(agent_service, OPERATOR))

if __name__ == "__main__":
    run(app.serve)
