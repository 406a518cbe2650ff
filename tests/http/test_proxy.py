"""Through a proxy: real ones on loopback, which keep what they were told; and every way they can say no."""

from __future__ import annotations

import base64
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
import trio
import trustme

from hoosh.errors import ConnectFailed
from hoosh.http.addresses import is_public_address, is_public_or_own_address
from hoosh.http.client import Pool, Timeouts
from hoosh.http.message import HttpRequest, Origin, RequestHead
from hoosh.http.pins import pin_of
from hoosh.http.proxy import ProxyDialer, parse_proxy
from hoosh.http.tls import HTTP1_ONLY, HTTP2_ONLY, client_context, server_context
from hoosh.http.wire import StreamWire
from hoosh.testing.upstream import FakeUpstream, json_reply

PASSWORD = "p@ss:w/rd"
CREDENTIALS = "me:p%40ss%3Aw%2Frd@"
GREETING = b"HTTP/1.1 200 Connection established\r\nvia: us\r\n\r\n"


class Proxy:
    """Carries what it is asked to, to `port`, whatever the name; `asked` is what it was told before that."""

    def __init__(self, scheme: str, *, port: int = 0, says: bytes | None = None) -> None:
        self.scheme = scheme
        self.port = port
        self.says = says
        """Instead of doing what it should."""
        self.asked = bytearray()
        self.tls: ssl.SSLContext | None = None

    async def serve(self, *, task_status: trio.TaskStatus[int]) -> None:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        async with trio.open_nursery() as nursery:
            await nursery.start(trio.serve_listeners, self._serve, listeners)
            task_status.started(listeners[0].socket.getsockname()[1])

    async def _serve(self, stream: trio.abc.Stream) -> None:
        if self.tls is not None:
            stream = trio.SSLStream(stream, self.tls, server_side=True)
        try:
            await (self._socks(stream) if self.scheme == "socks5h" else self._connect(stream))
        except trio.BrokenResourceError:
            pass
        await stream.aclose()

    async def _connect(self, stream: trio.abc.Stream) -> None:
        while not self.asked.endswith(b"\r\n\r\n"):
            self.asked += await stream.receive_some()
        await stream.send_all(GREETING if self.says is None else self.says)
        if self.says is None:
            await self._carry(stream)

    async def _socks(self, stream: trio.abc.Stream) -> None:
        if self.says is not None:
            await stream.receive_some()
            await stream.send_all(self.says)
            return
        greeting = await stream.receive_some()
        wants_password = 2 in greeting[2:]
        await stream.send_all(b"\5\2" if wants_password else b"\5\0")
        self.asked += await stream.receive_some()
        if wants_password:
            await stream.send_all(b"\1\0")
            self.asked += await stream.receive_some()
        await stream.send_all(b"\5\0\0\3\4name\0\7")
        await self._carry(stream)

    async def _carry(self, stream: trio.abc.Stream) -> None:
        far = await trio.open_tcp_stream("127.0.0.1", self.port)

        async def copy(source: trio.abc.Stream, sink: trio.abc.Stream) -> None:
            async for data in source:
                await sink.send_all(data)
            nursery.cancel_scope.cancel()

        async with far, trio.open_nursery() as nursery:
            nursery.start_soon(copy, stream, far)
            await copy(far, stream)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def folder(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("proxy")
    issued = authority.issue_cert("api.example", "localhost")
    issued.private_key_and_cert_chain_pem.write_to_path(folder / "all.pem")
    issued.cert_chain_pems[0].write_to_path(folder / "leaf.pem")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    return folder


async def serve_tls(upstream: FakeUpstream, folder: Path, *, task_status: trio.TaskStatus[int]) -> None:
    context = server_context(folder / "all.pem", None)

    async def serve(stream: trio.SocketStream) -> None:
        secure = trio.SSLStream(stream, context, server_side=True)
        try:
            await secure.do_handshake()
        except trio.BrokenResourceError:
            return
        wire = StreamWire(secure, "test", secure.selected_alpn_protocol())
        await (upstream.serve_wire_h2 if wire.alpn == "h2" else upstream.serve_wire)(wire)

    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with trio.open_nursery() as nursery:
        await nursery.start(trio.serve_listeners, serve, listeners)
        task_status.started(listeners[0].socket.getsockname()[1])


async def start(nursery: trio.Nursery, proxy: Proxy, credentials: str = "") -> str:
    return f"{proxy.scheme}://{credentials}127.0.0.1:{await nursery.start(proxy.serve)}"


async def ask(nursery: trio.Nursery, dialer: ProxyDialer, origin: Origin, tls: ssl.SSLContext | None) -> int:
    http2 = "off" if tls is None else "alpn"
    pool = Pool(origin, dialer=dialer, tls=tls, http2=http2)
    await nursery.start(pool.run)
    request = HttpRequest(RequestHead(origin, "GET", "/v1/x"))
    for _ in range(2):  # the tunnel is kept
        status, _, _ = await pool.fetch(request, Timeouts(), max_bytes=100)
    return status


@pytest.mark.parametrize("scheme", ["http", "socks5h"])
async def test_a_plain_origin_is_reached_through_a_tunnel(nursery: trio.Nursery, scheme: str) -> None:
    upstream = FakeUpstream(json_reply({}))
    proxy = Proxy(scheme, port=await nursery.start(upstream.serve_tcp))
    dialer = ProxyDialer(parse_proxy(await start(nursery, proxy)))
    assert await ask(nursery, dialer, Origin("http", "engine.example", 8000), None) == 200
    assert upstream.connections == 1
    assert upstream.requests[0].headers.get(b"host") == b"engine.example:8000"
    if scheme == "http":
        assert proxy.asked == b"CONNECT engine.example:8000 HTTP/1.1\r\nhost: engine.example:8000\r\n\r\n"
    else:
        assert proxy.asked == b"\5\1\0\3\x0eengine.example" + (8000).to_bytes(2, "big")
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("alpn", [HTTP1_ONLY, HTTP2_ONLY], ids=["http/1.1", "h2"])
@pytest.mark.parametrize("scheme", ["http", "https", "socks5h"])
async def test_tls_goes_end_to_end_and_the_proxy_gets_our_credentials(
    nursery: trio.Nursery, folder: Path, scheme: str, alpn: tuple[str, ...]
) -> None:
    upstream = FakeUpstream(json_reply({}))
    proxy = Proxy(scheme, port=await nursery.start(serve_tls, upstream, folder))
    if scheme == "https":
        proxy.tls = server_context(folder / "all.pem", None, http2=False)
    url = (await start(nursery, proxy, CREDENTIALS)).replace("127.0.0.1", "localhost")
    trust = client_context(verify=folder / "ca.pem", alpn=alpn)
    dialer = ProxyDialer(parse_proxy(url), tls=client_context(verify=folder / "ca.pem", alpn=HTTP1_ONLY))
    assert await ask(nursery, dialer, Origin("https", "api.example", 443), trust) == 200
    assert len(upstream.requests) == 2
    if scheme == "socks5h":
        assert bytes(proxy.asked).startswith(b"\1\2me\x09" + PASSWORD.encode() + b"\5\1\0\3\x0bapi.example")
    else:
        told = base64.b64encode(f"me:{PASSWORD}".encode())
        assert b"\r\nproxy-authorization: Basic " + told + b"\r\n" in proxy.asked
        assert proxy.asked.startswith(b"CONNECT api.example:443 HTTP/1.1\r\n")
    assert all(request.headers.get(b"proxy-authorization") is None for request in upstream.requests)
    nursery.cancel_scope.cancel()


async def test_pins_hold_through_a_proxy(nursery: trio.Nursery, folder: Path) -> None:
    upstream = FakeUpstream(json_reply({}))
    proxy = Proxy("http", port=await nursery.start(serve_tls, upstream, folder))
    url = await start(nursery, proxy)
    trust = client_context(verify=folder / "ca.pem")
    origin = Origin("https", "api.example", 443)
    with pytest.raises(ConnectFailed, match="not among the pins"):
        await ProxyDialer(parse_proxy(url), pins=[bytes(32)]).dial(origin, trust)
    proxy.asked.clear()
    certificate = ssl.PEM_cert_to_DER_cert((folder / "leaf.pem").read_text())
    wire = await ProxyDialer(parse_proxy(url), pins=[pin_of(certificate)]).dial(origin, trust)
    wire.close()
    assert upstream.requests == []
    nursery.cancel_scope.cancel()


HTTP_REFUSALS = [
    (b"HTTP/1.1 407 No\r\nproxy-authenticate: Basic\r\n\r\n", "proxy: it wants a password"),
    (b"HTTP/1.1 403 No\r\n\r\n", "proxy: it answered 403"),
    (b"HTTP/1.0 502 \r\n\r\n", "proxy: it answered 502"),
    (b"HTTP/1.1 301 x\r\nlocation: http://elsewhere.example\r\n\r\n", "proxy: it answered 301"),
    (b"SSH-2.0-x\r\n\r\n\r\n", "proxy: it does not speak HTTP"),
    (b"\r\n\r\n", "proxy: it does not speak HTTP"),
    (b"HTTP/1.1 abc\r\n\r\n", "proxy: it does not speak HTTP"),
    (b"HTTP/1.1 200 OK\r\n", "proxy: it closed the connection"),
    (b"", "proxy: it closed the connection"),
    (b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n", "proxy: it sent more than its answer"),
    (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70_000, "proxy: its answer is too long"),
]
SOCKS_REFUSALS = [
    (b"\5\xff", "proxy: it wants a password"),
    (b"\4\0", "proxy: it does not speak SOCKS version 5"),
    (b"HT", "proxy: it does not speak SOCKS version 5"),
    (b"\5\2", "proxy: it wants a password"),  # what we have not offered
    (b"\5", "proxy: it closed the connection"),
    (b"\5\0\5\5\0\1", "proxy: connection refused"),
    (b"\5\0\5\2\0\1", "proxy: not allowed by its rules"),
    (b"\5\0\5\x63\0\1", "proxy: it failed"),
    (b"\5\0\5\0\0\1abcd", "proxy: it closed the connection"),
    (b"\5\0\5\0\0\1abcdefgh", "proxy: it sent more than its answer"),
]


@pytest.mark.parametrize(
    ("scheme", "says", "told"),
    [*(("http", *case) for case in HTTP_REFUSALS), *(("socks5h", *case) for case in SOCKS_REFUSALS)],
)
async def test_a_proxy_that_says_no_or_nonsense_is_told_so(
    nursery: trio.Nursery, scheme: str, says: bytes, told: str
) -> None:
    dialer = ProxyDialer(parse_proxy(await start(nursery, Proxy(scheme, says=says))))
    with pytest.raises(ConnectFailed) as caught:
        await dialer.dial(Origin("http", "api.example", 80), None)
    assert str(caught.value) == told
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("scheme", "says"), [("http", b"HTTP/1.1 407 No\r\n\r\n"), ("socks5h", b"\5\xff"), ("socks5h", b"\5\2\1\1")]
)
async def test_refused_credentials_are_told_so_without_them(nursery: trio.Nursery, scheme: str, says: bytes) -> None:
    dialer = ProxyDialer(parse_proxy(await start(nursery, Proxy(scheme, says=says), CREDENTIALS)))
    with pytest.raises(ConnectFailed) as caught:
        await dialer.dial(Origin("http", "api.example", 80), None)
    assert str(caught.value) == "proxy: it refuses our credentials"
    nursery.cancel_scope.cancel()


async def test_a_proxy_that_is_not_there_is_told_from_an_origin_that_is_not(nursery: trio.Nursery) -> None:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    await listeners[0].aclose()
    with pytest.raises(ConnectFailed, match=r"^proxy: connection refused$"):
        await ProxyDialer(parse_proxy(f"http://127.0.0.1:{port}")).dial(Origin("http", "api.example", 80), None)


@pytest.mark.parametrize(
    ("host", "allows", "goes"),
    [
        ("127.0.0.1", is_public_address, False),
        ("0x7f000001", is_public_address, False),
        ("10.1", is_public_address, False),
        ("::ffff:10.0.0.1", is_public_address, False),
        ("169.254.169.254", is_public_or_own_address, False),
        ("10.0.0.1", is_public_or_own_address, True),
        ("8.8.8.8", is_public_address, True),
        ("2606:4700::1111", is_public_address, True),
        ("api.example", is_public_address, True),
    ],
)
@pytest.mark.parametrize("scheme", ["http", "socks5h"])
async def test_literal_addresses_are_guarded_and_names_are_the_proxys_to_look_up(
    nursery: trio.Nursery, scheme: str, host: str, allows: Callable[[str], bool], goes: bool
) -> None:
    upstream = FakeUpstream(json_reply({}))
    proxy = Proxy(scheme, port=await nursery.start(upstream.serve_tcp))
    dialer = ProxyDialer(parse_proxy(await start(nursery, proxy)), allows=allows)
    if goes:
        (await dialer.dial(Origin("http", host, 80), None)).close()
        if scheme == "http":
            shown = f"[{host}]" if ":" in host else host
            assert proxy.asked.startswith(f"CONNECT {shown}:80 HTTP/1.1\r\n".encode())
        else:
            assert proxy.asked[3] == (4 if ":" in host else 1 if host[0].isdigit() else 3)
    else:
        with pytest.raises(ConnectFailed, match="not allowed"):
            await dialer.dial(Origin("http", host, 80), None)
        assert proxy.asked == b""
    nursery.cancel_scope.cancel()


async def test_a_cancelled_dial_leaves_nothing_open(nursery: trio.Nursery) -> None:
    gone = trio.Event()

    async def silent(stream: trio.SocketStream) -> None:
        while await stream.receive_some():
            pass
        gone.set()

    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    nursery.start_soon(trio.serve_listeners, silent, listeners)
    port = listeners[0].socket.getsockname()[1]
    with trio.move_on_after(0.05) as scope:
        await ProxyDialer(parse_proxy(f"http://127.0.0.1:{port}")).dial(Origin("http", "api.example", 80), None)
    assert scope.cancelled_caught
    await gone.wait()
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("url", "scheme", "host", "port", "user", "password"),
    [
        ("http://proxy:3128", "http", "proxy", 3128, "", ""),
        ("http://proxy", "http", "proxy", 80, "", ""),
        ("https://proxy/", "https", "proxy", 443, "", ""),
        ("socks5h://[::1]", "socks5h", "::1", 1080, "", ""),
        ("http://me:p%40ss@10.0.0.1:8080", "http", "10.0.0.1", 8080, "me", "p@ss"),
        ("http://:secret@proxy", "http", "proxy", 80, "", "secret"),
        ("http://me@proxy", "http", "proxy", 80, "me", ""),
    ],
)
def test_a_proxys_address_is_read(url: str, scheme: str, host: str, port: int, user: str, password: str) -> None:
    proxy = parse_proxy(url)
    assert (proxy.scheme, proxy.host, proxy.port, proxy.user) == (scheme, host, port, user)
    assert proxy.password.reveal() == password
    assert password not in repr(proxy) or not password


@pytest.mark.parametrize(
    "url",
    [
        *("hunter2", "hunter2:3128", "ftp://me:hunter2@proxy", "http://me:hunter2@", "http://me:hunter2@proxy:0"),
        *("http://me:hunter2@proxy:x", "http://me:hunter2@proxy/path", "http://me:hunter2@proxy?x", "http://[hunter2"),
        *("http://a%3Ab:hunter2@proxy", "socks5://me:hunter2@proxy", "http://me:hunter2@pro xy\n", "env", ""),
        "socks5h://me:" + "hunter2" * 40 + "@proxy",
    ],
)
def test_what_is_no_proxys_address_is_told_without_its_password(url: str) -> None:
    with pytest.raises(ValueError, match=r"write|must be|has a user name") as caught:
        parse_proxy(url)
    assert "hunter2" not in str(caught.value)
