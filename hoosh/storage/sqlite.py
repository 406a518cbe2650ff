"""The store in an SQLite file.  This is the event loop's side: it queues, rings, and waits; it touches no file.

    append ──▶ queue ──▶ writer's thread ──▶ file
                              │
    wait_kept, answers ◀──────┘ one call into the event loop for each batch that somebody waits for

A row is put into the queue in a microsecond.  The thread commits at most every 20 ms, at once when somebody waits:
`PRAGMA synchronous = FULL` makes that survive a power cut.  See `writer.py` for what happens when it cannot.

A caller that is cancelled while it waits: what was not begun does not happen; a `take` that was done is given back;
a `put` or `swap` that was begun has happened.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeVar, cast

import trio

from hoosh.errors import StorageError
from hoosh.storage.contract import Durability, StoreStatistics
from hoosh.storage.entries import check_name
from hoosh.storage.handover import Limits, Outcome, Question
from hoosh.storage.shapes import MAX_BYTES, SqliteCounter, SqliteLog, SqliteTable
from hoosh.storage.writer import Writer

__all__ = ["SqliteStore"]

T = TypeVar("T")


class SqliteStore:
    """One file, one writer.  `run` may be called once."""

    def __init__(
        self,
        path: Path,
        *,
        durability: Durability = "batched",
        now: Callable[[], float] = time.time,
        limits: Limits | None = None,
    ) -> None:
        self.durability: Durability = durability
        self.now = now
        self._path = path
        self._limits = limits or Limits()
        self._writer = Writer(path, self._limits)
        self._logs: dict[str, SqliteLog] = {}
        self._positions: dict[str, int] = {}
        self._is_started = False
        self._state: Literal["new", "open", "closed"] = "new"
        self._opened, self._ended = trio.Event(), trio.Event()
        self._failure: Exception | None = None
        self._asked: set[Question[Any]] = set()
        self.waiting = 0
        """Callers of `wait_kept`."""
        self._appended_rows = self._appended_bytes = self._lost_rows = 0

    # Its life

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> NoReturn:
        """Raises StorageError when the file cannot be used, and at the end when not all could be written down."""
        if self._is_started:
            raise RuntimeError("a store runs once")
        await trio.lowlevel.checkpoint_if_cancelled()
        self._is_started = True
        try:
            async with trio.open_nursery() as nursery:
                patience = trio.CancelScope(shield=True)
                nursery.start_soon(self._keep_thread, patience)
                try:
                    await self._opened.wait()
                    if not self._ended.is_set():
                        task_status.started()
                    await self._ended.wait()
                finally:
                    with trio.CancelScope(shield=True) as closing:
                        nursery.start_soon(self._watch_the_end, closing, patience)
                        await self._wind_up()
        finally:
            if self._failure is not None:
                raise self._failure
        raise AssertionError("the writer ended by itself")

    async def _keep_thread(self, patience: trio.CancelScope) -> None:
        token = trio.lowlevel.current_trio_token()

        def call(function: Callable[[T], None], value: T) -> None:
            try:
                token.run_sync_soon(function, value)
            except trio.RunFinishedError:  # we had no patience left, and are gone
                pass

        def hand_over(outcome: Outcome) -> None:
            """In the writer's thread.  Nobody is woken for rows that nobody waits for, which is nearly always."""
            for name, position in outcome.kept.items():
                self._logs[name].kept = position
            if self.waiting or outcome.questions or outcome.failure is not None:
                call(self._deliver, outcome)

        try:
            with patience:
                await trio.to_thread.run_sync(
                    lambda: self._writer.run(lambda found: call(self._open, found), hand_over),
                    abandon_on_cancel=True,
                    limiter=trio.CapacityLimiter(1),
                )
            if patience.cancelled_caught:
                raise StorageError("The disk hangs; what was written last may be lost.")
        except Exception as error:
            self._failure = error
        finally:
            self._close()

    async def _watch_the_end(self, *scopes: trio.CancelScope) -> None:
        """Cancel them once the disk has taken too long.  It knows nothing of Trio's clock, which may be a mock."""
        with trio.CancelScope(shield=True):
            has_ended = await trio.to_thread.run_sync(self._writer.has_ended.wait, self._limits.close_s)
        if not has_ended:
            for scope in scopes:
                scope.cancel(reason="the disk hangs")

    def _open(self, positions: dict[str, int]) -> None:
        self._positions = positions
        for name, log in self._logs.items():
            log.position = log.kept = positions.get(name, 0)
        self._state = "open"
        self._opened.set()

    async def _wind_up(self) -> None:
        """All that was appended, also while we were at it."""
        await self._opened.wait()
        try:
            while self._writer.queue and self._state == "open":
                await self.ask(Question(lambda database: None, in_order=True))
        except StorageError:
            pass  # the thread makes its last attempt in any case
        self._state = "closed"
        self._writer.is_stopping = True
        self._writer.hurry.ring()
        self._writer.bell.ring()
        await self._ended.wait()

    def _close(self) -> None:
        """The thread has ended, or been given up.  Nobody may wait for it any longer."""
        self._state = "closed"
        error = StorageError("The store is closed.")
        for question in self._asked:  # in the queue, or in the batch that was not finished
            question.error = error
            question.answered.set()
        for log in self._logs.values():
            log.wake(error)
        self._writer.has_ended.set()
        self._opened.set()
        self._ended.set()

    # What goes to the thread, and what comes back

    def enqueue_rows(self, name: str, first: int, rows: Sequence[bytes]) -> bool:
        """False: they are lost."""
        count = len(rows)
        size = len(rows[0]) if count == 1 else sum(map(len, rows))
        if self._state != "open" or size > MAX_BYTES or self._is_over(2):
            return self._lose(count)
        self._appended_rows += count
        self._appended_bytes += size
        self._writer.queue.append((name, first, rows))
        self._writer.bell.ring()
        return True

    def _is_over(self, times: int) -> bool:
        """Is there more in memory than `times` the bound?"""
        writer, limits = self._writer, self._limits
        return (
            self._appended_rows - writer.kept_rows >= times * limits.memory_rows
            or self._appended_bytes - writer.kept_bytes >= times * limits.memory_bytes
        )

    def _lose(self, count: int) -> bool:
        if self._state == "new":
            raise RuntimeError("the store is not running")
        self._lost_rows += count
        return False

    async def ask(self, question: Question[T]) -> T:
        """Raises StorageError."""
        await trio.lowlevel.checkpoint_if_cancelled()
        self.hurry()
        self._writer.queue.append(question)
        self._writer.bell.ring()
        self._asked.add(question)
        try:
            await question.answered.wait()
        except trio.Cancelled:
            question.is_withdrawn = True
            raise
        finally:
            self._asked.discard(question)
        if question.error is not None:
            raise question.error
        return cast("T", question.answer)

    def hurry(self) -> None:
        """Somebody waits: write what there is.  Raises StorageError when the store is closed."""
        if self._state == "new":
            raise RuntimeError("the store is not running")
        if self._state == "closed":
            raise StorageError("The store is closed.")
        self._writer.hurry.ring()
        self._writer.bell.ring()

    def _deliver(self, outcome: Outcome) -> None:
        for log in self._logs.values():
            log.wake(outcome.failure)
        for question in outcome.questions:
            question.answered.set()
            if question.is_withdrawn and question.undo is not None and question.answer is not None:
                self._writer.queue.append(Question(question.undo, changes=True))
                self._writer.bell.ring()

    # What others see

    def log(self, name: str) -> SqliteLog:
        log = self._logs.get(name)
        if log is None:
            log = self._logs[name] = SqliteLog(self, check_name(name), self._positions.get(name, 0))
        return log

    def table(self, name: str) -> SqliteTable:
        return SqliteTable(self, check_name(name))

    def counter(self, name: str) -> SqliteCounter:
        return SqliteCounter(self, check_name(name))

    def statistics(self) -> StoreStatistics:
        writer = self._writer
        notes = [str(error) for error in (self._failure or writer.error, writer.note) if error is not None]
        if self._lost_rows:
            notes.append(f"{self._lost_rows} rows were lost: there was no room for them.")
        return StoreStatistics(
            "sqlite",
            "full" if self._is_over(1) else "ok" if writer.error is None else "spooling",
            place=str(self._path),
            waiting_rows=self._appended_rows - writer.kept_rows + writer.spool.rows,
            spooled_rows=writer.spool.rows,
            written_rows=writer.written_rows,
            last_error=" ".join(notes) or None,
        )
