"""What ends just before the house does is in the log all the same."""

from __future__ import annotations

import json

import trio
from msgspec.structs import replace

from hoosh import serve
from hoosh.config import Config, Discovery, Logging, Server
from hoosh.testing.house import memory_house

QUIET = Config(discovery=Discovery(local=False, environment=False), logging=Logging(format="json"))


async def test_the_last_request_before_the_end_has_its_line(capsys):
    async with memory_house(QUIET) as house:
        status, headers, _ = await house.post(
            "/v1/chat/completions", {"model": "echo", "messages": [{"role": "user", "content": "hi"}]}
        )
    assert status == 200
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["request_id"] for line in lines if line["message"] == "request"] == [
        headers.get(b"x-request-id").decode()
    ]


async def test_what_ended_just_before_the_house_was_cancelled_has_its_line(capsys):
    body = json.dumps({"model": "echo", "messages": [{"role": "user", "content": "hi"}]}).encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: h\r\ncontent-type: application/json\r\n"
    async with trio.open_nursery() as nursery:
        gateway = await nursery.start(serve, replace(QUIET, server=Server(port=0)))
        host, port = gateway.address.removeprefix("http://").split(":")
        async with await trio.open_tcp_stream(host, int(port)) as client:
            await client.send_all(b"%bcontent-length: %d\r\n\r\n%b" % (head, len(body), body))
            assert (await client.receive_some()).startswith(b"HTTP/1.1 200")
            nursery.cancel_scope.cancel()
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["status"] for line in lines if line["message"] == "request"] == [200]
