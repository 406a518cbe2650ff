"""Pressure: clients that read slowly, prompts that are large, an owner who ends everything.  What does that do to the
house, and to the others?

    slow readers   500 streams of 10 MB, of which each client reads a kilobyte a second: resident memory of each, above
                   that before; and the p99 of small chats beside them, in multiples of the same alone
    prompts        100 streams of 50 chunks a second, alone and beside prompts of 400 kB, five a second, by turns: how
                   much later a chunk comes (transit p99), and the lag of the event loop, as the house says itself
    withdrawal     500 streams with a chunk a second, and one `DELETE /v1/admin/requests?key=…`: until the upstream has
                   none of them left, and until the owner is answered

A slow client's kernel would take megabytes: its receive buffer is made small, so that it is the gateway who must stop.
So must its upstream: `mockllm` makes a stream without pauses all at once, and `FullUpstream` only what is taken.
"""

from __future__ import annotations

import http.client
import json
import select
import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from bench.books import readings
from bench.contenders import Contender
from bench.figures import percentile
from bench.load import KEY, MODEL, Load, ask, delete, get
from bench.machine import Running
from bench.scenarios import FOREVER_CHUNKS, Bench

__all__ = ["FullUpstream", "large_prompts", "slow_readers", "withdrawal"]

EVENTS, EVENT_BYTES = 5000, 2000
LISTED = json.dumps({"object": "list", "status": "ok", "data": [{"id": MODEL, "object": "model"}]}).encode()
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
CHATS = 500
SETTLES_S = 3.0
"""For whatever has room for it to be full."""
RECEIVE_BUFFER_BYTES = 8 * 1024
READ_BYTES = 1024
READ_EVERY_S = 1.0
STREAMS, INTERVAL_MS = 100, 20
PROMPT = "A prompt of four hundred thousand signs, " * 10_000
PROMPT_EVERY_S = 0.2
ROUNDS = 3
WITHDRAWALS = 5
LOOK_EVERY_S = 0.001
GIVE_UP_S = 10.0


