"""Sound requests in our own words: speech to text, and text to speech."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Raw, Struct

from hoosh.values.body import FileRange
from hoosh.values.call import CallKind

__all__ = ["FormPart", "SpeechRequest", "TranscriptionRequest"]


class FormPart(Struct, frozen=True):
    """One field of a form.  `data` may be a view of the body it came in, or lie in a file: a file is not copied."""

    name: str
    data: bytes | memoryview | FileRange
    filename: str | None = None
    media_type: str | None = None

    @property
    def text(self) -> str:
        """What lies in a file is not text."""
        return "" if isinstance(self.data, FileRange) else bytes(self.data).decode("utf-8", "replace")


class TranscriptionRequest(Struct, frozen=True):
    """Write down what is said in `file`, in its own language or (kind TRANSLATION) in English.

    `parts` are all fields as the client sent them, in order, the file among them: an upstream that speaks OpenAI's
    language gets them as they are.  The rest is what others must understand.
    """

    kind: CallKind
    model: str
    file: FormPart
    parts: tuple[FormPart, ...]
    response_format: str = "json"
    """`json`, `text`, `srt`, `verbose_json`, `vtt`, `diarized_json`."""
    language: str | None = None
    prompt: str | None = None
    temperature: str | None = None
    """A number, as it was written."""
    granularities: tuple[str, ...] = ()
    """`word`, `segment`."""
    stream: bool = False
    length_ms: int | None = None
    """Of the recording, as its header says; None where it says nothing that can be trusted."""


class SpeechRequest(Struct, frozen=True):
    """Say `input`.  `fields` are all of the body, each value byte for byte."""

    model: str
    input: str
    fields: Mapping[str, Raw]
    voice: str | None = None
    """None where it is none, or an object that only its provider knows."""
    response_format: str | None = None
    """`mp3`, `opus`, `aac`, `flac`, `wav`, `pcm`; None where the client has not said: mp3."""
    speed: float | None = None
    events: bool = False
    """`stream_format: sse`: audio as base64 in events."""
    provider: str | None = None
    pool: str | None = None
