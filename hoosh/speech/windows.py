"""A long recording, cut into windows at its quietest moments, so that it is never in memory as a whole.

    blocks of 16 kHz mono ──▶ windows of about a minute, each with its start

A window ends within its last seconds, where a fifth of a second is quieter than any other there: between two words.
Pure, for the child: it needs numpy.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

__all__ = ["RATE_HZ", "Samples", "Window", "Windows", "windows_of"]

RATE_HZ = 16_000
WINDOW_S = 60
"""The library cannot be stopped while it makes the spectrum of a window: a tenth of a second for such a one."""
LOOK_S = 15
"""A cut lies so far before the end of a full window, at most."""
PAUSE_SAMPLES = RATE_HZ // 5
SILENT = 1e-4
"""-80 dBFS: what never rises above it has nothing to be heard in it; whisper makes words up for it."""
LEAST_SAMPLES = RATE_HZ * 11 // 10
"""The library hears nothing in less than a second: what is shorter is followed by silence."""

Samples = NDArray[np.float32]


class Window(Struct, frozen=True):
    samples: Samples
    start_s: float

    @property
    def length_s(self) -> float:
        return len(self.samples) / RATE_HZ

    @property
    def is_silent(self) -> bool:
        return not len(self.samples) or float(np.abs(self.samples).max()) < SILENT

    def padded(self) -> Samples:
        """Long enough for the library."""
        missing = LEAST_SAMPLES - len(self.samples)
        return np.pad(self.samples, (0, missing)) if missing > 0 else self.samples


class Windows:
    """Holds less than one window and one block."""

    def __init__(self) -> None:
        self._kept = np.empty(WINDOW_S * RATE_HZ, np.float32)
        self._length = 0
        self._start = 0
        """Samples before the kept ones."""

    def feed(self, block: Samples) -> list[Window]:
        """The windows that this block fills."""
        found = []
        while len(block):
            room = len(self._kept) - self._length
            part, block = block[:room], block[room:]
            self._kept[self._length : self._length + len(part)] = part
            self._length += len(part)
            if self._length == len(self._kept):
                found.append(self._cut(_quietest(self._kept)))
        return found

    def close(self) -> Window | None:
        """What is left."""
        return self._cut(self._length) if self._length else None

    def _cut(self, at: int) -> Window:
        window = Window(self._kept[:at].copy(), self._start / RATE_HZ)
        left = self._length - at
        self._kept[:left] = self._kept[at : self._length].copy()
        self._length = left
        self._start += at
        return window


def windows_of(blocks: Iterable[Samples]) -> Iterator[Window]:
    """Whole recordings: a window is there as soon as its last block is."""
    windows = Windows()
    for block in blocks:
        yield from windows.feed(block)
    last = windows.close()
    if last is not None:
        yield last


def _quietest(samples: Samples) -> int:
    """Where to cut: the middle of the quietest pause near the end."""
    first = len(samples) - LOOK_S * RATE_HZ
    energy = np.cumsum(np.square(samples[first:], dtype=np.float64))
    pauses = energy[PAUSE_SAMPLES:] - energy[:-PAUSE_SAMPLES]
    return first + int(pauses.argmin()) + PAUSE_SAMPLES // 2
