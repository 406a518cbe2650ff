"""A gateway between real sockets: a primary that fails as it is told, a fallback, and a client that believes nothing.

    async with faulty_house("openai", "anthropic") as house:
        heard = await house.ask("s08", stream=True)       # primary/s08, then fallback/plain
        heard.must_be_whole()
        assert house.primary.asked_for("s08")
        await house.must_be_at_rest()

The catalogue's baseline: two retries, 30 s for the first byte and for silence, one fallback; every time is scaled by
`SCALE`.  Nothing here measures time: `PATIENCE_S` only says when a test has failed.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import trio
from msgspec import Struct

from hoosh.api.serve import build_server
from hoosh.budget import PoolState
from hoosh.config import Alias, Budget, Config, Discovery, Health, Http2, Logging, Provider, Retry, Timeouts
from hoosh.errors import TransportError
from hoosh.gateway.account import Account
from hoosh.gateway.assembly import open_gateway
from hoosh.gateway.gateway import Gateway
from hoosh.http import deadlines
from hoosh.http.client import Pool
from hoosh.http.dial import SocketDialer
from hoosh.http.message import Header, Headers, HttpRequest, Origin, RequestHead
from hoosh.http.server import listen_tcp
from hoosh.testing.faults import FAULTS, WORDS, FaultyUpstream
from hoosh.values import Record
from hoosh.values.secret import Secret

SCALE = 1 / 30
PATIENCE_S = 60.0
CHAT = "/v1/chat/completions"
TEXT = "".join(WORDS)
CAPACITY = 1_000_000
LINE_END = re.compile(r"\r\n|\n|\r")
TYPES = {"openai": "openai-compatible", "anthropic": "anthropic", "ollama": "ollama"}

SAME = [("openai", "openai"), ("anthropic", "anthropic"), ("ollama", "ollama")]
PAIRS = [*SAME, ("openai", "anthropic")]
"""The languages of primary and fallback."""


class Heard(Struct):
    """What a client has got, and what it makes of it."""

    stream: bool
    status: int
    headers: Headers
    body: bytes = b""
    broke: str | None = None
    """The response did not come to its own end."""

    def header(self, name: str) -> str | None:
        return self.headers.text(name.encode())

    @property
    def by(self) -> tuple[str | None, str | None, str | None]:
        """Provider, model and attempts, as the headers say."""
        return self.header("x-hoosh-provider"), self.header("x-hoosh-model"), self.header("x-hoosh-attempts")

    @property
    def data(self) -> list[str]:
        """Of each event of a stream: WHATWG HTML, section 9.2.6, as far as it matters here."""
        found: list[str] = []
        pieces: list[str] = []
        for line in [*LINE_END.split(self.body.decode(errors="replace")), ""]:
            if line.startswith("data:"):
                pieces.append(line.removeprefix("data:").strip())
            elif not line and pieces:
                found.append("\n".join(pieces))
                pieces.clear()
        return found

    @property
    def values(self) -> list[dict[str, Any]]:
        """Every JSON object that has come; of an answer that is not streamed the one that there is."""
        if not self.stream or self.status != 200:
            return [json.loads(self.body)]
        return [json.loads(data) for data in self.data if data != "[DONE]"]

    @property
    def choices(self) -> list[dict[str, Any]]:
        return [choice for value in self.values for choice in value.get("choices", ())]

    @property
    def text(self) -> str:
        said = [choice.get("delta") or choice.get("message") or {} for choice in self.choices]
        return "".join([piece.get("content") or "" for piece in said])

    @property
    def finish(self) -> str | None:
        return next((choice["finish_reason"] for choice in self.choices if choice.get("finish_reason")), None)

    @property
    def usage(self) -> dict[str, int] | None:
        found = [value["usage"] for value in self.values if value.get("usage")]
        return found[-1] if found else None

    @property
    def models(self) -> set[str]:
        return {value["model"] for value in self.values if value.get("model")}

    @property
    def error(self) -> dict[str, Any] | None:
        return next((value["error"] for value in self.values if value.get("error")), None)

    @property
    def is_done(self) -> bool:
        """A client takes this for a whole answer."""
        if not self.stream:
            return self.status == 200 and self.finish is not None
        return self.status == 200 and (self.finish is not None or "[DONE]" in self.data)

    def must_be_whole(self, text: str = TEXT) -> None:
        """Word for word, ended once, and counted."""
        assert self.status == 200, (self.status, self.body)
        assert self.error is None, self.error
        assert self.broke is None, self.broke
        assert self.text == text, f"not word for word:\n{self.text}"
        assert self.finish == "stop", self.body[-500:]
        assert len([choice for choice in self.choices if choice.get("finish_reason")]) == 1, "ended twice"
        assert {choice.get("index") for choice in self.choices} == {0}, "more than one choice"
        assert self.usage is not None, "nobody has counted"
        assert self.usage["prompt_tokens"] > 0
        assert self.usage["completion_tokens"] > 0
        if self.stream:
            assert self.data.count("[DONE]") == 1, "ended twice, or never"
            assert self.data[-1] == "[DONE]", "something comes after the end"

    def must_be_an_error(self, *, status: int | None = None) -> None:
        """Clear, and not to be taken for an answer."""
        assert not self.is_done, f"passed off as whole: {self.body[-500:]!r}"
        assert self.error is not None, f"no error: {self.body[-500:]!r}"
        assert self.error["message"], "an error without a word"
        assert TEXT.startswith(self.text), f"not what was said:\n{self.text}"
        if status is not None:
            assert self.status == status, self.body

    def must_not_lie(self) -> None:
        """Whole, or a clear error."""
        if self.is_done:
            self.must_be_whole()
        else:
            self.must_be_an_error()


class FaultyHouse:
    """What a test holds of it."""

    def __init__(self, gateway: Gateway, primary: FaultyUpstream, fallback: FaultyUpstream, client: Pool) -> None:
        self.gateway = gateway
        self.primary = primary
        self.fallback = fallback
        self.client = client

    async def ask(self, model: str, *, stream: bool, headers: Sequence[Header] = (), **fields: Any) -> Heard:
        messages = [{"role": "user", "content": "Tell me all of it."}]
        body: dict[str, Any] = {"model": model, "messages": messages, "stream": stream, **fields}
        if stream:
            body["stream_options"] = {"include_usage": True}
        head = RequestHead(self.client.origin, "POST", CHAT, ((b"content-type", b"application/json"), *headers))
        timeouts = deadlines.Timeouts(PATIENCE_S, PATIENCE_S, PATIENCE_S, None)
        async with self.client.exchange(HttpRequest(head, json.dumps(body).encode()), timeouts) as response:
            heard = Heard(stream, response.status, response.headers)
            try:
                while data := await response.receive():
                    heard.body += data
            except TransportError as error:
                heard.broke = str(error)
            return heard

    @property
    def asked(self) -> list[tuple[str, str]]:
        """Who was asked for which model, in the order of time."""
        both = [("primary", asked) for asked in self.primary.asked] + [("fallback", a) for a in self.fallback.asked]
        return [(name, asked.model) for name, asked in sorted(both, key=lambda one: one[1].at_s)]

    async def must_live(self) -> None:
        """A plain request works, at the same primary; then nothing is left of any."""
        before = len(self.primary.asked)
        heard = await self.ask("plain", stream=True)
        heard.must_be_whole("".join(self.primary.words))
        assert heard.by == ("primary", "plain", "1"), "a model's fault has become its provider's"
        assert len(self.primary.asked) == before + 1
        await self.must_be_at_rest()

    async def must_be_at_rest(self) -> None:
        """No request, no hold, no upstream exchange is left."""
        with trio.move_on_after(PATIENCE_S):
            while self.remains():
                await trio.sleep(0.005)
        assert not self.remains()

    def remains(self) -> dict[str, object]:
        return remains_of(self.gateway, self.primary, self.fallback)

    def records(self) -> list[Record]:
        """Every Record from now on, as soon as its request is over."""
        return records_of(self.gateway)

    @property
    def used(self) -> int:
        """What the budget has paid, in tokens."""
        return pool_of(self.gateway).used


def pool_of(gateway: Gateway) -> PoolState:
    [pool] = [pool for pool in gateway.books.ledger.pools(gateway.books.now_ms()) if pool.name == "default"]
    return pool


def remains_of(gateway: Gateway, *upstreams: FaultyUpstream) -> dict[str, object]:
    """What there is left of requests: nothing, once all are over."""
    found: dict[str, object] = {"in flight": len(gateway.in_flight), "held": pool_of(gateway).held}
    for member in gateway.fleet:
        if (connections := member.statistics()) is not None:
            found[f"{member.name}: active"] = connections.active
            found[f"{member.name}: waiting"] = connections.waiting
    for upstream in upstreams:
        unfinished = [one for one in upstream.requests if not one.answered and one.cancelled_at is None]
        found[f"{upstream.voice.name}: unfinished"] = unfinished
    return {what: left for what, left in found.items() if left}


def records_of(gateway: Gateway) -> list[Record]:
    """Every Record from now on, as soon as its request is over."""
    kept: list[Record] = []
    put = gateway.recorder.put

    def keep(account: Account) -> None:
        put(account)
        kept.append(account.record())

    gateway.recorder.put = keep  # type: ignore[method-assign]
    return kept


@asynccontextmanager
async def faulty_house(
    primary: str = "openai",
    fallback: str = "openai",
    *,
    aliases: Sequence[Alias] = (),
    words: Sequence[str] = WORDS,
    timeouts: Timeouts | None = None,
    **changes: Any,
) -> AsyncIterator[FaultyHouse]:
    """`primary` and `fallback` are the languages they speak.

    Each fault is a model: `s04` is asked of the primary, then `plain` of the fallback; `alone-s04` of the primary only.
    `aliases` come before these.
    """
    first = FaultyUpstream(primary, scale=SCALE, words=words)
    second = FaultyUpstream(fallback, scale=SCALE, words=words)
    limit_s = timeouts or Timeouts(first_byte_s=30 * SCALE, first_token_s=12 * SCALE, idle_s=30 * SCALE)
    with plain_failures():
        async with trio.open_nursery() as nursery:
            ports = [await nursery.start(upstream.serve_tcp) for upstream in (first, second)]
            providers = (
                provider("primary", primary, f"127.0.0.1:{ports[0]}", limit_s),
                provider("fallback", fallback, f"127.0.0.1:{ports[1]}", limit_s),
            )
            async with open_gateway(config_of(providers, aliases, **changes), environ={}) as gateway:
                client = await open_door(gateway, nursery)
                yield FaultyHouse(gateway, first, second, client)
            nursery.cancel_scope.cancel(reason="the test is over")


async def open_door(gateway: Gateway, nursery: trio.Nursery) -> Pool:
    """Our own server before the gateway, for inference alone; and a client of it."""
    server, _ = build_server(gateway)
    [listener] = listen_tcp("127.0.0.1", 0)
    await nursery.start(server.run, [listener])
    client = Pool(Origin("http", "127.0.0.1", listener.getsockname()[1]), dialer=SocketDialer(), http2="off")
    await nursery.start(client.run)
    return client


@contextmanager
def plain_failures() -> Iterator[None]:
    """What a test asserts within nurseries comes out as it was raised: it is to be read."""
    try:
        yield
    except BaseExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        raise error from None


def provider(name: str, language: str, address: str, timeouts: Timeouts) -> Provider:
    return Provider(
        type=TYPES[language],
        name=name,
        base_url=f"http://{address}",
        api_key=Secret("sk-of-a-fake"),
        timeouts=timeouts,
        http2=Http2.OFF,
    )


def config_of(providers: tuple[Provider, ...], aliases: Sequence[Alias], **changes: Any) -> Config:
    named = {alias.name: alias for alias in (*standing_aliases(), *aliases)}
    settings: dict[str, Any] = {
        "retry": Retry(max_retries=2, base_delay_ms=int(500 * SCALE), max_delay_ms=1000, wait_out_s=3 * SCALE),
        "health": Health(interval_secs=0, open_s=10 * SCALE, window_s=30 * SCALE),
        "budgets": (Budget(name="default", capacity=CAPACITY),),
        "discovery": Discovery(local=False, environment=False),
        "logging": Logging(level="error"),
        **changes,
    }
    return Config(providers=providers, models=tuple(named.values()), **settings)


def standing_aliases() -> list[Alias]:
    each = [Alias(name=name, targets=(f"primary/{name}", "fallback/plain")) for name in (*FAULTS, "plain")]
    alone = [Alias(name=f"alone-{name}", targets=(f"primary/{name}",)) for name in FAULTS]
    return [*each, *alone]


def prefill(name: str, *targets: str) -> Alias:
    """All of `targets` take a trailing assistant message, as their owner says."""
    return Alias(name=name, targets=targets, capabilities=("prefill",))  # type: ignore[arg-type]


def no_prefill(name: str, *targets: str) -> Alias:
    """None of them does, and their owner says so."""
    return Alias(name=name, targets=targets, capabilities=())
