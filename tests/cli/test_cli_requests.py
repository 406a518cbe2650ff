"""`hoosh-trio requests` against a tiny gateway."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hoosh.cli import main

PATH = "/v1/admin/requests"
LIST = f"{PATH}?limit=1000"
GONE = {"error": {"code": "not_found", "message": "No request `req_2` is running; it may have ended."}}


def running(number: int, **facts: Any) -> dict[str, Any]:
    return {
        "id": f"req_{number}",
        "phase": "streaming",
        "age_s": 12.34,
        "key": "ada",
        "pool": "team",
        "model": "gpt-4o",
        "provider": "openai",
        "attempts": 1,
        "sent_bytes": 2048,
        "deadline_left_s": 47.66,
        **facts,
    }


def page(*requests: dict[str, Any], total: int | None = None) -> dict[str, Any]:
    return {"object": "list", "data": list(requests), "total": len(requests) if total is None else total}


def test_what_runs_is_a_table(gateway, capsys):
    unread = {"key": None, "pool": None, "model": None, "provider": None, "attempts": 0, "sent_bytes": 0}
    gateway.json(
        LIST,
        page(
            running(1),
            running(2, phase="queued", model="evil\x1b[2J\nname", provider=None, attempts=0, sent_bytes=0),
            running(3, phase="reading", age_s=0.04, deadline_left_s=None, **unread),
            total=5,
        ),
    )
    assert main(["requests"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "id     phase      key  pool  model          provider  attempt    sent    left     age",
        "req_1  streaming  ada  team  gpt-4o         openai          1  2048 B  47.7 s  12.3 s",
        "req_2  queued     ada  team  evil?[2J?name  -               0     0 B  47.7 s  12.3 s",
        "req_3  reading    -    -     -              -               0     0 B       -   0.0 s",
        "and 2 younger ones",
    ]


def test_a_quiet_house_is_no_empty_table(gateway, capsys):
    gateway.json(LIST, page())
    assert main(["requests"]) == 0
    assert capsys.readouterr().out == "nothing runs\n"


def test_filters_are_asked_for_and_json_is_the_answer_itself(gateway, capsys):
    answer = page(running(1, model="é"))
    gateway.json(f"{PATH}?key=ada&pool=a%26b&model=llama%2F%2A&limit=1000", answer)
    said = ["--of", "ada", "--pool", "a&b", "--model", "llama/*", "--json", "--key", "hunter2"]
    assert main(["requests", *said]) == 0
    assert json.loads(capsys.readouterr().out) == answer
    assert gateway.asked[-1][2]["authorization"] == "Bearer hunter2"


@pytest.mark.parametrize(
    ("said", "asked"),
    [
        (["cancel", "--of", "ada"], "?key=ada"),
        (["cancel", "--pool", "team", "--model", "m"], "?pool=team&model=m"),
        (["--of", "ada", "cancel"], "?key=ada"),
        (["--of", "ada", "cancel", "--of", "bob"], "?key=bob"),
        (["cancel", "--all"], "?all=true"),
        (["cancel", "req_1/../x"], "/req_1%2F..%2Fx"),
    ],
)
def test_cancelling_says_how_many(said, asked, gateway, capsys):
    gateway.json(PATH + asked, {"cancelled": 7})
    assert main(["requests", *said]) == 0
    assert capsys.readouterr().out == "7 cancelled\n"
    assert [(method, path) for method, path, *_ in gateway.asked] == [("DELETE", PATH + asked)]


def test_flags_count_on_either_side_of_the_word_cancel(gateway, capsys, monkeypatch):
    url = gateway.url
    monkeypatch.setenv("HOOSH_SERVER", "http://127.0.0.1:9")
    gateway.json(f"{PATH}/req_1", {"cancelled": 1})
    assert main(["requests", "--server", url, "--key", "hunter2", "cancel", "req_1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"cancelled": 1}
    assert gateway.asked[-1][2]["authorization"] == "Bearer hunter2"


def test_one_that_has_ended_saves_nobody_else(gateway, capsys):
    for number in (1, 3):
        gateway.json(f"{PATH}/req_{number}", {"cancelled": 1})
    gateway.json(f"{PATH}/req_2", GONE, status=404)
    assert main(["requests", "cancel", "req_1", "req_2", "req_3"]) == 1
    told = capsys.readouterr()
    assert told.out == "2 cancelled\n"
    assert told.err == "hoosh-trio: no request req_2 is running; it may have ended\n"


@pytest.mark.parametrize(
    "said",
    [
        ["cancel"],
        ["cancel", "req_1", "--of", "ada"],
        ["--pool", "team", "cancel", "req_1"],
        ["cancel", "--all", "--model", "m"],
        ["cancel", "req_1", "--all"],
        ["cancel", "--of", ""],
        ["--of", ""],
    ],
)
def test_half_a_wish_is_wrong_usage_and_nobody_is_asked(said, gateway, capsys):
    assert main(["requests", *said]) == 2
    assert capsys.readouterr().err.startswith("hoosh-trio: ")
    assert gateway.asked == []


@pytest.mark.parametrize("body", [[], {}, {"data": 5, "total": 1}, {"data": [{}], "total": 1}, "text", None])
def test_whoever_does_not_answer_like_a_gateway_is_told_apart(body, gateway, capsys):
    gateway.json(LIST, body)
    gateway.json(f"{PATH}/req_1", body)
    for said in ([], ["cancel", "req_1"]):
        assert main(["requests", *said]) == 1
        assert "does not answer like a hoosh gateway" in capsys.readouterr().err


def test_a_gateway_without_the_route_is_not_taken_for_a_request_that_has_ended(gateway, capsys):
    assert main(["requests", "cancel", "req_1"]) == 1
    assert "is this a hoosh gateway?" in capsys.readouterr().err


def test_a_refusal_is_passed_on(gateway, capsys):
    gateway.json(LIST, {"error": {"message": "This key does not have the scope `admin`."}}, status=403)
    assert main(["requests"]) == 1
    assert "scope `admin`; use a key that may do this" in capsys.readouterr().err


@pytest.mark.parametrize("said", [[], ["cancel"]])
def test_the_command_has_help(said, capsys, monkeypatch):
    monkeypatch.setenv("HOOSH_API_KEY", "hunter2")
    assert main(["requests", *said, "--help"]) == 0
    out = capsys.readouterr().out
    assert "--of NAME" in out
    assert "hunter2" not in out
