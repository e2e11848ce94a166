"""Loopback ports: is anyone there, is it ready, which ones are free."""

from __future__ import annotations

import http.client
import socket

from shared.errors import BadInput


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


def require_free(name: str, port: int) -> None:
    """Raises BadInput when something else already listens there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise BadInput(
                "port.taken",
                f"port {port}, wanted for {name}, is taken: {error.strerror}.",
                field="VIOX_PORT_BASE",
                remedy="Stop what listens there (`ss -ltnp`), or set VIOX_PORT_BASE to another number, or 0 for any free ports.",
            ) from error
