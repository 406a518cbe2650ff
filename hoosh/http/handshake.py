"""TLS on a connection that is there already: the handshake, then the pins, and only then somebody may send.

Failures are told in words that hold neither host nor address (see `dial.py`).
"""

from __future__ import annotations

import ssl
from collections.abc import Collection

import trio

from hoosh.errors import ConnectFailed
from hoosh.http.pins import pin_of
from hoosh.http.wire import SocketWire, StreamWire, Wire

__all__ = ["start_tls"]


async def start_tls(wire: Wire, context: ssl.SSLContext, host: str, pins: Collection[bytes] = ()) -> StreamWire:
    """TLS as a client, over a plain connection or over TLS to a proxy.

    With `pins` the peer's own key must be one of them; otherwise it gets nothing but a closed connection.  Raises
    ConnectFailed.  Unless it succeeds `wire` is closed.
    """
    # Strict about the end: a body that ends with the connection is whole only after close_notify, not after a bare FIN.
    stream = trio.SSLStream(_stream(wire), context, server_hostname=host)
    try:
        await stream.do_handshake()
        if pins and not _is_pinned(stream.getpeercert(binary_form=True), pins):
            raise ConnectFailed("the key of its certificate is not among the pins")
    except BaseException as error:
        wire.close()
        if isinstance(error, trio.BrokenResourceError):
            raise ConnectFailed(_handshake_failure(error.__cause__)) from None
        raise
    return StreamWire(stream, wire.peer, stream.selected_alpn_protocol())


def _stream(wire: Wire) -> trio.abc.Stream:
    if isinstance(wire, SocketWire):
        return trio.SocketStream(trio.socket.from_stdlib_socket(wire.sock))
    if isinstance(wire, StreamWire):
        return wire.stream
    raise TypeError(f"no TLS over a {type(wire).__name__}")


def _is_pinned(certificate: bytes | None, pins: Collection[bytes]) -> bool:
    try:
        return certificate is not None and pin_of(certificate) in pins
    except ValueError:  # OpenSSL has read it, and we cannot: then it is not the one that was pinned
        return False


def _handshake_failure(cause: BaseException | None) -> str:
    if isinstance(cause, ssl.SSLCertVerificationError):
        reason = cause.verify_message.partition(", certificate is not valid for ")[0]  # what follows is the host
        return f"certificate verify failed: {reason}"
    if isinstance(cause, ssl.SSLError) and cause.reason:
        return f"TLS handshake failed: {cause.reason.lower().replace('_', ' ')}"
    return "TLS handshake failed: connection closed"
