"""What a client says about the cache: `x-hoosh-cache: no-store | no-cache | only-if-cached`, and `cache-control`.

    no-store         neither looked up, nor kept, nor shared with a request in the air
    no-cache         not looked up; the fresh answer is kept, in place of the old one
    only-if-cached   a kept answer, or an error: nobody is asked

`x-hoosh-cache` is ours: a word that we do not know is a mistake, and is told.  `cache-control` is everybody's: what is
not for us is ignored (RFC 9111, section 5.2.3), and `max-age=0`, which a browser's "reload" sends, means `no-cache`.
Both may be lists, in any case of letters; together they add up.

Pure.  Source: RFC 9111, section 5.2.1; product section 4.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from hoosh.errors import InvalidRequest

__all__ = ["NONE", "Directives", "read_directives"]

HEADER = b"x-hoosh-cache"
CACHE_CONTROL = b"cache-control"


class Directives(Struct, frozen=True):
    no_store: bool = False
    no_cache: bool = False
    only_if_cached: bool = False


NONE = Directives()
"""The client has said nothing."""

WATCHED = frozenset({HEADER, CACHE_CONTROL})
WORDS = {b"no-store": "no_store", b"no-cache": "no_cache", b"only-if-cached": "only_if_cached"}


def read_directives(headers: Sequence[tuple[bytes, bytes]]) -> Directives:
    """Of a request with these headers.  Raises InvalidRequest for an unknown word in `x-hoosh-cache`."""
    for name, _ in headers:
        if name in WATCHED:
            return _read(headers)
    return NONE


def _read(headers: Sequence[tuple[bytes, bytes]]) -> Directives:
    said: set[str] = set()
    for name, value in headers:
        if name == HEADER:
            said.update(_known(word) for word in _words(value))
        elif name == CACHE_CONTROL:
            said.update(WORDS.get(word, "no_cache") for word in _words(value) if word in WORDS or word == b"max-age=0")
    return Directives(**dict.fromkeys(said, True))


def _words(value: bytes) -> list[bytes]:
    return [word for part in value.split(b",") if (word := part.strip().lower())]


def _known(word: bytes) -> str:
    if word not in WORDS:
        shown = word[:40].decode("ascii", "replace")
        message = f"Unknown cache directive `{shown}`: expected `no-store`, `no-cache` or `only-if-cached`."
        raise InvalidRequest(message, param="x-hoosh-cache", code="invalid_value")
    return WORDS[word]
