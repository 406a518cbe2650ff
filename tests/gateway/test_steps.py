"""All or nothing."""

from __future__ import annotations

import pytest

from hoosh.errors import ConfigError
from hoosh.gateway.steps import RoomFailed, Step, take_all

ROOMS = "abcd"


class House:
    """Four rooms, and what they are told."""

    def __init__(self, *, fails_at: str = "", error: BaseException | None = None, stuck: str = "") -> None:
        self.fails_at, self.error, self.stuck = fails_at, error or ValueError("its words"), stuck
        self.told: list[str] = []
        self.heard: list[tuple[str, str]] = []

    def take_all(self) -> None:
        take_all([self._step(room) for room in ROOMS], lambda room, bug: self.heard.append((room, str(bug))))

    def _step(self, room: str) -> Step:
        def take() -> None:
            self.told.append(f"+{room}")
            if room == self.fails_at:
                raise self.error

        def undo() -> None:
            self.told.append(f"-{room}")
            if room in self.stuck:
                raise KeyError(room)

        return Step(room, take, undo)


def test_they_are_taken_in_their_order():
    house = House()
    house.take_all()
    assert house.told == ["+a", "+b", "+c", "+d"]


@pytest.mark.parametrize("room", ROOMS)
def test_where_one_fails_it_and_those_before_it_are_undone_the_last_first(room: str):
    house = House(fails_at=room)
    with pytest.raises(RoomFailed) as caught:
        house.take_all()
    taken = ROOMS[: ROOMS.index(room) + 1]
    assert house.told == [*(f"+{each}" for each in taken), *(f"-{each}" for each in reversed(taken))]
    assert (caught.value.room, caught.value.__cause__) == (room, house.error)
    assert "its words" not in str(caught.value)


def test_one_that_cannot_be_undone_does_not_keep_the_others_from_it():
    house = House(fails_at="d", stuck="bd")
    with pytest.raises(RoomFailed):
        house.take_all()
    assert house.told[4:] == ["-d", "-c", "-b", "-a"]
    assert house.heard == [("d", "'d'"), ("b", "'b'")]


@pytest.mark.parametrize("error", [ConfigError(["no"]), KeyboardInterrupt()])
def test_what_is_no_bug_comes_as_it_is(error: BaseException):
    house = House(fails_at="b", error=error)
    with pytest.raises(type(error)) as caught:
        house.take_all()
    assert caught.value is error
    assert house.told == ["+a", "+b", "-b", "-a"]
