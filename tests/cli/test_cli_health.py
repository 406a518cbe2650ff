"""`hoosh-trio health` against a tiny gateway."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hoosh.cli import main

PATHS = ("/v1/health", "/v1/health/providers", "/v1/health/heartbeat")
STORED = {"kind": "sqlite", "status": "ok", "waiting_rows": 0, "spooled_rows": 0}


def summary(status: str = "ok", **facts: Any) -> dict[str, Any]:
    known = {"providers_configured": 2, "providers_down": 0, "storage": STORED}
    return {"status": status, "version": "9", **known, **facts}


def provider(name: str, status: str = "healthy", **facts: Any) -> dict[str, Any]:
    known = {"consecutive_failures": 0, "last_check_age_s": 4.12, "breakers": {}}
    return {"provider": name, "status": status, **known, **facts}


def heartbeat(*nodes: tuple[str, str, float | None]) -> dict[str, Any]:
    met = [status for _, status, _ in nodes]
    counts = {word: met.count(word) for word in ("online", "suspect", "offline")}
    return {**counts, "nodes": [{"id": name, "status": status, "age_s": age_s} for name, status, age_s in nodes]}


def show(gateway: Any, *answers: Any) -> None:
    for path, answer in zip(PATHS, answers, strict=True):
        gateway.json(path, answer)


def test_who_is_down_is_told_first_and_each_provider_has_a_row(gateway, capsys):
    rows = [
        provider("openai", "unhealthy", consecutive_failures=3, breakers={"*": "open"}),
        provider("openai#2", breakers={"gpt-4o": "half_open", "evil\x1b[2J\nname": "open"}),
        provider("ollama", "unknown", last_check_age_s=None),
        provider("off", "disabled", last_check_age_s=None),
    ]
    heard = heartbeat(("openai", "offline", 123.4), ("openai#2", "online", 0.24), ("ollama", "unknown", None))
    show(gateway, summary("degraded", providers_configured=4, providers_down=1), rows, heard)
    assert main(["health"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        f"degraded: hoosh 9 at {gateway.url}, 1 of 4 providers down",
        "",
        "provider  status     heartbeat  breakers                              failures     probed     heard of",
        "openai    unhealthy  offline    all models open                              3  4.1 s ago  123.4 s ago",
        "openai#2  healthy    online     gpt-4o half_open, evil?[2J?name open         0  4.1 s ago    0.2 s ago",
        "ollama    unknown    unknown    -                                            0          -            -",
        "off       disabled   -          -                                            0          -            -",
        "",
        "heartbeat: 1 online, 0 suspect, 1 offline",
    ]


def test_of_many_open_breakers_some_are_named(gateway, capsys):
    rows = [provider("openai", breakers={f"m{number}": "open" for number in range(9)})]
    show(gateway, summary(), rows, heartbeat())
    assert main(["health"]) == 0
    assert "  m0 open, m1 open, m2 open, and 6 more  " in capsys.readouterr().out


def test_it_is_0_when_all_is_well(gateway, capsys):
    show(gateway, summary(), [provider("ollama")], heartbeat(("ollama", "online", 1.0)))
    assert main(["health"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == f"ok: hoosh 9 at {gateway.url}"


def test_json_is_all_three_answers_in_one(gateway, capsys):
    rows, heard = [provider("ollama")], heartbeat(("ollama", "online", 1.0))
    show(gateway, summary("degraded"), rows, heard)
    assert main(["health", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told == {**summary("degraded"), "providers": rows, "heartbeat": heard}


def test_books_that_are_behind_are_told_of_since_no_provider_shows_them(gateway, capsys):
    behind = {**STORED, "status": "behind", "waiting_rows": 3, "spooled_rows": 4}
    show(gateway, summary("degraded", storage=behind), [provider("ollama")], heartbeat())
    assert main(["health"]) == 1
    assert capsys.readouterr().out.splitlines()[1] == "the books are behind: 7 rows are not yet where they belong"


def test_a_house_without_providers_says_where_to_look(gateway, capsys):
    show(gateway, summary(providers_configured=0), [], heartbeat())
    assert main(["health"]) == 0
    assert "no providers; see `hoosh-trio check`" in capsys.readouterr().out


@pytest.mark.parametrize("body", [5, {}, [5], [{}], [provider("x", breakers=5)], [provider("x", last_check_age_s="")]])
def test_whoever_does_not_answer_like_a_gateway_is_told_apart(body, gateway, capsys):
    show(gateway, summary(), body, heartbeat() if body else {})
    exit_code, told = main(["health"]), capsys.readouterr()
    if body == {}:
        assert exit_code == 0  # as good as none
    else:
        assert exit_code == 1
        assert "does not answer like a hoosh gateway" in told.err


def test_its_help_explains_what_it_shows(capsys, monkeypatch):
    monkeypatch.setenv("HOOSH_API_KEY", "hunter2")
    assert main(["health", "--help"]) == 0
    out = capsys.readouterr().out
    for word in ("Exits 1 unless all is well", "breakers", "half_open", "failures", "probed", "heard of", "--json"):
        assert word in out
    assert "hunter2" not in out
