"""The living upstreams, by name: what is open to each, and how it has been doing.

A request sees an upstream through two things only: `attempt(outgoing)`, a context manager that yields an open
`Response`, and its dialect, which makes sense of the bytes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import Protocol

import trio
from msgspec.structs import replace

from hoosh.catalogue import ProviderType, merge_facts
from hoosh.config.address import is_loopback_host
from hoosh.dialects import echo
from hoosh.dialects.audio import AudioDialect, audio_dialect
from hoosh.dialects.contract import Outgoing, UpstreamDialect
from hoosh.dialects.openai import (
    CHAT_PATH,
    COMPLETION_PATH,
    EMBEDDING_PATH,
    read_chat,
    read_completion,
    read_embedding,
)
from hoosh.dialects.paths import join_base
from hoosh.errors import HooshError, TransportError
from hoosh.health import Condition
from hoosh.http.client import Pool, PoolStatistics, UpstreamExchange
from hoosh.http.deadlines import Timeouts
from hoosh.http.message import HeaderList, Headers, HttpRequest, Origin, RequestHead, Response
from hoosh.values import Call, ModelCard, ModelFacts, ModelSize, ProviderState

__all__ = ["Attempt", "EchoUpstream", "Fleet", "HttpUpstream", "Upstream"]


class Attempt(Protocol):
    """One try at one upstream.  Leaving the block ends whatever is unfinished; `interrupt` makes it fail."""

    connected_at: float
    """When it had its connection, on Trio's clock; minus infinity before, and where it needs none."""

    async def __aenter__(self) -> Response: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None: ...

    def interrupt(self, error: HooshError) -> None: ...


class Upstream(Protocol):
    """A member of the fleet."""

    name: str
    type_name: str
    """Its provider type's wire name."""
    local: bool
    """On the owner's own machines."""
    dialect: UpstreamDialect
    audio: AudioDialect | None
    """In which sound is sent to it, and asked of it; None where it neither listens nor speaks."""
    max_tokens_limit: int | None
    first_token_s: float
    """From an attempt's beginning to the first content of a stream, while somebody else could be asked."""
    lacks: set[str]
    """Languages that its dialect has and that it turned out not to answer in."""

    def attempt(self, outgoing: Outgoing, left_s: float | None = None) -> Attempt:
        """`left_s` is what the whole request may still take, where that is less than usual."""
        ...

    async def list_models(self) -> list[ModelCard]:
        """What it serves, as it says itself.  Waits; raises TransportError or UpstreamError."""
        ...

    async def probe(self) -> None:
        """Is it there?  Waits a few seconds at most; raises TransportError or UpstreamError where it is not."""
        ...

    def state(self, condition: Condition) -> ProviderState: ...

    def statistics(self) -> PoolStatistics | None: ...


