"""Files are opened below one directory, and whatever else there is on the machine cannot be told from what is not."""

from __future__ import annotations

import os
import socket
import stat
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from hoosh.errors import InvalidRequest, NoSuchEntry
from hoosh.gateway.model_files import read_model_file

MODEL = b"GGUF\x03\0\0\0" + b"\0" * 16


@pytest.fixture
def root(tmp_path: Path) -> Path:
    models = tmp_path / "models"
    (models / "deep" / "er").mkdir(parents=True)
    (models / "a.gguf").write_bytes(MODEL)
    (models / "deep" / "er" / "b.gguf").write_bytes(MODEL)
    (models / "text.gguf").write_bytes(b"not a model at all")
    (tmp_path / "secret.gguf").write_bytes(MODEL)
    (tmp_path / "models-of-others").mkdir()
    (tmp_path / "models-of-others" / "c.gguf").write_bytes(MODEL)
    return models


def refusal(root: Path, path: str | Path) -> str:
    with pytest.raises(NoSuchEntry) as caught:
        read_model_file(str(root), str(path))
    assert caught.value.param == "path"
    return str(caught.value)


@pytest.mark.parametrize("path", ["a.gguf", "deep/er/b.gguf", "deep/../a.gguf", "./a.gguf"])
def test_a_file_below_the_directory_is_read(root: Path, path: str):
    assert read_model_file(str(root), str(root / path)).format == "GGUF"


def test_a_file_that_is_no_model_is_said_to_be_none(root: Path):
    with pytest.raises(InvalidRequest, match="not a model"):
        read_model_file(str(root), str(root / "text.gguf"))


def test_the_directory_may_be_reached_through_a_link(root: Path, tmp_path: Path):
    link = tmp_path / "link"
    link.symlink_to(root)
    assert read_model_file(str(link), str(link / "a.gguf")).format == "GGUF"
    assert read_model_file(str(link), str(root / "a.gguf")).format == "GGUF"


def test_links_within_it_are_followed_and_those_that_leave_it_are_not(root: Path, tmp_path: Path):
    (root / "inner.gguf").symlink_to(root / "deep" / "er" / "b.gguf")
    assert read_model_file(str(root), str(root / "inner.gguf")).format == "GGUF"
    (root / "out.gguf").symlink_to(tmp_path / "secret.gguf")
    (root / "outdir").symlink_to(tmp_path)
    (root / "loop.gguf").symlink_to(root / "loop.gguf")
    (root / "dangling.gguf").symlink_to(root / "gone.gguf")
    for path in ("out.gguf", "outdir/secret.gguf", "outdir/models-of-others/c.gguf", "loop.gguf", "dangling.gguf"):
        refusal(root, root / path)


def test_everything_that_is_not_there_is_told_of_in_the_same_words(root: Path, tmp_path: Path):
    (root / "dir.gguf").mkdir()
    told = {
        refusal(root, path)
        for path in (
            *(root / "gone.gguf", root / "gone" / "a.gguf", root / "a.gguf" / "b.gguf", root / "dir.gguf", root),
            *(tmp_path / "secret.gguf", tmp_path / "gone.gguf", root / ".." / "secret.gguf", "/etc/passwd", "/"),
            *(tmp_path / "models-of-others" / "c.gguf", f"{root}/a.gguf\0", f"{root}/{'x' * 5000}.gguf"),
            f"{root}/\udcff.gguf",
        )
    }
    assert len(told) == 1
    assert str(tmp_path) not in told.pop()


def test_a_file_that_may_not_be_read_is_not_there(root: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object) -> int:
        raise PermissionError

    missing = refusal(root, root / "gone.gguf")
    monkeypatch.setattr(os, "open", refuse)
    assert refusal(root, root / "a.gguf") == missing


def test_pipes_sockets_and_devices_are_never_opened(root: Path, monkeypatch: pytest.MonkeyPatch):
    os.mkfifo(root / "pipe.gguf")
    with socket.socket(socket.AF_UNIX) as listening:
        monkeypatch.chdir(root)  # the path of a socket is short
        listening.bind("socket.gguf")
        (root / "null.gguf").symlink_to("/dev/null")
        monkeypatch.setattr(os, "open", lambda *_: pytest.fail("it was opened"))
        for name in ("pipe.gguf", "socket.gguf", "null.gguf"):
            refusal(root, root / name)


def test_a_pipe_put_in_place_of_a_file_at_the_last_moment_does_not_block(root: Path, monkeypatch: pytest.MonkeyPatch):
    really_open = os.open

    def swap_and_open(path: str, flags: int) -> int:
        os.unlink(path)
        os.mkfifo(path)
        return really_open(path, flags)

    monkeypatch.setattr(os, "open", swap_and_open)
    refusal(root, root / "a.gguf")
    assert stat.S_ISFIFO((root / "a.gguf").stat().st_mode)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says where an open file is")
def test_a_directory_swapped_at_the_last_moment_leads_nowhere(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    really_open = os.open
    (tmp_path / "b.gguf").write_bytes(MODEL)

    def swap_and_open(path: str, flags: int) -> int:
        (root / "deep" / "er").rename(root / "was")
        (root / "deep" / "er").symlink_to(tmp_path)
        return really_open(path, flags)

    monkeypatch.setattr(os, "open", swap_and_open)
    refusal(root, root / "deep" / "er" / "b.gguf")
    assert (root / "was" / "b.gguf").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says where an open file is")
def test_no_file_is_left_open(root: Path):
    opened = open_below(root)
    with (root / "a.gguf").open():
        assert len(open_below(root)) == len(opened) + 1
    for _ in range(5):
        read_model_file(str(root), str(root / "a.gguf"))
        refusal(root, root / "gone.gguf")
    assert open_below(root) == opened


def open_below(root: Path) -> list[str]:
    """Only these: other threads open and close files of their own meanwhile."""
    opened = []
    for fd in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            opened.append(os.readlink(fd))
    return [path for path in opened if path.startswith(str(root))]
