"""The app gives the same answers whoever carries it: one suite over memory, our listener and Hypercorn."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, NoReturn, Protocol

import httpx
import pytest
import trio
import trio.testing
from hypercorn.config import Config
from hypercorn.trio import serve

from hoosh.api.app import GatewayFace, HooshApp, Hot, answer_error, build_app
from hoosh.api.errors import error_page
from hoosh.api.health import shown_url
from hoosh.errors import Unauthenticated
from hoosh.http.asgi import AsgiHost, Message, ResponseBroken, Scope, run_lifespan
from hoosh.http.exchange import Exchange
from hoosh.http.message import Headers
from hoosh.http.server import HttpServer, listen_tcp
from hoosh.storage import StoreStatistics
from hoosh.testing.exchange import MemoryExchange
from hoosh.values import ANONYMOUS, Caller, ModelCard, Outcome, ProviderState, Record

KEYS = {
    b"Bearer all": Caller("all"),
    b"Bearer meter": Caller("meter", frozenset({"metrics"})),
    b"Bearer user": Caller("user", frozenset({"inference"}), ("echo", "meta/*")),
}


class StubGateway:
    """A gateway with fixed answers."""

    version = "1.2.3"

    def __init__(self, *, keys: bool = False) -> None:
        self.keys = keys
        self.not_ready: str | None = None
        self.states = [
            ProviderState("a", "openai", "https://user:pw@api.example/v1?key=x#y", status="healthy", models=("gpt-*",)),
            ProviderState("b", "ollama", "http://127.0.0.1:11434", local=True, enabled=False, status="healthy"),
        ]
        self.fails = False
        self.store = StoreStatistics("sqlite", "ok")

    def store_state(self) -> StoreStatistics:
        return self.store

    def authenticate(self, headers: Headers) -> Caller:
        if not self.keys:
            return ANONYMOUS
        caller = KEYS.get(headers.get(b"authorization") or b"")
        if caller is None:
            raise Unauthenticated("A known API key is needed.")
        return caller

    async def models(self) -> list[ModelCard]:
        await trio.lowlevel.checkpoint()
        if self.fails:
            raise ZeroDivisionError("secret")
        return [ModelCard("echo", "hoosh"), ModelCard("meta/llama 3", "b", 5), ModelCard("gpt-4o", "a")]

    def providers(self) -> list[ProviderState]:
        return self.states

    def readiness(self) -> str | None:
        return self.not_ready

    def metrics_text(self) -> bytes:
        return b"hoosh_up 1\n"


async def hot_echo(exchange: Exchange) -> None:
    await exchange.respond(200, [(b"x-request-id", b"req_hot")], await exchange.body(1000))


HOT: Hot = {("POST", "/v1/echo"): hot_echo}


class Answer:
    def __init__(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.status, self.headers, self.content = status, headers, content

    def json(self) -> Any:
        return json.loads(self.content)

    @property
    def error(self) -> dict[str, Any]:
        body = self.json()
        assert set(body["error"]) == {"message", "type", "param", "code"}
        return dict(body["error"])


class Ask(Protocol):
    async def __call__(self, method: str, path: str, *, key: str | None = None, content: bytes = b"") -> Answer: ...


def key_headers(key: str | None) -> list[tuple[str, str]]:
    return [] if key is None else [("authorization", f"Bearer {key}")]


async def ask_memory(app: HooshApp, method: str, path: str, *, key: str | None = None, content: bytes = b"") -> Answer:
    headers = [(name.encode(), value.encode()) for name, value in key_headers(key)]
    path, _, query = path.partition("?")
    exchange = MemoryExchange(method, path, query=query, headers=headers, body=content)
    await exchange.run(AsgiHost(app, on_error=answer_error))
    assert exchange.status is not None
    assert exchange.is_whole
    names = {name.decode() for name, _ in exchange.response_headers}
    return Answer(exchange.status, {name: exchange.header(name) or "" for name in names}, exchange.content)


async def ask_httpx(
    client: httpx.AsyncClient, method: str, path: str, *, key: str | None = None, content: bytes = b""
) -> Answer:
    response = await client.request(method, path, headers=key_headers(key), content=content)
    return Answer(response.status_code, dict(response.headers), response.content)


@asynccontextmanager
async def carried_by_listener(app: HooshApp) -> AsyncIterator[str]:
    host = AsgiHost(app, on_error=answer_error)

    async def dispatch(exchange: Exchange) -> None:
        await HOT.get((exchange.method, exchange.path), host)(exchange)

    (listener,) = listen_tcp("127.0.0.1", 0)
    port = listener.getsockname()[1]
    server = HttpServer(dispatch, error_page=error_page)
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(run_lifespan, app))
        await nursery.start(server.run, [listener])
        yield f"http://127.0.0.1:{port}"
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def carried_by_hypercorn(app: HooshApp) -> AsyncIterator[str]:
    config = Config()
    config.bind = ["127.0.0.1:0"]
    config.accesslog = config.errorlog = None
    config.graceful_timeout = 60  # a connection that is lost fails its test: nothing here needs the grace
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        (url,) = await nursery.start(partial(serve, app, config, shutdown_trigger=stop.wait))  # type: ignore[arg-type]
        yield url
        stop.set()


class House:
    """A gateway, its app, and a way to ask it."""

    def __init__(
        self, gateway: StubGateway, app: HooshApp, ask: Ask, records: list[Record], crashes: list[str]
    ) -> None:
        self.gateway, self.app, self.ask, self.records, self.crashes = gateway, app, ask, records, crashes


def make_house(ask_of: Callable[[HooshApp], Ask]) -> House:
    gateway, records, crashes = StubGateway(), list[Record](), list[str]()
    face: GatewayFace = gateway
    app = build_app(
        face, hot=HOT, on_crash=lambda error: crashes.append(type(error).__name__), on_finished=records.append
    )
    return House(gateway, app, ask_of(app), records, crashes)


CARRIERS = ["memory", "listener-h1", "listener-h2", "hypercorn-h1", "hypercorn-h2"]


@pytest.fixture(params=CARRIERS)
async def house(request: pytest.FixtureRequest) -> AsyncIterator[House]:
    if request.param == "memory":
        yield make_house(lambda app: partial(ask_memory, app))
        return
    carried = carried_by_listener if "listener" in request.param else carried_by_hypercorn
    is_h2 = request.param.endswith("h2")
    async with httpx.AsyncClient(http1=not is_h2, http2=is_h2, timeout=10) as client:
        house = make_house(lambda app: partial(ask_httpx, client))
        async with carried(house.app) as url:
            client.base_url = httpx.URL(url)
            yield house
            await client.aclose()


# -- every carrier ---------------------------------------------------------------------------------------------------


async def test_probes_and_names(house: House) -> None:
    assert (await house.ask("GET", "/livez")).json() == {"status": "ok"}
    assert (await house.ask("GET", "/readyz")).json() == {"status": "ready"}
    answer = await house.ask("GET", "/")
    assert answer.json() == {"name": "hoosh", "version": "1.2.3", "status": "ok"}
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"].startswith("req_")


async def test_not_ready_says_why(house: House) -> None:
    house.gateway.not_ready = "The gateway is shutting down."
    answer = await house.ask("GET", "/readyz")
    assert answer.status == 503
    assert answer.error["message"] == "The gateway is shutting down."
    assert answer.headers["retry-after"] == "1"
    assert (await house.ask("GET", "/livez")).status == 200
    assert (await house.ask("GET", "/v1/health")).json()["status"] == "degraded"


async def test_books_that_cannot_be_written_are_said_to_be_so(house: House) -> None:
    house.gateway.store = StoreStatistics("sqlite", "spooling", "/somewhere/secret", 5, 3, last_error="disk full")
    health = (await house.ask("GET", "/v1/health")).json()
    assert health["status"] == "degraded"
    assert health["storage"] == {"kind": "sqlite", "status": "spooling", "waiting_rows": 5, "spooled_rows": 3}


async def test_health_of_the_providers_tells_no_secrets(house: House) -> None:
    health = (await house.ask("GET", "/v1/health")).json()
    storage = {"kind": "sqlite", "status": "ok", "waiting_rows": 0, "spooled_rows": 0}
    configured = {"providers_configured": 2, "providers_down": 0}
    assert health == {"status": "ok", "version": "1.2.3", **configured, "storage": storage}
    first, second = (await house.ask("GET", "/v1/health/providers")).json()
    assert first == {
        "provider": "a",
        "type": "openai",
        "base_url": "https://api.example/v1",
        "enabled": True,
        "local": False,
        "status": "healthy",
        "consecutive_failures": 0,
        "last_error": None,
        "last_check_age_s": None,
        "breakers": {},
        "models": ["gpt-*"],
        "capabilities": [],
    }
    assert (second["status"], second["local"]) == ("disabled", True)


async def test_an_ill_provider_degrades_the_whole(house: House) -> None:
    house.gateway.states.append(
        ProviderState("c", "x", "", status="unhealthy", last_error="GET http://10.0.0.1", consecutive_failures=3)
    )
    assert (await house.ask("GET", "/v1/health")).json()["status"] == "degraded"
    shown = (await house.ask("GET", "/v1/health/providers")).json()[2]
    assert (shown["last_error"], shown["consecutive_failures"]) == ("health check failed", 3)


async def test_models_are_listed_and_found_by_ids_with_slashes(house: House) -> None:
    listing = (await house.ask("GET", "/v1/models")).json()
    assert listing["object"] == "list"
    assert listing["data"][1] == {"id": "meta/llama 3", "object": "model", "created": 5, "owned_by": "b"}
    for path in ("/v1/models/meta/llama%203", "/v1/models/meta%2Fllama%203"):
        assert (await house.ask("GET", path)).json() == listing["data"][1]
    missing = await house.ask("GET", "/v1/models/gpt/9")
    assert (missing.status, missing.error["code"], missing.error["param"]) == (404, "model_not_found", "model")


async def test_metrics_are_prometheus_text(house: House) -> None:
    answer = await house.ask("GET", "/metrics")
    assert answer.content == b"hoosh_up 1\n"
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"


async def test_the_openapi_document_is_served_with_its_version(house: House) -> None:
    answer = await house.ask("GET", "/openapi.json")
    document = answer.json()
    assert document["openapi"].startswith("3.1")
    assert document["info"]["version"] == "1.2.3"
    assert document["paths"]["/livez"]["get"]["summary"] == "The process answers."
    assert answer.headers["etag"].startswith('"')


@pytest.mark.parametrize("path", ["/nothing", "/v1/models/", "/v1//models", "/livez/", "/%ff", "/static/x"])
async def test_an_unknown_path_is_404_in_json(house: House, path: str) -> None:
    answer = await house.ask("GET", path)
    assert (answer.status, answer.error["type"], answer.error["code"]) == (404, "invalid_request_error", "unknown_url")
    assert answer.headers["x-request-id"].startswith("req_")


@pytest.mark.parametrize(("method", "path", "allowed"), [("DELETE", "/v1/models", "GET"), ("GET", "/v1/echo", "POST")])
async def test_a_wrong_method_is_405_and_names_the_right_ones(
    house: House, method: str, path: str, allowed: str
) -> None:
    answer = await house.ask(method, path)
    assert (answer.status, answer.error["code"]) == (405, "method_not_allowed")
    assert allowed in answer.headers["allow"].split(", ")
    assert "x-request-id" in answer.headers


async def test_head_and_options(house: House) -> None:
    whole = await house.ask("GET", "/v1/models")
    head = await house.ask("HEAD", "/v1/models")
    assert (head.status, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(whole.content))
    options = await house.ask("OPTIONS", "/v1/models")
    assert (options.status, options.content) == (200, b"")
    assert set(options.headers["allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}
    assert (await house.ask("HEAD", "/nothing")).status == 404


async def test_keys_are_asked_for_everywhere_but_at_the_probes(house: House) -> None:
    house.gateway.keys = True
    for path in ("/livez", "/readyz"):
        assert (await house.ask("GET", path)).status == 200
    for path in ("/", "/v1/models", "/v1/health", "/metrics", "/openapi.json", "/nothing"):
        answer = await house.ask("GET", path)
        assert (answer.status, answer.error["code"]) == (401, "invalid_api_key"), path
        assert answer.headers["www-authenticate"] == "Bearer"
        assert (await house.ask("GET", path, key="all")).status == (404 if path == "/nothing" else 200)


async def test_a_key_reaches_what_its_scopes_and_models_allow(house: House) -> None:
    house.gateway.keys = True
    assert (await house.ask("GET", "/metrics", key="user")).status == 403
    assert (await house.ask("GET", "/metrics", key="meter")).status == 200
    assert (await house.ask("GET", "/v1/models", key="meter")).error["code"] == "forbidden"
    listing = (await house.ask("GET", "/v1/models", key="user")).json()["data"]
    assert [card["id"] for card in listing] == ["echo", "meta/llama 3"]
    assert (await house.ask("GET", "/v1/models/gpt-4o", key="user")).status == 404


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([("content-type", "text/plain"), ("origin", "https://evil.example")], 415),
        ([("content-type", "application/x-www-form-urlencoded"), ("referer", "https://evil.example/")], 415),
        ([("sec-fetch-site", "cross-site")], 415),
        ([("content-type", "application/json"), ("origin", "https://ours.example")], 404),
        ([("content-type", "application/x-www-form-urlencoded")], 404),
        ([], 404),
    ],
    ids=["text", "form", "nothing", "json", "curl", "plain"],
)
async def test_a_page_of_another_site_can_send_nothing_without_being_asked_for_leave(headers, status) -> None:
    house = make_house(lambda app: partial(ask_memory, app))
    raw = [(name.encode(), value.encode()) for name, value in headers]
    exchange = MemoryExchange("POST", "/nothing", headers=raw, body=b'{"reason": "fun"}')
    await exchange.run(AsgiHost(house.app, on_error=answer_error))
    assert exchange.status == status


async def test_a_bug_is_a_500_that_tells_nothing(house: House) -> None:
    house.gateway.fails = True
    answer = await house.ask("GET", "/v1/models")
    assert (answer.status, answer.error["message"]) == (500, "internal error")
    assert b"secret" not in answer.content
    assert "x-request-id" in answer.headers
    assert house.crashes == ["ZeroDivisionError"]


async def test_a_hot_path_is_answered_by_its_handler(house: House) -> None:
    answer = await house.ask("POST", "/v1/echo", content=b"salam")
    assert (answer.status, answer.content) == (200, b"salam")
    assert answer.headers["x-request-id"] == "req_hot"


async def test_each_request_that_quart_answers_is_accounted_for(house: House) -> None:
    answer = await house.ask("GET", "/v1/models?x=1")
    await house.ask("GET", "/nothing")
    with trio.fail_after(60):
        while len(house.records) < 2:  # written after the answer has gone out
            await trio.testing.wait_all_tasks_blocked()
    first, second = house.records
    assert (first.method, first.path, first.status, first.outcome) == ("GET", "/v1/models", 200, Outcome.OK)
    assert first.sent_bytes == len(answer.content)
    assert first.request_id == answer.headers["x-request-id"]
    assert (second.status, second.outcome) == (404, Outcome.ERROR)


async def test_many_requests_on_one_connection(house: House) -> None:
    for _ in range(5):
        assert (await house.ask("POST", "/nothing", content=b"x" * 100)).status == 404
        assert (await house.ask("GET", "/livez")).status == 200


# -- Hypercorn and Quart together: what the passage between them is for ----------------------------------------------


async def connect(url: str) -> trio.SocketStream:
    return await trio.open_tcp_stream("127.0.0.1", int(url.rpartition(":")[2]))


async def read_until(stream: trio.SocketStream, end: bytes) -> bytes:
    data = b""
    while not data.endswith(end):
        chunk = await stream.receive_some(65536)
        assert chunk, data
        data += chunk
    return data


async def test_on_hypercorn_a_connection_that_quart_has_answered_can_still_be_closed() -> None:
    with trio.fail_after(60):
        async with carried_by_hypercorn(build_app(StubGateway())) as url:
            stream = await connect(url)
            for _ in range(3):
                await stream.send_all(b"GET /livez HTTP/1.1\r\nhost: a\r\n\r\n")
                await read_until(stream, b'{"status":"ok"}')
        # The server has gone without waiting for its grace: it still knew of the idle connection.
        assert await stream.receive_some() == b""
        await stream.aclose()


async def fail(exchange: Exchange) -> None:
    await trio.testing.wait_all_tasks_blocked()  # every queue on the way is full now
    raise KeyError("a bug")


@pytest.mark.parametrize("path", ["/nothing", "/bug"])
async def test_on_hypercorn_an_upload_nobody_wants_does_not_hold_the_connection(path: str) -> None:
    size = 64 * 1024 * 1024
    head = b"POST %b HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % (path.encode(), size)
    app = build_app(StubGateway(), hot={("POST", "/bug"): fail}, on_crash=lambda error: None)
    with trio.fail_after(60):
        async with carried_by_hypercorn(app) as url, await connect(url) as stream:
            try:
                await stream.send_all(head + bytes(size))
            except trio.BrokenResourceError:
                pass  # as good: it is closed
        # The server has gone without waiting for its grace: no reader of its waits for room in a queue.


async def test_on_hypercorn_a_client_that_leaves_cancels_the_view() -> None:
    begun, records = trio.Event(), list[Record]()
    gateway = StubGateway()

    async def models() -> NoReturn:
        begun.set()
        await trio.sleep_forever()

    gateway.models = models  # type: ignore[method-assign]
    gone = trio.Event()

    def note(record: Record) -> None:
        records.append(record)
        gone.set()

    with trio.fail_after(60):
        async with carried_by_hypercorn(build_app(gateway, on_finished=note)) as url:
            stream = await connect(url)
            await stream.send_all(b"GET /v1/models HTTP/1.1\r\nhost: a\r\n\r\n")
            await begun.wait()
            await stream.aclose()
            await gone.wait()
    assert records[0].outcome is Outcome.CLIENT_LEFT


# -- what only a foreign server does ---------------------------------------------------------------------------------


class Context:
    """The gateway's life, as `build_app` gets it."""

    def __init__(self, *, fails_at: str = "") -> None:
        self.notes: list[str] = []
        self.fails_at = fails_at

    async def __aenter__(self) -> None:
        self.note("enter")

    async def __aexit__(self, *exc: object) -> None:
        self.note("exit")

    def note(self, word: str) -> None:
        self.notes.append(word)
        if word == self.fails_at:
            raise OSError(28, "no disk")


