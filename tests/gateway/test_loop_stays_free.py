"""SQLite is never called in the thread of the event loop: a slow disk holds up nobody who does not wait for it.

Every connection that is made while a test runs is watched, whoever makes it: which of its methods were called, where.
"""

from __future__ import annotations

import sqlite3
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from gateway_house import ASK, CHAT, STREAM, FakeUpstream, Key, Secret, config, house_with

from hoosh.audit.settings import Audit
from hoosh.budget.settings import Budget
from hoosh.config import Config
from hoosh.cost import PriceOverride
from hoosh.storage.settings import Storage
from hoosh.testing.upstream import json_reply, sse_chat

Calls = Mapping[int, set[str]]
"""Thread → names of the methods that were called there."""

KEY = "sk-loop-0123456789abcdef"
BEARER = ((b"authorization", f"Bearer {KEY}".encode()),)
ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "model": "fake",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "salam"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 30, "completion_tokens": 12, "total_tokens": 42},
}
OF_CONNECTIONS = ("commit", "rollback", "close", "backup", "executescript")
OF_CURSORS = ("execute", "executemany", "executescript", "fetchone", "fetchmany", "fetchall", "close", "__next__")


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    seen: dict[int, set[str]] = defaultdict(set)

    def watched(kind: type, name: str) -> Callable[..., Any]:
        method = getattr(kind, name)

        def call(*arguments: Any, **named: Any) -> Any:
            seen[threading.get_ident()].add(name)
            return method(*arguments, **named)

        return call

    class Cursor(sqlite3.Cursor):
        locals().update({name: watched(sqlite3.Cursor, name) for name in OF_CURSORS})

    class Connection(sqlite3.Connection):
        locals().update({name: watched(sqlite3.Connection, name) for name in OF_CONNECTIONS})

        def cursor(self, factory: Any = Cursor) -> Any:
            return super().cursor(factory)

        def execute(self, *arguments: Any) -> Any:  # its own would make a cursor that nobody watches
            return self.cursor().execute(*arguments)

        def executemany(self, *arguments: Any) -> Any:
            return self.cursor().executemany(*arguments)

    real = sqlite3.connect

    def connect(*arguments: Any, **named: Any) -> sqlite3.Connection:
        seen[threading.get_ident()].add("connect")
        return real(*arguments, **named, factory=Connection)

    monkeypatch.setattr(sqlite3, "connect", connect)
    return seen


def everything(path: Path, **storage: Any) -> Config:
    """A house that writes down all there is to write down."""
    return config(
        keys=(Key(name="ada", key=Secret(KEY), pool="words", rpm=10**6, tpm=10**9, max_concurrent=100),),
        budgets=(Budget(name="words", capacity=10**9, window="day"),),
        prices=(PriceOverride(model="*", input=1.0, output=2.0),),
        audit=Audit(enabled=True, signing_key=Secret("0123456789abcdef0123456789abcdef"), checkpoint_every=10),
        storage=Storage(url=f"sqlite:///{path}", **storage),
    )


def test_a_call_in_this_thread_would_be_seen(calls: Calls, tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / "x.db")
    database.execute("SELECT 1").fetchone()
    for _ in database.execute("SELECT 1"):
        pass
    database.close()
    assert calls == {threading.get_ident(): {"connect", "execute", "fetchone", "__next__", "close"}}


@pytest.mark.parametrize("durability", ["batched", "sync"])
async def test_sqlite_stays_out_of_the_thread_of_the_event_loop(durability: str, calls: Calls, tmp_path: Path) -> None:
    settings = everything(tmp_path / "hoosh.db", durability=durability)
    for life in (1, 2):  # the second reads back what the first has written
        async with house_with(FakeUpstream(json_reply(ANSWER)), settings) as house:
            for _ in range(40):
                assert (await house.post(CHAT, ASK, headers=BEARER))[0] == 200
            house.network.listen("mock:80", FakeUpstream(sse_chat("sa", "lam")).serve_wire)
            for _ in range(10):
                assert (await house.post(CHAT, STREAM, headers=BEARER))[0] == 200
            for path in ("/metrics", "/v1/costs", "/v1/audit", "/v1/audit/verify", "/v1/tokens/pools"):
                assert (await house.get(path, headers=BEARER))[0] == 200, path
            await house.gateway.books.save()
            _, totals = await house.gateway.books.replayed()
            assert totals.total().requests == 50 * life
    assert threading.get_ident() not in calls
    assert set.union(*calls.values()) >= {"connect", "execute", "executemany", "fetchone", "close"}
