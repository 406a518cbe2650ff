"""How a program with strict types uses the client: read by mypy in `test_client_types.py`, never run."""

from collections.abc import Sequence
from typing import assert_type

import hoosh
from hoosh.client import ChatStream, GatewayError, HooshClient, Piece, SyncHooshClient, errors
from hoosh.client.answers import Checked, PoolBalance
from hoosh.values.usage import Usage


async def waits(client: HooshClient) -> None:
    answer = await client.chat("salam", model="echo", pool="team", priority="low", timeout_s=3)
    assert_type(answer, hoosh.InferenceResponse)
    assert_type(answer.text, str)
    assert_type(await client.tokens.check("team", 3), Checked)
    assert_type(await client.tokens.pools(), tuple[PoolBalance, ...])
    assert_type(client.stream("salam", model="echo"), ChatStream)
    async with client.stream("salam", model="echo", tools=[hoosh.ToolDefinition("f")]) as stream:
        async for piece in stream:
            assert_type(piece, Piece)
        assert_type(stream.usage, Usage | None)
        assert_type(await stream.rest(), hoosh.InferenceResponse)
    models: Sequence[hoosh.ModelInfo] = await client.models()
    print(models)


def blocks(client: SyncHooshClient) -> None:
    assert_type(client.chat("salam", model="echo"), hoosh.InferenceResponse)
    assert_type(client.requests.cancel("req_1"), int)
    with client.stream("salam", model="echo") as stream:
        for piece in stream:
            assert_type(piece.text, str)
    try:
        client.embed("salam", model="echo")
    except errors.RateLimited as error:
        assert_type(error.retry_after_s, float | None)
    except GatewayError as error:
        assert_type(error.status, int)


async def mistakes(client: HooshClient, sync: SyncHooshClient) -> None:
    await client.chat("salam")  # type: ignore[call-arg]
    await client.chat("salam", model="echo", privcy="local")  # type: ignore[call-arg]
    await client.chat("salam", model="echo", priority="urgent")  # type: ignore[arg-type]
    sync.tokens.check("team", "many")  # type: ignore[arg-type]
    sync.embed("salam", model="echo", tools=[])  # type: ignore[call-arg]