class HttpUpstream:
    """A provider behind HTTP: a pool of connections, prepared request heads, deadlines."""

    def __init__(
        self,
        name: str,
        kind: ProviderType,
        *,
        origin: Origin,
        base_path: str,
        base_url: str,
        headers: HeaderList,
        pool: Pool,
        dialect: UpstreamDialect,
        timeouts: Timeouts,
        local: bool,
        patterns: tuple[str, ...] = (),
        max_tokens_limit: int | None = None,
        first_token_s: float = math.inf,
        accelerator_bytes: int | None = None,
    ) -> None:
        self.name = name
        self.kind = kind
        self.type_name = kind.wire
        self.origin = origin
        self.base_path = base_path
        self.base_url = base_url
        self.pool = pool
        self.dialect = dialect
        self.audio = audio_dialect(kind.wire)
        self.timeouts = timeouts
        self.local = local
        self.patterns = patterns
        self.max_tokens_limit = max_tokens_limit
        self.first_token_s = first_token_s
        self.accelerator_bytes = accelerator_bytes
        """Memory that its models have, by the owner's word."""
        self.lacks: set[str] = set()
        self._facts: dict[str, ModelFacts] = {}
        self._headers = tuple(headers)
        self._heads: dict[tuple[str, str, bool], RequestHead] = {}
        self._open = trio.CancelScope()

    def attempt(self, outgoing: Outgoing, left_s: float | None = None) -> UpstreamExchange:
        timeouts = self.timeouts
        if left_s is not None and (timeouts.total_s is None or left_s < timeouts.total_s):
            timeouts = replace(timeouts, total_s=left_s)
        return self.pool.exchange(self._request(outgoing), timeouts)

    def _request(self, outgoing: Outgoing) -> HttpRequest:
        is_json = outgoing.method == "POST"
        for name, _ in outgoing.headers:
            if name == b"content-type":
                is_json = False
        return HttpRequest(self._head(outgoing.method, outgoing.path, is_json), outgoing.body, outgoing.headers)

    def _head(self, method: str, path: str, is_json: bool) -> RequestHead:
        head = self._heads.get((method, path, is_json))
        if head is None:
            headers = (*self._headers, (b"content-type", b"application/json")) if is_json else self._headers
            head = RequestHead(self.origin, method, join_base(self.base_path, path), headers)
            if len(self._heads) < HEADS_KEPT:  # Gemini has the model in the path
                self._heads[method, path, is_json] = head
        return head

    async def list_models(self) -> list[ModelCard]:
        outgoing = self.dialect.models_request()
        if outgoing is None:
            return []
        timeouts = Timeouts(connect_s=self.timeouts.connect_s, first_byte_s=5.0, idle_s=5.0, total_s=10.0)
        status, headers, body = await self.pool.fetch(self._request(outgoing), timeouts, max_bytes=MODEL_LIST_BYTES)
        if status >= 400:
            raise self.dialect.decode_error(status, headers.text(b"retry-after"), body, provider=self.name)
        cards = self.dialect.read_models(body, default_owner=self.name)
        await self._learn_facts([card for card in cards if not card.facts.source][:FACTS_ASKED])
        shown = self._facts
        return [replace(card, facts=merge_facts(card.facts, shown.get(card.id, NOTHING_KNOWN))) for card in cards]

    async def _learn_facts(self, cards: list[ModelCard]) -> None:
        """Ask for what the list has left out, once a model.  Whoever does not answer soon is not waited for: at most
        FACTS_S, and half of the time that whoever wants the list has left, so that it does not go with the facts."""
        asked = [(card.id, self.dialect.facts_request(card)) for card in cards if card.id not in self._facts]
        limit = trio.CapacityLimiter(FACTS_AT_ONCE)
        left_s = trio.current_effective_deadline() - trio.current_time()
        with trio.move_on_after(min(FACTS_S, max(0.0, left_s / 2))):
            async with trio.open_nursery() as nursery:
                for model, outgoing in asked:
                    if outgoing is not None:
                        nursery.start_soon(self._learn_fact, model, outgoing, limit)

    async def _learn_fact(self, model: str, outgoing: Outgoing, limit: trio.CapacityLimiter) -> None:
        timeouts = Timeouts(self.timeouts.connect_s, FACTS_S, FACTS_S, FACTS_S)
        async with limit:
            try:
                status, _, body = await self.pool.fetch(self._request(outgoing), timeouts, max_bytes=MODEL_LIST_BYTES)
            except TransportError:
                return
        if status == 200:
            self._facts[model] = self.dialect.read_facts(body)

    async def memory(self) -> dict[str, ModelSize]:
        """Which models it has in memory, as it says itself; {} of one that cannot be asked.

        Waits a few seconds at most; raises TransportError.
        """
        outgoing = self.dialect.memory_request()
        if outgoing is None:
            return {}
        timeouts = Timeouts(min(self.timeouts.connect_s, FACTS_S), FACTS_S, FACTS_S, FACTS_S)
        status, _, body = await self.pool.fetch(self._request(outgoing), timeouts, max_bytes=MODEL_LIST_BYTES)
        return self.dialect.read_memory(body) if status == 200 else {}

    async def probe(self) -> None:
        """Ask for the model list, with the account's key: nobody bills for that.  Where there is none any page will
        do, and any answer: a server without a list is as well as one that has one.
        """
        outgoing = self.dialect.models_request()
        timeouts = Timeouts(min(self.timeouts.connect_s, PROBE_S), PROBE_S, PROBE_S, PROBE_S)
        async with self.pool.exchange(self._request(outgoing or ANY_PAGE), timeouts) as response:
            if outgoing is None and response.status < 500:
                return
            if response.status >= 400:
                retry_after, body = response.headers.text(b"retry-after"), await response.read(PROBE_BYTES)
                raise self.dialect.decode_error(response.status, retry_after, body, provider=self.name)
            received = 0  # read to its end, a connection can be kept; but a long list is not worth that
            while received < PROBE_BYTES and (data := await response.receive()):
                received += len(data)

    def state(self, condition: Condition) -> ProviderState:
        return ProviderState(
            name=self.name,
            type=self.kind.wire,
            base_url=self.base_url,
            local=self.local,
            status=condition.status,
            breakers=condition.breakers,
            consecutive_failures=condition.consecutive_failures,
            last_error=condition.last_error,
            last_check_age_s=condition.checked_ago_s,
            models=self.patterns,
            capabilities=tuple(sorted(self.dialect.capabilities)),
        )

    @property
    def passes_on(self) -> bool:
        """It may send on what it is asked: only its list tells which of its models run elsewhere."""
        return self.kind.dialect == "ollama"

    @property
    def is_here(self) -> bool:
        """On this very machine, as far as its address tells."""
        return self.local and (self.origin.unix_path is not None or is_loopback_host(self.origin.host))

    def statistics(self) -> PoolStatistics | None:
        return self.pool.statistics()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep the connections to it, until `close`."""
        with self._open:
            await self.pool.run(task_status=task_status)

    def close(self) -> None:
        """Every connection ends.  Whoever still asks gets ConnectFailed."""
        self._open.cancel(reason="the upstream has left")


NOTHING_KNOWN = ModelFacts()
MODEL_LIST_BYTES = 8 * 1024 * 1024
"""OpenRouter's list is about 650 kB."""
FACTS_ASKED = 64
FACTS_AT_ONCE = 4
FACTS_S = 3.0
"""How many models of a list are asked about, and how long that may take together."""
ANY_PAGE = Outgoing("/", method="GET")
PROBE_S = 4.0
PROBE_BYTES = 64 * 1024
HEADS_KEPT = 256
"""Prepared request heads of one upstream, by path."""


