"""A streamed answer in the caller's hands: a context manager to walk through, in both faces.

    async with client.stream("salam", model="echo") as stream:         with client.stream(…) as stream:
        async for piece in stream:                                         for piece in stream:
            print(piece, end="")                                               print(piece, end="")
    print(stream.finish_reason, stream.usage)

Entering asks, with retries, until an answer begins; from then on nothing is asked again.  Leaving before the end closes
the connection.  The deadline counts while the stream waits, and never cancels the caller's own code.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

from hoosh.client.blocking import SyncBody, SyncCarrier
from hoosh.client.inference import InferenceResponse, ToolCall
from hoosh.client.question import Question
from hoosh.client.telling import Piece, Telling
from hoosh.client.waiting import AsyncBody, AsyncCarrier
from hoosh.values.usage import Usage

__all__ = ["ChatStream", "SyncChatStream"]


class _Told:
    """What has been told until now, and by whom."""

    _telling_now: Telling | None = None

    @property
    def _telling(self) -> Telling:
        if self._telling_now is None:
            raise RuntimeError("the stream has not been entered: `with client.stream(…) as stream`")
        return self._telling_now

    @property
    def text(self) -> str:
        return self._telling.text

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        return self._telling.tool_calls

    @property
    def usage(self) -> Usage | None:
        """Comes with the end; None before."""
        return self._telling.usage

    @property
    def cost_usd(self) -> float | None:
        return self._telling.cost_usd

    @property
    def finish_reason(self) -> str | None:
        return self._telling.finish_reason

    @property
    def is_whole(self) -> bool:
        """The answer has come to its own end."""
        return self._telling.is_whole

    @property
    def model(self) -> str:
        return self._telling.model

    @property
    def provider(self) -> str:
        return self._telling.provider

    @property
    def request_id(self) -> str:
        return self._telling.request_id


class ChatStream(_Told):
    """Of a HooshClient."""

    def __init__(self, carrier: AsyncCarrier, question: Question[None]) -> None:
        self._carrier = carrier
        self._question = question
        self._open: AsyncBody | None = None

    async def __aenter__(self) -> Self:
        if self._open is not None:
            raise RuntimeError("a stream can be entered once")
        self._open = await self._carrier.open(self._question)
        self._telling_now = Telling(self._open.headers)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._open is not None
        try:
            if kind is None and self._telling.is_whole:
                await self._open.linger()
        finally:
            await self._open.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Piece:
        """Raises GatewayError for an error in the stream, StreamCut for one that ends too early."""
        telling = self._telling
        assert self._open is not None
        while True:
            piece = telling.take()
            if piece is not None:
                return piece
            if telling.is_whole:
                raise StopAsyncIteration
            with self._carrier.in_time(self._open.attempts):
                data = await self._open.next()
            if data:
                telling.feed(data)
            else:
                telling.close()

    async def rest(self) -> InferenceResponse:
        """Read to the end, and give all of it."""
        async for _ in self:
            pass
        assert self._open is not None
        return self._telling.response(self._carrier.now_s() - self._open.asked_s)


class SyncChatStream(_Told):
    """Of a SyncHooshClient."""

    def __init__(self, carrier: SyncCarrier, question: Question[None]) -> None:
        self._carrier = carrier
        self._question = question
        self._open: SyncBody | None = None

    def __enter__(self) -> Self:
        if self._open is not None:
            raise RuntimeError("a stream can be entered once")
        self._open = self._carrier.open(self._question)
        self._telling_now = Telling(self._open.headers)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._open is not None
        self._open.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Piece:
        """Raises GatewayError for an error in the stream, StreamCut for one that ends too early."""
        telling = self._telling
        assert self._open is not None
        while True:
            piece = telling.take()
            if piece is not None:
                return piece
            if telling.is_whole:
                raise StopIteration
            data = self._open.next()
            if data:
                telling.feed(data)
            else:
                telling.close()

    def rest(self) -> InferenceResponse:
        """Read to the end, and give all of it."""
        for _ in self:
            pass
        assert self._open is not None
        return self._telling.response(self._carrier.now_s() - self._open.asked_s)
