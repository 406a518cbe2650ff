"""The look on the disk: believed by the same machine, boot and backends, for so long, and by nobody else."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hardware_machines import machine, tree
from msgspec.structs import replace

from hoosh.hardware.detection import Detection
from hoosh.hardware.kept import KeptSight, place_of
from hoosh.hardware.root import Root
from hoosh.hardware.sight import Sight
from hoosh.testing.machines import FakeMachine, gpu

FILES = {"/proc/sys/kernel/random/boot_id": "b0\n", "/proc/sys/kernel/hostname": "here\n"}


async def sight(at: float = 1000.0) -> Sight:
    return replace(await FakeMachine(gpu(), gpu(1)).look(), looked_at=at, glanced_at=at)


@pytest.fixture
def kept(tmp_path) -> KeptSight:
    return KeptSight(tmp_path / "cache" / "hoosh" / "hardware.json", Root(tree(tmp_path / "root", FILES)))


async def test_what_was_written_is_read(kept, tmp_path):
    seen = await sight()
    kept.write(seen, ("vulkan",))
    assert kept.read(("vulkan",), now=1299.0, ttl_s=300) == seen
    path = tmp_path / "cache" / "hoosh" / "hardware.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(path.parent) == ["hardware.json"]


async def test_a_look_at_a_real_tree_survives_too(kept, tmp_path):
    seen = await Detection(machine(tree(tmp_path / "m", {"/proc/meminfo": "MemTotal: 1024 kB\n"}))).look()
    kept.write(seen, ())
    assert kept.read((), now=seen.looked_at + 1, ttl_s=300) == seen


@pytest.mark.parametrize(("now", "ttl_s"), [(1300.0, 300), (999.0, 300), (1000.0, 0)])
async def test_it_counts_for_so_long_and_not_before_it_was_written(kept, now, ttl_s):
    kept.write(await sight(), ())
    assert kept.read((), now=now, ttl_s=ttl_s) is None


async def test_others_do_not_believe_it(kept, tmp_path):
    kept.write(await sight(), ())
    assert kept.read(("cuda",), now=1000.0, ttl_s=300) is None
    for name, text in (("/proc/sys/kernel/random/boot_id", "b1\n"), ("/proc/sys/kernel/hostname", "there\n")):
        other = Root(tree(tmp_path / name.replace("/", "_"), FILES | {name: text}))
        path = tmp_path / "cache" / "hoosh" / "hardware.json"
        assert KeptSight(path, other).read((), now=1000.0, ttl_s=300) is None


@pytest.mark.parametrize("data", [b"", b"null", b"{", b'{"key": 1, "sight": 2}', b"\xff\xfe", b"[" * 100_000])
def test_a_damaged_file_counts_as_none(kept, tmp_path, data):
    path = tmp_path / "cache" / "hoosh" / "hardware.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(data)
    assert kept.read((), now=1000.0, ttl_s=300) is None


async def test_a_file_cut_anywhere_counts_as_none(kept, tmp_path):
    kept.write(await sight(), ())
    path = tmp_path / "cache" / "hoosh" / "hardware.json"
    whole = path.read_bytes()
    for cut in range(0, len(whole), 7):
        path.write_bytes(whole[:cut])
        assert kept.read((), now=1000.0, ttl_s=300) is None


async def test_what_is_no_file_of_our_own_counts_as_none(kept, tmp_path):
    kept.write(await sight(), ())
    path = tmp_path / "cache" / "hoosh" / "hardware.json"
    elsewhere = tmp_path / "elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    assert kept.read((), now=1000.0, ttl_s=300) is None
    path.unlink()
    os.mkfifo(path)
    assert kept.read((), now=1000.0, ttl_s=300) is None
    path.unlink()
    path.mkdir()
    assert kept.read((), now=1000.0, ttl_s=300) is None
    path.rmdir()
    path.write_bytes(b" " * (1024 * 1024 + 1))
    assert kept.read((), now=1000.0, ttl_s=300) is None


async def test_a_write_that_fails_leaves_what_there_was_and_no_draft(kept, tmp_path, monkeypatch):
    first = await sight()
    kept.write(first, ())

    def fail(*_: object) -> None:
        raise OSError("no room")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="no room"):
        kept.write(await sight(2000.0), ())
    assert os.listdir(tmp_path / "cache" / "hoosh") == ["hardware.json"]
    assert kept.read((), now=1000.0, ttl_s=300) == first


@pytest.mark.parametrize(
    ("environ", "place"),
    [
        ({"XDG_CACHE_HOME": "/c", "HOME": "/h"}, "/c/hoosh/hardware.json"),
        ({"XDG_CACHE_HOME": "relative", "HOME": "/h"}, "/h/.cache/hoosh/hardware.json"),
        ({"HOME": "/h"}, "/h/.cache/hoosh/hardware.json"),
        ({}, None),
    ],
)
def test_where_it_is(environ, place):
    assert place_of(environ) == (None if place is None else Path(place))
