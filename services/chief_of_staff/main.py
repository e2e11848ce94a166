"""Chief of Staff as a process: wiring and nothing else."""

from __future__ import annotations

from services.chief_of_staff.agent import CHIEF_OF_STAFF
from shared.models.port import ChatModel
from shared.runtime.process import Process, run
from shared.runtime.service import agent_service
from shared.settings import Settings


def build(settings: Settings, *, model: ChatModel | None = None) -> Process:
    """Consumes its events, tasks and tool results; serves /metrics, /healthz and /readyz; changes only its own threads."""
    return agent_service(CHIEF_OF_STAFF, settings, model=model)


if __name__ == "__main__":
    run(CHIEF_OF_STAFF.name, build)
