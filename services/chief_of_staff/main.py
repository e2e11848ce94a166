"""Chief of Staff as a process: `faststream run services.chief_of_staff.main:app`, or `python -m services.chief_of_staff.main`."""

from __future__ import annotations

from functools import partial

from services.chief_of_staff.agent import CHIEF_OF_STAFF
from shared.bus.app import App
from shared.entry import run
from shared.runtime.service import agent_service

app = App(CHIEF_OF_STAFF.name, partial(agent_service, CHIEF_OF_STAFF))

if __name__ == "__main__":
    run(app.serve)