class Lifespan:
    """An ASGI server's side of a lifespan."""

    def __init__(self, app: HooshApp, notes: list[str]) -> None:
        self.app, self.notes = app, notes
        self.say, self._heard = trio.open_memory_channel[Message](10)
        self.messages: list[Message] = []

    async def run(self) -> None:
        await self.app({"type": "lifespan"}, self._heard.receive, self._send)

    async def _send(self, message: Message) -> None:
        await trio.lowlevel.checkpoint()
        self.messages.append(message)
        self.notes.append(message["type"])


async def call(app: HooshApp, scope: Scope, *received: Message) -> list[Message]:
    sent: list[Message] = []
    give, take = trio.open_memory_channel[Message](10)
    for message in received:
        give.send_nowait(message)

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, take.receive, send)
    return sent


def http_scope(method: str, path: str) -> Scope:
    fixed = {"type": "http", "query_string": b"", "http_version": "1.1", "scheme": "http", "headers": []}
    return {**fixed, "method": method, "path": path, "client": None}


EMPTY: Message = {"type": "http.request", "body": b"", "more_body": False}


async def test_the_gateway_lives_around_the_apps_lifespan() -> None:
    context = Context()
    app = build_app(StubGateway(), hot=HOT, context=context)
    lifespan = Lifespan(app, context.notes)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lifespan.run)
        lifespan.say.send_nowait({"type": "lifespan.startup"})
        await trio.testing.wait_all_tasks_blocked()
        assert app.running
        lifespan.say.send_nowait({"type": "lifespan.shutdown"})
    assert context.notes == ["enter", "lifespan.startup.complete", "exit", "lifespan.shutdown.complete"]
    assert not app.running


