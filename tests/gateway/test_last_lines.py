"""What ends just before the house does is in the log all the same."""

from __future__ import annotations

import json

import trio

from hoosh.config import Config, Discovery, Logging
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
    with trio.CancelScope() as scope:
        async with memory_house(QUIET) as house:
            status, headers, _ = await house.post(
                "/v1/chat/completions", {"model": "echo", "messages": [{"role": "user", "content": "hi"}]}
            )
            scope.cancel()
            await trio.sleep_forever()
    assert (scope.cancelled_caught, status) == (True, 200)
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    told = [line["request_id"] for line in lines if line["message"] == "request"]
    assert told == [headers.get(b"x-request-id").decode()]
