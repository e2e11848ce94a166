"""Ports of a stack: where connections occupy them, where servers do, and that nobody gets those that are ours."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from sandbox import net, ports
from sandbox.net import Reserved
from shared.errors import BadInput


@pytest.fixture
def reserved() -> Iterator[Reserved]:
    made = Reserved()
    yield made
    made.close()


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


def connection(server: socket.socket) -> tuple[socket.socket, socket.socket]:
    ours = socket.create_connection(server.getsockname())
    theirs, _ = server.accept()
    return ours, theirs


@pytest.mark.parametrize("closed", [False, True], ids=["open", "lingering"])
def test_a_connection_on_a_port_moves_the_service_and_stops_nothing(
    server: socket.socket, reserved: Reserved, closed: bool
) -> None:
    ours, theirs = connection(server)
    port = ours.getsockname()[1]
    if closed:  # who closes first keeps the port for a minute
        ours.close()
        theirs.close()
    with pytest.raises(OSError, match="in use"), socket.create_server(("127.0.0.1", port)):
        pass
    moved = reserved.exactly("closer", port)
    assert moved != port
    with socket.create_server(("127.0.0.1", moved)) as listening:
        assert listening.getsockname()[1] == moved
    ours.close()
    theirs.close()


def test_a_server_on_a_port_is_named(
    server: socket.socket, reserved: Reserved, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(net, "GOING_SECONDS", 0.1)
    with pytest.raises(BadInput, match=f"port {server.getsockname()[1]}, wanted for closer, is taken") as error:
        reserved.exactly("closer", server.getsockname()[1])
    assert error.value.code == "port.taken"
    assert error.value.field == "VIOX_PORT_BASE"


def test_a_reserved_port_is_for_our_server_alone(reserved: Reserved) -> None:
    port = reserved.any()
    assert reserved.any() != port
    with pytest.raises(OSError, match="in use"), socket.socket() as other:
        other.bind(("127.0.0.1", port))
    for _ in range(2):  # and for the one that is started in its stead
        with socket.create_server(("127.0.0.1", port)) as ours:
            socket.create_connection(ours.getsockname()).close()


def test_ports_without_a_base_are_all_different(reserved: Reserved) -> None:
    found = ports.choose(0, ports.SERVICES, reserved)
    assert tuple(found) == ports.NAMES
    assert len(set(found.values())) == len(ports.NAMES)


def test_a_base_gives_the_same_ports_each_time(reserved: Reserved) -> None:
    """Below the range of ephemeral ports, where only servers could be in the way."""
    base = next(b for b in range(15_000, 32_000, 100) if not any(net.connects(b + n) for n in range(len(ports.NAMES))))
    again = Reserved()
    first = ports.choose(base, (), reserved)
    reserved.close()
    assert ports.choose(base, (), again) == first
    again.close()
    assert first["gateway"] == base + 1
