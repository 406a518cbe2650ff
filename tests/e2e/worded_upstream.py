"""An upstream in a process of its own, which says the sixty words of the fault catalogue, and can be killed.

    python worded_upstream.py PORT PAUSE_S

Between two words it waits for PAUSE_S.  Whoever says `POST /hold` finds its streams in the middle, all behind the same
word, until somebody says `POST /go`.  `GET /stats` tells how many stand there, run, were begun, were left.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator

import trio

from hoosh.http.wire import SocketWire
from hoosh.testing.faults import Asked, FaultyUpstream
from hoosh.testing.upstream import Body, Pause, Received, Script, Step, json_reply, with_pauses

HELD_AFTER = 20
"""Pieces of a stream: its opening, and the words.  An answer that is not streamed is held before its body."""
LOOK_S = 0.05


class WordedUpstream(FaultyUpstream):
    def __init__(self, pause_s: float) -> None:
        super().__init__()
        self.faults["plain"] = WordedUpstream.said_slowly
        self.pause_s = pause_s
        self.is_held = False
        self.held = 0

    def said_slowly(self, asked: Asked) -> Script:
        after = HELD_AFTER if asked.is_stream else 0
        return InTheMiddle(self, with_pauses(self.answer(asked), self.pause_s), after)

    def _script(self, request: Received) -> Script:
        match request.method, request.target:
            case "GET", "/stats":
                return json_reply(self._stats())
            case "POST", "/hold" | "/go":
                self.is_held = request.target == "/hold"
                return json_reply({})
        return super()._script(request)

    def _stats(self) -> dict[str, int]:
        chats = [request for request in self.requests if request.target == self.voice.path]
        left = sum(request.cancelled_at is not None for request in chats)
        answered = sum(request.answered for request in chats)
        return {"begun": len(chats), "left": left, "running": len(chats) - left - answered, "held": self.held}


class InTheMiddle(list[Step]):
    """A script that stands still behind so many pieces of its body for as long as its upstream is held."""

    def __init__(self, upstream: WordedUpstream, steps: Script, after: int) -> None:
        super().__init__(steps)
        self._upstream = upstream
        self._after = after
        self._has_stood = False
        """Who plays a script looks through it again afterwards."""

    def __iter__(self) -> Iterator[Step]:
        pieces = 0
        for step in super().__iter__():
            if isinstance(step, Body):
                if pieces == self._after and not self._has_stood:
                    self._has_stood = True
                    yield from self._stand()
                pieces += 1
            yield step

    def _stand(self) -> Iterator[Step]:
        upstream = self._upstream
        upstream.held += 1
        try:
            while upstream.is_held:
                yield Pause(LOOK_S)
        finally:  # also when its client has left
            upstream.held -= 1


async def serve(port: int, pause_s: float) -> None:
    upstream = WordedUpstream(pause_s)

    async def talk(stream: trio.SocketStream) -> None:
        await upstream.serve_wire(SocketWire(socket.socket(fileno=stream.socket.detach()), "test"))

    await trio.serve_tcp(talk, port, host="127.0.0.1")


if __name__ == "__main__":
    trio.run(serve, int(sys.argv[1]), float(sys.argv[2]))
