"""Backends of traces on this machine: they take what is sent, or misbehave as told, and keep it for a test to read."""

from __future__ import annotations

import gzip
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass
class Taken:
    """One span as a backend has it."""

    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    kind: int
    failed: bool
    attributes: dict[str, Any]
    links: list[str]
    began: int
    ended: int


@dataclass
class Receiver:
    """What came: paths, headers and bodies; `behaviour` is what the next requests are answered with."""

    port: int = 0
    behaviour: str = "take"  # or a status, or "hang"
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def spans(self, path: str = "/v1/traces") -> list[Taken]:
        return [span for at, _, body in list(self.requests) if at == path for span in _read(body)]

    def documents(self, path: str) -> list[dict[str, Any]]:
        return [json.loads(body) for at, _, body in list(self.requests) if at == path]

    def headers(self, path: str) -> dict[str, str]:
        """Of the newest request."""
        return next(headers for at, headers, _ in reversed(self.requests) if at == path)

    def everything(self) -> bytes:
        """All that came, to look for what must not have."""
        return b"\n".join(f"{path} {headers}".encode() + body for path, headers, body in list(self.requests))

    def wait(self, count: int, path: str = "/v1/traces", seconds: float = 20.0) -> list[Taken]:
        """The spans, once there are so many."""
        deadline = time.monotonic() + seconds
        while len(found := self.spans(path)) < count and time.monotonic() < deadline:
            time.sleep(0.02)
        assert len(found) >= count, [span.name for span in found]
        return found


@contextmanager
def receiving(behaviour: str = "take") -> Iterator[Receiver]:
    """A receiver on a free port."""
    receiver = Receiver(behaviour=behaviour)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if receiver.behaviour == "hang":
                receiver.closing.wait(60)
                return
            if receiver.behaviour == "take":
                plain = gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body
                headers = {name.lower(): value for name, value in self.headers.items()}
                receiver.requests.append((self.path, headers, plain))
            self.send_response(200 if receiver.behaviour == "take" else int(receiver.behaviour))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            """Tests print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()


def _read(body: bytes) -> Iterator[Taken]:
    request = ExportTraceServiceRequest()
    request.ParseFromString(body)
    for resource in request.resource_spans:
        service = next(_value(a.value) for a in resource.resource.attributes if a.key == "service.name")
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield Taken(
                    service,
                    span.name,
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    span.kind,
                    span.status.code == 2,
                    {a.key: _value(a.value) for a in span.attributes},
                    [link.span_id.hex() for link in span.links],
                    span.start_time_unix_nano,
                    span.end_time_unix_nano,
                )


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    return [_value(one) for one in value.array_value.values] if kind == "array_value" else getattr(value, kind)
