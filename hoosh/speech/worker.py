"""The child: `python -m hoosh.speech.worker`.  It loads one model and transcribes one file after the other.

    main thread     orders, one by one: load, then begin, begin, …
    reader thread   stdin: hands orders on; an abort raises a flag at once; the end of stdin ends the process

What a stranger's file or a broken model makes of native code happens here.  The real stdout belongs to the frames
(`frames.py`): what the libraries print goes to stderr, and the gateway keeps the last of it.
"""

from __future__ import annotations

import faulthandler
import os
import resource
import signal
import sys
import threading
from contextlib import closing, suppress
from queue import SimpleQueue

from hoosh.speech.frames import (
    ORDERS,
    Abort,
    Begin,
    BrokenFrame,
    Ended,
    Failed,
    FrameDecoder,
    Heard,
    Load,
    Loaded,
    Opened,
    Progress,
    Stopped,
    Told,
    frame,
)
from hoosh.speech.listener import Listener
from hoosh.speech.recogniser import LibraryFailed, Recogniser
from hoosh.speech.sound import BadSound, Sound
from hoosh.speech.transcript import Segment
from hoosh.speech.windows import windows_of

__all__ = ["main"]

NICENESS = 10
"""The gateway's event loop comes first."""
READ_BYTES = 64 * 1024


class Worker:
    """Says what it hears through `out`, a file descriptor."""

    def __init__(self, out: int) -> None:
        self._out = out
        self._orders: SimpleQueue[Load | Begin] = SimpleQueue()
        self._aborted = threading.Event()
        self._recogniser: Recogniser | None = None

    def run(self) -> None:
        """Never returns: the end of stdin ends the process."""
        threading.Thread(target=self._read_orders, daemon=True).start()
        while True:
            order = self._orders.get()
            self._say(self._load(order) if isinstance(order, Load) else self._transcribe(order))

    def _read_orders(self) -> None:
        decoder = FrameDecoder(ORDERS)
        with suppress(OSError, BrokenFrame):
            while data := os.read(0, READ_BYTES):
                for order in decoder.feed(data):
                    if isinstance(order, Abort):
                        self._aborted.set()
                    elif isinstance(order, Load | Begin):
                        self._aborted.clear()
                        self._orders.put(order)
        os._exit(0)

    def _say(self, told: Told) -> None:
        data = memoryview(frame(told))
        try:
            while data:
                data = data[os.write(self._out, data) :]
        except OSError:  # the gateway is gone; it may be a callback of the library that speaks, which must not raise
            os._exit(0)

    def _load(self, order: Load) -> Told:
        self._recogniser = Recogniser(order.path, threads=order.threads, is_aborted=self._aborted.is_set)
        return Loaded(_rss_bytes())

    def _transcribe(self, order: Begin) -> Told:
        if self._recogniser is None:
            return Failed("model", "no model is loaded")
        try:
            return self._listen(self._recogniser, order)
        except BadSound as bad:
            return Failed(bad.fault, str(bad))
        except OSError as error:
            return Failed("internal", f"the recording cannot be read: {error.strerror}")
        except LibraryFailed as failed:
            return Failed("internal", str(failed))

    def _listen(self, recogniser: Recogniser, order: Begin) -> Told:
        listener = Listener(recogniser, order.options, heard=self._heard, reached=self._reached)
        with closing(Sound(order.path, max_audio_s=order.max_audio_s)) as sound:
            self._say(Opened(sound.total_s))
            for window in windows_of(sound.blocks()):
                listener.listen(window)
                if self._aborted.is_set():
                    return Stopped()
        return Ended(round(listener.at_s, 3), listener.language, _rss_bytes())

    def _heard(self, segment: Segment) -> None:
        if not self._aborted.is_set():
            self._say(Heard(segment))

    def _reached(self, at_s: float, language: str | None) -> None:
        if not self._aborted.is_set():
            self._say(Progress(at_s, language, _rss_bytes()))


def _rss_bytes() -> int:
    """Memory that this process holds now; where nobody tells, the most it ever held."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * resource.getpagesize()
    except OSError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024


def main() -> None:
    out = os.dup(1)
    os.dup2(2, 1)
    faulthandler.enable()
    # Ctrl-C, and systemd at a stop, tell every process: what is under way is the gateway's to finish or to end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core would hold somebody's voice
    with suppress(OSError):
        os.nice(NICENESS)
    Worker(out).run()


if __name__ == "__main__":
    main()
