"""The console as a process: `python -m services.console.main`."""

from __future__ import annotations

from services.console.app import App
from shared.entry import run

app = App("console")

if __name__ == "__main__":
    run(app.serve)
