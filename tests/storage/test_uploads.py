"""Files that clients send: on the disk only while their request lasts, private, and bounded."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import trio

from hoosh.errors import StorageError, Unavailable
from hoosh.storage import uploads as module
from hoosh.storage.upload_folder import LOCK, PREFIX, make_folder, sweep
from hoosh.storage.uploads import HELD_BYTES, WRITE_BYTES, Uploads, UploadStatistics
from hoosh.values import FileRange

PIECE = bytes(range(256)) * 64
MIB = 1 << 20


@pytest.fixture
async def uploads(nursery, tmp_path):
    uploads = Uploads(lambda: tmp_path, max_bytes=4 * MIB)
    await nursery.start(uploads.run)
    return uploads


def files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "lock")


async def wait_gone(folder):
    with trio.fail_after(60):
        while files(folder):
            await trio.sleep(0.001)


async def test_a_small_file_stays_in_memory(uploads, tmp_path):
    with uploads.begin(0) as upload:
        for _ in range(3):
            await upload.write(PIECE)
        assert await upload.finish() == PIECE * 3 == upload.head
        assert not files(tmp_path)
        assert uploads.statistics() == UploadStatistics(1, 3 * len(PIECE))
    assert uploads.statistics() == UploadStatistics(0, 0)


async def test_a_small_file_is_put_on_the_disk_for_who_needs_it_there(uploads, tmp_path):
    with uploads.begin(0) as upload:
        await upload.write(b"abc")
        await upload.finish()
        file = await upload.on_disk()
        assert await upload.on_disk() == file
        assert Path(file.path).read_bytes() == b"abc"  # noqa: ASYNC240
    await wait_gone(tmp_path)


async def test_a_large_file_lies_in_a_folder_of_its_process_alone(uploads, tmp_path):
    with uploads.begin(0) as upload:
        for _ in range(100):
            await upload.write(PIECE)
            assert len(upload._held) < WRITE_BYTES
        file = await upload.finish()
        assert isinstance(file, FileRange)
        assert file.size == 100 * len(PIECE)
        [path] = files(tmp_path)
        assert str(path) == file.path
        assert path.read_bytes() == PIECE * 100
        assert upload.head == path.read_bytes()[:HELD_BYTES]
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    await wait_gone(tmp_path)


async def test_an_upload_that_is_cancelled_leaves_nothing(uploads, tmp_path, monkeypatch):
    """In the middle of a write, too, whose thread goes on: it finds that there is nothing left to write to."""
    release, begun = trio.Event(), trio.Event()
    write, entered = module._File.write, []
    token = trio.lowlevel.current_trio_token()

    def slow(file, data):
        entered.append(file)
        token.run_sync_soon(begun.set)
        trio.from_thread.run(release.wait, trio_token=token)
        write(file, data)

    monkeypatch.setattr(module._File, "write", slow)
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def send():
            with uploads.begin(0) as upload:
                while True:
                    await upload.write(PIECE)

        await begun.wait()
        nursery.cancel_scope.cancel()
    assert uploads.statistics() == UploadStatistics(0, 0)
    with trio.fail_after(60):
        while not entered[0]._is_over:
            await trio.sleep(0.001)
        release.set()
        while uploads._threads.borrowed_tokens:
            await trio.sleep(0.001)
    assert not files(tmp_path)


async def test_all_uploads_together_are_bounded(uploads):
    with uploads.begin(3 * MIB) as large:
        for _ in range(3 * MIB // len(PIECE)):
            await large.write(PIECE)
        with pytest.raises(Unavailable) as told:
            uploads.begin(2 * MIB)
        assert (told.value.code, told.value.retry_after_s) == ("uploads_full", 5.0)
        with uploads.begin(0) as unsized:
            for _ in range(MIB // len(PIECE)):
                await unsized.write(PIECE)
            with pytest.raises(Unavailable):
                await unsized.write(b"x")
    assert uploads.statistics() == UploadStatistics(0, 0)
    uploads.configure(max_bytes=10)
    with pytest.raises(Unavailable):
        uploads.begin(11)


async def test_a_full_disk_is_told_as_one(uploads, tmp_path, monkeypatch):
    def full(fd, data):
        raise OSError(28, "No space left on device")

    with uploads.begin(0) as upload:
        await upload.write(PIECE * 3)
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", full)
            with pytest.raises(StorageError, match="the disk is full"):
                await upload.write(PIECE * 10)
    await wait_gone(tmp_path)


async def test_a_file_that_could_not_be_written_is_never_taken_for_a_whole_one(uploads, monkeypatch):
    def full(fd, data):
        raise OSError(28, "No space left on device")

    for size in (1, 99):
        with uploads.begin(0) as upload:
            for _ in range(size):
                await upload.write(PIECE)
            with monkeypatch.context() as patch:
                patch.setattr(os, "write", full)
                with pytest.raises(StorageError, match="the disk is full"):
                    await upload.on_disk()
            for again in (upload.on_disk, upload.finish, lambda: upload.write(PIECE)):
                with pytest.raises(StorageError, match="the disk is full"):
                    await again()


async def test_a_folder_that_a_cleaner_has_taken_away_is_made_anew(uploads, tmp_path):
    for _ in range(2):
        with uploads.begin(0) as upload:
            await upload.write(PIECE * 10)
            file = await upload.finish()
            assert Path(file.path).read_bytes() == PIECE * 10  # noqa: ASYNC240
            [folder] = tmp_path.iterdir()
            assert (folder / LOCK).is_file()
        await wait_gone(tmp_path)
        shutil.rmtree(folder)


async def test_a_folder_that_cannot_be_made_is_told(nursery, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    uploads = Uploads(lambda: tmp_path / "file" / "below", max_bytes=MIB)
    await nursery.start(uploads.run)
    with uploads.begin(0) as upload, pytest.raises(StorageError, match="Not a directory"):
        await upload.write(PIECE * 10)


@pytest.mark.parametrize("where", ["fcntl.flock", "pathlib.Path.rename"])
def test_a_folder_that_is_made_half_way_leaves_nothing(tmp_path, monkeypatch, where):
    def refuse(*args):
        raise OSError(errno.ENOLCK, "No locks available")

    with monkeypatch.context() as patch:
        patch.setattr(where, refuse)
        with pytest.raises(OSError, match="No locks"):
            make_folder(tmp_path)
    assert not list(tmp_path.iterdir())


async def test_the_folder_goes_with_the_house(tmp_path):
    uploads = Uploads(lambda: tmp_path, max_bytes=MIB)
    async with trio.open_nursery() as nursery:
        await nursery.start(uploads.run)
        with uploads.begin(0) as upload:
            await upload.write(PIECE * 10)
            assert len(files(tmp_path)) == 1
            nursery.cancel_scope.cancel()
            with pytest.raises(trio.Cancelled):
                await trio.sleep_forever()
    assert not list(tmp_path.iterdir())
    with uploads.begin(0) as late, pytest.raises(StorageError, match="closing"):
        await late.write(PIECE * 10)


PROCESS = """
    import pathlib, sys, trio
    from hoosh.storage.uploads import Uploads

    async def main():
        uploads = Uploads(lambda: pathlib.Path(sys.argv[1]), max_bytes=1 << 20)
        async with trio.open_nursery() as nursery:
            await nursery.start(uploads.run)
            with uploads.begin(0) as upload:
                await upload.write(bytes(100_000))
                print("written", flush=True)
                await trio.sleep_forever()

    trio.run(main)
"""


def test_what_a_killed_process_has_left_is_swept_and_what_a_living_one_has_is_not(tmp_path):
    command = [sys.executable, "-c", textwrap.dedent(PROCESS), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout.readline() == b"written\n"
            assert len(files(tmp_path)) == 1
            assert sweep(tmp_path) == 0
            assert len(files(tmp_path)) == 1
        finally:
            process.send_signal(signal.SIGKILL)
    assert sweep(tmp_path) == 1
    assert not list(tmp_path.iterdir())


def test_a_sweep_touches_nothing_else(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "lock").write_bytes(b"")
    base = tmp_path / "base"
    base.mkdir()
    prefix = f"{PREFIX}-{os.getuid()}-"
    (base / f"{prefix}link").symlink_to(elsewhere)
    (base / f"{prefix}file").write_bytes(b"")
    (base / f"{prefix}without-lock").mkdir()
    (base / "another").mkdir()
    before = sorted(base.iterdir())
    assert sweep(base) == 0
    assert sorted(base.iterdir()) == before
    assert (elsewhere / "lock").exists()
    assert sweep(tmp_path / "not there") == 0
