"""The cache's two cold routes, in front of a real cache."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from quart import g
from quart_trio import QuartTrio

from hoosh.api.cache import cache_routes
from hoosh.api.errors import error_response
from hoosh.api.face import as_response
from hoosh.cache import Answer, Cache, ExactCache
from hoosh.errors import HooshError
from hoosh.values import Caller

STATS, CLEAR = "/v1/cache/stats", "/v1/cache/clear"


def app_over(cache: ExactCache, *, scopes: frozenset[str] = frozenset({"admin"})) -> QuartTrio:
    app = QuartTrio("test")
    app.register_blueprint(cache_routes(SimpleNamespace(cache=cache)))

    @app.before_request
    async def authenticate() -> None:
        g.caller = Caller("ada", scopes)

    @app.errorhandler(HooshError)
    async def refuse(error: HooshError) -> Any:
        return as_response(error_response(error, "req_1"))

    return app


def filled() -> ExactCache:
    cache = ExactCache(Cache(max_entries=10, max_bytes=80_000, ttl_secs=0))
    for number, (model, caller) in enumerate([("m", "ada"), ("m", "bob"), ("x", "bob")]):
        cache.put(bytes([number]) * 32, Answer(body=b"x", model=model, caller=caller), now_s=0)
    return cache


async def ask(app: QuartTrio, method: str, path: str, body: bytes = b"") -> tuple[int, Any]:
    answer = await app.test_client().open(path, method=method, data=body)
    return answer.status_code, await answer.get_json()


async def test_the_numbers_have_the_names_that_the_reference_gives_them():
    cache = filled()
    cache.get(bytes([0]) * 32, now_s=0)
    cache.get(b"unknown", now_s=0)
    status, numbers = await ask(app_over(cache), "GET", STATS)
    assert status == 200
    assert numbers.pop("bytes") == cache.statistics().bytes > 0
    assert numbers == {
        "entries": 3,
        "max_entries": 10,
        "max_bytes": 80_000,
        "hits": 1,
        "misses": 1,
        "shared": 0,
        "evictions": 0,
        "hit_rate": 0.5,
        "enabled": True,
        "ttl_secs": 0,
    }


@pytest.mark.parametrize(
    ("body", "cleared"),
    [
        (b"", 3),
        (b" {} ", 3),
        (b'{"model":"m"}', 2),
        (b'{"key":"bob"}', 2),
        (b'{"model":"m","key":"bob"}', 1),
        (b'{"model":"nobody\'s"}', 0),
    ],
)
async def test_clearing_says_how_much_it_has_forgotten(body, cleared):
    cache = filled()
    assert await ask(app_over(cache), "POST", CLEAR, body) == (200, {"cleared": cleared})
    assert cache.statistics().entries == 3 - cleared


@pytest.mark.parametrize(
    "body", [b"[]", b"nonsense", b"\xff", b'{"model":1}', b'{"model":null}', b'{"modle":"m"}', b'{"key":["ada"]}']
)
async def test_what_is_not_understood_clears_nothing(body):
    cache = filled()
    status, answer = await ask(app_over(cache), "POST", CLEAR, body)
    assert status == 400
    assert answer["error"]["type"] == "invalid_request_error"
    assert cache.statistics().entries == 3


@pytest.mark.parametrize(("method", "path"), [("GET", STATS), ("POST", CLEAR)])
async def test_only_admins_may(method, path):
    cache = filled()
    status, _ = await ask(app_over(cache, scopes=frozenset({"inference", "metrics"})), method, path)
    assert status == 403
    assert cache.statistics().entries == 3
