"""Wires: what a kernel does, and that a wire over any Trio stream does the same."""

from __future__ import annotations

import socket
import ssl
import struct

import pytest
import trio
import trio.testing
import trustme

from hoosh.errors import ConnectionBroke
from hoosh.http.wire import SocketWire, StreamWire, Wire, linger

PATIENCE_S = 60.0


def pair(kind: str, *, stall_s: float = 1e9) -> tuple[Wire, socket.socket]:
    """A wire over a real connection, and the bare other end of it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        far = socket.create_connection(listener.getsockname())
        near, _ = listener.accept()
    if kind == "socket":
        return SocketWire(near, "peer", stall_s=stall_s), far
    near.setblocking(False)
    return StreamWire(trio.SocketStream(trio.socket.from_stdlib_socket(near)), "peer", stall_s=stall_s), far


KINDS = pytest.mark.parametrize("kind", ["socket", "stream"])


@KINDS
async def test_bytes_go_both_ways(kind: str) -> None:
    wire, far = pair(kind)
    with far:
        far.sendall(b"hello")
        assert await wire.receive() == b"hello"
        await wire.send(b"there")
        assert far.recv(100) == b"there"
        wire.close()
        assert far.recv(100) == b""


@KINDS
async def test_a_large_send_waits_for_the_reader(kind: str) -> None:
    wire, far = pair(kind)
    data = bytes(range(256)) * 60_000
    got = bytearray()
    with far, trio.fail_after(PATIENCE_S):
        far.setblocking(False)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wire.send, memoryview(data))
            while len(got) < len(data):
                await trio.lowlevel.wait_readable(far)
                got += far.recv(1 << 20)
        wire.close()
    assert bytes(got) == data


@KINDS
async def test_fin_is_the_end_and_rst_breaks(kind: str) -> None:
    wire, far = pair(kind)
    far.close()
    assert await wire.receive() == b""
    wire.close()
    wire, far = pair(kind)
    far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    far.close()
    with pytest.raises(ConnectionBroke):
        await wire.receive()
    with pytest.raises(ConnectionBroke):
        await wire.send(b"x")
    wire.close()


@KINDS
@pytest.mark.parametrize("reset", [False, True])
async def test_a_hang_up_is_seen_behind_unread_data(kind: str, reset: bool) -> None:
    wire, far = pair(kind)
    with trio.fail_after(PATIENCE_S):
        far.sendall(b"unread")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wire.wait_hangup)
            await trio.testing.wait_all_tasks_blocked()
            assert nursery.child_tasks
            if reset:
                far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                far.close()
            else:
                far.shutdown(socket.SHUT_WR)
        if not reset:
            assert await wire.receive() == b"unread"
    wire.close()
    far.close()


@KINDS
async def test_waiting_for_a_hang_up_can_be_given_up_and_done_again(kind: str) -> None:
    wire, far = pair(kind)
    with far:
        for _ in range(3):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(wire.wait_hangup)
                await trio.testing.wait_all_tasks_blocked()
                nursery.cancel_scope.cancel()
        far.shutdown(socket.SHUT_WR)
        with trio.fail_after(PATIENCE_S):
            await wire.wait_hangup()
        wire.close()


@KINDS
async def test_a_reader_that_stands_still_breaks_a_send(kind: str, autojump_clock: object) -> None:
    wire, far = pair(kind, stall_s=60)
    with far:
        before = trio.current_time()
        with pytest.raises(ConnectionBroke, match="stopped reading"):
            await wire.send(bytes(1 << 25))
        assert trio.current_time() - before >= 60
        wire.close()


@KINDS
async def test_a_quiet_wire_has_neither_data_nor_an_end(kind: str) -> None:
    wire, far = pair(kind)
    assert wire.is_quiet()
    far.sendall(b"x")
    assert not wire.is_quiet()
    assert await wire.receive() == b"x"
    assert wire.is_quiet()
    far.close()
    assert not wire.is_quiet()
    wire.close()
    assert not wire.is_quiet()


@KINDS
async def test_shutting_down_lets_the_other_side_go_on(kind: str) -> None:
    wire, far = pair(kind)
    with far:
        wire.shutdown()
        assert far.recv(10) == b""
        far.sendall(b"still here")
        assert await wire.receive() == b"still here"
        wire.close()


@KINDS
async def test_closing_wakes_who_waits(kind: str) -> None:
    wire, far = pair(kind)

    async def receive() -> None:
        with pytest.raises((ConnectionBroke, trio.ClosedResourceError)):
            await wire.receive()

    with far:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive)
            await trio.testing.wait_all_tasks_blocked()
            wire.close()
        wire.close()  # again is fine


async def test_a_wire_over_tls_hangs_up_shuts_down_and_closes_as_the_socket_below_it() -> None:
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("here").configure_cert(server)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(client)
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    far = await trio.open_tcp_stream(*listeners[0].socket.getsockname())
    near = await listeners[0].accept()
    await listeners[0].aclose()
    tls = trio.SSLStream(near, server, server_side=True, https_compatible=True)
    far_tls = trio.SSLStream(far, client, server_hostname="here", https_compatible=True)
    wire = StreamWire(tls, "peer")
    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(tls.do_handshake)
            await far_tls.do_handshake()
        await far_tls.send_all(b"hello")
        assert await wire.receive() == b"hello"
        assert wire.is_quiet()
        far.socket.close()
        await wire.wait_hangup()
        assert await wire.receive() == b""
    wire.close()
    assert near.socket.fileno() == -1


async def test_lingering_reads_away_what_comes_and_ends_at_the_peers_fin(autojump_clock: object) -> None:
    wire, far = pair("socket")
    with far:
        far.sendall(b"x" * 10_000)
        far.shutdown(socket.SHUT_WR)
        await linger(wire, within_s=1e6, max_bytes=1 << 20)
        assert trio.current_time() == 0
        wire.close()
        assert far.recv(10) == b""  # no RST


async def test_lingering_has_its_limits(autojump_clock: object) -> None:
    wire, far = pair("socket")
    with far:
        await linger(wire, within_s=5, max_bytes=100)
        assert trio.current_time() == 5
        far.sendall(b"x" * 100)
        await linger(wire, within_s=1e6, max_bytes=100)
        wire.close()
