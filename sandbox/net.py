"""Loopback ports: is anyone there, is it ready, which ones are free."""

from __future__ import annotations

import errno
import http.client
import socket
import sys
import time

from shared.errors import BadInput

GOING_SECONDS = 3.0  # that a server of a stack that was killed may still listen


def connects(port: int) -> bool:
    """Does something accept connections on this loopback port?"""
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def ready(port: int) -> bool:
    """Does a service on this loopback port say that it is ready, within half a second?"""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=0.5)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on right now."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


class Reserved:
    """Loopback ports kept for servers of ours: bound, and not listened on.

    Linux gives a bound port to no outgoing connection, and lets a server of ours bind it too (SO_REUSEADDR on both). So a
    port in the range of ephemeral ports stays ours while its server is not up yet, or down for a moment. Elsewhere the
    port is only looked at.
    """

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []

    def any(self) -> int:
        """Some free port."""
        return self._bound(0)

    def exactly(self, name: str, port: int) -> int:
        """This port; another one where connections, also closed ones that linger, occupy it.

        Raises BadInput when a server listens there, and does not go away within the moment that one of ours takes to end.
        """
        deadline = time.monotonic() + GOING_SECONDS
        while True:
            try:
                return self._bound(port)
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise _taken(name, port, error) from error
                if not connects(port):
                    return self.any()
                if time.monotonic() > deadline:
                    raise _taken(name, port, error) from error
            time.sleep(0.05)

    def close(self) -> None:
        for one in self._sockets:
            one.close()
        self._sockets.clear()

    def _bound(self, port: int) -> int:
        kept = socket.socket()
        try:
            if port:  # for any port it is set afterwards: with it, one that is reserved already would be free enough
                kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            kept.bind(("127.0.0.1", port))
            kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        except BaseException:
            kept.close()
            raise
        found = int(kept.getsockname()[1])
        if sys.platform == "linux":
            self._sockets.append(kept)
        else:
            kept.close()
        return found


def _taken(name: str, port: int, error: OSError) -> BadInput:
    return BadInput(
        "port.taken",
        f"port {port}, wanted for {name}, is taken: {error.strerror}.",
        field="VIOX_PORT_BASE",
        remedy="Stop what listens there (`ss -ltnp`), or set VIOX_PORT_BASE to another number, or 0 for any free ports.",
    )
