"""What every store must hold, built in or somebody else's: call it from your own tests.

    async def test_my_store_keeps_the_contract():
        await check_store(lambda now: MyStore(now=now))

`make` is given a clock and returns a store that is empty and has not been run.  With `again`, which returns one that
finds what the first has kept, it is also shown that a store outlives its process.

Raises AssertionError with a sentence about what does not hold.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import trio

from hoosh.errors import StorageError
from hoosh.storage.contract import Row, Store

__all__ = ["Clock", "check_store", "running"]


class Clock:
    """Unix time that stands still until it is moved."""

    def __init__(self, now_s: float = 1_000_000.0) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s


@asynccontextmanager
async def running(store: Store) -> AsyncIterator[Store]:
    """The store, open; afterwards it has written down everything.  What stops it is raised as it is."""
    failure: StorageError | None = None

    async def run(task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        nonlocal failure
        try:
            await store.run(task_status=task_status)
        except StorageError as error:
            failure = error
            nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        try:
            await nursery.start(run)
        except RuntimeError:  # it did not come to `started`
            if failure is None:
                raise
        if failure is None:
            yield store
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure


async def check_store(
    make: Callable[[Callable[[], float]], Store], *, again: Callable[[Callable[[], float]], Store] | None = None
) -> None:
    """Raises AssertionError."""
    clock = Clock()
    async with running(make(clock)) as store:
        await _check_log(store)
        await _check_table(store, clock)
        await _check_counter(store, clock)
        await _check_order(store)
        await _check_names(store)
        assert store.statistics().status == "ok", "a store that works says so"
    if again is None:
        return
    async with running(again(clock)) as store:
        await _check_what_lasts(store)


def _equal(what: object, expected: object, sentence: str) -> None:
    assert what == expected, f"{sentence}: {what!r} is not {expected!r}"


async def _check_log(store: Store) -> None:
    log = store.log("checked")
    _equal(log.position, 0, "a new log is empty")
    _equal(await log.read(), [], "a new log has no rows")
    _equal(log.append([b"a", b"b"]), 2, "append returns the position of the last row")
    _equal(log.append([]), 2, "to append nothing changes nothing")
    _equal(log.append([b""]), 3, "a row may be empty")
    _equal(log.position, 3, "the position is known at once")
    _equal(await log.read(), [Row(1, b"a"), Row(2, b"b"), Row(3, b"")], "appended rows are read, kept or not")
    _equal(await log.read(1, 1), [Row(2, b"b")], "`after` and `limit` hold")
    _equal(await log.read(3), [], "nothing lies behind the last row")
    _equal(await log.read(0, 0), [], "a limit of 0 is none")
    await log.wait_kept(3)
    await log.wait_kept(0)
    await _raises(log.wait_kept(4), "nobody waits for a row that is not there")
    many = [b"%d" % number for number in range(1500)]
    log.append(many)
    _equal([row.body for row in await log.read(3, 2000)], many, "many rows come back in their order")
    _equal(len(await log.read()), 1000, "the limit is 1000")
    _equal(store.log("checked").position, 1503, "a log is known by its name")
    _equal(store.log("other").position, 0, "logs are apart")
    await _check_trim(store)


async def _check_trim(store: Store) -> None:
    log = store.log("trimmed")
    log.append([b"a", b"b", b"c"])
    _equal(await log.trim(0), 0, "nothing lies before the beginning")
    _equal(await log.trim(3), 2, "trim says how many rows went")
    _equal(await log.trim(3), 0, "what is gone is gone")
    _equal(await log.read(), [Row(3, b"c")], "the rest stays")
    _equal(await log.trim(100), 1, "all may be trimmed")
    _equal(log.append([b"d"]), 4, "positions go on")
    _equal(await log.read(), [Row(4, b"d")], "positions go on")
    await log.trim(5)


async def _check_table(store: Store, clock: Clock) -> None:
    table = store.table("checked")
    _equal(await table.get("k"), None, "what was not put is not there")
    await table.put("k", b"v")
    await table.put("k", b"w")
    _equal(await table.get("k"), b"w", "the last put counts")
    _equal(await store.table("other").get("k"), None, "tables are apart")
    _equal(await table.swap("k", b"v", b"x"), False, "a swap expects the right value")
    _equal(await table.swap("k", b"w", b"x"), True, "a swap with the right value is done")
    _equal(await table.swap("k", None, b"y"), False, "there is a value")
    _equal(await table.swap("k", b"x", None), True, "None deletes")
    _equal(await table.swap("k", None, None), True, "nothing is swapped for nothing")
    _equal(await table.swap("k", None, b"", ttl_s=10), True, "None expects nothing")
    _equal(await table.get("k"), b"", "a value may be empty")
    clock.now_s += 10
    _equal(await table.get("k"), None, "after its time an entry is gone")
    _equal(await table.swap("k", None, b"z"), True, "after its time an entry is gone for a swap, too")
    keys = [
        "",
        "a",
        "a\0",
        "a%",
        "aZ",
        "aß",
        "a\U0010ffff",
        "a\U0010ffff\U0010ffffx",
        "b",
        "\ud7ff",
        "\ud7ffx",
        "\ue000",
    ]
    for key in keys:
        await store.table("keys").put(key, key.encode())
    await store.table("keys").put("gone", b"", ttl_s=5)
    clock.now_s += 5
    for prefix in ("", "a", "a\U0010ffff", "\ud7ff", "\U0010ffff", "c"):
        for after in ("", "a", "a%", "zz"):
            found = await store.table("keys").items(prefix, after=after)
            expected = [(k, k.encode()) for k in sorted(keys) if k.startswith(prefix) and (k > after or not after)]
            _equal(found, expected, f"items of {prefix!r} behind {after!r}, by key")
    _equal(await store.table("keys").items(limit=2), [("", b""), ("a", b"a")], "`limit` holds")
    await _raises(table.get("\ud800"), "a key must be text")


async def _check_counter(store: Store, clock: Clock) -> None:
    counter = store.counter("checked")
    _equal(await counter.value("k"), 0, "a new counter is 0")
    _equal(await counter.take("k", 3, 5), 3, "take returns the new value")
    _equal(await counter.take("k", 3, 5), None, "a take may not pass the ceiling")
    _equal(await counter.value("k"), 3, "a take that is refused changes nothing")
    _equal(await counter.take("k", 2, 5), 5, "a take may reach the ceiling")
    _equal(await counter.give("k", 4), 1, "give returns the new value")
    _equal(await counter.give("k", 4), 0, "nothing falls below 0")
    _equal(await counter.take("t", 1, 5, ttl_s=10), 1, "a take may have a time to live")
    clock.now_s += 9
    _equal(await counter.take("t", 1, 5, ttl_s=10), 2, "before its time it counts on")
    clock.now_s += 1
    _equal(await counter.value("t"), 0, "the time counts from the first take")
    _equal(await counter.take("t", 5, 5, ttl_s=10), 5, "and then begins anew")
    _equal(await counter.take("big", 2**63 - 1, 2**70), 2**63 - 1, "63 bits are kept")
    _equal(await counter.take("big", 1, 2**70), None, "more are not")
    _equal(await store.counter("other").value("k"), 0, "counters are apart")
    for ask in (counter.take("k", -1, 5), counter.give("k", -1)):
        try:
            await ask
        except ValueError:
            continue
        raise AssertionError("an amount below 0 is a mistake")


async def _check_order(store: Store) -> None:
    """A cancelled caller changes nothing for others."""
    log, table, counter = store.log("order"), store.table("order"), store.counter("order")
    with trio.CancelScope() as scope:
        scope.cancel()
        await table.put("never", b"")
    _equal(await table.get("never"), None, "who is cancelled beforehand asks for nothing")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(log.wait_kept, log.append([b"x"] * 10))
        nursery.start_soon(table.put, "k", b"v")
        nursery.start_soon(counter.take, "taken", 1, 1)
        await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    await log.wait_kept(log.append([b"y"]))
    _equal(len(await log.read()), 11, "rows are kept, whoever waits for them")


async def _check_names(store: Store) -> None:
    for make in (store.log, store.table, store.counter):
        for name in ("", "A", "a b", "ä", "a/b", "a" * 65):
            try:
                make(name)
            except ValueError:
                continue
            raise AssertionError(f"{name!r} is no name")
    store.log("lasting").append([b"1", b"2", b"3"])
    await store.log("lasting").trim(2)
    await store.table("lasting").put("k", b"v")
    await store.counter("lasting").take("k", 7, 7)
    store.log("lasting").append([b"4"])


async def _check_what_lasts(store: Store) -> None:
    _equal(store.log("lasting").position, 4, "positions last")
    _equal(await store.log("lasting").read(), [Row(2, b"2"), Row(3, b"3"), Row(4, b"4")], "rows last")
    _equal(store.log("trimmed").position, 4, "the positions of trimmed rows last")
    _equal(store.log("trimmed").append([b"e"]), 5, "the positions of trimmed rows are not given again")
    _equal(await store.table("lasting").get("k"), b"v", "values last")
    _equal(await store.counter("lasting").value("k"), 7, "counters last")
    _equal(await store.counter("checked").value("t"), 5, "counters with a time to live last as long as that")


async def _raises(ask: Awaitable[object], sentence: str) -> None:
    try:
        await ask
    except StorageError:
        return
    raise AssertionError(sentence)
