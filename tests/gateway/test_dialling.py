"""How the house reaches its providers: real sockets on loopback, under names that lead where no provider may be."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
import trustme
from gateway_house import ASK, CHAT, config, house_with
from msgspec.structs import replace

import hoosh
from hoosh.config import Config, Http2, Provider
from hoosh.errors import ConfigError, ConnectFailed
from hoosh.gateway.assembly import _webhook_dialer, build_upstream, open_gateway
from hoosh.gateway.dialling import dialer_for, tls_for
from hoosh.http.dial import GuardedDialer, SocketDialer
from hoosh.http.message import Origin
from hoosh.http.proxy import ProxyDialer
from hoosh.http.server import listen_unix
from hoosh.http.tls import server_context
from hoosh.http.wire import SocketWire, StreamWire
from hoosh.testing.network import MemoryNetwork
from hoosh.testing.upstream import End, FakeUpstream, Head, json_reply
from hoosh.values.secret import Secret

KEY = "sk-must-not-be-seen"
REPLY = json_reply(
    {
        "id": "1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "salam"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }
)
NAME = "rebind.example"
SOME_PIN = "sha256/" + "A" * 43 + "="
PATIENCE_S = 60.0


async def ask(settings: Config) -> httpx.Response:
    """A chat in a house on the real network."""
    with trio.fail_after(PATIENCE_S):
        async with open_gateway(settings, environ={}) as gateway:
            transport = hoosh.transport(gateway)
            async with httpx.AsyncClient(transport=transport, base_url="http://gateway", timeout=None) as client:
                return await client.post(CHAT, json=ASK)


def told(answer: httpx.Response) -> str:
    return str(answer.json()["error"]["message"])


@pytest.fixture
def leads_home(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """NAME leads to loopback.  The names that were looked up."""
    asked: list[str] = []
    real = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *args: Any, **more: Any) -> Any:
        asked.append(host)
        return real("127.0.0.1" if host == NAME else host, port, *args, **more)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


async def test_a_remote_provider_whose_name_leads_home_is_never_dialled(
    nursery: trio.Nursery, leads_home: list[str]
) -> None:
    upstream = FakeUpstream(REPLY)
    port = await nursery.start(upstream.serve_tcp)
    answer = await ask(config(provider={"base_url": f"http://{NAME}:{port}", "api_key": Secret(KEY)}))
    assert answer.status_code >= 500
    assert "127.0.0.1" not in answer.text
    assert NAME in leads_home
    assert upstream.connections == 0
    nursery.cancel_scope.cancel()


async def test_its_owner_may_allow_it(nursery: trio.Nursery, leads_home: list[str]) -> None:
    upstream = FakeUpstream(REPLY)
    port = await nursery.start(upstream.serve_tcp)
    answer = await ask(config(provider={"base_url": f"http://{NAME}:{port}", "allow_private": True}))
    assert answer.status_code == 200
    assert len(upstream.requests) == 1
    nursery.cancel_scope.cancel()


async def test_a_local_type_may_stand_anywhere(nursery: trio.Nursery, leads_home: list[str]) -> None:
    upstream = FakeUpstream(REPLY)
    port = await nursery.start(upstream.serve_tcp)
    answer = await ask(config(provider={"type": "vllm", "base_url": f"http://{NAME}:{port}", "models": ("m",)}))
    assert answer.status_code == 200
    nursery.cancel_scope.cancel()


async def test_a_provider_is_reached_at_a_unix_socket(nursery: trio.Nursery, tmp_path: Path) -> None:
    upstream = FakeUpstream(REPLY)
    listener = listen_unix(str(tmp_path / "Engine.sock"))

    async def serve(stream: trio.SocketStream) -> None:
        await upstream.serve_wire(SocketWire(socket.socket(fileno=stream.socket.detach()), "unix"))

    listeners = [trio.SocketListener(trio.socket.from_stdlib_socket(listener))]
    nursery.start_soon(trio.serve_listeners, serve, listeners)
    quoted = str(tmp_path / "Engine.sock").replace("/", "%2F")
    for url, path in ((f"unix:{tmp_path}/Engine.sock", "/v1"), (f"http+unix://{quoted}/api/v1", "/api/v1")):
        answer = await ask(config(provider={"base_url": url}))
        assert answer.status_code == 200
        assert upstream.requests[-1].target == f"{path}/chat/completions"
        assert upstream.requests[-1].headers.get(b"host") == b"localhost"
    nursery.cancel_scope.cancel()


@asynccontextmanager
async def behind_tls(folder: Path, upstream: FakeUpstream, said: bytearray) -> AsyncIterator[int]:
    """`upstream` behind TLS; `said` is what anybody has sent inside it."""
    authority = trustme.CA()
    authority.issue_cert("localhost", NAME).private_key_and_cert_chain_pem.write_to_path(folder / "all.pem")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    context = server_context(folder / "all.pem", None)

    class Listening(StreamWire):
        async def receive(self) -> bytes:
            data = await super().receive()
            said.extend(data)
            return data

    async def serve(stream: trio.SocketStream) -> None:
        secure = trio.SSLStream(stream, context, server_side=True)
        await secure.do_handshake()
        wire = Listening(secure, "test", secure.selected_alpn_protocol())
        await (upstream.serve_wire_h2 if wire.alpn == "h2" else upstream.serve_wire)(wire)

    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, serve, listeners)
        yield listeners[0].socket.getsockname()[1]
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("http2", [Http2.OFF, Http2.ALPN])
@pytest.mark.parametrize("host", ["localhost", NAME], ids=["local", "remote"])
async def test_a_key_never_reaches_a_server_whose_own_is_not_pinned(
    tmp_path: Path, leads_home: list[str], host: str, http2: Http2
) -> None:
    upstream, said = FakeUpstream(REPLY), bytearray()
    async with behind_tls(tmp_path, upstream, said) as port:
        trust = {"verify": str(tmp_path / "ca.pem"), "allow_private": True, "http2": http2}
        provider = {"base_url": f"https://{host}:{port}", "api_key": Secret(KEY), **trust}
        answer = await ask(config(provider={**provider, "spki_pins": (SOME_PIN,)}))
        assert answer.status_code >= 500
        assert (bytes(said), upstream.requests) == (b"", [])
        answer = await ask(config(provider=provider))
        assert answer.status_code == 200
        assert upstream.requests[0].headers.get(b"authorization") == f"Bearer {KEY}".encode()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_an_answer_and_not_a_way(status: int) -> None:
    elsewhere = FakeUpstream(REPLY)
    first = FakeUpstream([Head(status, [(b"location", b"http://elsewhere:80/v1/chat/completions")]), End()])
    async with house_with(first) as house:
        house.network.listen("elsewhere:80", elsewhere.serve_wire)
        answered, headers, _ = await house.post(CHAT, ASK)
    assert answered >= 500
    assert headers.get(b"location") is None
    assert (len(first.requests), elsewhere.connections) == (1, 0)


# -- what is built -------------------------------------------------------------------------------------------------

REMOTE = Provider(type="openai-compatible", base_url="https://api.example")


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({}, GuardedDialer),
        ({"allow_private": True}, GuardedDialer),
        ({"type": "vllm"}, SocketDialer),
        ({"base_url": "http://localhost:1"}, SocketDialer),
        ({"base_url": "http://localhost:1", "local": False}, SocketDialer),
        ({"type": "vllm", "local": False}, SocketDialer),
        ({"local": False}, GuardedDialer),
        ({"local": True}, SocketDialer),
        ({"base_url": "unix:/x"}, SocketDialer),
        ({"proxy": Secret("http://proxy")}, ProxyDialer),
    ],
)
def test_a_provider_has_the_dialler_that_it_may_have_and_its_pins(changes: dict[str, Any], kind: type) -> None:
    dialer = dialer_for(replace(REMOTE, spki_pins=(SOME_PIN,), **changes), SocketDialer())
    assert type(dialer) is kind
    assert isinstance(dialer, SocketDialer)
    assert dialer._pins == {bytes(32)}


@pytest.mark.parametrize(
    ("changes", "host"),
    [({}, "10.0.0.1"), ({}, "127.1"), ({"allow_private": True}, "169.254.169.254"), ({}, "::ffff:10.0.0.1")],
)
async def test_a_proxy_is_not_asked_for_what_a_remote_provider_may_not_have(changes: dict[str, Any], host: str) -> None:
    provider = replace(REMOTE, proxy=Secret("http://127.0.0.1:1"), **changes)
    with pytest.raises(ConnectFailed, match="not allowed"):
        await dialer_for(provider, SocketDialer()).dial(Origin("http", host, 80), None)
    local = replace(provider, type="vllm")
    with pytest.raises(ConnectFailed, match=r"^proxy: connection refused$"):
        await dialer_for(local, SocketDialer()).dial(Origin("http", host, 80), None)


async def test_a_network_in_place_of_the_real_one_is_taken_as_it_is(nursery: trio.Nursery) -> None:
    network = MemoryNetwork(nursery).dialer()
    assert dialer_for(REMOTE, network) is network
    guarded = GuardedDialer()
    assert dialer_for(replace(REMOTE, type="vllm"), guarded) is guarded


@pytest.mark.parametrize(
    "changes",
    [
        {"spki_pins": ("sha256/AAAA",)},
        {"proxy": Secret("hunter2")},
        {"proxy": Secret("env")},  # a file's word; a program says which
        {"base_url": "http://api.example", "spki_pins": (SOME_PIN,)},
        {"base_url": "http://api.example", "client_cert": "/nowhere.pem"},
        {"client_cert": "/nowhere.pem", "client_key": "/nowhere.pem"},
        {"tls_pinned_certs": ("/nowhere.pem",)},
    ],
)
def test_what_cannot_be_used_is_a_mistake_for_whoever_builds_a_configuration_too(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        build_upstream(replace(REMOTE, **changes), SocketDialer(), total_s=1.0)
    assert "hunter2" not in str(caught.value)


async def test_a_client_certificate_is_shown_to_an_upstream_that_asks(nursery: trio.Nursery, tmp_path: Path) -> None:
    authority = trustme.CA()
    for name in ("server", "me"):
        issued = authority.issue_cert("localhost", common_name=name)
        issued.cert_chain_pems[0].write_to_path(tmp_path / f"{name}.pem")
        issued.private_key_pem.write_to_path(tmp_path / f"{name}-key.pem")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    asks = server_context(tmp_path / "server.pem", tmp_path / "server-key.pem", client_ca=tmp_path / "ca.pem")
    seen: list[Any] = []
    done = trio.Event()

    async def serve(stream: trio.SocketStream) -> None:
        secure = trio.SSLStream(stream, asks, server_side=True)
        await secure.do_handshake()
        seen.append(dict(pair[0] for pair in secure.getpeercert()["subject"])["commonName"])
        done.set()

    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    nursery.start_soon(trio.serve_listeners, serve, listeners)
    provider = replace(
        REMOTE,
        verify=str(tmp_path / "ca.pem"),
        client_cert=str(tmp_path / "me.pem"),
        client_key=str(tmp_path / "me-key.pem"),
    )
    origin = Origin("https", "localhost", listeners[0].socket.getsockname()[1])
    wire = await SocketDialer().dial(origin, tls_for(provider, "https"))
    with trio.fail_after(PATIENCE_S):
        await done.wait()
    wire.close()
    assert seen == ["me"]
    nursery.cancel_scope.cancel()


def test_a_webhook_may_be_the_owners_own_but_no_metadata_service() -> None:
    dialer = _webhook_dialer(SocketDialer())
    assert isinstance(dialer, GuardedDialer)
    assert [dialer._allows(address) for address in ("127.0.0.1", "10.1.2.3", "169.254.169.254")] == [True, True, False]


def test_pins_are_not_dropped_where_an_embedder_dials_in_his_own_way() -> None:
    pinned = Provider(type="openai", spki_pins=(SOME_PIN,), api_key=Secret(KEY))
    with pytest.raises(ConfigError, match="spki_pins"):
        dialer_for(pinned, GuardedDialer(lambda address: True))
