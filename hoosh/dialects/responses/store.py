"""Responses kept for their callers: what `previous_response_id` goes on from, and `GET /v1/responses/{id}` shows.

In memory, and bounded three ways: by bytes, by count (the least recently used goes first) and by age.  What a caller
did not want kept is not, and nobody sees what another caller's requests have left: a key is (caller, id).

    encoder ends ──put──▶ Kept(body, input, output) ──▶ previous_response_id:  input + output, then the new input
                                                    ──▶ GET, DELETE, input_items: JSON bytes, None where there is none

Every response keeps the whole of its input, what came before it included: so a conversation can go on from its last
response when the earlier ones are gone or deleted.  It is counted again each time, which errs on the safe side.

The clock is an argument; nothing waits.  Source: OpenAI's API reference, Responses.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Raw, Struct

from hoosh.dialects.loose_json import UNREADABLE, encode_safely
from hoosh.dialects.responses.wire import MARK, response_of_item

__all__ = ["Kept", "ResponseStore", "StoreStatistics"]

OVERHEAD_BYTES = 512
"""Of an entry, besides its JSON: keys, structs, its place in the order."""
PAGE_MAX = 100
PAGE = 20
SHORT = {"message": "msg", "function_call": "fc", "function_call_output": "fco", "reasoning": "rs"}

_decode_items = msgspec.json.Decoder(list[dict[str, Raw]]).decode


class Kept(Struct, frozen=True):
    """One response.  `input` and `output` are JSON arrays of items, `body` is the whole response object."""

    body: bytes
    input: bytes
    output: bytes
    kept_at_s: float = 0.0

    @property
    def size_bytes(self) -> int:
        return len(self.body) + len(self.input) + len(self.output) + OVERHEAD_BYTES


class StoreStatistics(Struct, frozen=True):
    responses: int
    size_bytes: int


class ResponseStore:
    """Bounded; see above.  `now` is any clock that does not go back, in seconds."""

    def __init__(
        self,
        *,
        max_bytes: int = 64 << 20,
        max_responses: int = 10_000,
        ttl_s: float = 24 * 3600.0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.max_bytes = max_bytes
        self.max_responses = max_responses
        self.ttl_s = ttl_s
        self._now = now
        self._kept: OrderedDict[tuple[str, str], Kept] = OrderedDict()
        self._size_bytes = 0

    def statistics(self) -> StoreStatistics:
        return StoreStatistics(len(self._kept), self._size_bytes)

    def put(self, caller: str, identity: str, *, body: bytes, input: bytes, output: bytes) -> None:
        """Keep a response.  One that is larger than all the room there is is not kept."""
        now_s = self._now()
        self._drop((caller, identity))
        kept = Kept(body, input, output, now_s)
        if kept.size_bytes > self.max_bytes or self.max_responses < 1:
            return
        self._kept[caller, identity] = kept
        self._size_bytes += kept.size_bytes
        while self._is_over() or self._is_old(next(iter(self._kept.values())), now_s):
            self._drop(next(iter(self._kept)))

    def get(self, caller: str, identity: str) -> Kept | None:
        key = (caller, identity)
        kept = self._kept.get(key)
        if kept is None:
            return None
        if self._is_old(kept, self._now()):
            self._drop(key)
            return None
        self._kept.move_to_end(key)
        return kept

    def item(self, caller: str, identity: str) -> bytes | None:
        """An output item by its id, as JSON."""
        kept = self.get(caller, response_of_item(identity))
        items = [] if kept is None else msgspec.json.decode(kept.output)
        return next((encode_safely(item) for item in items if item.get("id") == identity), None)

    def _is_over(self) -> bool:
        return self._size_bytes > self.max_bytes or len(self._kept) > self.max_responses

    def _is_old(self, kept: Kept, now_s: float) -> bool:
        return now_s - kept.kept_at_s >= self.ttl_s

    def _drop(self, key: tuple[str, str]) -> bool:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._size_bytes -= kept.size_bytes
        return kept is not None

    # -- the cold routes: JSON, or None for 404 ------------------------------------------------------------------

    def response(self, caller: str, identity: str) -> bytes | None:
        """`GET /v1/responses/{id}`."""
        kept = self.get(caller, identity)
        return None if kept is None else kept.body

    def delete(self, caller: str, identity: str) -> bytes | None:
        """`DELETE /v1/responses/{id}`."""
        if self.get(caller, identity) is None:
            return None
        self._drop((caller, identity))
        return encode_safely({"id": identity, "object": "response", "deleted": True})

    def input_items(
        self, caller: str, identity: str, *, limit: int = PAGE, order: str = "desc", after: str | None = None
    ) -> bytes | None:
        """`GET /v1/responses/{id}/input_items`; newest first unless `order` is `asc`, those after item `after`."""
        kept = self.get(caller, identity)
        if kept is None:
            return None
        items = _listed(kept.input, identity.partition(MARK)[2])
        if order != "asc":
            items.reverse()
        ids = [item[0] for item in items]
        start = ids.index(after) + 1 if after in ids else 0
        end = start + max(1, min(limit, PAGE_MAX))
        return encode_safely(
            {
                "object": "list",
                "data": [item[1] for item in items[start:end]],
                "first_id": ids[start] if items[start:] else None,
                "last_id": ids[start:end][-1] if items[start:] else None,
                "has_more": end < len(items),
            }
        )


def _listed(items: bytes, reply_id: str) -> list[tuple[str, dict[str, Any]]]:
    """Input items as a list shows them, with their ids: each has one, and a message's text is a list of parts.

    Values stay as the client wrote them: what is odd in them is not ours to find out here.
    """
    listed = []
    for number, item in enumerate(_decode_items(items)):
        kind = _word(item.get("type")) or "message"
        identity = _word(item.get("id")) or f"{SHORT.get(kind, kind[:3])}_in_{reply_id}_{number}"
        shown: dict[str, Any] = {**item, "id": identity, "type": kind}
        content = item.get("content")
        if content is not None and bytes(content)[:1] == b'"':
            part = "output_text" if _word(item.get("role")) == "assistant" else "input_text"
            shown["content"] = [{"type": part, "text": content}]
        listed.append((identity, shown))
    return listed


def _word(raw: Raw | None) -> str:
    try:
        value = msgspec.json.decode(b"null" if raw is None else raw)
    except UNREADABLE:
        return ""
    return value if isinstance(value, str) else ""
