"""What a dialect is: functions from bytes to values and back.  Pure: no socket, no clock, no `await`.

Two roles.  *Downstream* we serve a dialect: read a request body into a `Call`, shape errors.  *Upstream* we call
it: write the body for an upstream, read its errors and its usage, and watch its stream go by.  Where both sides
speak the same dialect the relay passes bytes through a `StreamTap`, which decodes only what must be counted.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

from msgspec import Struct

from hoosh.errors import UpstreamError
from hoosh.values import Call, Usage

__all__ = ["Ending", "ReplyFacts", "StreamTap", "UpstreamDialect"]


class ReplyFacts(Struct, frozen=True):
    """What is counted of a whole reply.  `usage` is None where the upstream gave none."""

    usage: Usage | None = None
    model: str | None = None
    finish_reason: str | None = None


class Ending(StrEnum):
    """How a stream ended, as its tap saw it."""

    COMPLETE = "complete"
    """The terminator came, or the upstream closed after a finish reason for every choice."""
    CUT = "cut"
    """The bytes stopped before the reply was whole."""
    FAILED = "failed"
    """The upstream put an error into the stream: see `StreamTap.error`."""


class StreamTap(Protocol):
    """Sits on a stream of event bytes between two sides of one dialect.

    `feed` takes what one receive brought and gives back what may go on to the client: whole events only, byte for
    byte, without those that only we asked for (usage) and without an in-band error or the terminator (the relay
    writes its own).  Raises ProtocolViolation when one event passes the size limit.
    """

    usage: Usage | None
    chunks: int
    """Events passed on so far."""
    has_content: bool
    """Something of the answer itself (text, reasoning, a tool call) has gone by."""
    terminated: bool
    """The dialect's own terminator has been seen: no more bytes are needed."""
    error: UpstreamError | None

    def feed(self, data: bytes) -> bytes: ...

    def close(self) -> tuple[bytes, Ending]:
        """The upstream's body is over: what is left to pass on, and the verdict.  Call once."""
        ...


class UpstreamDialect(Protocol):
    """How an upstream is spoken to."""

    def path(self, call: Call) -> str:
        """The path below the provider's base URL."""
        ...

    def encode(self, call: Call, *, model: str) -> bytes:
        """The request body: the client's fields, with `model` and what hoosh must ask for put in."""
        ...

    def decode_error(self, status: int, retry_after: str | None, body: bytes, *, provider: str) -> UpstreamError:
        """An answer with `status` >= 400 as a typed error.  Never raises, whatever the body is."""
        ...

    def read_reply(self, body: bytes, *, provider: str) -> ReplyFacts:
        """Count a whole reply.  Raises UpstreamBroke when the body is not a reply at all."""
        ...

    def tap(self, call: Call, *, provider: str) -> StreamTap: ...

    def as_stream(self, call: Call, body: bytes) -> bytes:
        """A whole reply as the stream it should have been: for an upstream that ignored `stream`."""
        ...
