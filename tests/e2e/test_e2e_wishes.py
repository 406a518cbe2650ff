"""What a user may wish of one request, what an owner sees of it and does about it, with real processes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from e2e_house import wait_until
from failover_house import ANSWER, Pair


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """One for all of these tests, which leave both upstreams alive and let go."""
    pair = Pair(tmp_path_factory.mktemp("wishes"))
    yield pair
    pair.close()
    pair.gateway.check_secrets()


@pytest.fixture
def held(house: Pair) -> Iterator[Pair]:
    """Streams stand in the middle, for as long as the test runs."""
    house.left.hold()
    house.right.hold()
    yield house
    house.left.go()
    house.right.go()
    wait_until(lambda: not house.get("/admin/requests")["total"], "nothing runs any more")


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """One request at a time, and one that may wait."""
    server = "drain_s = 20\nmax_concurrent = 1\nmax_queue = 1"
    pair = Pair(tmp_path_factory.mktemp("narrow"), server=server)
    yield pair
    pair.close()
    pair.gateway.check_secrets()


# -- wishes --------------------------------------------------------------------------------------------------------


def test_wishes_that_can_be_granted_change_nothing_else(house: Pair) -> None:
    wishes = {"x-hoosh-timeout": "20", "x-hoosh-priority": "low", "x-hoosh-attempts": "detail"}
    answer = house.ask({"model": "left-first"}, wishes)
    assert answer.status_code == 200
    assert answer.json()["choices"][0]["message"]["content"] == ANSWER
    assert answer.headers["x-hoosh-attempts"] == "1"
    assert answer.headers["x-hoosh-attempts-detail"] == "left/plain;ok"


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("x-hoosh-timeout", "soon"),
        ("x-hoosh-timeout", "0"),
        ("x-hoosh-timeout", "-1"),
        ("x-hoosh-timeout", "3601"),
        ("x-hoosh-priority", "urgent"),
        ("x-hoosh-attempts", "all"),
        ("x-hoosh-max-price", "nan"),
    ],
)
def test_a_wish_that_cannot_be_read_is_a_400_that_names_the_header(house: Pair, header: str, value: str) -> None:
    assert_refused(house, {"model": "left-first"}, {header: value}, param=header)


@pytest.mark.parametrize("models", ["left-first", [5], ["x"] * 17, [""]])
def test_a_list_of_models_that_is_none_is_a_400_that_names_the_field(house: Pair, models: Any) -> None:
    assert_refused(house, {"model": "left-first", "models": models}, {}, param="models")


def assert_refused(house: Pair, body: dict[str, Any], headers: dict[str, str], *, param: str) -> None:
    answer = house.ask(body, headers)
    error = answer.json()["error"]
    assert (answer.status_code, error["type"]) == (400, "invalid_request_error"), error
    assert error["param"].startswith(param)
    assert param in error["message"]


def test_models_names_who_is_asked_when_nobody_has_the_first(house: Pair) -> None:
    answer = house.ask({"model": "nobody-has-it", "models": ["nor-this", "right/plain"]})
    assert (answer.status_code, answer.headers["x-hoosh-provider"]) == (200, "right")
    assert house.ask({"model": "nobody-has-it", "models": ["nor-this"]}).status_code == 404


def test_the_deadline_of_a_stream_that_stands_still_is_told_in_it(held: Pair) -> None:
    with held.post({"model": "left-first", "stream": True}, {"x-hoosh-timeout": "0.5"}) as answer:
        assert answer.status_code == 200
        events = list(events_of(answer))
    error = json.loads(events[-1])["error"]
    assert "deadline has passed within the answer of provider `left`" in error["message"]
    assert "[DONE]" not in events


def events_of(answer: httpx.Response) -> Iterator[str]:
    """A stream that ends with an error is cut off behind it: no reader may take it for whole."""
    lines = filter(None, answer.iter_lines())
    while True:
        try:
            yield next(lines).removeprefix("data: ")
        except httpx.RemoteProtocolError:
            return


def test_the_deadline_of_an_answer_that_has_not_begun_is_a_408(held: Pair) -> None:
    answer = held.ask({"model": "left-first"}, {"x-hoosh-timeout": "0.3"})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (408, "request_timeout")
    assert error["message"] == "The request's own deadline has passed before provider `left` had answered."


# -- the queue -----------------------------------------------------------------------------------------------------


def test_one_too_many_is_told_when_to_come_again_and_the_others_have_their_turns(narrow: Pair) -> None:
    narrow.left.hold()
    streams = narrow.streams(1, "left-first")
    narrow.wait_middle(1, narrow.left)
    streams += narrow.streams(1, "left-first")
    status = wait_until(lambda: found if (found := narrow.get("/queue/status"))["queued"] else None, "one waits")
    assert (status["queued"], status["processing"], status["classes"]["normal"]) == (1, 1, 1)
    assert (status["max_concurrent"], status["max_queue"], status["refused"]) == (1, 1, 0)
    assert [caller["caller"] for caller in status["callers"]] == ["team"]
    phases = [request["phase"] for request in narrow.get("/admin/requests")["data"]]
    assert phases == ["streaming", "queued"]
    refused = narrow.ask({"model": "left-first"})
    error = refused.json()["error"]
    assert (refused.status_code, error["code"]) == (429, "queue_full")
    assert int(refused.headers["retry-after"]) >= 1
    narrow.left.go()
    assert all(stream.result().is_whole for stream in streams)
    status = narrow.get("/queue/status")
    assert (status["queued"], status["processing"], status["refused"]) == (0, 0, 1)


# -- what runs -----------------------------------------------------------------------------------------------------


def test_an_owner_sees_what_runs_and_ends_one_of_it(held: Pair) -> None:
    streams = held.streams(3, "left-first")
    held.wait_middle(3, held.left)
    shown = held.command("requests").stdout.splitlines()
    assert shown[0].split()[:4] == ["id", "phase", "key", "pool"]
    assert [row.split()[1:7] for row in shown[1:]] == [["streaming", "team", "default", "left-first", "left", "1"]] * 3
    first = shown[1].split()[0]
    ended = held.command("requests", "cancel", first)
    assert (ended.returncode, ended.stdout) == (0, "1 cancelled\n")
    wait_until(lambda: sum(stream.done() for stream in streams) == 1, "its client is told")
    [end] = [stream.result() for stream in streams if stream.done()]
    assert (end.error, end.finish) == ("request_cancelled", "")
    assert ANSWER.startswith(end.text)
    again = held.command("requests", "cancel", first)
    assert (again.returncode, again.stdout) == (1, "0 cancelled\n")
    assert f"no request {first} is running" in again.stderr
    held.left.go()
    assert sum(stream.result().is_whole for stream in streams) == 2


@pytest.mark.parametrize("said", [["--of", "team"], ["--model", "left-first"], ["--pool", "default"], ["--all"]])
def test_an_owner_ends_all_that_have_something_in_common(held: Pair, said: list[str]) -> None:
    before = held.left.stat("left")
    streams = held.streams(3, "left-first")
    held.wait_middle(3, held.left)
    assert held.command("requests", "cancel", "--model", "another").stdout == "0 cancelled\n"
    assert held.command("requests", "cancel", *said).stdout == "3 cancelled\n"
    assert {stream.result().error for stream in streams} == {"request_cancelled"}
    wait_until(lambda: held.left.stat("left") == before + 3, "the upstream is left")
    assert held.command("requests").stdout == "nothing runs\n"


def test_cancelling_takes_a_filter(house: Pair) -> None:
    answer = house.request("DELETE", "/admin/requests")
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")
    answer = house.request("DELETE", "/admin/requests?all=true")
    assert (answer.status_code, answer.json()) == (200, {"cancelled": 0})
