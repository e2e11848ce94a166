"""People Ops as a process: wiring and nothing else."""

from __future__ import annotations

from services.people_ops.agent import PEOPLE_OPS
from shared.models.port import ChatModel
from shared.runtime.process import Process, run
from shared.runtime.service import agent_service
from shared.settings import Settings


def build(settings: Settings, *, model: ChatModel | None = None) -> Process:
    """Consumes its events, tasks and tool results; serves /metrics, /healthz and /readyz; changes only its own threads."""
    return agent_service(PEOPLE_OPS, settings, model=model)


if __name__ == "__main__":
    run(PEOPLE_OPS.name, build)
