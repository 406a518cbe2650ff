"""Kept responses: three bounds, one owner each, and what the cold routes show of them."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hoosh.dialects.contract import Stamp
from hoosh.dialects.responses import ResponsesDownstream, ResponseStore
from hoosh.dialects.responses.store import OVERHEAD_BYTES, Kept
from hoosh.values import CallKind, ChatReply, Finished, FinishReason, ReasoningSaid, TextSaid


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def keep(store: ResponseStore, caller: str, identity: str, size_bytes: int = 0) -> None:
    store.put(caller, identity, body=b"x" * size_bytes, input=b"[]", output=b"[]")


def has(store: ResponseStore, caller: str, identity: str) -> bool:
    return store.response(caller, identity) is not None


def test_what_is_kept_is_its_callers_alone():
    store = ResponseStore()
    store.put("ann", "r", body=b"{}", input=b"[1]", output=b"[2]")
    assert store.response("ann", "r") == b"{}"
    assert store.response("bob", "r") is None
    assert store.delete("bob", "r") is None
    assert store.input_items("bob", "r") is None
    assert json.loads(store.delete("ann", "r") or b"") == {"id": "r", "object": "response", "deleted": True}
    assert store.response("ann", "r") is None
    assert store.statistics().size_bytes == 0


def test_the_least_recently_used_goes_first():
    store = ResponseStore(max_responses=2)
    for name in "ab":
        keep(store, "ann", name)
    assert has(store, "ann", "a")
    keep(store, "ann", "c")
    assert [has(store, "ann", name) for name in "abc"] == [True, False, True]


def test_bytes_are_bounded_and_what_is_too_large_is_not_kept():
    store = ResponseStore(max_bytes=2 * (OVERHEAD_BYTES + 104))
    for name in "abc":
        keep(store, "ann", name, 100)
    assert [has(store, "ann", name) for name in "abc"] == [False, True, True]
    keep(store, "ann", "d", 5000)
    assert not has(store, "ann", "d")
    assert store.statistics().responses == 2


def test_the_old_are_forgotten():
    clock = Clock()
    store = ResponseStore(ttl_s=10.0, now=clock)
    keep(store, "ann", "a")
    clock.now_s = 9.0
    assert has(store, "ann", "a")
    keep(store, "ann", "b")
    clock.now_s = 10.0
    assert not has(store, "ann", "a")
    clock.now_s = 30.0
    keep(store, "ann", "c")
    assert store.statistics().responses == 1


class DumbStore:
    """What a store is, without any thought for speed."""

    def __init__(self, max_bytes: int, max_responses: int, ttl_s: float) -> None:
        self.max_bytes, self.max_responses, self.ttl_s = max_bytes, max_responses, ttl_s
        self.kept: list[tuple[tuple[str, str], int, float]] = []  # the least recently used first

    def put(self, key: tuple[str, str], size_bytes: int, now_s: float) -> None:
        self.drop(key)
        self.kept.append((key, size_bytes, now_s))
        if size_bytes > self.max_bytes:
            self.drop(key)
            return
        while sum(kept[1] for kept in self.kept) > self.max_bytes or len(self.kept) > self.max_responses:
            del self.kept[0]

    def get(self, key: tuple[str, str], now_s: float) -> bool:
        for kept in self.kept:
            if kept[0] == key and now_s - kept[2] < self.ttl_s:
                self.kept.remove(kept)
                self.kept.append(kept)
                return True
        self.drop(key)
        return False

    def drop(self, key: tuple[str, str]) -> None:
        self.kept = [kept for kept in self.kept if kept[0] != key]


@pytest.mark.parametrize("seed", range(20))
def test_it_behaves_as_a_dumb_store_does(seed: int):
    random, clock = Random(seed), Clock()
    store = ResponseStore(max_bytes=6000, max_responses=6, ttl_s=1000.0, now=clock)
    dumb = DumbStore(6000, 6, 1000.0)
    for _ in range(400):
        key = (random.choice("ab"), random.choice("stuvwxyz"))
        clock.now_s += random.random()
        if random.random() < 0.4:
            size_bytes = random.choice([0, 100, 1500, 7000])
            keep(store, *key, size_bytes)
            dumb.put(key, Kept(b"x" * size_bytes, b"[]", b"[]").size_bytes, clock.now_s)
        elif random.random() < 0.2:
            store.delete(*key)
            dumb.drop(key)
        else:
            assert has(store, *key) is dumb.get(key, clock.now_s)
        assert store.statistics().size_bytes <= 6000
        assert store.statistics().responses == len(dumb.kept)


# -- through the dialect -----------------------------------------------------------------------------------------


def answer(dialect: ResponsesDownstream, **fields: Any) -> bytes:
    call = dialect.read(CallKind.CHAT, json.dumps({"model": "m", "input": "hi", **fields}).encode())
    reply = ChatReply((ReasoningSaid("hm"), TextSaid("hello")), Finished(FinishReason.LENGTH))
    return dialect.encode_reply(call, reply, Stamp("r1", "m", 1))


def test_a_response_is_shown_as_it_was_given_also_an_incomplete_one():
    store = ResponseStore()
    given = answer(ResponsesDownstream(store).for_caller("ann"))
    assert json.loads(given)["status"] == "incomplete"
    assert store.response("ann", "resp_hoosh_r1") == given


@pytest.mark.parametrize("caller", ["ann", None])
def test_what_is_not_to_be_kept_is_not(caller: str | None):
    store = ResponseStore()
    dialect = ResponsesDownstream(store)
    answer(dialect.for_caller(caller), store=False) if caller else answer(dialect)
    assert store.statistics().responses == 0


def test_input_items_are_listed_in_pages():
    store = ResponseStore()
    items = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}, {"role": "user", "content": []}]
    answer(ResponsesDownstream(store).for_caller("ann"), input=[*items, {"type": "reasoning", "id": "rs_1", "x": 1e2}])
    page = json.loads(store.input_items("ann", "resp_hoosh_r1", limit=2, order="asc") or b"")
    assert [item["content"] for item in page["data"]] == [
        [{"type": "input_text", "text": "q"}],
        [{"type": "output_text", "text": "a"}],
    ]
    assert page["has_more"] is True
    assert (page["first_id"], page["last_id"]) == ("msg_in_r1_0", "msg_in_r1_1")
    rest = json.loads(store.input_items("ann", "resp_hoosh_r1", order="asc", after=page["last_id"]) or b"")
    assert [item["id"] for item in rest["data"]] == ["msg_in_r1_2", "rs_1"]
    assert rest["has_more"] is False
    newest = json.loads(store.input_items("ann", "resp_hoosh_r1", limit=1) or b"")
    assert newest["data"] == [{"type": "reasoning", "id": "rs_1", "x": 100.0}]
    empty = json.loads(store.input_items("ann", "resp_hoosh_r1", order="asc", after="rs_1") or b"")
    assert (empty["data"], empty["first_id"], empty["last_id"], empty["has_more"]) == ([], None, None, False)


@given(st.text(max_size=20))
def test_a_strange_id_is_nobodys(identity: str):
    store = ResponseStore()
    answer(ResponsesDownstream(store).for_caller("ann"))
    assert store.item("ann", identity) is None
    assert store.response("ann", identity) is None
