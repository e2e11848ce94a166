"""A web server that keeps what is posted to it, for tests of what emulators send."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.contract.waiting import eventually


@dataclass(frozen=True)
class Arrived:
    """One request that came."""

    path: str
    headers: dict[str, str]
    body: str
    refused: bool


class Receiver:
    """Listens on loopback, under `url`; refuses the next `refusals` requests with 500."""

    def __init__(self) -> None:
        self.arrived: list[Arrived] = []
        self.refusals = 0
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                refused = receiver.refusals > 0
                receiver.refusals -= refused
                receiver.arrived.append(Arrived(self.path, dict(self.headers), body, refused))
                self.send_response(500 if refused else 204)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Tests need no log of it."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def wait(self, count: int) -> list[Arrived]:
        """Everything that came, the refused too, as soon as it is `count` requests."""
        eventually(lambda: len(self.arrived) >= count, f"the last of {count} requests")
        return list(self.arrived)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(60)
