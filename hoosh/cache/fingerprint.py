"""Which requests are the same?

    call ──without what cannot change the answer──▶ JSON, keys sorted, no white space ──with who may see it──▶ SHA-256

Two requests are the same when they differ in the order of keys, in white space and in the escapes of strings, and in
nothing else: a number counts as it is written.  Streams and whole answers are kept apart, since both are served byte
for byte as they were; so is each language.

Left out is what no answer depends on (`IRRELEVANT`): who the end user is, hints for the provider's prompt cache, how
long a local engine keeps its model.  `service_tier` and OpenAI's `metadata` stay in: answers repeat them, or gateways
behind us act on them.  The Responses API repeats every field, so there all stay.

Taken as it was written, so that only the same bytes are the same: a body above `CANONICAL_BYTES` (its decoding would
hold up everybody else), one that does not decode, and one that has a key twice in an object.  The last may mean one
thing to us and another to the upstream: somebody could have his answer served to those who ask properly.

Pure.  Source: RFC 8259, section 4 (keys that are not unique); the reference's weakness 47.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping

import msgspec
from msgspec import Raw

from hoosh.values import Call

__all__ = ["body_of", "digest_of", "fingerprint"]

CANONICAL_BYTES = 32 * 1024

IRRELEVANT: Mapping[str, frozenset[str]] = {
    "openai": frozenset({"stream", "user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention"}),
    "anthropic": frozenset({"stream", "metadata"}),  # a user's id, and nothing else is documented
    "ollama": frozenset({"stream", "keep_alive"}),
    "responses": frozenset({"stream"}),
}
"""`stream` is told beside the fields, as the language means it where it is missing."""
ONLY_STREAM = frozenset({"stream"})

_encode = msgspec.json.encode
_decode = msgspec.json.Decoder(float_hook=lambda number: Raw(number.encode())).decode


def fingerprint(call: Call, *, scope: object) -> bytes:
    """32 bytes that stand for the request.  `scope` is what else keeps requests apart: whose it is, who may answer it,
    the headers that go upstream.  It must be fit for JSON."""
    return digest_of(call, scope, body_of(call))


def body_of(call: Call) -> bytes:
    """The fields that matter, as one JSON object, as they were written."""
    irrelevant = IRRELEVANT.get(call.language, ONLY_STREAM)
    return _encode({name: raw for name, raw in call.fields.items() if name not in irrelevant})


def digest_of(call: Call, scope: object, body: bytes) -> bytes:
    """`fingerprint` of a body that is there already: of a long one, better in a thread of its own."""
    digest = hashlib.sha256(_encode((call.language, call.kind.value, call.stream, call.model, scope)))
    digest.update(_canonical(body) if len(body) <= CANONICAL_BYTES else body)
    return digest.digest()


def _canonical(body: bytes) -> bytes:
    try:
        value = _decode(body)
        # Never longer than it came.  Of the same length it is the same but for the order, so no key was lost.
        if len(_encode(value)) != len(body):
            json.loads(body, object_pairs_hook=_refuse_doubles, parse_int=str, parse_float=str)
        return _encode(value, order="sorted")
    except (ValueError, RecursionError):
        return body


def _refuse_doubles(pairs: Iterable[tuple[str, object]]) -> None:
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        raise ValueError("a key twice")
