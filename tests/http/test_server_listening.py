"""The server from its listeners to its end: ceilings, unix sockets, TLS, draining, what a crash reaches."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import trio
import trio.lowlevel
import trustme
from serving import HOST, OPENING, TEXT, error_page, hello

from hoosh.http.exchange import Exchange, Handler
from hoosh.http.message import Limits
from hoosh.http.server import BACKLOG, HttpServer, listen_tcp, listen_unix

PATIENCE_S = 60.0
GET = b"GET / HTTP/1.1\r\n" + HOST + b"\r\n"


@asynccontextmanager
async def running(
    handler: Handler = hello,
    *,
    limits: Limits | None = None,
    listeners: list[socket.socket] | None = None,
    tls: ssl.SSLContext | None = None,
    on_crash: Callable[[BaseException], None] | None = None,
) -> AsyncIterator[tuple[HttpServer, tuple[str, int]]]:
    """A server on real sockets; afterwards drained, with nobody left."""
    crashes: list[BaseException] = []
    server = HttpServer(handler, error_page=error_page, limits=limits, tls=tls, on_crash=on_crash or crashes.append)
    listeners = listeners or listen_tcp("127.0.0.1", 0)
    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            await nursery.start(server.run, listeners)
            yield server, listeners[0].getsockname()
            server.drain()
    assert server.statistics().open_connections == 0
    assert all(listener.fileno() == -1 for listener in listeners)
    assert not crashes


async def ask(stream: trio.abc.Stream, request: bytes = GET) -> bytes:
    await stream.send_all(request)
    return bytes(await stream.receive_some())


async def test_connections_past_the_ceiling_are_told_503_and_the_others_served() -> None:
    async with running(limits=Limits(connections=2)) as (server, address):
        first, second = await trio.open_tcp_stream(*address), await trio.open_tcp_stream(*address)
        async with first, second:
            assert (await ask(first)).startswith(b"HTTP/1.1 200")
            assert (await ask(second)).startswith(b"HTTP/1.1 200")
            async with await trio.open_tcp_stream(*address) as third:
                refused = bytes(await third.receive_some())
            assert refused.startswith(b"HTTP/1.1 503 ")
            assert b"connection: close" in refused
            assert b'"error"' in refused
            assert (await ask(first)).startswith(b"HTTP/1.1 200")
            assert server.statistics().refused == 1
        while server.statistics().open_connections:
            await trio.lowlevel.checkpoint()
        async with await trio.open_tcp_stream(*address) as fourth:
            assert (await ask(fourth)).startswith(b"HTTP/1.1 200")


async def test_clients_that_come_all_at_once_wait_in_the_backlog_and_are_all_served() -> None:
    assert BACKLOG >= 1024
    async with running() as (server, address):
        sockets = [socket.create_connection(address) for _ in range(300)]  # the server has had no turn yet
        for sock in sockets:
            sock.sendall(GET)
        for sock in sockets:
            sock.setblocking(False)
            await trio.lowlevel.wait_readable(sock)
            assert sock.recv(1000).startswith(b"HTTP/1.1 200")
            sock.close()
        assert server.statistics().accepted == 300


async def test_a_crash_in_one_request_reaches_no_other_connection() -> None:
    async def some_crash(exchange: Exchange) -> None:
        if exchange.path == "/bug":
            raise LookupError("bug")
        await hello(exchange)

    crashes: list[BaseException] = []
    async with running(some_crash, on_crash=crashes.append) as (server, address):
        async with await trio.open_tcp_stream(*address) as good, await trio.open_tcp_stream(*address) as bad:
            assert (await ask(good)).startswith(b"HTTP/1.1 200")
            assert (await ask(bad, GET.replace(b"/ ", b"/bug "))).startswith(b"HTTP/1.1 500")
            assert (await ask(good)).startswith(b"HTTP/1.1 200")
        assert len(crashes) == server.statistics().crashed == 1


async def test_a_unix_socket_is_served_and_a_stale_one_replaced(tmp_path: Path) -> None:
    path = str(tmp_path / "house.sock")
    listen_unix(path).close()  # the file stays
    async with running(listeners=[listen_unix(path)]):
        with pytest.raises(OSError, match="in use"):
            listen_unix(path)
        async with await trio.open_unix_socket(path) as stream:
            assert (await ask(stream)).startswith(b"HTTP/1.1 200")


def test_something_that_is_no_socket_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "house.sock"
    path.write_text("precious")
    with pytest.raises(OSError, match="in use"):
        listen_unix(str(path))
    assert path.read_text() == "precious"


async def test_localhost_has_one_port_on_both_address_families() -> None:
    listeners = listen_tcp("localhost", 0)
    ports = {listener.getsockname()[1] for listener in listeners}
    for listener in listeners:
        listener.close()
    assert len(ports) == 1


@pytest.mark.parametrize("protocol", ["h2", "http/1.1", None])
async def test_tls_settles_the_protocol_by_alpn(protocol: str | None) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["h2", "http/1.1"])
    authority.issue_cert("here").configure_cert(context)
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(trust)
    if protocol is not None:
        trust.set_alpn_protocols([protocol])
    schemes: list[str] = []

    async def handler(exchange: Exchange) -> None:
        schemes.append(exchange.scheme)
        await hello(exchange)

    async with running(handler, tls=context) as (_, address):
        transport = await trio.open_tcp_stream(*address)
        async with trio.SSLStream(transport, trust, server_hostname="here", https_compatible=True) as stream:
            if protocol == "h2":
                assert (await ask(stream, OPENING))[3] == 4  # SETTINGS
            else:
                assert (await ask(stream)).startswith(b"HTTP/1.1 200")
                assert schemes == ["https"]


@pytest.mark.parametrize("opening", [b"", b"GET / HTTP/1.1\r\n\r\n", bytes(100)])
async def test_who_fails_the_tls_handshake_is_dropped(opening: bytes) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("here").configure_cert(context)
    async with running(tls=context) as (_, address), await trio.open_tcp_stream(*address) as stream:
        if opening:
            await stream.send_all(opening)
            with suppress(trio.BrokenResourceError):
                while await stream.receive_some():
                    pass


async def test_a_silent_tls_client_is_dropped_when_its_time_is_over(autojump_clock: object) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("here").configure_cert(context)
    async with running(tls=context) as (_, address), await trio.open_tcp_stream(*address) as stream:
        assert await stream.receive_some() == b""
        assert trio.current_time() == Limits().handshake_s


async def test_draining_stops_the_accepting_and_waits_for_answers() -> None:
    asked, release = trio.Event(), trio.Event()

    async def slow(exchange: Exchange) -> None:
        asked.set()
        await release.wait()
        await exchange.respond(200, TEXT, b"done")

    async with (
        running(slow) as (server, address),
        await trio.open_tcp_stream(*address) as busy,
        await trio.open_tcp_stream(*address) as idle,
    ):
        await busy.send_all(GET)
        await asked.wait()
        server.drain()
        assert await idle.receive_some() == b""
        with pytest.raises(OSError, match="connect"):
            await trio.open_tcp_stream(*address)
        release.set()
        assert bytes(await busy.receive_some()).endswith(b"done")
        assert await busy.receive_some() == b""


async def test_cancelling_the_server_ends_everything_at_once() -> None:
    ended = trio.Event()

    async def waits(exchange: Exchange) -> None:
        try:
            await trio.sleep_forever()
        finally:
            ended.set()

    server = HttpServer(waits, error_page=error_page)
    listeners = listen_tcp("127.0.0.1", 0)
    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            await nursery.start(server.run, listeners)
            async with await trio.open_tcp_stream(*listeners[0].getsockname()) as stream:
                await stream.send_all(GET)
                while not server._connections:
                    await trio.lowlevel.checkpoint()
                nursery.cancel_scope.cancel()
    assert ended.is_set()
    assert server.statistics().open_connections == 0
