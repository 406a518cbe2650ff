"""A certificate is renewed while the server runs: over real TLS, under load, and with files that are of no use."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trustme
from cryptography import x509
from serving import H2Client, error_page, hello

from hoosh.api.serve import House
from hoosh.config import Config, Discovery, Logging, Server
from hoosh.errors import ConfigError, ConnectionBroke
from hoosh.http.client import Pool, PoolLimits, Timeouts
from hoosh.http.dial import SocketDialer
from hoosh.http.message import HttpRequest, Origin, RequestHead
from hoosh.http.server import HttpServer, listen_tcp
from hoosh.http.tls import HTTP1_ONLY, HTTP2_ONLY, client_context, server_context
from hoosh.http.wire import StreamWire

GET = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"
PATIENCE_S = 60.0


class Files:
    """A certificate and its key at fixed paths, which `renew` writes anew."""

    def __init__(self, folder: Path) -> None:
        self.authority = trustme.CA()
        self.cert, self.key, self.ca = folder / "cert.pem", folder / "key.pem", folder / "ca.pem"
        self.authority.cert_pem.write_to_path(self.ca)
        self.serial = self.renew()

    def renew(self) -> int:
        issued = self.authority.issue_cert("localhost")
        issued.cert_chain_pems[0].write_to_path(self.cert)
        issued.private_key_pem.write_to_path(self.key)
        self.serial = x509.load_pem_x509_certificate(issued.cert_chain_pems[0].bytes()).serial_number
        return self.serial

    def context(self, **more: Any) -> ssl.SSLContext:
        return server_context(self.cert, self.key, **more)

    async def connect(self, port: int, alpn: tuple[str, ...] = HTTP1_ONLY, **more: Any) -> StreamWire:
        context = client_context(verify=self.ca, alpn=alpn, **more)
        wire = await SocketDialer().dial(Origin("https", "localhost", port), context)
        assert isinstance(wire, StreamWire)
        return wire


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@asynccontextmanager
async def running(context: ssl.SSLContext) -> AsyncIterator[tuple[HttpServer, int]]:
    crashes: list[BaseException] = []
    server = HttpServer(hello, error_page=error_page, tls=context, on_crash=crashes.append)
    listeners = listen_tcp("127.0.0.1", 0)
    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            await nursery.start(server.run, listeners)
            yield server, listeners[0].getsockname()[1]
            server.drain()
    assert not crashes


def serial_of(wire: StreamWire) -> int:
    assert isinstance(wire.stream, trio.SSLStream)
    return x509.load_der_x509_certificate(wire.stream.getpeercert(binary_form=True)).serial_number


async def ask(wire: StreamWire) -> bytes:
    await wire.send(GET)
    return await wire.receive()


async def test_new_connections_get_the_new_certificate_and_open_ones_go_on(files: Files) -> None:
    first = files.serial
    async with running(files.context()) as (server, port):
        old = await files.connect(port)
        assert (await ask(old)).startswith(b"HTTP/1.1 200")
        second = files.renew()
        server.renew_tls(files.context())
        new = await files.connect(port)
        assert [serial_of(old), serial_of(new)] == [first, second]
        for wire in (old, new, old):
            assert (await ask(wire)).startswith(b"HTTP/1.1 200")
        old.close()
        new.close()


async def test_alpn_stays_and_a_running_http2_connection_takes_new_streams(files: Files) -> None:
    async with running(files.context()) as (server, port):
        wire = await files.connect(port, HTTP2_ONLY)
        client = H2Client(wire)  # type: ignore[arg-type]
        before = client.request()
        await client.flush()
        files.renew()
        server.renew_tls(files.context())
        after = client.request()
        await client.flush()
        await client.until(lambda: client.is_over(before) and client.is_over(after))
        assert [client.head(stream)[b":status"] for stream in (before, after)] == [b"200", b"200"]
        again = await files.connect(port, HTTP2_ONLY)
        assert again.alpn == "h2"
        again.close()
        wire.close()


async def test_clients_may_be_asked_for_a_certificate_from_a_renewal_on(files: Files) -> None:
    async with running(files.context()) as (server, port):
        server.renew_tls(files.context(client_ca=files.ca))
        stranger = await files.connect(port)
        try:  # how the refusal arrives differs by version of TLS
            answer = await ask(stranger)
        except ConnectionBroke:
            answer = b""
        assert answer == b""
        stranger.close()
        known = await files.connect(port, cert=files.cert, key=files.key)
        assert (await ask(known)).startswith(b"HTTP/1.1 200")
        known.close()


async def test_a_renewal_under_load_loses_no_request(files: Files) -> None:
    """Clients on kept and on fresh connections, of both versions of HTTP, and ten renewals in their midst."""
    answered = 0
    seen: set[int] = set()

    async def busy(port: int, alpn: tuple[str, ...], *, fresh: bool) -> None:
        nonlocal answered
        origin = Origin("https", "localhost", port)
        request = HttpRequest(RequestHead(origin, "GET", "/"))
        context = client_context(verify=files.ca, alpn=alpn)
        async with trio.open_nursery() as nursery:
            while len(seen) < 10:
                limits = PoolLimits(max_connections=1)
                http2 = "off" if alpn == HTTP1_ONLY else "alpn"
                pool = Pool(origin, dialer=SocketDialer(), tls=context, http2=http2, limits=limits)
                await nursery.start(pool.run)
                for _ in range(1 if fresh else 20):
                    status, _, _ = await pool.fetch(request, Timeouts(), max_bytes=1000)
                    assert status == 200
                    answered += 1
            nursery.cancel_scope.cancel()

    async def renew(server: HttpServer, port: int) -> None:
        for _ in range(10):
            serial = files.renew()
            server.renew_tls(files.context())
            wire = await files.connect(port)
            assert serial_of(wire) == serial
            wire.close()
            before = answered
            while answered < before + 10:
                await trio.lowlevel.checkpoint()
            seen.add(serial)

    async with running(files.context()) as (server, port), trio.open_nursery() as nursery:
        for alpn in (HTTP1_ONLY, HTTP2_ONLY):
            for fresh in (True, False):
                nursery.start_soon(lambda alpn=alpn, fresh=fresh: busy(port, alpn, fresh=fresh))
        await renew(server, port)
    assert len(seen) == 10
    assert answered >= 100


async def test_a_server_without_tls_does_not_begin_to_speak_it(files: Files) -> None:
    server = HttpServer(hello, error_page=error_page)
    with pytest.raises(ValueError, match="no TLS"):
        server.renew_tls(files.context())


# -- the whole house -----------------------------------------------------------------------------------------------


@asynccontextmanager
async def house_with(files: Files) -> AsyncIterator[tuple[House, int]]:
    server = Server(port=0, tls_cert=str(files.cert), tls_key=str(files.key), drain_s=0.0)
    house = House(
        Config(server=server, discovery=Discovery(local=False, environment=False), logging=Logging(level="error"))
    )
    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            await nursery.start(house.run)
            yield house, int(house.address.rpartition(":")[2])
            nursery.cancel_scope.cancel()


async def served(files: Files, port: int) -> int:
    wire = await files.connect(port)
    assert (await ask(wire)).startswith(b"HTTP/1.1 ")
    wire.close()
    return serial_of(wire)


async def test_a_house_reads_its_files_again(files: Files) -> None:
    async with house_with(files) as (house, port):
        assert await served(files, port) == files.serial
        second = files.renew()
        await house.gateway.reload(house.gateway.snapshot.config)
        assert await served(files, port) == second


async def test_files_of_no_use_change_nothing(files: Files) -> None:
    first = files.serial
    good = files.cert.read_bytes(), files.key.read_bytes()
    other = trustme.CA().issue_cert("localhost")

    def put(cert: bytes, key: bytes) -> None:
        files.cert.write_bytes(cert)
        files.key.write_bytes(key)

    async with house_with(files) as (house, port):
        cases = [
            (lambda: put(b"junk", good[1]), r"cert\.pem.* holds no certificate"),
            (lambda: put(good[0], b""), r"key\.pem.* holds no private key"),
            (lambda: put(good[0][:200] + b"-----BEGIN CERTIFICATE-----", good[1]), r"cert\.pem.* cannot be used"),
            (
                lambda: put(other.cert_chain_pems[0].bytes(), good[1]),
                r"cert\.pem.* and .*key\.pem.* key values mismatch",
            ),
            (files.key.unlink, r"key\.pem.* cannot be read: No such file"),
        ]
        for spoil, told in cases:
            spoil()
            with pytest.raises(ConfigError, match=told):
                await house.gateway.reload(house.gateway.snapshot.config)
            assert await served(files, port) == first
        put(*good)
        await house.gateway.reload(house.gateway.snapshot.config)
        assert await served(files, port) == first
