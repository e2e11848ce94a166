"""The outbound guard: which addresses, however they are dressed."""

from __future__ import annotations

import socket

import pytest

from services.tool_gateway.wire.guard import Guard, Refused
from shared.errors import BadInput

INSIDE = [
    "127.0.0.1",
    "127.9.9.9",
    "0.0.0.1",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "169.254.1.1",
    "100.64.0.1",
    "192.0.2.1",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "fd00:ec2::254",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b::a00:1",
    "64:ff9b:1::a9fe:a9fe",
    "2002:7f00:1::",
    "2002:a00:1::",
    "2001:0:4136:e378:8000:63bf:80ff:fffe",
    "2001:db8::1",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "fd20:ce::254",
    "fec0::1",
    "3fff::1",
    "64:ff9b:1:7f00:0:100:808:808",
]
OUTSIDE = ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]


@pytest.mark.parametrize("address", INSIDE)
def test_what_is_not_public_is_refused(address: str) -> None:
    assert Guard().refusal(address)


@pytest.mark.parametrize("address", OUTSIDE)
def test_what_is_public_is_not(address: str) -> None:
    assert Guard().refusal(address) is None


def test_loopback_and_networks_by_setting_only() -> None:
    sandbox = Guard.of({"VIOX_ALLOW_LOOPBACK": "1"})
    assert sandbox.refusal("127.0.0.1") is None
    assert sandbox.refusal("::ffff:127.0.0.1") is None
    assert sandbox.refusal("10.0.0.1")
    office = Guard.of({"VIOX_ALLOW_NETWORKS": "10.20.0.0/16, fd12::/16, 169.254.0.0/16"})
    assert office.refusal("10.20.3.4") is None
    assert office.refusal("fd12::1") is None
    assert office.refusal("10.21.0.1")
    assert office.refusal("127.0.0.1")
    assert office.refusal("169.254.169.254"), "a metadata service, whatever is allowed"
    assert Guard.of({"VIOX_ALLOW_LOOPBACK": "yes"}).refusal("127.0.0.1"), "only 1 allows"
    with pytest.raises(BadInput) as error:
        Guard.of({"VIOX_ALLOW_NETWORKS": "10.20.0.0/40"})
    assert error.value.field == "VIOX_ALLOW_NETWORKS"


def test_no_socket_is_made_for_a_refused_address() -> None:
    with pytest.raises(Refused, match="metadata"):
        Guard().open((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("169.254.169.254", 80)))
