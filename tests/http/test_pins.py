"""Pins: digests of keys against an independent reader of certificates; and nothing is said to a key that has none."""

from __future__ import annotations

import base64
import datetime
import hashlib
import re
import subprocess
from functools import partial
from pathlib import Path

import pytest
import trio
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from hoosh.errors import ConnectFailed
from hoosh.http.client import Pool, Timeouts
from hoosh.http.dial import SocketDialer
from hoosh.http.message import HttpRequest, Origin, RequestHead
from hoosh.http.pins import parse_pin, pin_of, show_pin
from hoosh.http.tls import HTTP1_ONLY, HTTP2_ONLY, client_context, server_context
from hoosh.http.wire import StreamWire
from hoosh.testing.upstream import FakeUpstream, json_reply

KEY = b"Bearer sk-must-not-be-seen"
KEYS = {
    "ec": lambda: ec.generate_private_key(ec.SECP256R1()),
    "rsa": lambda: rsa.generate_private_key(65537, 2048),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
}


def certificate(key, *, names=1):
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"n{number}" * 20) for number in range(names)])
    now = datetime.datetime(2030, 1, 1)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(x509.random_serial_number()).not_valid_before(now).not_valid_after(now)
    return made.sign(key, None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256())


def digest_of(key):
    """By another way than ours: the key as `cryptography` writes it."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return hashlib.sha256(key.public_key().public_bytes(serialization.Encoding.DER, form)).digest()


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("names", [1, 9])  # long names have lengths of several octets
def test_the_pin_of_a_certificate_is_that_of_its_key(kind, names):
    key = KEYS[kind]()
    der = certificate(key, names=names).public_bytes(serialization.Encoding.DER)
    assert pin_of(der) == digest_of(key)
    assert parse_pin(show_pin(digest_of(key))) == digest_of(key)


@given(st.data())
def test_a_broken_certificate_is_a_value_error_or_has_another_pin(data):
    cut = data.draw(st.integers(0, len(DER) - 1))
    put = data.draw(st.binary(max_size=4))
    broken = DER[:cut] + put + (b"" if data.draw(st.booleans()) else DER[cut + len(put) :])
    try:
        pin_of(broken)
    except ValueError:
        pass


@given(st.binary(max_size=300))
def test_noise_is_a_value_error_or_has_some_pin(noise):
    try:
        assert len(pin_of(noise)) == 32
    except ValueError:
        pass


DER = certificate(KEYS["ec"]()).public_bytes(serialization.Encoding.DER)
GOOD = show_pin(bytes(32))


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", "is no pin"),
        ("sha1/" + GOOD.partition("/")[2], "is no pin"),
        ("SHA256/" + GOOD.partition("/")[2], "is no pin"),
        ("sha256/", "is 0 bytes long"),
        ("sha256/AAAA", "is 3 bytes long"),
        (GOOD + "AAAA", "not base64|bytes long"),
        (GOOD[:-1], "not base64"),
        (GOOD.replace("A", "-", 1), "not base64"),
        (GOOD + "\n", "not base64"),
        ("sha256/" + "é" * 44, "not base64"),
    ],
)
def test_what_is_no_pin_is_told_so(text, wrong):
    with pytest.raises(ValueError, match=wrong):
        parse_pin(text)


# -- on connections ------------------------------------------------------------------------------------------------


class Listener:
    """A server with a certificate of its own.  `said` is all that anybody has sent to it inside TLS."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        issued = authority.issue_cert("localhost", "127.0.0.1")
        issued.private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
        authority.cert_pem.write_to_path(folder / "ca.pem")
        self.folder = folder
        self.certificate = x509.load_pem_x509_certificate(issued.cert_chain_pems[0].bytes())
        self.pin = hashlib.sha256(
            self.certificate.public_key().public_bytes(
                serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        ).digest()
        self.authority_pin = pin_of(
            x509.load_pem_x509_certificate(authority.cert_pem.bytes()).public_bytes(serialization.Encoding.DER)
        )
        self.said = bytearray()
        self.handshakes = 0
        self.left = trio.Event()
        """A connection has come to its end."""
        self.upstream = FakeUpstream(json_reply({}))

    async def serve(self, *, task_status):
        context = server_context(self.folder / "server.pem", None)

        async def serve(stream):
            secure = trio.SSLStream(stream, context, server_side=True)
            await secure.do_handshake()
            self.handshakes += 1
            wire = Listening(secure, self.said)
            await (self.upstream.serve_wire_h2 if wire.alpn == "h2" else self.upstream.serve_wire)(wire)
            self.left.set()

        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        async with trio.open_nursery() as nursery:
            await nursery.start(trio.serve_listeners, serve, listeners)
            task_status.started(listeners[0].socket.getsockname()[1])

    async def ask(self, nursery, pins, *, alpn, verify):
        port = await nursery.start(self.serve)
        origin = Origin("https", "localhost", port)
        context = client_context(verify=verify, alpn=alpn)
        pool = Pool(origin, dialer=SocketDialer(pins=pins), tls=context, http2="off" if alpn == HTTP1_ONLY else "alpn")
        await nursery.start(pool.run)
        head = RequestHead(origin, "POST", "/v1/chat", [(b"authorization", KEY)])
        return (await pool.fetch(HttpRequest(head, b"{}"), Timeouts(), max_bytes=100))[0]


class Listening(StreamWire):
    """Writes down what arrives."""

    def __init__(self, stream, said):
        super().__init__(stream, "test", stream.selected_alpn_protocol())
        self.said = said

    async def receive(self):
        data = await super().receive()
        self.said += data
        return data


@pytest.fixture
def listener(tmp_path):
    return Listener(tmp_path)


both_versions = pytest.mark.parametrize("alpn", [HTTP1_ONLY, HTTP2_ONLY], ids=["http/1.1", "h2"])


@both_versions
async def test_a_wrong_pin_is_refused_before_a_byte_of_the_request_is_sent(nursery, listener, alpn):
    with pytest.raises(ConnectFailed, match="not among the pins"):
        await listener.ask(nursery, [bytes(32)], alpn=alpn, verify=listener.folder / "ca.pem")
    await listener.left.wait()
    assert (listener.handshakes, bytes(listener.said), listener.upstream.requests) == (1, b"", [])
    nursery.cancel_scope.cancel()


@both_versions
async def test_one_of_several_pins_is_enough(nursery, listener, alpn):
    pins = [bytes(32), listener.pin]
    assert await listener.ask(nursery, pins, alpn=alpn, verify=listener.folder / "ca.pem") == 200
    (request,) = listener.upstream.requests
    assert request.headers.get(b"authorization") == KEY
    nursery.cancel_scope.cancel()


@both_versions
async def test_without_authorities_the_pin_alone_vouches(nursery, listener, alpn):
    assert await listener.ask(nursery, [listener.pin], alpn=alpn, verify=False) == 200
    nursery.cancel_scope.cancel()


@both_versions
async def test_without_authorities_a_wrong_pin_is_refused_all_the_same(nursery, listener, alpn):
    with pytest.raises(ConnectFailed, match="not among the pins"):
        await listener.ask(nursery, [bytes(32)], alpn=alpn, verify=False)
    await listener.left.wait()
    assert not listener.said
    nursery.cancel_scope.cancel()


async def test_a_pin_of_the_authority_is_none_of_the_server(nursery, listener):
    with pytest.raises(ConnectFailed, match="not among the pins"):
        await listener.ask(nursery, [listener.authority_pin], alpn=HTTP1_ONLY, verify=listener.folder / "ca.pem")
    nursery.cancel_scope.cancel()


async def test_a_right_pin_does_not_replace_the_authorities(nursery, listener):
    with pytest.raises(ConnectFailed, match="certificate verify failed"):
        await listener.ask(nursery, [listener.pin], alpn=HTTP1_ONLY, verify=True)
    assert not listener.said
    nursery.cancel_scope.cancel()


def test_the_command_in_the_documentation_makes_a_pin(listener):
    page = (Path(__file__).parents[2] / "docs" / "tls.md").read_text()
    command = re.search(r"^openssl x509 [^`]*?base64$", page, re.MULTILINE | re.DOTALL)
    assert command, "docs/tls.md tells no command"
    file = listener.folder / "cert.pem"
    file.write_bytes(listener.certificate.public_bytes(serialization.Encoding.PEM))
    run = partial(subprocess.run, shell=True, capture_output=True, text=True, check=True, cwd=listener.folder)
    assert run(command[0]).stdout.strip() == base64.b64encode(listener.pin).decode()
