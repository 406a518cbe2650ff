"""Nothing is left behind: requests aborted at random moments, slow readers, in a gateway's real process.

The seed is printed; `HOOSH_SEED=n` repeats it.  The gateway has two upstreams: a real one, and one that never accepts a
connection (its queue is full), so that requests also die while the gateway is still connecting.
"""

from __future__ import annotations

import json
import os
import random
import shlex
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import pytest
import trio
from e2e_house import (
    CLIENT_KEY,
    Gateway,
    OpenAIServer,
    StreamReader,
    ask,
    config_text,
    fetch,
    fetch_json,
    free_port,
    wait_until,
)

from hoosh.testing.seeds import seed_of_run

ABORTED = int(os.environ.get("HOOSH_ABORTED", "600"))
"""`just soak` aborts ten thousand."""
GROWTH_BYTES = 8 * 1024 * 1024
"""Of resident memory, over all aborted requests but the first fifth, in which caches fill."""
AT_ONCE = 24
SLOW_READERS = 60
MODELS = ["echo", "tiny-chat", "waits", "waits-for-head", "big", "black/hole"]


@contextmanager
def black_hole() -> Iterator[int]:
    """A port that neither accepts nor refuses: its queue of connections is full."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        plugs = [socket.socket() for _ in range(3)]
        for plug in plugs:
            plug.setblocking(False)
            plug.connect_ex(listener.getsockname())
        try:
            yield listener.getsockname()[1]
        finally:
            for plug in plugs:
                plug.close()


@pytest.fixture(scope="module")
def house(upstream: OpenAIServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """At rest when a test begins, and when it ends."""
    with black_hole() as hole:
        more = f"""
