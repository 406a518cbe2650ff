"""What a client has been sent of a stream that broke, read as the client reads it, and how to go on from there.

    sent bytes ──SentStream.read──▶ ReplyEvents      what the client has understood
                         encoder ──▶ StreamEncoder   writes the rest: the ids of the first event, the block that is
                                                     open, the next number; nothing of the beginning a second time

Read is what has gone out, not what came in: whether it was an upstream's own bytes or translated ones, and whether a
tap left something out of them, makes no difference then.

Each language has its own `sent.py`; only text is ever gone on with.
"""

from __future__ import annotations

from typing import Protocol

from hoosh.dialects.contract import DownstreamDialect, Stamp, StreamEncoder
from hoosh.values import Call, ReplyEvent

__all__ = ["LANGUAGES", "SentStream", "sent_stream"]

LANGUAGES = frozenset({"openai", "responses", "anthropic", "ollama"})


class SentStream(Protocol):
    def read(self, sent: bytes) -> list[ReplyEvent]:
        """What whole events tell.  Given in the order in which they were sent."""
        ...

    def pause(self) -> bool:
        """The stream has broken here.  Can it be gone on with?  No after its end, and where it has a form that we
        could not go on with.  After a yes more may be read."""
        ...

    def encoder(self, downstream: DownstreamDialect, call: Call, stamp: Stamp, text: str) -> StreamEncoder:
        """One that goes on after `text`, which is all that has been said.  It counts its chunks from 0."""
        ...


def sent_stream(language: str) -> SentStream:
    """Raises LookupError for what is not among LANGUAGES."""
    match language:
        case "openai":
            from hoosh.dialects.openai.sent import SentChat

            return SentChat()
        case "responses":
            from hoosh.dialects.responses.sent import SentResponse

            return SentResponse()
        case "anthropic":
            from hoosh.dialects.anthropic.sent import SentMessage

            return SentMessage()
        case "ollama":
            from hoosh.dialects.ollama.sent import SentLines

            return SentLines()
        case _:
            raise LookupError(f"no language is called {language!r}")
