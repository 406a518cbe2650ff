"""A streamed answer, read as it comes: bytes in, pieces out, and what they have come to so far.  Nothing here waits.

    feed ──▶ ready pieces ──take──▶ the caller             [DONE] ──▶ whole
                 then                                      an error event ──▶ that GatewayError
                the end                                    the end without [DONE] ──▶ StreamCut

What came before an error is given out before it.  One event, and the whole stream, have a greatest size.
Source: OpenAI's API reference, "chat completion chunk"; product section 4 ("Mid-stream failure").
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from hoosh.client.errors import GatewayError, StreamCut, error_in_stream
from hoosh.client.inference import InferenceResponse, ToolCall
from hoosh.client.replies import attempts_of, cost_of, usage_of
from hoosh.codec.sse import SseDecoder
from hoosh.errors import HooshError, ProtocolViolation, ResponseTooLarge
from hoosh.values.usage import Usage

__all__ = ["Piece", "Telling", "ToolCallPiece"]

EVENT_BYTES = 16 * 1024 * 1024
STREAM_BYTES = 256 * 1024 * 1024
CALLS_MAX = 1024


class ToolCallPiece(Struct, frozen=True):
    """Part of a call: `id` and `name` come once, the arguments bit by bit."""

    index: int
    id: str = ""
    name: str = ""
    arguments_json: str = ""


class Piece(Struct, frozen=True):
    """What one event has brought.  `str(piece)` is its text."""

    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    tool_calls: tuple[ToolCallPiece, ...] = ()
    finish_reason: str | None = None
    index: int = 0
    """Of the choice, where several are asked for."""

    def __str__(self) -> str:
        return self.text


class _Function(Struct):
    name: str | None = None
    arguments: str | None = None


class _Call(Struct):
    index: int = 0
    id: str | None = None
    function: _Function = msgspec.field(default_factory=_Function)


class _Delta(Struct):
    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[_Call] | None = None


class _Choice(Struct):
    index: int = 0
    delta: _Delta | None = None
    text: str | None = None
    """Of a completion, which has no delta."""
    finish_reason: str | None = None


class _Chunk(Struct):
    choices: list[_Choice] = []
    model: str | None = None
    usage: dict[str, Any] | None = None
    error: Any = None


_decode = msgspec.json.Decoder(_Chunk).decode


class _CallSoFar:
    def __init__(self) -> None:
        self.id = self.name = ""
        self.arguments: list[str] = []

    def call(self) -> ToolCall:
        return ToolCall(self.id, self.name, "".join(self.arguments))


class Telling:
    """One stream.  What is told of it is that of its first choice."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers = headers
        self._decoder = SseDecoder(max_event_bytes=EVENT_BYTES)
        self._bytes = 0
        self._ready: deque[Piece] = deque()
        self._failure: HooshError | None = None
        self._texts: list[str] = []
        self._reasoning: list[str] = []
        self._refusals: list[str] = []
        self._calls: dict[int, _CallSoFar] = {}
        self.is_whole = False
        """Its terminator has come."""
        self.model = headers.get("x-hoosh-model", "")
        self.usage: Usage | None = None
        self.cost_usd: float | None = None
        self.finish_reason: str | None = None
        if not headers.get("content-type", "").lower().startswith("text/event-stream"):
            self._failure = ProtocolViolation("the answer is no stream; is this a hoosh gateway?")

    @property
    def is_over(self) -> bool:
        """Nothing more is wanted."""
        return self.is_whole or self._failure is not None

    @property
    def text(self) -> str:
        """What has been said until now."""
        return "".join(self._texts)

    @property
    def request_id(self) -> str:
        return self._headers.get("x-request-id", "")

    @property
    def provider(self) -> str:
        return self._headers.get("x-hoosh-provider", "")

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The calls as far as they have come."""
        return tuple(self._calls[index].call() for index in sorted(self._calls))

    def feed(self, data: bytes) -> None:
        """Never raises: `take` does, in its turn."""
        if self.is_over:
            return
        self._bytes += len(data)
        try:
            if self._bytes > STREAM_BYTES:
                raise ResponseTooLarge(STREAM_BYTES)
            for event in self._decoder.feed(data):
                self._hear(event.data)
        except HooshError as error:
            self._failure = error

    def close(self) -> None:
        """No more bytes will come."""
        if self.is_over:
            return
        try:
            for event in self._decoder.close():
                self._hear(event.data)
        except GatewayError as error:
            self._failure = error
        except HooshError:
            pass  # half an event is no nonsense: it was cut, too
        if not self.is_over:
            self._failure = StreamCut(self.request_id)

    def take(self) -> Piece | None:
        """The next piece; None while, or because, there is none.  Raises HooshError once all before it are taken."""
        if self._ready:
            return self._ready.popleft()
        if self._failure is not None:
            raise self._failure
        return None

    def response(self, took_s: float) -> InferenceResponse:
        """Everything together.  Raises RuntimeError before the end has come."""
        if not self.is_whole:
            raise RuntimeError("the stream has not been read to its end")
        return InferenceResponse(
            text=self.text,
            model=self.model,
            usage=self.usage or Usage(),
            tool_calls=self.tool_calls,
            provider=self.provider,
            latency_ms=round(took_s * 1000),
            finish_reason=self.finish_reason,
            reasoning="".join(self._reasoning),
            refusal="".join(self._refusals),
            cost_usd=self.cost_usd,
            request_id=self.request_id,
            cache=self._headers.get("x-hoosh-cache", ""),
            attempts=attempts_of(self._headers),
        )

    def _hear(self, data: str) -> None:
        if self.is_whole:
            return
        if data.strip() == "[DONE]":
            self.is_whole = True
            return
        try:
            chunk = _decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise ProtocolViolation("an event of the stream cannot be read") from None
        error = error_in_stream({"error": chunk.error}, self._headers)
        if error is not None:
            raise error
        self.model = chunk.model or self.model
        if chunk.usage is not None:
            self.usage, self.cost_usd = usage_of(chunk.usage), cost_of(chunk.usage)
        for choice in chunk.choices:
            piece = _piece(choice)
            if piece.index == 0:
                self._keep(piece)
            if piece != Piece(index=piece.index):  # the first event often says no more than who speaks
                self._ready.append(piece)

    def _keep(self, piece: Piece) -> None:
        for text, kept in (
            (piece.text, self._texts),
            (piece.reasoning, self._reasoning),
            (piece.refusal, self._refusals),
        ):
            if text:
                kept.append(text)
        self.finish_reason = piece.finish_reason or self.finish_reason
        for call in piece.tool_calls:
            if call.index not in self._calls and len(self._calls) == CALLS_MAX:
                raise ProtocolViolation("the answer calls too many tools")
            so_far = self._calls.setdefault(call.index, _CallSoFar())
            so_far.id = call.id or so_far.id
            so_far.name = call.name or so_far.name
            so_far.arguments.append(call.arguments_json)


def _piece(choice: _Choice) -> Piece:
    delta = choice.delta or _Delta()
    calls = tuple(
        ToolCallPiece(call.index, call.id or "", call.function.name or "", call.function.arguments or "")
        for call in delta.tool_calls or ()
    )
    return Piece(
        text=choice.text or delta.content or "",
        reasoning=delta.reasoning_content or delta.reasoning or "",
        refusal=delta.refusal or "",
        tool_calls=calls,
        finish_reason=choice.finish_reason,
        index=choice.index,
    )
