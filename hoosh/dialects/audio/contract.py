"""What an audio dialect is: sound requests as a provider takes them, and its answers as OpenAI would have given them.

Both encoders give ways to ask, the best first.  The next one is tried where the upstream does not know the path (404,
405): servers of one name have changed theirs.
"""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from hoosh.dialects.contract import Outgoing
from hoosh.values import SpeechRequest, TranscriptionRequest, Usage

__all__ = ["AudioDialect", "AudioReply"]


class AudioReply(Struct, frozen=True):
    """A whole answer, ready for the client."""

    body: bytes
    media_type: str
    usage: Usage | None = None


class InHouse(Outgoing, frozen=True, kw_only=True):
    """What an upstream in the house is asked: the request itself, whose sound lies in a file (a `FileRange`)."""

    request: TranscriptionRequest


class AudioDialect(Protocol):
    name: str
    takes_files: bool
    """The sound must lie in a file: it is read where it is.  Others take it as it comes."""

    def encode_transcription(self, request: TranscriptionRequest, *, model: str) -> tuple[Outgoing, ...]:
        """Raises InvalidRequest for what this provider cannot do."""
        ...

    def decode_transcription(
        self, request: TranscriptionRequest, media_type: str, body: bytes, *, provider: str
    ) -> AudioReply:
        """A whole answer.  Where a stream was asked for it is JSON.  Raises UpstreamError, UpstreamBroke."""
        ...

    def encode_speech(self, request: SpeechRequest, *, model: str) -> tuple[Outgoing, ...]:
        """Raises InvalidRequest for what this provider cannot do."""
        ...

    def wraps_speech(self, request: SpeechRequest, media_type: str) -> bool:
        """The answer is not the sound itself: it must be read whole and given to `decode_speech`."""
        ...

    def decode_speech(self, request: SpeechRequest, media_type: str, body: bytes, *, provider: str) -> AudioReply:
        """Raises UpstreamError, UpstreamBroke."""
        ...