# -- the embedded provider ---------------------------------------------------------------------------------------


LISTENERS = {CHAT_PATH: read_chat, COMPLETION_PATH: read_completion, EMBEDDING_PATH: read_embedding}


class EchoUpstream:
    """The provider in the house: no socket, but everything else of an upstream."""

    name = "echo"
    type_name = "echo"
    local = True
    audio: AudioDialect | None = None
    max_tokens_limit: int | None = None
    first_token_s = math.inf

    def __init__(self, dialect: UpstreamDialect) -> None:
        self.dialect = dialect
        self.lacks: set[str] = set()

    def attempt(self, outgoing: Outgoing, left_s: float | None = None) -> EchoAttempt:
        return EchoAttempt(LISTENERS[outgoing.path](outgoing.body))  # type: ignore[arg-type]  # only sound is in pieces

    async def list_models(self) -> list[ModelCard]:
        return [ModelCard("echo", "hoosh")]

    async def probe(self) -> None:
        """It is always there."""
        await trio.lowlevel.checkpoint()

    def state(self, condition: Condition) -> ProviderState:
        return ProviderState("echo", "echo", "", local=True, status="healthy", models=("echo",))

    def statistics(self) -> PoolStatistics | None:
        return None


class EchoAttempt:
    """An exchange with the echo: `Response` and its context manager in one."""

    __slots__ = ("_blocks", "_error", "connected_at", "ended", "headers", "status")

    def __init__(self, call: Call) -> None:
        self.connected_at = -math.inf
        self.status = 200
        self.ended = True  # what it has not said yet it need not say
        kind = b"text/event-stream" if call.stream else b"application/json"
        self.headers = Headers([(b"content-type", kind)])
        created = int(time.time())
        request_id = f"echo-{time.time_ns():x}"
        self._blocks: Iterator[bytes] = (
            echo.stream_chunks(call, request_id=request_id, created=created)
            if call.stream
            else iter([echo.reply(call, request_id=request_id, created=created)])
        )
        self._error: HooshError | None = None

    async def __aenter__(self) -> Response:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        return None

    def interrupt(self, error: HooshError) -> None:
        self._error = error

    async def receive(self) -> bytes:
        await trio.lowlevel.checkpoint()
        if self._error is not None:
            raise self._error
        return next(self._blocks, b"")

    async def read(self, max_bytes: int) -> bytes:
        await trio.lowlevel.checkpoint()
        return b"".join(self._blocks)


class Fleet:
    """Upstreams by name, in the order they joined.

    `members` is never changed but replaced: a request keeps those that were there when it came, and may ask them
    until it ends.
    """

    def __init__(self) -> None:
        self.members: Mapping[str, Upstream] = {}
        self.departed: dict[str, Upstream] = {}
        """Those that have left, of each name the last, while requests may still ask them."""

    def join(self, upstream: Upstream) -> None:
        self.members = {**self.members, upstream.name: upstream}

    def leave(self, name: str) -> None:
        self.members = {other: upstream for other, upstream in self.members.items() if other != name}

    def become(self, upstreams: Iterable[Upstream]) -> list[Upstream]:
        """These and no others.  Returns those that have left, one who has been replaced by another among them."""
        before, self.members = self.members, {upstream.name: upstream for upstream in upstreams}
        left = [upstream for name, upstream in before.items() if self.members.get(name) is not upstream]
        self.departed.update((upstream.name, upstream) for upstream in left)
        return left

    def known(self, name: str) -> Upstream | None:
        """Also one that has left."""
        return self.members.get(name) or self.departed.get(name)

    def __getitem__(self, name: str) -> Upstream:
        return self.members[name]

    def __iter__(self) -> Iterator[Upstream]:
        return iter(list(self.members.values()))

    def __len__(self) -> int:
        return len(self.members)
