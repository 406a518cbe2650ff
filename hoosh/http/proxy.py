"""Through a proxy: a tunnel to the origin, on which everything goes on as if it had been dialled.

    http://user:password@host:port        CONNECT (RFC 9110, section 9.3.6), credentials by Basic (RFC 7617)
    https://…                             the same, with TLS to the proxy
    socks5h://…                           SOCKS version 5 (RFC 1928), credentials by RFC 1929

Every origin gets a tunnel, also one without TLS: the pool, HTTP/2 and the pins then know nothing of the proxy.  The
proxy looks names up, and so decides where they lead; the guard (`http/addresses.py`) is asked only where the origin is
a literal address.  The proxy itself may stand anywhere: its owner has written it down.
"""

from __future__ import annotations

import base64
import socket
import ssl
from collections.abc import Callable, Collection
from urllib.parse import unquote, urlsplit

from msgspec import Struct

from hoosh.errors import ConnectFailed, ConnectionBroke
from hoosh.http.addresses import ends_in_a_number, literal_address
from hoosh.http.dial import NOT_ALLOWED, SocketDialer
from hoosh.http.handshake import start_tls
from hoosh.http.message import Origin
from hoosh.http.tls import HTTP1_ONLY, client_context
from hoosh.http.wire import Wire
from hoosh.values.secret import Secret

__all__ = ["Proxy", "ProxyDialer", "parse_proxy"]

PORTS = {"http": 80, "https": 443, "socks5h": 1080}
ANSWER_BYTES = 16 * 1024
NAME_BYTES = 255
"""What a length of one byte can say: of a name and of credentials in SOCKS."""
SOCKS = 5
NO_CREDENTIALS, CREDENTIALS = 0, 2
IPV4, NAME, IPV6 = 1, 3, 4
SOCKS_REFUSALS = {
    2: "not allowed by its rules",
    3: "network unreachable",
    4: "host unreachable",
    5: "connection refused",
    6: "too many hops",
}


class Proxy(Struct, frozen=True):
    scheme: str
    host: str
    port: int
    user: str = ""
    password: Secret = Secret("")

    @property
    def has_credentials(self) -> bool:
        return bool(self.user or self.password.reveal())


def parse_proxy(url: str) -> Proxy:
    """Raises ValueError with what is wrong and what would be right; never with the URL, which may hold a password."""
    right = "write http://user:password@host:port, https://... or socks5h://..."
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
    except ValueError:
        raise ValueError(f"is not an address; {right}") from None
    if parts.scheme in ("socks5", "socks4", "socks4a", "socks"):
        raise ValueError("must be socks5h:// for a SOCKS proxy: version 5, and the proxy looks names up")
    if parts.scheme not in PORTS or not host or port == 0 or not url.isascii() or not url.isprintable():
        raise ValueError(f"is no proxy's address; {right}")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError(f"has something behind its host and port; {right}")
    if ":" in user:
        raise ValueError("has a user name with a colon in it, which cannot be told from the password")
    if parts.scheme == "socks5h" and max(len(user.encode()), len(password.encode())) > NAME_BYTES:
        raise ValueError(f"has a user name or password of more than {NAME_BYTES} bytes, which SOCKS cannot say")
    return Proxy(parts.scheme, host, port or PORTS[parts.scheme], user, Secret(password))


