"""A web server that keeps what is posted to it, for tests of what emulators send."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Arrived:
    """One request that came."""

    path: str
    headers: dict[str, str]
    body: str


class Inbox:
    """Listens on loopback; refuses the first `failures` requests with 500."""

    def __init__(self, failures: int = 0) -> None:
        self.arrived: list[Arrived] = []
        inbox = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                inbox.arrived.append(Arrived(self.path, dict(self.headers), body))
                self.send_response(500 if len(inbox.arrived) <= failures else 204)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Tests need no log of it."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def wait(self, count: int, seconds: float = 5.0) -> list[Arrived]:
        """The first `count` requests, as soon as they are there."""
        until = time.monotonic() + seconds
        while len(self.arrived) < count and time.monotonic() < until:
            time.sleep(0.02)
        assert len(self.arrived) >= count, f"{len(self.arrived)} of {count} came"
        return self.arrived[:count]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)