async def test_a_gateway_that_cannot_open_fails_the_startup() -> None:
    context = Context(fails_at="enter")
    lifespan = Lifespan(build_app(StubGateway(), context=context), context.notes)
    lifespan.say.send_nowait({"type": "lifespan.startup"})
    await lifespan.run()
    assert lifespan.messages == [
        {"type": "lifespan.startup.failed", "message": "OSError: ENOSPC, No space left on device"}
    ]


async def test_a_gateway_that_breaks_while_serving_ends_the_lifespan_unasked() -> None:
    broke = trio.Event()

    @asynccontextmanager
    async def context() -> AsyncIterator[None]:
        async def service() -> None:
            await broke.wait()
            raise OSError(5, "ledger gone")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(service)
            yield

    app = build_app(StubGateway(), context=context())
    lifespan = Lifespan(app, [])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lifespan.run)
        lifespan.say.send_nowait({"type": "lifespan.startup"})
        await trio.testing.wait_all_tasks_blocked()
        broke.set()
    assert lifespan.messages[1:] == [
        {"type": "lifespan.shutdown.failed", "message": "OSError: EIO, Input/output error"}
    ]
    assert not app.running


async def test_a_hot_path_before_the_lifespan_is_503() -> None:
    app = build_app(StubGateway(), hot=HOT, context=Context())
    head, body = await call(app, http_scope("POST", "/v1/echo"), EMPTY)
    assert head["status"] == 503
    assert b"x-request-id" in dict(head["headers"])
    assert json.loads(body["body"])["error"]["code"] == "service_unavailable"