class ProxyDialer(SocketDialer):
    """Dials a proxy, and the origin through it.  `allows` is asked about origins that are literal addresses.

    `tls` is for the way to an https proxy; by default the system's authorities are trusted.
    """

    def __init__(
        self,
        proxy: Proxy,
        *,
        allows: Callable[[str], bool] = lambda address: True,
        pins: Collection[bytes] = (),
        tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(pins=pins)
        self._proxy = proxy
        self._at = Origin(proxy.scheme, proxy.host, proxy.port)
        self._allows = allows
        self._proxy_tls = tls or client_context(alpn=HTTP1_ONLY) if proxy.scheme == "https" else None

    async def reach(self, origin: Origin) -> Wire:
        if origin.unix_path is not None or not self._may_lead_to(origin.host):
            raise ConnectFailed(NOT_ALLOWED)
        try:
            wire = await super().reach(self._at)
            if self._proxy_tls is not None:
                wire = await start_tls(wire, self._proxy_tls, self._proxy.host)
        except ConnectFailed as error:
            raise ConnectFailed(f"proxy: {error}") from None
        try:
            answer = _Answer(wire)
            if self._proxy.scheme == "socks5h":
                await _ask_socks(wire, answer, self._proxy, origin)
            else:
                await _ask_http(wire, answer, self._proxy, origin)
            if answer.data:  # whoever speaks first here is not the origin
                raise ConnectFailed("proxy: it sent more than its answer")
        except ConnectionBroke:
            wire.close()
            raise ConnectFailed("proxy: it closed the connection") from None
        except BaseException:
            wire.close()
            raise
        return wire

    def _may_lead_to(self, host: str) -> bool:
        """What is neither an address to us nor a name to anybody (`08.0.0.1`) the proxy would read as it likes."""
        literal = _literal(host)
        return not ends_in_a_number(host) if literal is None else self._allows(literal)


class _Answer:
    """What the proxy has sent and nobody has read."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.data = bytearray()

    async def exactly(self, size: int) -> bytes:
        while len(self.data) < size:
            await self._more()
        return self._take(size)

    async def until(self, end: bytes, most: int) -> bytes:
        while (found := self.data.find(end)) < 0:
            if len(self.data) > most:
                raise ConnectFailed("proxy: its answer is too long")
            await self._more()
        return self._take(found + len(end))

    async def _more(self) -> None:
        data = await self._wire.receive()
        if not data:
            raise ConnectionBroke("proxy closed the connection")
        self.data += data

    def _take(self, size: int) -> bytes:
        taken = bytes(self.data[:size])
        del self.data[:size]
        return taken


async def _ask_http(wire: Wire, answer: _Answer, proxy: Proxy, origin: Origin) -> None:
    host = _literal(origin.host) or origin.host  # the address that was judged, in a spelling with one reading
    host = f"[{host}]" if ":" in host else host
    where = f"{host}:{origin.port}".encode("ascii")
    lines = [b"CONNECT %b HTTP/1.1" % where, b"host: %b" % where]
    if proxy.has_credentials:
        pair = f"{proxy.user}:{proxy.password.reveal()}".encode()
        lines.append(b"proxy-authorization: Basic %b" % base64.b64encode(pair))
    await wire.send(b"\r\n".join([*lines, b"", b""]))
    head = await answer.until(b"\r\n\r\n", ANSWER_BYTES)
    version, _, rest = head.partition(b" ")
    status = rest[:3]
    if version not in (b"HTTP/1.1", b"HTTP/1.0") or not status.isdigit():
        raise ConnectFailed("proxy: it does not speak HTTP")
    if status == b"407":
        raise ConnectFailed(
            "proxy: it refuses our credentials" if proxy.has_credentials else "proxy: it wants a password"
        )
    if not status.startswith(b"2"):
        raise ConnectFailed(f"proxy: it answered {status.decode('ascii')}")


async def _ask_socks(wire: Wire, answer: _Answer, proxy: Proxy, origin: Origin) -> None:
    offered = bytes((NO_CREDENTIALS, CREDENTIALS) if proxy.has_credentials else (NO_CREDENTIALS,))
    await wire.send(bytes((SOCKS, len(offered))) + offered)
    version, method = await answer.exactly(2)
    if version != SOCKS:
        raise ConnectFailed("proxy: it does not speak SOCKS version 5")
    if method not in offered:
        raise ConnectFailed(
            "proxy: it refuses our credentials" if proxy.has_credentials else "proxy: it wants a password"
        )
    if method == CREDENTIALS:
        user, password = proxy.user.encode(), proxy.password.reveal().encode()
        await wire.send(bytes((1, len(user))) + user + bytes((len(password),)) + password)
        if (await answer.exactly(2))[1] != 0:
            raise ConnectFailed("proxy: it refuses our credentials")
    await wire.send(bytes((SOCKS, 1, 0)) + _socks_address(origin.host) + origin.port.to_bytes(2, "big"))
    version, reply, _, kind = await answer.exactly(4)
    if version != SOCKS or reply != 0:
        raise ConnectFailed(f"proxy: {SOCKS_REFUSALS.get(reply, 'it failed')}")
    size = {IPV4: 4, IPV6: 16}.get(kind) or (await answer.exactly(1))[0]
    await answer.exactly(size + 2)  # the address that it connected from, which is no concern of ours


def _socks_address(host: str) -> bytes:
    literal = _literal(host)
    if literal is None:
        name = host.encode("ascii")
        if len(name) > NAME_BYTES:
            raise ConnectFailed("proxy: the name is too long for SOCKS")
        return bytes((NAME, len(name))) + name
    if ":" in literal:
        return bytes((IPV6,)) + socket.inet_pton(socket.AF_INET6, literal)
    return bytes((IPV4,)) + socket.inet_pton(socket.AF_INET, literal)


def _literal(host: str) -> str | None:
    """The address that `host` is, as a proxy may be told it: without a zone, which is this machine's."""
    literal = literal_address(host)
    return None if literal is None else literal.partition("%")[0]
