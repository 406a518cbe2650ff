"""What gateway and child say to each other, and how it is framed: a length of four bytes, then msgpack.

    gateway  Load ──▶ ──▶ Begin ──▶                        Abort ──▶
    child          Loaded │        Opened, Progress, Heard …        Stopped    (or Ended, where it was too late)
                   Failed │                       … Ended | Failed

One Begin is answered by exactly one of Ended, Stopped, Failed.  An Abort with nothing to stop means nothing.  The child
has read strangers' files: what it says is bounded and checked like a stranger's.
"""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec
from msgspec import Struct

from hoosh.speech.transcript import Segment, TranscriptOptions

__all__ = [
    "MAX_FRAME_BYTES",
    "ORDERS",
    "TOLD",
    "Abort",
    "Begin",
    "BrokenFrame",
    "Ended",
    "Failed",
    "Fault",
    "FrameDecoder",
    "Heard",
    "Load",
    "Loaded",
    "Opened",
    "Order",
    "Progress",
    "Stopped",
    "Told",
    "frame",
]

MAX_FRAME_BYTES = 4 * 1024 * 1024
PREFIX_BYTES = 4

Fault = str
"""Whose fault: `unsupported`, `invalid`, `too_long` (the file's), `model` (it cannot be loaded)."""


class Load(Struct, frozen=True, tag="load"):
    """The first order, and only once."""

    path: str
    threads: int


class Begin(Struct, frozen=True, tag="begin"):
    path: str
    options: TranscriptOptions
    max_audio_s: float


class Abort(Struct, frozen=True, tag="abort"):
    pass


class Loaded(Struct, frozen=True, tag="loaded"):
    rss_bytes: int


class Opened(Struct, frozen=True, tag="opened"):
    """The file is sound; `total_s` is what its header says."""

    total_s: float | None


class Progress(Struct, frozen=True, tag="progress"):
    """All until `at_s` has been listened to."""

    at_s: float
    language: str | None
    rss_bytes: int


class Heard(Struct, frozen=True, tag="heard"):
    segment: Segment


class Ended(Struct, frozen=True, tag="ended"):
    duration_s: float
    language: str | None
    rss_bytes: int


class Stopped(Struct, frozen=True, tag="stopped"):
    pass


class Failed(Struct, frozen=True, tag="failed"):
    fault: Fault
    message: str


Order = Load | Begin | Abort
Told = Loaded | Opened | Progress | Heard | Ended | Stopped | Failed
ORDERS: msgspec.msgpack.Decoder[Order] = msgspec.msgpack.Decoder(Order)
TOLD: msgspec.msgpack.Decoder[Told] = msgspec.msgpack.Decoder(Told)


class BrokenFrame(Exception):
    """The other side does not speak this language."""


def frame(message: Order | Told) -> bytes:
    body = msgspec.msgpack.encode(message)
    return len(body).to_bytes(PREFIX_BYTES, "big") + body


M = TypeVar("M")


class FrameDecoder(Generic[M]):
    """Bytes in, messages out, wherever the bytes are cut."""

    def __init__(self, messages: msgspec.msgpack.Decoder[M]) -> None:
        """`messages` is ORDERS or TOLD: what may come."""
        self._decode = messages.decode
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[M]:
        """Raises BrokenFrame."""
        rest = self._rest
        rest += data
        found: list[M] = []
        at = 0
        while len(rest) - at >= PREFIX_BYTES:
            length = int.from_bytes(rest[at : at + PREFIX_BYTES], "big")
            if length > MAX_FRAME_BYTES:
                raise BrokenFrame(f"a frame of {length} bytes")
            end = at + PREFIX_BYTES + length
            if len(rest) < end:
                break
            try:
                found.append(self._decode(bytes(rest[at + PREFIX_BYTES : end])))
            except msgspec.MsgspecError as error:
                raise BrokenFrame(str(error)) from None
            at = end
        del rest[:at]
        return found
