"""The living upstreams, by name: what is open to each, and how it has been doing.

A request sees an upstream through two things only: `attempt(call, model)`, a context manager that yields an open
`Response`, and its dialect, which makes sense of the bytes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from types import TracebackType
from typing import Protocol

import msgspec
import trio

from hoosh.catalogue import ProviderType
from hoosh.dialects import echo
from hoosh.dialects.contract import UpstreamDialect
from hoosh.errors import HooshError
from hoosh.http.client import Pool, PoolStatistics, UpstreamExchange
from hoosh.http.deadlines import Timeouts
from hoosh.http.message import HeaderList, Headers, HttpRequest, Origin, RequestHead, Response
from hoosh.values import Call, ModelCard, ProviderState

__all__ = ["Attempt", "EchoUpstream", "Fleet", "HttpUpstream", "Pulse", "Upstream"]

SUSPECT_AFTER = 3
"""Failures in a row before an upstream is shown as unhealthy (reference, section 10)."""


class Attempt(Protocol):
    """One try at one upstream.  Leaving the block ends whatever is unfinished; `interrupt` makes it fail."""

    async def __aenter__(self) -> Response: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None: ...

    def interrupt(self, error: HooshError) -> None: ...


class Pulse:
    """What real requests and probes have said about one upstream.  Breakers come with a later room (health)."""

    __slots__ = ("failures", "last_error", "tried")

    def __init__(self) -> None:
        self.tried = False
        self.failures = 0
        self.last_error: str | None = None

    def well(self) -> None:
        self.tried, self.failures, self.last_error = True, 0, None

    def ill(self, reason: str) -> None:
        self.tried = True
        self.failures += 1
        self.last_error = reason

    @property
    def status(self) -> str:
        if not self.tried:
            return "unknown"
        return "unhealthy" if self.failures >= SUSPECT_AFTER else "healthy"


class Upstream(Protocol):
    """A member of the fleet."""

    name: str
    dialect: UpstreamDialect
    pulse: Pulse

    def attempt(self, call: Call, model: str, extra: HeaderList) -> Attempt: ...

    async def list_models(self) -> list[ModelCard]:
        """What it serves, as it says itself.  Waits; raises TransportError or UpstreamError."""
        ...

    def state(self) -> ProviderState: ...

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
    ) -> None:
        self.name = name
        self.kind = kind
        self.origin = origin
        self.base_path = base_path
        self.base_url = base_url
        self.pool = pool
        self.dialect = dialect
        self.timeouts = timeouts
        self.local = local
        self.patterns = patterns
        self.max_tokens_limit = max_tokens_limit
        self.pulse = Pulse()
        self._headers = tuple(headers)
        self._heads: dict[str, RequestHead] = {}

    def attempt(self, call: Call, model: str, extra: HeaderList) -> UpstreamExchange:
        if self.max_tokens_limit is not None:
            call = limit_tokens(call, self.max_tokens_limit)
        body = self.dialect.encode(call, model=model)
        request = HttpRequest(self._head("POST", self.dialect.path(call)), body, extra)
        return self.pool.exchange(request, self.timeouts)

    def _head(self, method: str, path: str) -> RequestHead:
        head = self._heads.get(path)
        if head is None:
            headers = (*self._headers, (b"content-type", b"application/json")) if method == "POST" else self._headers
            head = self._heads[path] = RequestHead(self.origin, method, self.base_path + path, headers)
        return head

    async def list_models(self) -> list[ModelCard]:
        request = HttpRequest(self._head("GET", "/v1/models"))
        timeouts = Timeouts(connect_s=self.timeouts.connect_s, first_byte_s=5.0, idle_s=5.0, total_s=10.0)
        status, headers, body = await self.pool.fetch(request, timeouts, max_bytes=MODEL_LIST_BYTES)
        if status >= 400:
            raise self.dialect.decode_error(status, headers.text(b"retry-after"), body, provider=self.name)
        return read_model_list(body, default_owner=self.name)

    def state(self) -> ProviderState:
        return ProviderState(
            name=self.name,
            type=self.kind.wire,
            base_url=self.base_url,
            local=self.local,
            status=self.pulse.status,
            consecutive_failures=self.pulse.failures,
            last_error=self.pulse.last_error,
            models=self.patterns,
        )

    def statistics(self) -> PoolStatistics | None:
        return self.pool.statistics()


MODEL_LIST_BYTES = 8 * 1024 * 1024
"""OpenRouter's list is about 650 kB."""


class _Listed(msgspec.Struct):
    id: str
    owned_by: str | None = None
    created: float | int | None = None


class _ModelList(msgspec.Struct):
    data: list[_Listed] | None = None


def read_model_list(body: bytes, *, default_owner: str) -> list[ModelCard]:
    """An OpenAI-shaped model list.  What does not read as one is an empty list."""
    try:
        listed = msgspec.json.decode(body, type=_ModelList).data or []
    except msgspec.DecodeError:
        return []
    return [ModelCard(item.id, item.owned_by or default_owner, int(item.created or 0)) for item in listed]


def limit_tokens(call: Call, limit: int) -> Call:
    """`call` asking for at most `limit` tokens, also where it names no number."""
    if call.max_tokens is not None and call.max_tokens <= limit:
        return call
    field = "max_completion_tokens" if "max_completion_tokens" in call.fields else "max_tokens"
    fields = {**call.fields, field: msgspec.Raw(str(limit).encode())}
    return msgspec.structs.replace(call, max_tokens=limit, fields=fields)


# -- the embedded provider ---------------------------------------------------------------------------------------


class EchoUpstream:
    """The provider in the house: no socket, but everything else of an upstream."""

    name = "echo"

    def __init__(self, dialect: UpstreamDialect) -> None:
        self.dialect = dialect
        self.pulse = Pulse()
        self.pulse.well()

    def attempt(self, call: Call, model: str, extra: HeaderList) -> EchoAttempt:
        return EchoAttempt(call)

    async def list_models(self) -> list[ModelCard]:
        return [ModelCard("echo", "hoosh")]

    def state(self) -> ProviderState:
        return ProviderState("echo", "echo", "", local=True, status="healthy", models=("echo",))

    def statistics(self) -> PoolStatistics | None:
        return None


class EchoAttempt:
    """An exchange with the echo: `Response` and its context manager in one."""

    __slots__ = ("_blocks", "_error", "ended", "headers", "status")

    def __init__(self, call: Call) -> None:
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
    """Upstreams by name, in the order they joined."""

    def __init__(self) -> None:
        self.members: dict[str, Upstream] = {}

    def join(self, upstream: Upstream) -> None:
        self.members[upstream.name] = upstream

    def leave(self, name: str) -> None:
        self.members.pop(name, None)

    def __getitem__(self, name: str) -> Upstream:
        return self.members[name]

    def __iter__(self) -> Iterator[Upstream]:
        return iter(list(self.members.values()))

    def __len__(self) -> int:
        return len(self.members)
