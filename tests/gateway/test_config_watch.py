"""A file that has been changed is noticed once, and not before whoever writes it has finished."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import trio

from hoosh.gateway import config_watch
from hoosh.gateway.config_watch import watch_file


class Looks:
    """What `stat` says, look after look; the watch goes on when the next is asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *seen: object) -> None:
        self._seen = list(seen)
        self.over = trio.Event()
        monkeypatch.setattr(config_watch, "LOOK_EVERY_S", 0.0)
        monkeypatch.setattr(config_watch, "look_at", self._look)

    def _look(self, path: Path) -> object:
        if len(self._seen) == 1:
            trio.from_thread.run_sync(self.over.set)
            return self._seen[0]
        return self._seen.pop(0)


async def changes(looks: Looks, known: config_watch.Look, *wanted: bool) -> int:
    """How often it was told of a change until all looks were taken."""
    told = 0

    async def tell() -> None:
        nonlocal told
        told += 1

    answers = list(wanted)
    async with trio.open_nursery() as nursery:
        watching = nursery.start
        await watching(
            lambda task_status: watch_file(
                Path("any"), tell, known, is_wanted=lambda: answers.pop(0) if answers else True, task_status=task_status
            )
        )
        await looks.over.wait()
        nursery.cancel_scope.cancel()
    return told


A, B, C = (1, 10, 7), (2, 10, 7), (3, 12, 8)


@pytest.mark.parametrize(
    ("seen", "told"),
    [
        ((A, A, A, A), 0),
        ((A, B, B, B), 1),
        ((A, B, C, B, C, C, C), 1),
        ((A, B, B, C, C, C), 2),
        ((A, None, None, B, B, B), 1),
        ((A, None, A, A, A), 0),
        ((A, A, None, None, None), 0),
        ((None, A, A, A), 0),
    ],
    ids=["the same", "changed", "being written", "twice", "moved", "back again", "gone", "first there later"],
)
async def test_a_change_is_told_once_it_has_come_to_rest(seen, told, monkeypatch):
    first, *others = seen
    assert await changes(Looks(monkeypatch, *others), first) == told


async def test_what_changes_while_nobody_wants_to_know_is_not_told(monkeypatch):
    looks = Looks(monkeypatch, B, B, C, C, C)
    assert await changes(looks, A, False, False, True) == 1


def test_a_look_tells_a_file_from_another_that_was_moved_to_its_place(tmp_path):
    path, other = tmp_path / "a", tmp_path / "b"
    assert config_watch.look_at(path) is None
    for each in (path, other):
        each.write_text("same")
        os.utime(each, ns=(5, 5))
    before = config_watch.look_at(path)
    other.replace(path)
    assert config_watch.look_at(path) != before
