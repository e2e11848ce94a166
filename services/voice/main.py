"""Voice as a process: `faststream run services.voice.main:app`, or `python -m services.voice.main`."""

from __future__ import annotations

from functools import partial

from services.voice.agent import VOICE
from shared.bus.app import App
from shared.entry import run
from shared.runtime.service import agent_service

app = App(VOICE.name, partial(agent_service, VOICE))

if __name__ == "__main__":
    run(app.serve)
