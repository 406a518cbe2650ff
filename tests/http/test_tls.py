"""TLS contexts, against certificates made on the spot."""

from __future__ import annotations

import ssl

import pytest
import trio
import trustme

from hoosh.errors import ConfigError, ConnectFailed, ConnectionBroke
from hoosh.http.client import Pool, Timeouts
from hoosh.http.dial import SocketDialer
from hoosh.http.message import HttpRequest, Origin, RequestHead
from hoosh.http.tls import HTTP1_ONLY, HTTP2_OR_1, client_context, server_context
from hoosh.http.wire import StreamWire
from hoosh.testing.upstream import FakeUpstream, json_reply


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def files(authority, tmp_path_factory):
    """Paths of a certificate for localhost, its key, and the authority."""
    folder = tmp_path_factory.mktemp("tls")
    server = authority.issue_cert("localhost", "127.0.0.1")
    server.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    server.private_key_pem.write_to_path(folder / "key.pem")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    return folder


async def serve_tls(context, upstream, *, task_status):
    """A FakeUpstream behind TLS on a loopback port."""

    async def serve(stream):
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


async def ask(nursery, server, client, *, host="localhost"):
    """Status and ALPN of one exchange over real TLS."""
    upstream = FakeUpstream(json_reply({}))
    port = await nursery.start(serve_tls, server, upstream)
    origin = Origin("https", host, port)
    pool = Pool(origin, dialer=SocketDialer(), tls=client)
    await nursery.start(pool.run)
    request = HttpRequest(RequestHead(origin, "GET", "/"))
    async with pool.exchange(request, Timeouts()) as response:
        alpn = "h2" if pool.statistics().http2_streams else "http/1.1"
        await response.read(100)
    await pool.fetch(request, Timeouts(), max_bytes=100)
    assert upstream.connections == 1
    return response.status, alpn


@pytest.mark.parametrize(
    ("server_http2", "client_alpn", "chosen"),
    [(True, HTTP2_OR_1, "h2"), (False, HTTP2_OR_1, "http/1.1"), (True, HTTP1_ONLY, "http/1.1")],
)
async def test_a_request_goes_over_tls_in_the_version_alpn_chose(nursery, files, server_http2, client_alpn, chosen):
    server = server_context(files / "cert.pem", files / "key.pem", http2=server_http2)
    client = client_context(verify=files / "ca.pem", alpn=client_alpn)
    assert await ask(nursery, server, client) == (200, chosen)
    nursery.cancel_scope.cancel()


async def test_a_certificate_of_an_unknown_authority_is_refused(nursery, files):
    server = server_context(files / "cert.pem", files / "key.pem")
    with pytest.raises(ConnectFailed, match="certificate verify failed: unable to get local issuer certificate"):
        await ask(nursery, server, client_context())
    nursery.cancel_scope.cancel()


async def test_a_certificate_for_another_name_is_refused(nursery, files, authority, tmp_path):
    other = authority.issue_cert("other.example")
    other.private_key_and_cert_chain_pem.write_to_path(tmp_path / "other.pem")
    server = server_context(tmp_path / "other.pem", None)
    with pytest.raises(ConnectFailed, match=r"^certificate verify failed: Hostname mismatch$"):  # and not which
        await ask(nursery, server, client_context(verify=files / "ca.pem"))
    nursery.cancel_scope.cancel()


async def test_verification_can_be_switched_off(nursery, files):
    server = server_context(files / "cert.pem", files / "key.pem")
    assert await ask(nursery, server, client_context(verify=False), host="127.0.0.1") == (200, "h2")
    nursery.cancel_scope.cancel()


async def test_a_server_may_ask_for_client_certificates(nursery, files, authority, tmp_path):
    server = server_context(files / "cert.pem", files / "key.pem", client_ca=files / "ca.pem")
    client = client_context(verify=files / "ca.pem")
    with pytest.raises((ConnectFailed, ConnectionBroke)):  # TLS 1.3 lets the client find out by its first read
        await ask(nursery, server, client)
    authority.issue_cert("somebody").private_key_and_cert_chain_pem.write_to_path(tmp_path / "me.pem")
    client.load_cert_chain(tmp_path / "me.pem")
    assert (await ask(nursery, server, client))[0] == 200
    nursery.cancel_scope.cancel()


async def test_a_peer_that_speaks_no_tls_is_an_understandable_failure(nursery):
    port = await nursery.start(FakeUpstream().serve_tcp)
    with pytest.raises(ConnectFailed, match="TLS handshake failed"), trio.fail_after(60):
        await SocketDialer().dial(Origin("https", "127.0.0.1", port), client_context())
    nursery.cancel_scope.cancel()


def test_contexts_verify_and_refuse_old_versions(files):
    assert server_context(files / "cert.pem", files / "key.pem").minimum_version is ssl.TLSVersion.TLSv1_2
    context = client_context()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_a_missing_or_useless_file_is_a_clear_mistake(files, tmp_path):
    (tmp_path / "junk.pem").write_text("junk")
    cases = [
        (lambda: server_context(files / "no.pem", files / "key.pem"), "TLS certificate .*no.pem.* cannot be read"),
        (lambda: server_context(files / "cert.pem", files / "no.pem"), "TLS key .*no.pem.* cannot be read: No such"),
        (lambda: server_context(tmp_path / "junk.pem", files / "key.pem"), "cannot be used"),
        (lambda: server_context(files / "cert.pem", tmp_path / "junk.pem"), "cannot be used"),
        (lambda: server_context(files / "cert.pem", files / "key.pem", client_ca=tmp_path / "junk.pem"), "bundle"),
        (lambda: client_context(verify=files / "no.pem"), "certificate bundle .*no.pem.* cannot be read"),
        (lambda: client_context(verify=tmp_path / "junk.pem"), "certificate bundle .*junk.pem.* cannot be used"),
    ]
    for make, message in cases:
        with pytest.raises(ConfigError, match=message):
            make()


def test_a_key_that_does_not_fit_its_certificate_is_a_clear_mistake(files, authority, tmp_path):
    authority.issue_cert("other").private_key_pem.write_to_path(tmp_path / "key.pem")
    with pytest.raises(ConfigError, match="key values mismatch"):
        server_context(files / "cert.pem", tmp_path / "key.pem")


def test_a_key_with_a_passphrase_is_a_clear_mistake(files, tmp_path):
    serialization = pytest.importorskip("cryptography.hazmat.primitives.serialization")
    key = serialization.load_pem_private_key((files / "key.pem").read_bytes(), None)
    locked = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    (tmp_path / "locked.pem").write_bytes(locked)
    with pytest.raises(ConfigError, match="passphrase"):
        server_context(files / "cert.pem", tmp_path / "locked.pem")
