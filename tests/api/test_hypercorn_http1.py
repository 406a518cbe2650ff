"""Our app on stock Hypercorn over HTTP/1.1: a connection that is not said to end goes on behind an early answer."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from test_hypercorn_http2 import CHAT, KEY, on_hypercorn

from hoosh.api.serve import create_app
from hoosh.config import Config, Discovery, Key, Server
from hoosh.values import Secret

BODY_BYTES = 1000
WAIT_S = 60.0
SETTINGS = Config(
    server=Server(max_body_bytes=BODY_BYTES),
    keys=(Key(name="me", key=Secret(KEY)),),
    discovery=Discovery(local=False, environment=False),
)
EARLY = {
    "no key, hot": ("POST", CHAT, "wrong", b"401"),
    "no key, cold": ("POST", "/v1/tokens/pools", "wrong", b"401"),
    "no such path": ("POST", "/v1/nothing", KEY, b"404"),
    "no such method": ("DELETE", "/v1/models", KEY, b"405"),
    "too long": ("POST", CHAT, KEY, b"413"),
}


def head(method: str, path: str, key: str, length: int) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "host: gateway", "content-type: application/json"]
    return "\r\n".join([*lines, f"authorization: Bearer {key}", f"content-length: {length}", "", ""]).encode()


async def read_answer(stream: trio.SocketStream) -> tuple[bytes, bytes]:
    """Its status and its head."""
    data = b""
    with trio.fail_after(WAIT_S):
        while not data.endswith(b"}"):
            piece = await stream.receive_some()
            assert piece, f"the connection has been closed behind {data!r}"
            data += piece
    return data.split(b" ", 2)[1], data.partition(b"\r\n\r\n")[0].lower()


@pytest.mark.parametrize("case", EARLY)
async def test_whoever_is_refused_before_the_body_may_send_it_and_ask_again(case):
    method, path, key, status = EARLY[case]
    body = b" " * (BODY_BYTES + 1)
    async with on_hypercorn(create_app(SETTINGS)) as connect:
        stream = (await connect(http2=False)).stream
        await stream.send_all(head(method, path, key, len(body)))
        told, said = await read_answer(stream)
        assert told == status
        assert b"connection: close" not in said
        await trio.testing.wait_all_tasks_blocked()  # whoever would close it has done so
        await stream.send_all(body)
        await stream.send_all(head("GET", "/v1/models", KEY, 0))
        assert (await read_answer(stream))[0] == b"200"
