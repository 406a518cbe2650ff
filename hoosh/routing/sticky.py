"""The same conversation to the same upstream: what its prompt cache knows need not be computed, or paid, again.

    prefix_digest(call)     what stays the same while a conversation grows: model, tools, instructions, the messages
                            up to the client's first; or the client's own `prompt_cache_key`
    rank(key, targets)      rendezvous hashing: every target draws a lot for this key, the best one wins

When a target is lost only its own conversations move, each to its second best, and they come back with it.  That the
first message of the client counts, and not the instructions alone, spreads the users of one application.

Pure, over raw bytes: at most PART_BYTES of a field are looked at, however long it is.
Source: Thaler and Ravishankar, "Using name-based mappings to increase hit rates" (1998); for weights Schindelhauer and
Schomaker, "Weighted distributed hash tables" (2005): the lot is -weight / ln(u).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from hashlib import blake2b
from itertools import islice

from hoosh.values import Call, Target

__all__ = ["PART_BYTES", "prefix_digest", "rank"]

PART_BYTES = 4096
LOT_BYTES = 6
"""As many as a float holds exactly."""
LOTS = 1 << 8 * LOT_BYTES

TOKENS_MAX = 512
"""Of JSON, that are looked at."""

BEFORE_MESSAGES = ("tools", "system", "instructions")
CONVERSATIONS = ("messages", "input", "prompt")
"""In the languages we serve; a request has one of them."""

_token = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[\]{}]', re.DOTALL)
"""Of JSON, what moves its depth; strings are tokens, so that nothing inside them counts.  The last may be cut."""
_by_the_user = re.compile(rb'"role"\s*:\s*"user"')


def prefix_digest(call: Call) -> bytes:
    """Sixteen bytes that stay the same while the conversation grows, and differ for others."""
    fields = call.fields
    digest = blake2b(call.model.encode("utf-8", "replace"), digest_size=16)
    key = fields.get("prompt_cache_key")
    if key is not None and (chosen := _part(key)) != b"null":
        digest.update(b"\0key" + chosen)
        return digest.digest()
    for name in BEFORE_MESSAGES:
        if name in fields:
            digest.update(b"\0" + name.encode() + _part(fields[name]))
    for name in CONVERSATIONS:
        if name in fields:
            digest.update(b"\0" + name.encode() + _beginning(_part(fields[name])))
    return digest.digest()


def rank(key: bytes, targets: Sequence[Target], weight_of: Callable[[str], int]) -> list[Target]:
    """Best first.  Of all keys, each target is first for a share that goes by its weight."""
    lots = {target: _lot(key, target, weight_of(target.provider)) for target in targets}
    return sorted(targets, key=lots.__getitem__, reverse=True)


def _lot(key: bytes, target: Target, weight: int) -> float:
    name = f"\0{target.provider}\0{target.model}".encode("utf-8", "replace")
    drawn = int.from_bytes(blake2b(key + name, digest_size=LOT_BYTES).digest(), "big")
    return -weight / math.log((drawn + 0.5) / LOTS)


def _part(raw: bytes | memoryview) -> bytes:
    return bytes(memoryview(raw)[:PART_BYTES])


def _beginning(part: bytes) -> bytes:
    """Of a list of messages those up to the first that a user has said; of anything else as much as there is."""
    if part[:1] != b"[":
        return part
    depth = start = end = 0
    for token in islice(_token.finditer(part), TOKENS_MAX):
        end = token.end()
        sign = token[0]
        if sign in (b"{", b"["):
            depth += 1
            if depth == 2:
                start = token.start()
        elif sign in (b"}", b"]"):
            depth -= 1
            if depth == 1 and _by_the_user.search(part, start, end):
                return part[:end]
            if depth == 0:
                return part[: end - 1]
    return part[:end]
