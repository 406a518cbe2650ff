"""What ends just before the house does is in the log all the same."""

from __future__ import annotations

import json

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