async def test_a_bug_in_a_hot_handler_is_a_500_or_breaks_the_response() -> None:
    async def early(exchange: Exchange) -> None:
        raise KeyError("secret")

    async def late(exchange: Exchange) -> None:
        await exchange.start(200, [])
        await exchange.send(b"one")
        raise KeyError("secret")

    async def never(exchange: Exchange) -> None: ...

    crashes: list[BaseException] = []
    hot: Hot = {("GET", "/early"): early, ("GET", "/late"): late, ("GET", "/never"): never}
    app = build_app(StubGateway(), hot=hot, on_crash=crashes.append)
    head, body = await call(app, http_scope("GET", "/early"), EMPTY)
    assert head["status"] == 500
    assert b"secret" not in body["body"]
    with pytest.raises(ResponseBroken):
        await call(app, http_scope("GET", "/late"), EMPTY)
    head, _ = await call(app, http_scope("GET", "/never"), EMPTY)
    assert head["status"] == 500
    assert [type(crash) for crash in crashes] == [KeyError, KeyError, RuntimeError]


async def test_websockets_are_refused() -> None:
    sent = await call(build_app(StubGateway()), {"type": "websocket"}, {"type": "websocket.connect"})
    assert sent == [{"type": "websocket.close", "code": 1000}]


async def test_a_client_that_leaves_a_cold_view_is_accounted_as_gone(autojump_clock: trio.testing.MockClock) -> None:
    gateway, records = StubGateway(), list[Record]()

    async def models() -> NoReturn:
        await trio.sleep_forever()

    gateway.models = models  # type: ignore[method-assign]
    app = build_app(gateway, on_finished=records.append)
    assert await call(app, http_scope("GET", "/v1/models"), EMPTY, {"type": "http.disconnect"}) == []
    assert (records[0].outcome, records[0].status) == (Outcome.CLIENT_LEFT, 499)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:pw@host:1/v1?key=a#b", "https://host:1/v1"),
        ("http://[::1]:80/", "http://[::1]:80/"),
        ("unix:/run/engine.sock", "unix:/run/engine.sock"),
        ("http+unix://%2Frun%2Fengine.sock/v1", "http+unix://%2Frun%2Fengine.sock/v1"),
        ("not a url", ""),
        ("http://[broken", ""),
        ("", ""),
    ],
)
def test_urls_are_shown_without_what_may_be_secret(url: str, shown: str) -> None:
    assert shown_url(url) == shown
