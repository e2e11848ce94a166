"""People Ops as a process: `faststream run services.people_ops.main:app`, or `python -m services.people_ops.main`."""

from __future__ import annotations

from functools import partial

from services.people_ops.agent import PEOPLE_OPS
from shared.bus.app import App
from shared.entry import run
from shared.runtime.service import agent_service

app = App(PEOPLE_OPS.name, partial(agent_service, PEOPLE_OPS))

if __name__ == "__main__":
    run(app.serve)
