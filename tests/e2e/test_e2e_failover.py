"""What an owner does by hand to see that it always answers, with real processes.

Kill one of two upstreams in the middle of a hundred streams, look, start it again, look; shut the gateway down in the
middle of streams.
"""

from __future__ import annotations

import re
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from books_house import read_books
from e2e_house import accepts, fetch_json, wait_until
from failover_house import ALIASES, End, Pair, Worded
from msgspec import Struct

from hoosh.testing.faults import WORDS
from hoosh.values import Settlement

STREAMS = 100
SHOWN_DEAD = re.compile(r"^left +unhealthy +\w+ +all models (open|half_open)\b", re.MULTILINE)
SHOWN_WELL = re.compile(r"^left +healthy +online +- +0 ", re.MULTILINE)

Start = Callable[..., Pair]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a house; at the end its processes are killed, and its log is looked through."""
    started: list[Pair] = []

    def begin(*arguments: str, **more: str) -> Pair:
        started.append(Pair(tmp_path, *arguments, **more))
        return started[-1]

    yield begin
    for house in started:
        house.close()
        house.gateway.check_secrets()


def test_a_hundred_streams_survive_the_death_of_one_of_two_upstreams(start: Start) -> None:
    house = start()
    ends = kill_one_in_the_middle(house, STREAMS)
    assert [end for end in ends if not end.is_whole] == []
    assert_shown_dead(house)
    asked = [house.ask({"model": model}) for model in ALIASES * 2]
    assert [answer.headers["x-hoosh-provider"] for answer in asked] == ["right"] * 4
    house.left.start()
    after = ask_until_it_is_back(house)  # a breaker of a model is closed by a request, not by a probe
    assert_shown_well(house)
    assert house.gateway.stop() == 0
    assert_booked(house, "ok", STREAMS + len(asked) + after)


def kill_one_in_the_middle(house: Pair, number: int) -> list[End]:
    """Streams of which one half stands in the middle of an answer of the left one when that dies."""
    house.left.hold()
    house.right.hold()
    streams = house.streams(number)
    house.wait_middle(number, house.left, house.right)
    assert house.left.stat("held") == number // 2
    house.left.kill()
    house.right.go()
    return [stream.result() for stream in streams]


def assert_shown_dead(house: Pair) -> None:
    row = house.wait_shown(house.left, lambda row: "*" in row["breakers"])
    assert (row["status"], row["last_error"]) == ("unhealthy", "health check failed")
    assert row["consecutive_failures"] > 0
    assert house.shown(house.right)["status"] == "healthy"
    shown = house.command("health")
    assert (shown.returncode, shown.stderr) == (1, "")
    assert f" at {house.gateway.url}, 1 of 2 providers down\n" in shown.stdout
    assert SHOWN_DEAD.search(shown.stdout), shown.stdout


def assert_shown_well(house: Pair) -> None:
    house.wait_shown(house.left, lambda row: row["status"] == "healthy" and not row["breakers"])
    shown = house.command("health")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.startswith("ok: ")
    assert SHOWN_WELL.search(shown.stdout), shown.stdout
    assert "heartbeat: 2 online, 0 suspect, 0 offline" in shown.stdout


def ask_until_it_is_back(house: Pair) -> int:
    """How many streams that has taken, two at a time; each of them is whole."""
    streams: list[End] = []

    def is_back() -> bool:
        streams.extend(stream.result() for stream in house.streams(2))
        return house.left.stat("begun") > 0

    wait_until(is_back, "the one that was killed is asked again")
    assert all(end.is_whole for end in streams)
    return len(streams)


def assert_booked(house: Pair, outcome: str, number: int) -> None:
    """A row a request, all of this outcome, and nothing is held."""
    books = read_books(house.database)
    assert Counter(row.outcome for row in books.by_request().values()) == {outcome: number}
    assert all(pool.reserved == 0 for pool in books.ledger.pools(max(entry.at_ms for entry in books.entries)))


# -- what is told of a rescue --------------------------------------------------------------------------------------


class Told(Struct, frozen=True):
    """Of four streams, one of each alias at each upstream, the left of which has died."""

    ends: list[End]
    rows: list[Settlement]
    lines: list[dict[str, Any]]
    """Of the log."""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    house = Pair(tmp_path_factory.mktemp("told"))
    try:
        ends = kill_one_in_the_middle(house, 4)
        wait_until(lambda: len(house.chats_logged()) == 4, "they are in the log")
        assert house.gateway.stop() == 0
        return Told(ends, read_books(house.database).settled(), house.chats_logged())
    finally:
        house.close()


def test_a_rescued_stream_is_answered_with_all_that_was_used_for_it(told: Told) -> None:
    """The part that the dead one has said, and what the other has made of it: the client is told what is paid."""
    used = Counter((row.usage.prompt_tokens, row.usage.completion_tokens) for row in told.rows)
    assert Counter(end.counted for end in told.ends) == Counter(words for _, words in used.elements())
    assert sum(words > len(WORDS) for _, words in used.elements()) == 1  # the one that has started afresh


def test_the_log_calls_those_rescued_that_broke_off_and_no_others(told: Told) -> None:
    assert sorted((line["attempts"], line.get("rescued", False)) for line in told.lines) == [
        (1, False), (1, False), (2, True), (2, True),
    ]  # fmt: skip
    for line in told.lines:
        for attempt in line.get("tried", ()):
            assert (attempt["provider"], attempt["reason"]) == ("left", "broke")


# -- shutting down -------------------------------------------------------------------------------------------------


def test_streams_that_end_within_the_drain_are_whole_even_when_an_upstream_dies_then(start: Start) -> None:
    house = start()
    house.left.hold()
    house.right.hold()
    streams = house.streams(20)
    house.wait_middle(20, house.left, house.right)
    house.gateway.signal(signal.SIGTERM)
    wait_until(lambda: not accepts(house.gateway.address), "new connections are refused")
    house.left.kill()
    house.right.go()
    assert [end for end in (stream.result() for stream in streams) if not end.is_whole] == []
    assert house.gateway.wait() == 0
    assert_booked(house, "ok", 20)


def test_streams_that_outlast_the_drain_get_an_error_event_and_leave_nothing_behind(start: Start) -> None:
    house = start(server="drain_s = 0.2")
    house.left.hold()
    house.right.hold()
    streams = house.streams(20)
    house.wait_middle(20, house.left, house.right)
    house.gateway.signal(signal.SIGTERM)
    ends = [stream.result() for stream in streams]
    assert {(end.error, end.finish, end.is_whole) for end in ends} == {("service_unavailable", "", False)}
    assert house.gateway.wait() == 0
    for upstream in (house.left, house.right):
        wait_nothing_runs(upstream)
    assert_booked(house, "cut", 20)


def wait_nothing_runs(upstream: Worded) -> None:
    def stats() -> dict[str, Any]:
        return fetch_json(f"{upstream.url}/stats")

    wait_until(lambda: stats()["running"] == 0, f"nobody works at {upstream.name}")
    assert stats()["left"] == stats()["begun"] == 10
