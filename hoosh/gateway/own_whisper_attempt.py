"""One transcription in the house, as an exchange with an upstream.

    attempt ──▶ 200, once something has been heard ──▶ events, or the whole `Transcript` as JSON
            └─▶ the status, and the words, that a server would have answered with

What the engine has against a request is an answer; what it cannot hear at all it does not answer, since somebody else
may; what breaks off later is a broken connection.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import TypeVar

import msgspec
import trio

from hoosh.dialects.audio import USUAL_MODEL
from hoosh.errors import (
    ConnectionBroke,
    HooshError,
    InvalidRequest,
    NoRoute,
    QueueFull,
    Refused,
    TransportTimeout,
    UnsupportedMedia,
)
from hoosh.http.message import HeaderList, Headers, Response
from hoosh.speech import STREAM_END, Segment, TranscriberDied, TranscriptOptions, delta_event, done_event
from hoosh.speech.engine import SpeechEngine
from hoosh.speech.transcription import Transcription
from hoosh.values import CallKind, FileRange, TranscriptionRequest

__all__ = ["WhisperAttempt"]

STATUSES: tuple[tuple[type[HooshError], int], ...] = (
    (NoRoute, 404),
    (UnsupportedMedia, 415),
    (InvalidRequest, 400),
    (QueueFull, 429),
    (Refused, 503),
)
"""The first that is true; anything else is 500."""
FAILURES = (InvalidRequest, Refused, TranscriberDied)
NOT_FOR_US = frozenset({"unsupported_media_type", "unsupported_language"})
"""Codes of what others may be able to hear."""

T = TypeVar("T")


class WhisperAttempt:
    """One transcription as an exchange: `Response` and its context manager in one."""

    connected_at = -math.inf

    def __init__(self, engine: SpeechEngine, request: TranscriptionRequest, within_s: float) -> None:
        self.status = 200
        self.headers = Headers([])
        self.ended = False
        self._engine = engine
        self._request = request
        self._within_s = within_s
        self._until_s = trio.current_time() + within_s
        self._running: AbstractAsyncContextManager[Transcription] | None = None
        self._transcription: Transcription
        self._scope = trio.CancelScope()
        """Of what is being waited for."""
        self._error: HooshError | None = None
        """It is to fail with this."""
        self._next = b""
        """Of the answer, and not yet received."""
        self._has_told = False

    async def __aenter__(self) -> Response:
        """Wait for the first of it.

        Raises TransportTimeout, the error of an interruption, and InvalidRequest for what cannot be heard here.
        """
        try:
            await self._within(self._begin)
        except BaseException as error:
            await self._leave(error)
            if error is self._error or not isinstance(error, FAILURES) or error.code in NOT_FOR_US:
                raise
            self._refuse(error)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._leave(error)

    def interrupt(self, error: HooshError) -> None:
        self._error = error
        self._scope.cancel()

    async def receive(self) -> bytes:
        """Raises ConnectionBroke, TransportTimeout, and the error of an interruption."""
        if not self._next and not self.ended:
            try:
                self._next = await self._within(self._listen)
            except FAILURES as error:
                if error is self._error:
                    raise
                raise ConnectionBroke(f"the transcription broke off ({error.code or 'error'})") from None
        else:
            await trio.lowlevel.checkpoint()
        piece, self._next = self._next, b""
        return piece

    async def read(self, max_bytes: int) -> bytes:
        """All of it; it is short beside what was said.  Raises as `receive`."""
        pieces: list[bytes] = []
        while piece := await self.receive():
            pieces.append(piece)
        return b"".join(pieces)

    # -- the transcription -----------------------------------------------------------------------------------------

    async def _begin(self) -> None:
        request = self._request
        file = request.file.data
        assert isinstance(file, FileRange), "the dialect takes files"
        model = None if request.model == USUAL_MODEL else request.model
        running = self._engine.transcribe(file.path, _options_of(request), model=model)
        self._transcription = await running.__aenter__()
        self._running = running
        self._next = await self._listen()
        media_type = b"text/event-stream" if request.stream else b"application/json"
        self.headers = Headers([(b"content-type", media_type)])

    async def _listen(self) -> bytes:
        """What comes next of the answer, b"" behind its end."""
        if self._request.stream:
            async for segment in self._transcription:
                return self._event(segment)
            self.ended = True
            return done_event(self._transcription.transcript) + STREAM_END
        transcript = await self._transcription.whole()
        self.ended = True
        return msgspec.json.encode(transcript)

    def _event(self, segment: Segment) -> bytes:
        is_first, self._has_told = not self._has_told, True
        return delta_event(segment, is_first=is_first)

    async def _within(self, wait: Callable[[], Awaitable[T]]) -> T:
        with trio.CancelScope(deadline=self._until_s) as self._scope:
            if self._error is None:  # it may have come between two waits
                return await wait()
        raise self._error or TransportTimeout("total", self._within_s)

    async def _leave(self, error: BaseException | None) -> None:
        running, self._running = self._running, None
        if running is not None:
            await running.__aexit__(None if error is None else type(error), error, None)

    # -- what went wrong -------------------------------------------------------------------------------------------

    def _refuse(self, error: HooshError) -> None:
        """Answer as a server would."""
        self.status = next((status for kind, status in STATUSES if isinstance(error, kind)), 500)
        told = {"message": str(error), "param": getattr(error, "param", None), "code": error.code}
        self._next, self.ended = msgspec.json.encode({"error": told}), True
        headers: HeaderList = [(b"content-type", b"application/json")]
        if isinstance(error, Refused) and error.retry_after_s is not None:
            headers = [*headers, (b"retry-after", b"%d" % math.ceil(error.retry_after_s))]
        if isinstance(error, TranscriberDied):  # a recording that has killed one child would kill the next
            headers = [*headers, (b"x-should-retry", b"false")]
        self.headers = Headers(headers)


def _options_of(request: TranscriptionRequest) -> TranscriptOptions:
    return TranscriptOptions(
        language=request.language,
        translate=request.kind is CallKind.TRANSLATION,
        prompt=request.prompt or "",
        temperature=float(request.temperature or 0),
        words="word" in request.granularities,
    )
