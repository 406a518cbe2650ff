"""Making connections: names to addresses, addresses raced, TLS on top.

Racing follows RFC 8305 ("happy eyeballs"): addresses of both families alternate, an attempt starts when the one before
it has failed or has been at it for 250 ms, and the first connection wins.  Whatever else is open then is closed, also
when the caller is cancelled.

What a ConnectFailed says is safe to show to a client: it names no address, URL or key.

    SocketDialer     wherever a name leads                              engines of the house
    GuardedDialer    only to addresses that a guard lets through        remote providers, and what a stranger names
    ProxyDialer      through a proxy: `http/proxy.py`

Names are looked up by `http/lookups.py`; the guard is `http/addresses.py`; TLS, with its pins, `http/handshake.py`.
"""

from __future__ import annotations

import errno
import os
import socket
import ssl
from collections.abc import Awaitable, Callable, Collection
from functools import partial
from typing import Protocol

import trio

from hoosh.errors import ConnectFailed
from hoosh.http.addresses import is_public_address
from hoosh.http.handshake import start_tls
from hoosh.http.lookups import Address, resolve
from hoosh.http.message import Origin
from hoosh.http.wire import SocketWire, Wire

__all__ = ["Dialer", "GuardedDialer", "SocketDialer"]

STAGGER_S = 0.25
"""RFC 8305, section 5: the recommended Connection Attempt Delay."""

UNIX_RETRY_S = 0.01
LOOKUPS = 8
NOT_ALLOWED = "address is not allowed: it is private"

Resolve = Callable[[str, int], Awaitable[list[Address]]]
"""(host, port) → addresses in the order to try.  Raises ConnectFailed."""


class Dialer(Protocol):
    async def dial(self, origin: Origin, tls: ssl.SSLContext | None) -> Wire:
        """A fresh connection, with TLS when a context is given.  Raises ConnectFailed; leaves nothing open then."""
        ...


class SocketDialer:
    """Real sockets.  `stagger_s` is the head start of one attempt over the next.

    With `pins` (digests, see `http/pins.py`) a TLS peer whose key is none of them is left before anything is sent.

    Names are looked up in LOOKUPS threads of its own: a slow name server holds up those who dial the same, and no
    others.  `resolve` replaces that.
    """

    def __init__(
        self, *, pins: Collection[bytes] = (), stagger_s: float = STAGGER_S, resolve: Resolve | None = None
    ) -> None:
        self._pins = frozenset(pins)
        self._stagger_s = stagger_s
        self._resolve = resolve or _resolver()

    async def dial(self, origin: Origin, tls: ssl.SSLContext | None) -> Wire:
        wire = await self.reach(origin)
        return wire if tls is None else await start_tls(wire, tls, origin.host, self._pins)

    async def reach(self, origin: Origin) -> Wire:
        """A connection on which nothing has been said.  Raises ConnectFailed."""
        if origin.unix_path is not None:
            return SocketWire(await _connect_unix(origin.unix_path), "unix")
        return SocketWire(await self._race(await self._addresses(origin)), origin.host)

    async def _addresses(self, origin: Origin) -> list[Address]:
        return await self._resolve(origin.host, origin.port)

    async def _race(self, addresses: list[Address]) -> socket.socket:
        winner: socket.socket | None = None
        failures: list[OSError] = []

        async def attempt(place: int) -> None:
            nonlocal winner
            over = done[place]
            try:
                sock = await _connect(*addresses[place])
            except OSError as error:
                failures.append(error)
                over.set()
                return
            if winner is None:
                winner = sock
                nursery.cancel_scope.cancel(reason="another address answered first")
            else:  # two won in the same turn of the loop
                sock.close()

        done = [trio.Event() for _ in addresses]
        try:
            async with trio.open_nursery() as nursery:
                for place in range(len(addresses)):
                    nursery.start_soon(attempt, place)
                    with trio.move_on_after(self._stagger_s):
                        await done[place].wait()
        except BaseException:  # cancelled from outside at the very moment of success
            if winner is not None:
                winner.close()
            raise
        if winner is None:
            raise _connect_failed(failures)
        return winner


class GuardedDialer(SocketDialer):
    """Dials only addresses that `allows` lets through, which is asked about the very address that is dialled.

    So there is no moment for a name to be bound to another one, and of a mixed answer only the good addresses are
    tried.  What it raises still tells a closed door from a forbidden one: whoever dials for a stranger must not
    repeat it, and gives it a `resolve` that is fair to the others (`Lookups`).
    """

    def __init__(
        self,
        allows: Callable[[str], bool] = is_public_address,
        *,
        pins: Collection[bytes] = (),
        stagger_s: float = STAGGER_S,
        resolve: Resolve | None = None,
    ) -> None:
        super().__init__(pins=pins, stagger_s=stagger_s, resolve=resolve)
        self._allows = allows

    async def reach(self, origin: Origin) -> Wire:
        if origin.unix_path is not None:
            raise ConnectFailed(NOT_ALLOWED)
        return await super().reach(origin)

    async def _addresses(self, origin: Origin) -> list[Address]:
        found = await self._resolve(origin.host, origin.port)
        allowed = [entry for entry in found if self._allows(entry[1][0])]
        if not allowed:
            raise ConnectFailed(NOT_ALLOWED)
        return allowed


def _resolver() -> Resolve:
    return partial(resolve, limiter=trio.CapacityLimiter(LOOKUPS))


async def _connect(family: socket.AddressFamily, address: tuple[str | int, ...] | str) -> socket.socket:
    """A connected non-blocking socket.  Raises OSError; closes what it opened unless it succeeds."""
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        code = sock.connect_ex(address)
        if code in (errno.EINPROGRESS, errno.EWOULDBLOCK) and family != socket.AF_UNIX:
            await trio.lowlevel.wait_writable(sock)
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))
    except BaseException:
        sock.close()
        raise
    return sock


async def _connect_unix(path: str) -> socket.socket:
    while True:
        try:
            return await _connect(socket.AF_UNIX, path)
        except BlockingIOError:
            # The listener's queue is full, and nothing tells when it is not (unix(7), EAGAIN): the caller's deadline
            # ends this.
            await trio.sleep(UNIX_RETRY_S)
        except OSError as error:
            raise _connect_failed([error]) from None


def _connect_failed(failures: list[OSError]) -> ConnectFailed:
    reasons = dict.fromkeys((os.strerror(failure.errno or 0)).lower() for failure in failures)
    return ConnectFailed("; ".join(reasons) or "no address to connect to")
