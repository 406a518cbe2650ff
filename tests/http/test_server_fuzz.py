"""Two thousand streams of noise, mutated from good ones: nothing crashes, nothing stays, every connection is closed.

The seed is printed; run one again with `HOOSH_FUZZ_SEED=… pytest tests/http/test_server_fuzz.py`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from random import Random

import hpack
import pytest
import trio
from serving import HOST, OPENING, TEXT, frame, serving

from hoosh.errors import ConnectionBroke, InvalidRequest
from hoosh.http.exchange import Exchange
from hoosh.http.memory import MemoryWire
from hoosh.http.message import Limits

ROUNDS = 1000
AT_ONCE = 20

H1_PARTS = [
    b"GET / HTTP/1.1\r\n" + HOST + b"\r\n",
    b"GET /stream HTTP/1.1\r\n" + HOST + b"\r\n",
    b"POST /wait HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\n\r\nabc",
    b"POST /body HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nT: r\r\n\r\n",
    b"POST /body HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
    b"POST /body HTTP/1.1\r\n" + HOST + b"Upgrade: h2c\r\nConnection: upgrade\r\nContent-Length: 3\r\n\r\nabc",
    b"HEAD /bug HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    b"\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
]


def head(path: bytes, *more: tuple[bytes, bytes]) -> bytes:
    fields = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", path), (b":authority", b"here"), *more]
    return hpack.Encoder().encode(fields)


def h2_parts(random: Random) -> list[bytes]:
    stream = random.choice([0, 1, 1, 3, 5, 7, 9, 2**31 - 1])
    path = random.choice([b"/", b"/stream", b"/wait", b"/body", b"/bug"])
    return [
        frame(1, random.choice([4, 5, 5, 0, 0x24, 0x0C]), stream, head(path)),
        frame(1, 4, stream, head(path, (b"content-length", b"3"))),
        frame(0, random.choice([0, 1, 8]), stream, random.randbytes(random.choice([0, 3, 100]))),
        frame(3, 0, stream, b"\0\0\0\x08"),
        frame(
            4, random.choice([0, 0, 1]), 0, random.choice([b"", b"\0\4\0\0\0\1", b"\0\1\0\0\0\0", b"\0\5\0\0\x40\0"])
        ),
        frame(6, random.choice([0, 1]), 0, bytes(8)),
        frame(7, 0, 0, bytes(7) + random.choice([b"\0", b"\1"])),
        frame(8, 0, stream, random.randbytes(4)),
        frame(9, random.choice([0, 4]), stream, head(path)[:9]),
        frame(2, 0, stream, bytes(5)),
        frame(5, 4, stream, b"\0\0\0\2"),
        frame(10, 0, 0, b"\0\0"),
        frame(0x77, 0, stream, b"grease"),
    ]


def h1_stream(random: Random) -> bytes:
    return mutated(b"".join(random.choices(H1_PARTS, k=random.randint(1, 6))), random)


def h2_stream(random: Random) -> bytes:
    frames = b"".join(random.choice(h2_parts(random)) for _ in range(random.randint(1, 20)))
    return (OPENING if random.random() < 0.9 else mutated(OPENING, random)) + mutated(frames, random)


def mutated(data: bytes, random: Random) -> bytes:
    """`data` with none, one or some of its bytes changed, lost, doubled or invented."""
    noisy = bytearray(data)
    for _ in range(random.choice([0, 0, 1, 1, 2, 5, 20])):
        at = random.randrange(len(noisy) + 1)
        match random.randrange(4):
            case 0:
                noisy[at : at + 1] = random.randbytes(1)
            case 1:
                del noisy[at : at + random.randint(1, 10)]
            case 2:
                noisy[at:at] = noisy[at : at + random.randint(1, 30)]
            case 3:
                noisy[at:at] = random.choice([b"\r", b"\n", b"\0", b": ", b"\r\n", b"\xff", random.randbytes(9)])
    return bytes(noisy)


async def some_of_everything(exchange: Exchange) -> None:
    try:
        await exchange.body(50)
    except InvalidRequest as error:
        await exchange.respond(400, TEXT, str(error).encode())
        return
    if exchange.path == "/stream":
        await exchange.start(200, TEXT)
        for _ in range(5):
            await exchange.send(b"x" * 5000)
            await trio.sleep(0.1)
        await exchange.end()
    elif exchange.path == "/wait":
        await trio.sleep_forever()
    elif exchange.path == "/bug":
        await exchange.start(200, TEXT)
        await exchange.send(b"half")
        await exchange.end(broken=True)
    else:
        await exchange.respond(200, TEXT, b"fine")


async def throw(client: MemoryWire, data: bytes, random: Random) -> None:
    """Send `data` in pieces; read some of what comes back, or none; leave one way or another."""
    try:
        while data:
            size = random.randint(1, len(data)) if random.random() < 0.5 else len(data)
            await client.send(data[:size])
            data = data[size:]
            await trio.sleep(random.choice([0, 0, 1]))
        with trio.move_on_after(random.choice([0, 1, 100])):
            while await client.receive():
                pass
    except ConnectionBroke:
        pass
    random.choice([client.close, client.close, client.reset, client.shutdown])()


@pytest.mark.parametrize("make", [h1_stream, h2_stream])
async def test_noise_neither_crashes_nor_stays(make: Callable[[Random], bytes], autojump_clock: object) -> None:
    seed = int(os.environ.get("HOOSH_FUZZ_SEED") or Random().randrange(1 << 32))
    print(f"HOOSH_FUZZ_SEED={seed}")
    random = Random(seed)
    for _ in range(ROUNDS // AT_ONCE):
        limits = Limits(streams=5)
        async with serving(some_of_everything, limits, sweep=True) as served, trio.open_nursery() as nursery:
            for _ in range(AT_ONCE):
                client = served.connect(buffer_bytes=random.choice([100, 65536]))
                nursery.start_soon(throw, client, make(random), Random(random.random()))
