"""The embedded model answers whoever asks, in the language they ask in."""

from __future__ import annotations

import json
from typing import Any

import pytest
from client_forms import CLIENTS, Wish

from hoosh.config import Config, Discovery, Logging
from hoosh.testing.house import memory_house

ECHO = Config(discovery=Discovery(local=False, environment=False), logging=Logging(level="error"))


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("client", CLIENTS)
async def test_echo_answers(client: str, streamed: bool, autojump_clock: object):
    spoken = CLIENTS[client]
    async with memory_house(ECHO) as house:
        status, _, body = await house.post(spoken.path, spoken.ask("echo", Wish(stream=streamed)))
    assert status == 200, body
    seen = spoken.read_stream(body) if streamed else spoken.read(json.loads(body))
    assert (seen.text, seen.finish, seen.tokens) == ("Salam", "stop", (1, 1))


COUNTS: dict[str, Any] = {
    "/v1/messages/count_tokens": {"messages": [{"role": "user", "content": "Salam"}]},
    "/v1/responses/input_tokens": {"input": "Salam"},
}


@pytest.mark.parametrize("path", COUNTS)
async def test_a_count_that_nobody_can_give_is_an_estimate_and_says_so(path: str, autojump_clock: object):
    async with memory_house(ECHO) as house:
        status, headers, body = await house.post(path, {"model": "echo", **COUNTS[path]})
    assert status == 200, body
    assert json.loads(body)["input_tokens"] > 0
    assert headers.get(b"x-hoosh-estimated") == b"true"
