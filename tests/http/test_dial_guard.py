"""The guard: what a stranger names must not lead inside.  Addresses as a table; the dialler with real loopback."""

from __future__ import annotations

import socket

import pytest
import trio

from hoosh.errors import ConnectFailed
from hoosh.http.addresses import is_public_address, public_or_in
from hoosh.http.dial import GuardedDialer
from hoosh.http.message import Origin

PUBLIC = """
8.8.8.8  1.1.1.1  9.255.255.255  11.0.0.0  100.63.255.255  100.128.0.0  172.15.255.255  172.32.0.0  192.167.1.1
192.169.0.1  198.17.0.1  198.20.0.1  223.255.255.255  2606:4700::1111  2a00:1450:4001::1  2003::1  2400::1
64:ff9b::808:808
""".split()  # noqa: SIM905

PRIVATE = """
0.0.0.0  0.1.2.3  10.0.0.1  10.255.255.255  100.64.0.1  100.100.100.200  100.127.255.255  127.0.0.1  127.9.9.9
169.254.169.254  169.254.170.2  168.63.129.16  172.16.0.1  172.31.255.255  192.0.0.1  192.0.0.192  192.0.2.1
192.88.99.1  192.168.0.1  198.18.0.1  198.19.255.255  198.51.100.1  203.0.113.1  224.0.0.1  239.255.255.255
240.0.0.1  255.255.255.255
::  ::1  ::ffff:127.0.0.1  ::ffff:8.8.8.8  ::127.0.0.1  64:ff9b::a00:1  64:ff9b::a83f:8110  64:ff9b:1::1  100::1
2001::1  2001:db8::1  2002:7f00:1::  2002:a00:1::1  3fff::1  5f00::1  fc00::1  fd00:ec2::254  fe80::1  fe80::1%eth0
fec0::1  ff02::1  ff0e::1  4000::1
""".split()  # noqa: SIM905


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_pass(address):
    assert is_public_address(address)


@pytest.mark.parametrize("address", [*PRIVATE, "", "localhost", "1.2.3", "0x7f.1", "2130706433", "::1::"])
def test_nothing_else_does(address):
    assert not is_public_address(address)


def test_an_intranet_can_be_let_in():
    allows = public_or_in(["10.1.0.0/16", "fd00::/64", "::1"])
    assert all(map(allows, ("10.1.2.3", "fd00::7", "::1", "8.8.8.8")))
    assert not any(map(allows, ("10.2.0.1", "127.0.0.1", "fe80::1%eth0")))
    with pytest.raises(ValueError, match="intranet"):
        public_or_in(["intranet"])


async def listening(task_status):
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    asked = trio.Event()

    async def accept(stream):
        asked.set()
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        await nursery.start(trio.serve_listeners, accept, listeners)
        task_status.started((listeners[0].socket.getsockname()[1], asked))


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "127.1", "2130706433", "0x7f000001", "0", "::1", "::ffff:127.0.0.1"]
)
async def test_no_spelling_of_loopback_is_dialled(nursery, host):
    port, asked = await nursery.start(lambda task_status: listening(task_status))
    with pytest.raises(ConnectFailed):
        await GuardedDialer().dial(Origin("http", host, port), None)
    await trio.testing.wait_all_tasks_blocked()
    assert not asked.is_set()
    nursery.cancel_scope.cancel()


async def test_what_is_allowed_is_dialled(nursery):
    port, asked = await nursery.start(lambda task_status: listening(task_status))
    wire = await GuardedDialer(public_or_in(["127.0.0.0/8"])).dial(Origin("http", "127.0.0.1", port), None)
    await asked.wait()
    wire.close()
    nursery.cancel_scope.cancel()


async def test_a_unix_socket_is_never_dialled():
    with pytest.raises(ConnectFailed, match="not allowed"):
        await GuardedDialer(lambda address: True).dial(Origin("http", "h", 80, "/run/docker.sock"), None)


async def test_of_a_mixed_answer_only_what_is_allowed_is_dialled(monkeypatch):
    found = [
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", 80, 0, 0)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.1", 80)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("8.8.8.8", 80)),
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    dialled = []

    async def connect(family, address):
        dialled.append(address[0])
        raise OSError(111, "refused")

    monkeypatch.setattr("hoosh.http.dial._connect", connect)
    with pytest.raises(ConnectFailed, match="connection refused"):
        await GuardedDialer().dial(Origin("http", "rebind.example", 80), None)
    assert dialled == ["8.8.8.8"]
