"""What only a kernel can show: interrupting an exchange that waits on a real socket, plain or TLS."""

from __future__ import annotations

import pytest
import trio
import trustme

from hoosh.errors import Unavailable
from hoosh.http.client import Pool, Timeouts
from hoosh.http.dial import SocketDialer
from hoosh.http.message import HttpRequest, Origin, RequestHead
from hoosh.http.tls import HTTP1_ONLY, client_context, server_context


@pytest.fixture(scope="module")
def tls_files(tmp_path_factory):
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    trustme.CA().issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(path)
    return path


async def serve(handler, *, task_status):
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with trio.open_nursery() as nursery:
        await nursery.start(trio.serve_listeners, handler, listeners)
        task_status.started(listeners[0].socket.getsockname()[1])


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("body_bytes", [2, 30_000_000])  # the second is more than kernels take without a reader
async def test_interrupting_closes_a_real_connection_at_once_reading_or_writing(nursery, tls_files, body_bytes, tls):
    arrived, closed = trio.Event(), trio.Event()

    async def hang(stream):
        if tls:
            stream = trio.SSLStream(stream, server_context(tls_files, None, http2=False), server_side=True)
        try:
            await stream.receive_some(10)
            arrived.set()
            await interrupted.wait()
            while await stream.receive_some():
                pass
        except trio.BrokenResourceError:
            pass
        closed.set()

    interrupted = trio.Event()
    port = await nursery.start(serve, hang)
    origin = Origin("https" if tls else "http", "127.0.0.1", port)
    pool = Pool(origin, dialer=SocketDialer(), tls=client_context(verify=False, alpn=HTTP1_ONLY))
    await nursery.start(pool.run)
    exchange = pool.exchange(HttpRequest(RequestHead(origin, "POST", "/"), b"x" * body_bytes), Timeouts())

    @nursery.start_soon
    async def interrupt():
        await arrived.wait()
        await trio.testing.wait_all_tasks_blocked(0.02)
        exchange.interrupt(Unavailable("closing"))
        interrupted.set()

    with pytest.raises(Unavailable, match="closing"):
        async with exchange:
            pass
    assert pool.statistics().open == 0
    await closed.wait()
    nursery.cancel_scope.cancel()
