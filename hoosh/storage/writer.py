"""The thread that owns the file: takes what is queued, writes it in groups, and knows what to do when it cannot.

    queue ──▶ batch ──▶ database, one transaction                       kept
                  └──▶ cannot: rows ──▶ spool file, one fsync           kept, `spooling`
                  │                 └──▶ cannot: held in memory         not kept
                  └──▶ cannot: a question that must come in order       StorageError

What is queued first is written first.  While rows wait in the spool, later ones go behind them; with the next attempt
that is due, the spool is read back into the database before anything else is written.  Attempts are `retry_s` apart,
then twice that, up to `retry_max_s`.

Only this thread calls `run` and what it calls; the event loop puts into `queue`, rings, and reads the public numbers.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from hoosh.errors import StorageError
from hoosh.storage.advice import WriteFailure, storage_error
from hoosh.storage.database import MOST_ROWS, Database, LogRows
from hoosh.storage.handover import Bell, Limits, Outcome, Question
from hoosh.storage.spool import Spool, SpoolFull

__all__ = ["Writer"]

_SIBLINGS_S = 0.001
"""Rows of several logs are appended one after the other; this is for the others."""
_DRAINED_ROWS = 2_000
"""In one transaction: a disk that is nearly full takes the spool bit by bit."""


class Writer:
    """See the module.  `run` raises StorageError when the store cannot be opened, or could not keep all at its end."""

    def __init__(self, path: Path, limits: Limits) -> None:
        self.queue: deque[LogRows | Question[Any]] = deque()
        self.bell = Bell()
        self.hurry = Bell()
        """Somebody waits: do not gather."""
        self.is_stopping = False
        self.has_ended = threading.Event()
        self.error: StorageError | None = None
        """While the database cannot be written."""
        self.note: str | None = None
        self.written_rows = 0
        """Into the database; those that an earlier process left in the spool, too."""
        self.kept_rows = 0
        self.kept_bytes = 0
        self.spool = Spool(path.with_name(f"{path.name}.spool"), max_bytes=limits.spool_bytes)
        self._path = path
        self._limits = limits
        self._database: Database
        self._held: list[LogRows] = []
        """Taken from the queue and not kept."""
        self._retry_s = limits.retry_s
        self._retry_at = 0.0
        self._began_at = 0.0

    def run(self, opened: Callable[[dict[str, int]], None], deliver: Callable[[Outcome], None]) -> None:
        """Until `is_stopping`, then what is left."""
        try:
            self._database = Database(self._path, busy_s=self._limits.busy_s)
            try:
                self._work(opened, deliver)
            except BaseException:
                self._rescue()
                raise
            finally:
                self.spool.close()
                self._database.close()
        finally:
            self.has_ended.set()

    def _work(self, opened: Callable[[dict[str, int]], None], deliver: Callable[[Outcome], None]) -> None:
        self._recover()
        opened(self._database.positions())
        while not self.is_stopping:
            self._wait()
            taken = self._take()
            if taken or self.error is not None:
                deliver(self._write(taken))
        self._finish(deliver)

    def _recover(self) -> None:
        place = str(self.spool.path)
        try:
            self.note = self.spool.recover()
            self._drain()
        except WriteFailure as error:
            raise storage_error(error, f"{place} cannot be read back into the database, which") from error

    def _wait(self) -> None:
        timeout_s = -1.0 if self.error is None else max(0.0, self._retry_at - time.monotonic())
        if self.bell.wait(timeout_s):
            early_s = self._began_at + self._limits.gather_s - time.monotonic()
            if self.hurry.wait(max(_SIBLINGS_S, early_s)):
                self.hurry.hear()
            self.bell.hear()
        self._began_at = time.monotonic()

    def _take(self) -> list[LogRows | Question[Any]]:
        queue = self.queue
        return [queue.popleft() for _ in range(len(queue))]

    def _write(self, taken: Iterable[LogRows | Question[Any]]) -> Outcome:
        batch = list(_merged([*self._held, *taken]))
        self._held = [each for each in batch if not isinstance(each, Question)]
        questions = [each for each in batch if isinstance(each, Question)]
        if self.error is None or time.monotonic() >= self._retry_at:
            try:
                self._commit(batch)
            except (*WriteFailure, StorageError) as error:
                self._failed(error)
            else:
                return Outcome(self._settle(written=True), questions, None)
        failure = self._put_aside()
        for question in questions:
            self._answer_anyhow(question)
        return Outcome({} if failure else self._settle(written=False), questions, failure)

    # The database

    def _commit(self, batch: list[LogRows | Question[Any]]) -> None:
        if self.error is not None:
            self._database.reconnect()
            self._database.probe()
        self._drain()
        self._database.know({rows[0] for rows in self._held})
        if len(self._held) == len(batch) and _count(self._held) <= MOST_ROWS:
            self._database.append(self._held)  # one statement is a transaction
        else:
            self._commit_all(batch)
        self.error = None
        self._retry_s = self._limits.retry_s

    def _commit_all(self, batch: list[LogRows | Question[Any]]) -> None:
        writes = any(not isinstance(each, Question) or each.changes for each in batch)
        with self._database.transaction(writes=writes):
            for each in batch:
                if isinstance(each, Question):
                    self._answer(each)
                else:
                    self._database.append([each])

    def _answer(self, question: Question[Any]) -> None:
        question.error = None
        try:
            question.answer = question.work(self._database)
        except ValueError as error:  # the asker's own mistake; it changes nothing for the others
            question.error = error

    def _drain(self) -> None:
        """The spool first."""
        if not self.spool.rows:
            return
        chunk: list[LogRows] = []
        for record in self.spool.records():
            chunk.append(record)
            if _count(chunk) >= _DRAINED_ROWS:
                self._drain_chunk(chunk)
                chunk = []
        self._drain_chunk(chunk)
        count = self.spool.rows
        self.spool.clear()
        self.written_rows += count

    def _drain_chunk(self, chunk: list[LogRows]) -> None:
        database = self._database
        database.know({rows[0] for rows in chunk})
        with database.transaction(writes=True):
            for rows in chunk:
                if not database.follows(rows):
                    raise StorageError(
                        f"{self.spool.path} does not continue the log `{rows[0]}` of the database: was that restored "
                        "from a backup? Move the spool file away; it holds rows that the database lacks."
                    )
                database.append([database.missing(rows)])

    # When it cannot

    def _failed(self, error: Exception) -> None:
        self.error = storage_error(error, "The store")
        self._retry_at = time.monotonic() + self._retry_s
        self._retry_s = min(self._retry_s * 2, self._limits.retry_max_s)

    def _put_aside(self) -> StorageError | None:
        """Rows into the spool.  Returns why they are not kept, if they are not."""
        if not self._held:
            return None
        try:
            self.spool.append(self._held)
        except (OSError, SpoolFull) as error:
            return StorageError(f"{self.error} Nor can rows be put aside: {storage_error(error, 'the spool file')}")
        return None

    def _answer_anyhow(self, question: Question[Any]) -> None:
        """Reading may still be possible, where it does not matter what waits."""
        question.error = self.error
        if question.changes or (question.in_order and (self._held or self.spool.rows)):
            return
        try:
            self._answer(question)
        except WriteFailure as error:
            question.error = storage_error(error, "The store")

    def _settle(self, *, written: bool) -> dict[str, int]:
        """What was held is kept now."""
        held, self._held = self._held, []
        count = _count(held)
        self.kept_rows += count
        self.kept_bytes += sum(sum(map(len, bodies)) for _, _, bodies in held)
        if written:
            self.written_rows += count
        return {name: first + len(bodies) - 1 for name, first, bodies in held}

    def _finish(self, deliver: Callable[[Outcome], None]) -> None:
        self._retry_at = 0.0
        deliver(self._write(self._take()))
        if self._held:
            raise StorageError(f"{_count(self._held)} rows could not be written before the end: {self.error}")

    def _rescue(self) -> None:
        """The thread ends with an error: into the spool with all that is left, if that can be done."""
        self._held += [each for each in self._take() if not isinstance(each, Question)]
        if self._put_aside() is None:
            self._settle(written=False)


def _count(batch: Iterable[LogRows]) -> int:
    return sum(len(bodies) for _, _, bodies in batch)


def _merged(queued: Iterable[LogRows | Question[Any]]) -> Iterator[LogRows | Question[Any]]:
    """Between questions, all rows of a log as one: their positions have no gaps.  Withdrawn questions are left out."""
    logs: dict[str, tuple[str, int, list[bytes]]] = {}
    for each in queued:
        if isinstance(each, Question):
            yield from logs.values()
            logs = {}
            if not each.is_withdrawn:
                yield each
        elif each[0] in logs:
            logs[each[0]][2].extend(each[2])
        else:
            logs[each[0]] = (each[0], each[1], list(each[2]))
    yield from logs.values()
