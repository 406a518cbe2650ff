"""An upstream that notices: it holds requests open and stamps the moment at which the gateway lets go of one.

Client and upstream live in one process and read one clock, so the time between them is exact to the scheduler's whim.

    POST, streamed  -> head and EVENTS_AT_ONCE events at once, then one each EVENT_EVERY_S, without end
    POST, otherwise -> silence, but for a prompt of "ping": that is how a gateway is seen to be ready
    GET             -> a list of one model, which also serves as health

`jammed` is the other upstream: a port whose backlog is full.  Linux drops the SYN, and a gateway stays in connect().
"""

from __future__ import annotations

import json
import queue
import selectors
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["EVENTS_AT_ONCE", "WatchedUpstream", "jammed"]

EVENTS_AT_ONCE = 5
EVENT_EVERY_S = 0.02
LOOPBACK = "127.0.0.1"

STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
DELTA = {"index": 0, "delta": {"role": "assistant", "content": "still here "}, "finish_reason": None}
COMMON = {"id": "chatcmpl-1", "created": 1700000000, "model": "mock-model"}
EVENT = b"data: %b\n\n" % json.dumps(COMMON | {"object": "chat.completion.chunk", "choices": [DELTA]}).encode()
MESSAGE = {"index": 0, "message": {"role": "assistant", "content": "pong"}, "finish_reason": "stop"}
USAGE = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
PONG = json.dumps(COMMON | {"object": "chat.completion", "choices": [MESSAGE], "usage": USAGE}).encode()
MODELS = json.dumps({"object": "list", "status": "ok", "data": [{"id": "mock-model", "object": "model"}]}).encode()


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _whole(body: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    return head % len(body) + body


class _Peer:
    """One connection from the gateway."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.received = b""
        self.held = False
        """A request is open: if the gateway leaves now, that is what we measure."""
        self.next_event_s: float | None = None

    def take_request(self) -> tuple[bytes, bytes] | None:
        """Head and body of the next whole request, or None until it is there."""
        head, found, rest = self.received.partition(b"\r\n\r\n")
        if not found:
            return None
        if b"transfer-encoding: chunked" in head.lower():
            body, found, rest = rest.partition(b"0\r\n\r\n")
            if not found:
                return None
            self.received = rest
            return head, body
        lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        length = int(lengths[0].split(b":")[1]) if lengths else 0
        if len(rest) < length:
            return None
        self.received = rest[length:]
        return head, rest[:length]


class WatchedUpstream:
    """Runs in a thread of its own from `with` to its end."""

    def __init__(self, port: int) -> None:
        self.arrivals: queue.SimpleQueue[int] = queue.SimpleQueue()
        """When a request came that will be held, CLOCK_MONOTONIC in ns."""
        self.departures: queue.SimpleQueue[int] = queue.SimpleQueue()
        """When the gateway closed or reset the connection of a held request."""
        self._listener = socket.create_server((LOOPBACK, port), backlog=4096)
        self._listener.setblocking(False)
        self._wake, self._woken = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._peers: dict[socket.socket, _Peer] = {}
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> WatchedUpstream:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._wake.close()
        self._thread.join()
        for sock in (*self._peers, self._listener, self._woken):
            sock.close()
        self._selector.close()

    def forget(self) -> None:
        """Drop what a former try left in the queues."""
        for each in (self.arrivals, self.departures):
            while not each.empty():
                each.get_nowait()

    def _run(self) -> None:
        while True:
            ready = self._selector.select(self._until_next_event_s())
            now_ns = time.monotonic_ns()
            for key, _ in ready:
                if key.fileobj is self._woken:
                    return
                if key.fileobj is self._listener:
                    self._accept()
                else:
                    self._receive(self._peers[key.fileobj], now_ns)  # type: ignore[index]
            self._send_due_events(now_ns / 1e9)

    def _until_next_event_s(self) -> float | None:
        due = [peer.next_event_s for peer in self._peers.values() if peer.next_event_s is not None]
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError:
            return
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        self._peers[sock] = _Peer(sock)
        self._selector.register(sock, selectors.EVENT_READ)

    def _receive(self, peer: _Peer, now_ns: int) -> None:
        try:
            data = peer.sock.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drop(peer, now_ns)
            return
        peer.received += data
        while not peer.held and (request := peer.take_request()):
            self._answer(peer, *request, now_ns=now_ns)

    def _answer(self, peer: _Peer, head: bytes, body: bytes, *, now_ns: int) -> None:
        if not head.startswith(b"POST"):
            peer.sock.sendall(_whole(MODELS))
        elif b'"ping"' in body:
            peer.sock.sendall(_whole(PONG))
        else:
            peer.held = True
            if b'"stream":true' in body.replace(b" ", b""):
                peer.sock.sendall(STREAM_HEAD + _chunk(EVENT) * EVENTS_AT_ONCE)
                peer.next_event_s = now_ns / 1e9 + EVENT_EVERY_S
            self.arrivals.put(now_ns)

    def _send_due_events(self, now_s: float) -> None:
        for peer in list(self._peers.values()):
            if peer.next_event_s is not None and peer.next_event_s <= now_s:
                peer.next_event_s += EVENT_EVERY_S
                try:
                    peer.sock.sendall(_chunk(EVENT))
                except OSError:
                    self._drop(peer, time.monotonic_ns())

    def _drop(self, peer: _Peer, now_ns: int) -> None:
        self._selector.unregister(peer.sock)
        del self._peers[peer.sock]
        peer.sock.close()
        if peer.held:
            self.departures.put(now_ns)


@contextmanager
def jammed(port: int) -> Iterator[None]:
    """Nobody answers a SYN to `port` while this is open: its backlog is full.  Raises RuntimeError otherwise."""
    with socket.create_server((LOOPBACK, port), backlog=0), socket.create_connection((LOOPBACK, port)):
        with socket.socket() as probe:
            probe.settimeout(0.05)
            try:
                probe.connect((LOOPBACK, port))
            except TimeoutError:
                pass
            else:
                raise RuntimeError("this kernel accepts more connections than the backlog allows")
        yield