class FullUpstream:
    """Whoever streams gets 10 MB as fast as they are taken, from a thread of its own; a `ping` is answered at once."""

    def __init__(self, port: int) -> None:
        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", port), _Answering)
        self._server.daemon_threads = True
        self._server.request_queue_size = 1024

    def __enter__(self) -> FullUpstream:
        self._server.socket.listen(self._server.request_queue_size)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Answering(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        try:
            while line := self.rfile.readline():
                length = 0
                while (header := self.rfile.readline()).strip():
                    if header.lower().startswith(b"content-length:"):
                        length = int(header.partition(b":")[2])
                self._answer(line, self.rfile.read(length))
        except OSError:
            pass  # the gateway has left

    def _answer(self, line: bytes, body: bytes) -> None:
        if not line.startswith(b"POST"):
            self.wfile.write(_whole(LISTED))
        elif b'"stream"' not in body:
            message = {"index": 0, "message": {"role": "assistant", "content": "pong"}, "finish_reason": "stop"}
            self.wfile.write(_whole(json.dumps(_of("chat.completion", message)).encode()))
        else:
            delta = {"index": 0, "delta": {"content": "x" * EVENT_BYTES}, "finish_reason": None}
            event = b"data: %b\n\n" % json.dumps(_of("chat.completion.chunk", delta)).encode()
            self.wfile.write(STREAM_HEAD)
            for _ in range(EVENTS):
                self.wfile.write(b"%x\r\n%b\r\n" % (len(event), event))
            self.wfile.write(b"0\r\n\r\n")


def _of(kind: str, choice: dict[str, object]) -> dict[str, object]:
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    return {"id": "1", "object": kind, "created": 1, "model": MODEL, "choices": [choice], "usage": usage}


def _whole(body: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    return head % len(body) + body


# --- Slow readers ---


def slow_readers(bench: Bench, contender: Contender, running: Running) -> None:
    """`contender` must stand before a `FullUpstream`, and be fresh: what earlier streams have freed would hide what
    new ones take."""
    note, count = bench.samples.note, bench.scale.held_streams
    alone_s, before_kib = _chat_p99_s(contender), running.rss_kib()
    with reading_slowly(contender.port, count) as ended:
        time.sleep(SETTLES_S)
        note(contender.name, "slow_reader", (running.rss_kib() - before_kib) / count)
        note(contender.name, "slow_reader_beside", _chat_p99_s(contender) / alone_s)
        if ended:
            bench.problem(contender, f"{len(ended)} of {count} slow streams have ended")


def _chat_p99_s(contender: Contender) -> float:
    took_s = []
    for _ in range(CHATS):
        began_s = time.monotonic()
        if ask(contender.port) != 200:
            raise RuntimeError("a small chat was not answered")
        took_s.append(time.monotonic() - began_s)
    return percentile(took_s, 0.99) or 0.0


@contextmanager
def reading_slowly(port: int, count: int) -> Iterator[list[socket.socket]]:
    """So many streams are open while this is, and read a little at a time.  Gives those that have ended."""
    sockets, ended = list[socket.socket](), list[socket.socket]()
    over = threading.Event()

    def read() -> None:
        while not over.wait(READ_EVERY_S):
            for sock in select.select(sockets, [], [], 0)[0]:
                if not sock.recv(READ_BYTES):
                    ended.append(sock)

    try:
        sockets += (_stream(port, RECEIVE_BUFFER_BYTES) for _ in range(count))
        reader = threading.Thread(target=read)
        reader.start()
        yield ended
        over.set()
        reader.join()
    finally:
        over.set()
        for sock in sockets:
            sock.close()


def _stream(port: int, receive_buffer_bytes: int | None = None) -> socket.socket:
    """Its answer has begun."""
    sock = socket.socket()
    if receive_buffer_bytes is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
    sock.settimeout(GIVE_UP_S)
    sock.connect(("127.0.0.1", port))
    body = json.dumps({"model": MODEL, "stream": True, "messages": [{"role": "user", "content": "everything"}]})
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {KEY}\r\n"
    head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    sock.sendall((head + body).encode())
    begun = sock.recv(READ_BYTES)
    if not begun.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(f"a stream was told {begun[:200]!r}")
    return sock


# --- Large prompts ---


def large_prompts(bench: Bench, contender: Contender, running: Running) -> None:
    alone_us, beside_us, lags_s = list[float](), list[float](), list[float]()
    for _ in range(ROUNDS):
        alone_us += _transit_us(bench, contender, running)
        with prompting(contender.port) as answers:
            beside_us += _transit_us(bench, contender, running)
            lags_s += _lag_s(contender)
        if not answers or set(answers) != {200}:
            bench.problem(contender, f"large prompts were answered {sorted(set(answers))}")
    note = bench.samples.note
    if alone_us and beside_us:
        alone, beside = min(alone_us), min(beside_us)  # of the rounds that which others on the machine disturbed least
        note(contender.name, "prompts_alone_p99", alone / 1000)
        note(contender.name, "prompts_beside_p99", beside / 1000)
        note(contender.name, "prompts_added_p99", (beside - alone) / 1000)
    if lags_s:
        note(contender.name, "prompts_lag", 1000 * max(lags_s))


def _transit_us(bench: Bench, contender: Contender, running: Running) -> list[float]:
    bench.mock.behave(chunks=FOREVER_CHUNKS, interval_ms=INTERVAL_MS)
    load = Load(STREAMS, bench.scale.seconds, stream=True, ramp_s=0.2, warm_s=0.2 + bench.scale.warm_s)
    p99 = bench.load(contender, running, load).transit_us[2]
    return [] if p99 is None else [p99]


def _lag_s(contender: Contender) -> list[float]:
    """Of the event loop, the greatest of the last minute; nothing where a gateway does not say."""
    status, text = get(contender.port, "/metrics")
    lag_s = readings(text.decode()).get("hoosh_event_loop_lag_max_seconds") if status == 200 else None
    return [] if lag_s is None else [lag_s]


@contextmanager
def prompting(port: int) -> Iterator[list[int]]:
    """Large prompts come at a steady rate while this is open.  Gives their answers' status."""
    statuses: list[int] = []
    over = threading.Event()

    def prompt() -> None:
        while not over.wait(PROMPT_EVERY_S):
            statuses.append(_prompt(port))

    thread = threading.Thread(target=prompt)
    thread.start()
    try:
        yield statuses
    finally:
        over.set()
        thread.join()


def _prompt(port: int) -> int:
    body = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": PROMPT}], "temperature": 0})
    headers = {"content-type": "application/json", "authorization": f"Bearer {KEY}", "cache-control": "no-cache"}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10.0)
    try:
        connection.request("POST", "/v1/chat/completions", body, headers)
        response = connection.getresponse()
        response.read()
        return response.status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


# --- The owner ends everything ---


def withdrawal(bench: Bench, contender: Contender, running: Running) -> None:
    """Before a `mockllm`."""
    count = bench.scale.held_streams
    for _ in range(WITHDRAWALS):
        bench.mock.behave(chunks=FOREVER_CHUNKS, interval_ms=1000)
        sockets = [_stream(contender.port) for _ in range(count)]
        try:
            left_ms, answered_ms = _withdraw(bench, contender)
        finally:
            for sock in sockets:
                sock.close()
        bench.samples.note(contender.name, "withdrawn_left", left_ms)
        bench.samples.note(contender.name, "withdrawn_answered", answered_ms)


def _withdraw(bench: Bench, contender: Contender) -> tuple[float, float]:
    """Milliseconds until the upstream has no stream left, and until the owner has his answer."""
    answered_s = list[float]()

    def ask_for_it() -> None:
        status, _ = delete(contender.port, "/v1/admin/requests?key=bench")
        answered_s.append(time.monotonic())
        if status != 200:
            bench.problem(contender, f"an owner who ended all requests was answered {status}")

    owner = threading.Thread(target=ask_for_it)
    began_s = time.monotonic()
    owner.start()
    while bench.mock.active_streams():
        if time.monotonic() - began_s > GIVE_UP_S:
            raise RuntimeError("requests that were ended go on upstream")
        time.sleep(LOOK_EVERY_S)
    left_s = time.monotonic()
    owner.join()
    return 1000 * (left_s - began_s), 1000 * (answered_s[0] - began_s)
