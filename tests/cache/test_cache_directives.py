"""What a client may say about the cache, and what that means."""

from __future__ import annotations

import pytest

from hoosh.cache import Directives, read_directives
from hoosh.errors import InvalidRequest

HOOSH, HTTP = b"x-hoosh-cache", b"cache-control"
NO_STORE, NO_CACHE, ONLY = (
    Directives(no_store=True),
    Directives(no_cache=True),
    Directives(only_if_cached=True),
)


@pytest.mark.parametrize(
    ("headers", "meant"),
    [
        ([], Directives()),
        ([(b"host", b"no-store")], Directives()),
        ([(HOOSH, b"no-store")], NO_STORE),
        ([(HOOSH, b" No-Cache ")], NO_CACHE),
        ([(HOOSH, b"only-if-cached,")], ONLY),
        ([(HOOSH, b"")], Directives()),
        ([(HOOSH, b"no-store, no-cache")], Directives(no_store=True, no_cache=True)),
        ([(HOOSH, b"no-store"), (HOOSH, b"no-cache")], Directives(no_store=True, no_cache=True)),
        ([(HTTP, b"no-cache")], NO_CACHE),
        ([(HTTP, b"max-age=0")], NO_CACHE),
        ([(HTTP, b"max-age=60, no-transform, private")], Directives()),
        ([(HTTP, b"no-store"), (HOOSH, b"only-if-cached")], Directives(no_store=True, only_if_cached=True)),
    ],
)
def test_directives_are_read_from_both_headers(headers, meant):
    assert read_directives(headers) == meant


@pytest.mark.parametrize("value", [b"nostore", b"no-store; no-cache", b"max-age=0", b"\xff" * 1000, b"no-cache, x"])
def test_a_word_that_is_not_ours_is_named(value):
    with pytest.raises(InvalidRequest) as refused:
        read_directives([(HOOSH, value)])
    assert refused.value.param == "x-hoosh-cache"
    assert len(str(refused.value)) < 200
