"""Files that clients send, for as long as their request lasts: small ones in memory, larger ones on the disk.

    with uploads.begin(expected_bytes) as upload:      BASE/hoosh-uploads-UID-XXXX/   0700, this process's own
        await upload.write(piece)                          lock                       held for as long as it lives
        content = await upload.finish()                    1, 2, …                    0600, one for each upload

Leaving the block gives the upload up, however it is left: without a wait, its file is removed soon by `run`.  When the
house closes the whole folder goes.  What a process has left behind that was killed is found by its lock, which nobody
holds any more, and removed by the next one that runs here: when it starts, or else when it makes a folder of its own.

All uploads together are bounded.  Files are written in threads, a few hundred KiB at a time.
"""

from __future__ import annotations

import errno
import os
import shutil
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import NoReturn

import trio
from msgspec import Struct

from hoosh.errors import StorageError, Unavailable
from hoosh.storage.upload_folder import make_folder, sweep
from hoosh.values import FileRange

__all__ = ["Upload", "UploadStatistics", "Uploads"]

HELD_BYTES = 64 * 1024
"""A smaller file never sees the disk."""
WRITE_BYTES = 256 * 1024
"""At once."""
BUSY_S = 5.0
"""When to come back to a house that has no room for more."""
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class UploadStatistics(Struct, frozen=True):
    open: int
    bytes: int
    """Of all that are open, as far as they have come."""


class Uploads:
    """All that are open in this process.  The folder is made when the first file needs it; `run` is a service."""

    def __init__(self, base: Callable[[], Path], *, max_bytes: int, sweeps_at_start: bool = True) -> None:
        """`base` is where the folder goes, asked in a thread.  `max_bytes` bounds all uploads together."""
        self.max_bytes = max_bytes
        self._base = base
        self._sweeps_at_start = sweeps_at_start
        self._folder: Path | None = None
        self._lock_fd = -1
        self._making = threading.Lock()
        self._number = 0
        self._open = 0
        self._bytes = 0
        self._doomed: list[_File] = []
        self._news = trio.Event()
        self._is_closed = False
        self._threads = trio.CapacityLimiter(4)

    def begin(self, expected_bytes: int) -> Upload:
        """Begin one; `expected_bytes` is 0 where nobody has said how long it will be.  Raises Unavailable.

        Room is taken by what comes, not by what was said: to say much costs a client nothing.
        """
        self._look_for_room(expected_bytes)
        self._open += 1
        return Upload(self)

    def configure(self, *, max_bytes: int) -> None:
        """From now on; what is open stays."""
        self.max_bytes = max_bytes

    def statistics(self) -> UploadStatistics:
        return UploadStatistics(self._open, self._bytes)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> NoReturn:
        """A service: removes the files of uploads that are over, and first what others have left behind."""
        self._is_closed = False
        task_status.started()
        try:
            if self._sweeps_at_start:
                await trio.to_thread.run_sync(self._sweep, abandon_on_cancel=True, limiter=self._threads)
            while True:
                self._news = trio.Event()
                if self._doomed:
                    await trio.to_thread.run_sync(self._remove_doomed, abandon_on_cancel=True, limiter=self._threads)
                else:
                    await self._news.wait()
        finally:
            self._close()

    def _sweep(self) -> None:
        with suppress(OSError):
            sweep(self._base())

    def _remove_doomed(self) -> None:
        while self._doomed:
            self._doomed.pop().remove()

    def _close(self) -> None:
        """The house is closing: nobody is left whom the wait for a disk could hold up."""
        with self._making:
            self._is_closed = True
            if self._folder is not None:
                shutil.rmtree(self._folder, ignore_errors=True)
                os.close(self._lock_fd)
                self._folder = None

    # -- what uploads ask ------------------------------------------------------------------------------------------

    def _look_for_room(self, size: int) -> None:
        if self._bytes + size > self.max_bytes:
            message = "The gateway has no room for this file now: too many are being received."
            raise Unavailable(message, retry_after_s=BUSY_S, code="uploads_full")

    def _take_room(self, upload: Upload, size: int) -> None:
        self._look_for_room(size)
        self._bytes += size
        upload.size += size

    def _give_up(self, upload: Upload) -> None:
        self._bytes -= upload.size
        self._open -= 1
        if upload.file is not None:
            self._doomed.append(upload.file)
            self._news.set()

    def _new_path(self) -> Path:
        """Blocks; raises OSError."""
        with self._making:
            if self._is_closed:
                raise OSError(errno.ESHUTDOWN, "the gateway is closing")
            if self._folder is not None and not self._folder.is_dir():  # whoever cleans up /tmp has taken it
                os.close(self._lock_fd)
                self._folder = None
            if self._folder is None:
                base = self._base()
                sweep(base)
                self._folder, self._lock_fd = make_folder(base)
            self._number += 1
            return self._folder / str(self._number)

    async def _in_thread(self, work: Callable[[], object]) -> None:
        """Raises StorageError."""
        try:
            await trio.to_thread.run_sync(work, abandon_on_cancel=True, limiter=self._threads)
        except OSError as error:
            reason = "the disk is full" if error.errno in FULL else (error.strerror or "the disk fails")
            raise StorageError(f"The gateway cannot keep the file that was sent: {reason}.") from error