[[providers]]
type = "openai-compatible"
name = "black"
base_url = "http://127.0.0.1:{hole}"
models = ["hole"]
timeouts = {{ connect_s = 600 }}
"""
        port = free_port()
        gateway = Gateway(tmp_path_factory.mktemp("leaks"), config_text(upstream.url, port, more=more), port=port)
        try:
            # Until then it asks for lists of models, of the black hole too.
            gateway.wait_for(lambda: "Try:" in gateway.stdout, "the screen")
            for model in ("echo", "tiny-chat"):
                fetch(f"{gateway.base_url}/chat/completions", json.dumps(ask(model)).encode(), key=CLIENT_KEY)
            wait_until(lambda: is_at_rest(gateway), "it is at rest before")
            yield gateway
            wait_until(lambda: is_at_rest(gateway), "it is at rest after")
            assert gateway.stop() == 0
            gateway.check_secrets()
        finally:
            gateway.kill()


def head_and_body(model: str, *, stream: bool) -> tuple[list[tuple[str, str]], bytes]:
    body = json.dumps(ask(model, stream=stream)).encode()
    fields = [("content-type", "application/json"), ("authorization", f"Bearer {CLIENT_KEY}")]
    return [*fields, ("content-length", str(len(body)))], body


def reset(sock: trio.socket.SocketType) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def abort_h1(port: int, dice: random.Random) -> None:
    """One request over HTTP/1.1, left at a moment the dice choose: FIN or RST, after part or all of the request."""
    fields, body = head_and_body(dice.choice(MODELS), stream=dice.random() < 0.6)
    text = "".join(f"{name}: {value}\r\n" for name, value in fields)
    request = f"POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\n{text}\r\n".encode() + body
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    async with stream:
        if dice.random() < 0.15:
            request = request[: dice.randrange(len(request))]
        await stream.send_all(request)
        with trio.move_on_after(dice.random() * 0.2):
            for _ in range(dice.choice([0, 1, 2, 5, 100])):
                await stream.receive_some(dice.choice([1, 100, 65536]))
        if dice.random() < 0.5:
            reset(stream.socket)


async def abort_h2(port: int, dice: random.Random) -> None:
    """A few streams on one connection over HTTP/2, each reset at some moment; then the connection goes too."""
    h2c = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    h2c.initiate_connection()
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    async with stream:
        for _ in range(4):
            stream_id = h2c.get_next_available_stream_id()
            fields, body = head_and_body(dice.choice(MODELS), stream=dice.random() < 0.6)
            pseudo = [(":method", "POST"), (":path", "/v1/chat/completions")]
            h2c.send_headers(stream_id, [*pseudo, (":scheme", "http"), (":authority", "gateway"), *fields])
            if dice.random() < 0.9:
                h2c.send_data(stream_id, body, end_stream=True)
            await stream.send_all(h2c.data_to_send())
            with trio.move_on_after(dice.random() * 0.1):
                for event in h2c.receive_data(await stream.receive_some(65536)):
                    if isinstance(event, h2.events.DataReceived) and event.flow_controlled_length:
                        h2c.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            if dice.random() < 0.7:
                try:
                    h2c.reset_stream(stream_id, 8)
                except h2.exceptions.StreamClosedError:
                    pass  # it was answered before
            await stream.send_all(h2c.data_to_send())
        if dice.random() < 0.5:
            reset(stream.socket)


async def abort_many(port: int, number: int, dice: random.Random) -> None:
    limiter = trio.CapacityLimiter(AT_ONCE)

    async def one(abort: Callable[[int, random.Random], object], own: random.Random) -> None:
        async with limiter:
            try:
                await abort(port, own)  # type: ignore[misc]
            except (trio.BrokenResourceError, OSError):
                pass  # the gateway was quicker

    async with trio.open_nursery() as nursery:
        while number > 0:
            over_h2 = dice.random() < 0.5
            nursery.start_soon(one, abort_h2 if over_h2 else abort_h1, random.Random(dice.random()))
            number -= 4 if over_h2 else 1


def is_at_rest(gateway: Gateway) -> bool:
    """Nothing in flight, and no connection but the one that asks."""
    return gateway.metric("hoosh_in_flight_requests") == 0 and gateway.metric("hoosh_connections") == 1


def upstream_sockets(gateway: Gateway) -> int:
    lines = [line for line in gateway.metrics().splitlines() if line.startswith("hoosh_upstream_connections{")]
    return int(sum(float(line.rpartition(" ")[2]) for line in lines))


def open_files_of_its_own(gateway: Gateway) -> int:
    """Without the idle connections that the pool keeps on purpose."""
    return gateway.open_files() - upstream_sockets(gateway)


def test_requests_aborted_at_random_moments_leave_nothing_behind(house: Gateway, upstream: OpenAIServer) -> None:
    seed = seed_of_run()
    before = open_files_of_its_own(house)
    dice = random.Random(seed)
    trio.run(partial(abort_many, house.port, ABORTED // 5, dice))
    warm = resident_bytes(house)
    trio.run(partial(abort_many, house.port, ABORTED - ABORTED // 5, dice))
    wait_until(lambda: is_at_rest(house), f"it is at rest again, seed {seed}")
    wait_until(lambda: upstream.stats()["running"] == 1, "the upstream does nothing any more but answer this question")
    wait_until(lambda: open_files_of_its_own(house) <= before, f"all files are closed, seed {seed}")
    grown = resident_bytes(house) - warm
    print(f"aborted {ABORTED}, resident memory grown by {grown / 1024:.0f} KiB")
    assert grown < GROWTH_BYTES
    answer = fetch_json(f"{house.base_url}/chat/completions", json.dumps(ask("tiny-chat")).encode(), key=CLIENT_KEY)
    assert answer["choices"][0]["message"]["content"] == "you said: salam donya"
    left = [line for line in house.metrics().splitlines() if 'status="client_left"' in line]
    assert len(left) >= 4, "the dice have aborted hardly anything"


def test_a_client_that_leaves_while_the_gateway_connects_stops_the_connecting(house: Gateway) -> None:
    body = json.dumps(ask("black/hole")).encode()
    request = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: g\r\nauthorization: Bearer {CLIENT_KEY}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    ).encode()
    before = open_files_of_its_own(house)
    clients = [socket.create_connection(("127.0.0.1", house.port)) for _ in range(5)]
    for client in clients:
        client.sendall(request + body)
    wait_until(lambda: house.metric("hoosh_in_flight_requests") == 5, "five requests wait for a connection")
    for client in clients:
        client.close()
    wait_until(lambda: is_at_rest(house), "nothing is in flight any more")
    wait_until(lambda: open_files_of_its_own(house) <= before, "the half-open sockets are closed")


# -- those who read slowly, or not at all --------------------------------------------------------------------------


def resident_bytes(process: Gateway) -> int:
    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise LookupError("VmRSS")


def silent_h2(port: int, streams: int) -> socket.socket:
    """Asks for 5 MB on each of many streams of one connection, and gives no window back."""
    h2c = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    h2c.initiate_connection()
    for _ in range(streams):
        stream_id = h2c.get_next_available_stream_id()
        fields, body = head_and_body("big", stream=True)
        pseudo = [(":method", "POST"), (":path", "/v1/chat/completions"), (":scheme", "http"), (":authority", "g")]
        h2c.send_headers(stream_id, [*pseudo, *fields])
        h2c.send_data(stream_id, body, end_stream=True)
    sock = socket.create_connection(("127.0.0.1", port))
    sock.sendall(h2c.data_to_send())
    return sock


def test_sixty_that_do_not_read_cost_little_and_hold_up_nobody(house: Gateway) -> None:
    before = resident_bytes(house)
    silent = [StreamReader(house, "big", stream=True, buffer_bytes=8192).socket for _ in range(SLOW_READERS // 2)]
    silent += [silent_h2(house.port, 10) for _ in range(SLOW_READERS // 20)]
    try:
        wait_until(lambda: house.metric("hoosh_in_flight_requests") == SLOW_READERS, "all are being answered")
        body = json.dumps(ask("big", stream=True)).encode()
        whole = fetch(f"{house.base_url}/chat/completions", body, key=CLIENT_KEY)
        assert len(whole) > 4_500_000
        assert whole.endswith(b"data: [DONE]\n\n")
        assert house.metric("hoosh_in_flight_requests") == SLOW_READERS  # theirs wait still
        assert resident_bytes(house) - before < 1_000_000 * SLOW_READERS  # the answers together are 300 MB
    finally:
        for sock in silent:
            sock.close()
    wait_until(lambda: is_at_rest(house), "nothing is in flight any more")


def test_one_that_reads_late_still_gets_all_of_it(house: Gateway) -> None:
    with StreamReader(house, "big", stream=True, buffer_bytes=8192).socket as late:
        wait_until(lambda: house.metric("hoosh_in_flight_requests") == 1, "it is being answered")
        body = json.dumps(ask("big", stream=True)).encode()
        assert fetch(f"{house.base_url}/chat/completions", body, key=CLIENT_KEY).endswith(b"data: [DONE]\n\n")
        received, tail = 0, b""
        while not tail.endswith(b"0\r\n\r\n"):
            data = late.recv(1 << 20)
            assert data
            received += len(data)
            tail = (tail + data)[-64:]
    assert received > 4_500_000
    assert b"data: [DONE]" in tail


# -- no more files to open -----------------------------------------------------------------------------------------


def test_more_clients_than_files_wait_their_turn_and_the_house_recovers(
    start_gateway: Callable[..., Gateway], upstream: OpenAIServer
) -> None:
    """The crowd comes while the house is still loading modules, which takes files too."""
    port = free_port()
    serve = f"ulimit -n 64; exec {shlex.quote(sys.executable)} -m hoosh serve --config hoosh.toml"
    gateway = start_gateway(config_text(upstream.url, port), port=port, argv=["bash", "-c", serve])
    crowd = [socket.create_connection(("127.0.0.1", port)) for _ in range(100)]
    try:
        gateway.wait_for(lambda: gateway.open_files() == 64, "there are no files left")
    finally:
        for sock in crowd:
            sock.close()
    answer = fetch_json(f"{gateway.base_url}/chat/completions", json.dumps(ask("tiny-chat")).encode(), key=CLIENT_KEY)
    assert answer["choices"][0]["message"]["content"] == "you said: salam donya"
    wait_until(lambda: is_at_rest(gateway), "nothing is left of the crowd")
    assert gateway.stop() == 0
