"""One transcription on its way: its segments, in order, as they come; then the whole."""

from __future__ import annotations

from typing import Protocol, Self

from hoosh.errors import Unavailable
from hoosh.speech.faults import error_of
from hoosh.speech.frames import Ended, Failed, Heard, Opened, Progress, Told
from hoosh.speech.transcript import Segment, Transcript, TranscriptOptions

__all__ = ["Transcription"]


class _Speaker(Protocol):
    rss_bytes: int

    async def receive(self) -> Told: ...

    def kill(self) -> None: ...


class Transcription:
    """`async for segment in transcription`, or `await transcription.whole()`."""

    def __init__(self, child: _Speaker, options: TranscriptOptions, memory_bytes: int) -> None:
        self._child = child
        self._memory_bytes = memory_bytes
        self._segments: list[Segment] = []
        self.options = options
        self.language = options.language
        """A code; None until the model has found out."""
        self.total_s: float | None = None
        """How long the recording is, as its header says."""
        self.heard_s = 0.0
        """All until here has been listened to."""
        self.is_over = False
        """It has ended, and well."""
        self.is_running = False
        """The child is at it."""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Segment:
        """Raises InvalidRequest, UnsupportedMedia, Unavailable, TranscriberDied."""
        while self.is_running:
            match await self._child.receive():
                case Heard(segment):
                    self._segments.append(segment)
                    self.heard_s = max(self.heard_s, segment.end_s)
                    return segment
                case Opened(total_s):
                    self.total_s = total_s
                case Progress(at_s, language, rss_bytes):
                    self.heard_s, self.language = at_s, language
                    self._check_memory(rss_bytes)
                case Ended(duration_s, language):
                    self.heard_s, self.language = duration_s, language
                    self.is_running, self.is_over = False, True
                case Failed() as failed:
                    self.is_running = False
                    raise error_of(failed)
                case _:
                    self._child.kill()  # it has lost the thread
        raise StopAsyncIteration

    async def whole(self) -> Transcript:
        """Wait for the rest of it.  Raises as `__anext__`."""
        async for _ in self:
            pass
        return self.transcript

    @property
    def transcript(self) -> Transcript:
        """What has been heard until now; all of it, once the segments have come to their end."""
        return Transcript(self.language, self.heard_s, tuple(self._segments), self.options)

    def _check_memory(self, rss_bytes: int) -> None:
        if rss_bytes > self._memory_bytes:
            self._child.kill()
            self.is_running = False
            raise Unavailable("The transcription needs more memory than this gateway allows it.", code="out_of_memory")
