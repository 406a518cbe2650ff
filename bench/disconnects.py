"""Clients that leave: how long until the upstream knows?

One try after the other.  A client sends a request, the request reaches its phase, the client leaves, and the time is
taken from its close (or RST_STREAM) until

    streaming    the upstream sees FIN or RST; five events have come through, and it goes on sending one each 20 ms
    waiting      the upstream sees FIN or RST; it has taken the request and said nothing
    connecting   the gateway has closed the socket that waits for an answer to its SYN: no packet tells that, but the
                 socket's entry vanishes from the gateway's table of open files

Clients leave in two ways by turns: HTTP/1.1 by close and by reset of the connection, HTTP/2 by RST_STREAM and by close.
"""

from __future__ import annotations

import json
import queue
import random
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol

from bench.figures import PHASES, percentile
from bench.load import KEY, MODEL
from bench.machine import Running, connecting_inodes
from bench.watched import EVENTS_AT_ONCE, WatchedUpstream, jammed

__all__ = ["Outcome", "http2_is_spoken", "measure", "summary"]

GIVE_UP_S = 3.0
GIVE_UP_AFTER = 5
"""So many clients never noticed, and a phase ends."""
LOOK_EVERY_S = 0.0001
STREAMS_A_CONNECTION = 50
"""A browser with a nervous user, not a rapid reset attack: gateways rightly end connections that reset too often."""


@dataclass
class Outcome:
    """Milliseconds of each try that was noticed, by the way of leaving, and how many were not."""

    ms: dict[str, list[float]] = field(default_factory=dict)
    never: int = 0
    broken: int = 0
    """Tries that never reached their phase: refused, answered, or not connected."""
    why: str = ""

    @property
    def all_ms(self) -> list[float]:
        return [value for values in self.ms.values() for value in values]


def summary(outcome: Outcome) -> dict[str, float]:
    """p50, p99, max over all tries, those never noticed counting as infinitely late; and their number."""
    values = outcome.all_ms + [float("inf")] * outcome.never
    p50, p99 = percentile(values, 0.5), percentile(values, 0.99)
    if p50 is None or p99 is None:
        return {}
    return {"p50": p50, "p99": p99, "max": max(values), "never": float(outcome.never)}


# --- Clients ---


class Client(Protocol):
    ways: tuple[str, str]

    def send(self, *, streamed: bool) -> None: ...
    def read_events(self, count: int) -> None: ...
    def leave(self, way: str) -> int:
        """Leave, and say when, CLOCK_MONOTONIC in ns: just before the system call."""
        ...

    def close(self) -> None: ...


def _body(streamed: bool) -> bytes:
    message = {"role": "user", "content": "tell me everything"}
    return json.dumps({"model": MODEL, "messages": [message], "max_tokens": 64, "stream": streamed}).encode()


def _dial(port: int) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port), timeout=GIVE_UP_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


class Http1Client:
    """A connection for each request."""

    ways = ("close", "reset")

    def __init__(self, port: int) -> None:
        self.port = port
        self.sock: socket.socket | None = None

    def send(self, *, streamed: bool) -> None:
        self.close()
        self.sock = _dial(self.port)
        body = _body(streamed)
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:{self.port}\r\nauthorization: Bearer {KEY}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        self.sock.sendall(head.encode() + body)

    def read_events(self, count: int) -> None:
        assert self.sock is not None
        received = b""
        while received.count(b"data:") < count:
            data = self.sock.recv(65536)
            if not data:
                raise ConnectionError(f"ended after {received[:200]!r}")
            received += data

    def leave(self, way: str) -> int:
        assert self.sock is not None
        if way == "reset":
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        left_ns = time.monotonic_ns()
        self.close()
        return left_ns

    def close(self) -> None:
        if self.sock is not None:
            self.sock.close()
            self.sock = None


