"""What a probe asks of an upstream, and what it makes of the answer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext

import pytest
import trio

from hoosh.config import Config, Discovery, Logging, Provider
from hoosh.errors import ConnectFailed, HooshError, TransportTimeout, UpstreamError
from hoosh.gateway.fleet import PROBE_BYTES, PROBE_S, Upstream
from hoosh.testing.house import memory_house
from hoosh.testing.upstream import FakeUpstream, Hang, json_reply
from hoosh.values import Secret


@asynccontextmanager
async def member(upstream: FakeUpstream | None) -> AsyncIterator[Upstream]:
    provider = Provider(type="openai-compatible", name="far", base_url="http://far:80", api_key=Secret("far-key"))
    quiet = Discovery(local=False, environment=False)
    config = Config(providers=(provider,), discovery=quiet, logging=Logging(level="error"))
    async with memory_house(config) as house:
        if upstream is not None:
            house.network.listen("far:80", upstream.serve_wire)
        yield house.gateway.fleet["far"]


async def verdict(upstream: FakeUpstream | None) -> HooshError | None:
    async with member(upstream) as far:
        try:
            await far.probe()
        except HooshError as error:
            return error
    return None


async def test_the_model_list_is_asked_for_with_the_key_and_nothing_is_billed(autojump_clock):
    upstream = FakeUpstream(json_reply({"object": "list", "data": []}))
    assert await verdict(upstream) is None
    (request,) = upstream.requests
    assert (request.method, request.target, request.body) == ("GET", "/v1/models", b"")
    assert (b"authorization", b"Bearer far-key") in request.headers


@pytest.mark.parametrize("status", [401, 404, 500, 503])
async def test_an_error_status_is_told_as_the_upstreams_error(status: int, autojump_clock):
    error = await verdict(FakeUpstream(json_reply({"error": {"message": "no"}}, status=status)))
    assert isinstance(error, UpstreamError)
    assert (error.status, error.provider) == (status, "far")


async def test_nobody_there_is_told_as_such(autojump_clock):
    assert isinstance(await verdict(None), ConnectFailed)


async def test_silence_ends_after_a_few_seconds(autojump_clock):
    before_s = trio.current_time()
    assert isinstance(await verdict(FakeUpstream([Hang()])), TransportTimeout)
    assert trio.current_time() - before_s < PROBE_S + 1


async def test_a_long_list_is_not_read_to_its_end_and_a_short_one_keeps_its_connection(autojump_clock):
    for size, kept in ((PROBE_BYTES * 20, 0), (100, 1)):
        async with member(FakeUpstream(json_reply({"data": "x" * size}))) as far:
            await far.probe()
            await far.probe()
            statistics = far.statistics()
            assert statistics is not None
            assert statistics.idle == kept


async def test_a_server_without_a_list_is_there_if_it_says_anything(autojump_clock, monkeypatch: pytest.MonkeyPatch):
    for status, is_well in ((200, True), (404, True), (401, True), (502, False)):
        upstream = FakeUpstream(json_reply({"detail": "no"}, status=status))
        async with member(upstream) as far:
            monkeypatch.setattr(far.dialect, "models_request", lambda: None, raising=False)
            with nullcontext() if is_well else pytest.raises(UpstreamError):
                await far.probe()
        assert [request.method for request in upstream.requests] == ["GET"]