class Upload:
    """One file on its way in.  A context manager; entering and leaving never waits."""

    def __init__(self, uploads: Uploads) -> None:
        self.size = 0
        self.head = b""
        """Its first bytes, a few dozen KiB; there once it is finished."""
        self.file: _File | None = None
        self._uploads = uploads
        self._held = bytearray()
        self._error: StorageError | None = None
        """Why a part of it is lost: nobody gets the rest."""

    def __enter__(self) -> Upload:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._held = bytearray()
        self._uploads._give_up(self)

    async def write(self, piece: bytes) -> None:
        """Append.  Waits for the disk now and then; raises Unavailable, StorageError."""
        self._uploads._take_room(self, len(piece))
        self._held += piece
        if len(self._held) >= (HELD_BYTES if self.file is None else WRITE_BYTES) or self._error is not None:
            await self._flush()

    async def finish(self) -> bytes | FileRange:
        """What has come: held where it is small.  Waits for the disk; raises StorageError."""
        if self.file is None:
            self.head = bytes(self._held)
            return self.head
        return await self.on_disk()

    async def on_disk(self) -> FileRange:
        """The same as a file, however small.  It is there until the block is left.  Raises StorageError."""
        if self._held or self.file is None or self._error is not None:
            await self._flush()
        assert self.file is not None
        return FileRange(str(self.file.path), self.size)

    async def _flush(self) -> None:
        if self._error is not None:
            raise StorageError(str(self._error))
        held, self._held = self._held, bytearray()
        if self.file is None:
            self.head = bytes(held[:HELD_BYTES])
            self.file = _File(self._uploads._new_path)
        file = self.file
        try:
            await self._uploads._in_thread(lambda: file.write(held))
        except StorageError as error:
            self._error = error
            raise


class _File:
    """A file that is there from its first write on.

    A thread that writes may be abandoned, and so be late: once `remove` has been called nothing is written any more.
    All methods block.
    """

    def __init__(self, new_path: Callable[[], Path]) -> None:
        self.path = Path()
        self._new_path = new_path
        self._lock = threading.Lock()
        self._is_there = self._is_over = False

    def write(self, data: bytearray) -> None:
        """Append; raises OSError.  Opened each time: an upload that waits for its client holds no descriptor."""
        with self._lock:
            if self._is_over:
                return
            flags = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
            if not self._is_there:
                self.path = self._new_path()
                flags |= os.O_CREAT | os.O_EXCL
            fd = os.open(self.path, flags, 0o600)
            self._is_there = True
            try:
                rest = memoryview(data)
                while rest:
                    rest = rest[os.write(fd, rest) :]
            finally:
                os.close(fd)

    def remove(self) -> None:
        with self._lock:
            self._is_over = True
            if self._is_there:
                with suppress(OSError):
                    self.path.unlink()