class Http2Client:
    """A stream for each request; a new connection after it was closed or has served many."""

    ways = ("rst_stream", "close")

    def __init__(self, port: int) -> None:
        self.port = port
        self.sock: socket.socket | None = None
        self.stream_id = 0
        self.served = 0

    def send(self, *, streamed: bool) -> None:
        if self.sock is None or self.served >= STREAMS_A_CONNECTION:
            self._connect()
        assert self.sock is not None
        self.served += 1
        self.stream_id = self.h2.get_next_available_stream_id()
        pseudo = {":method": "POST", ":scheme": "http", ":authority": "127.0.0.1", ":path": "/v1/chat/completions"}
        plain = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
        self.h2.send_headers(self.stream_id, list((pseudo | plain).items()))
        self.h2.send_data(self.stream_id, _body(streamed), end_stream=True)
        self._flush()

    def read_events(self, count: int) -> None:
        from h2 import events

        assert self.sock is not None
        seen = 0
        while seen < count:
            data = self.sock.recv(65536)
            if not data:
                raise ConnectionError("the connection ended")
            for event in self.h2.receive_data(data):
                if isinstance(event, events.DataReceived):
                    seen += event.data.count(b"data:")
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                elif isinstance(event, (events.StreamEnded, events.StreamReset, events.ConnectionTerminated)):
                    raise ConnectionError(f"ended by {type(event).__name__}")
            self._flush()

    def leave(self, way: str) -> int:
        if way == "close":
            left_ns = time.monotonic_ns()
            self.close()
            return left_ns
        from h2.errors import ErrorCodes

        self.h2.reset_stream(self.stream_id, ErrorCodes.CANCEL)
        left_ns = time.monotonic_ns()
        self._flush()
        return left_ns

    def close(self) -> None:
        if self.sock is not None:
            self.sock.close()
            self.sock = None

    def _connect(self) -> None:
        from h2.config import H2Configuration
        from h2.connection import H2Connection

        self.close()
        self.sock = _dial(self.port)
        self.served = 0
        self.h2 = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self.h2.initiate_connection()
        self._flush()

    def _flush(self) -> None:
        assert self.sock is not None
        self.sock.sendall(self.h2.data_to_send())


def http2_is_spoken(port: int) -> bool:
    """Does a connection preface get a SETTINGS frame back?  (Frame type 4, RFC 9113, section 6.5.)"""
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
    try:
        with _dial(port) as sock:
            sock.sendall(preface)
            answer = sock.recv(64)
    except OSError:
        return False
    return len(answer) > 4 and answer[3] == 4


# --- Phases ---


def measure(
    gateway: Running, ports: dict[str, int], upstream: WatchedUpstream, upstream_port: int, tries: int, seed: int
) -> dict[tuple[str, str], Outcome]:
    """Every phase over every HTTP version in `ports`.  Ends with the upstream closed: the last phase needs its port."""
    chance = random.Random(seed)
    clients: dict[str, Client] = {}
    for version, port in ports.items():
        clients[version] = Http1Client(port) if version == "h1" else Http2Client(port)
    outcomes = {}
    for phase in PHASES[:2]:
        for version, client in clients.items():
            attempt = partial(_held, upstream=upstream, streamed=phase == "streaming", chance=chance)
            outcomes[version, phase] = _repeat(client, tries, attempt)
    upstream.__exit__()
    with jammed(upstream_port):
        known: set[int] = set()
        for version, client in clients.items():
            attempt = partial(_connecting, gateway=gateway, upstream_port=upstream_port, known=known)
            outcomes[version, "connecting"] = _repeat(client, tries, attempt)
    return outcomes


def _repeat(client: Client, tries: int, attempt: Callable[[Client, str], float | None]) -> Outcome:
    outcome = Outcome()
    for number in range(tries):
        way = client.ways[number % 2]
        try:
            ms = attempt(client, way)
        except (OSError, queue.Empty) as problem:
            outcome.broken += 1
            outcome.why = f"{type(problem).__name__}: {problem}"
            client.close()
        else:
            if ms is None:
                outcome.never += 1
                client.close()
            else:
                outcome.ms.setdefault(way, []).append(ms)
        if outcome.never + outcome.broken >= GIVE_UP_AFTER:
            break
    client.close()
    return outcome


def _held(
    client: Client, way: str, *, upstream: WatchedUpstream, streamed: bool, chance: random.Random
) -> float | None:
    upstream.forget()
    client.send(streamed=streamed)
    upstream.arrivals.get(timeout=GIVE_UP_S)
    if streamed:
        client.read_events(EVENTS_AT_ONCE)
    time.sleep(chance.uniform(0, 0.01))  # so that tries are not in step with the events
    left_ns = client.leave(way)
    try:
        return (upstream.departures.get(timeout=GIVE_UP_S) - left_ns) / 1e6
    except queue.Empty:
        return None


def _connecting(client: Client, way: str, *, gateway: Running, upstream_port: int, known: set[int]) -> float | None:
    client.send(streamed=False)
    link = _wait_connecting(gateway, upstream_port, known)
    target = _target(link)
    left_ns = client.leave(way)
    while _target(link) == target:
        if time.monotonic_ns() - left_ns > GIVE_UP_S * 1e9:
            return None
        time.sleep(LOOK_EVERY_S)
    return (time.monotonic_ns() - left_ns) / 1e6


def _wait_connecting(gateway: Running, upstream_port: int, known: set[int]) -> Path:
    """The gateway's new socket to the jammed port.  Raises TimeoutError where it makes none."""
    deadline_s = time.monotonic() + GIVE_UP_S
    while time.monotonic() < deadline_s:
        for inode in connecting_inodes(Path("/proc/net/tcp").read_text(), upstream_port) - known:
            known.add(inode)
            link = gateway.socket_link(inode)
            if link is not None:
                return link
        time.sleep(LOOK_EVERY_S)
    raise TimeoutError("the gateway opened no connection to the jammed upstream")


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return ""
