"""`hoosh-trio costs` against a tiny gateway."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hoosh.cli import main


def record(requests: int, tokens: int, reply: int, micro: int, *, unpriced: int = 0, **names: str) -> dict[str, Any]:
    return {
        **names,
        "request_count": requests,
        "total_input_tokens": tokens,
        "total_output_tokens": reply,
        "total_cost_micro_usd": micro,
        "requests_unpriced": unpriced,
    }


def answer(*records: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "records": list(records),
        "total_requests": sum(row["request_count"] for row in records),
        "total_prompt_tokens": sum(row["total_input_tokens"] for row in records),
        "total_completion_tokens": sum(row["total_output_tokens"] for row in records),
        "total_cost_micro_usd": sum(row["total_cost_micro_usd"] for row in records),
        "requests_unpriced": sum(row["requests_unpriced"] for row in records),
        "requests_cached": 0,
        "saved_tokens": 0,
        "truncated": False,
        "since": None,
    } | more


def test_costs_are_a_table_with_a_total(gateway, capsys):
    gateway.json(
        "/v1/costs?group_by=provider",
        answer(record(12, 1_234_567, 890, 3_095_318, provider="openai"), record(3, 500, 40, 0, provider="ollama")),
    )
    assert main(["costs"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "provider  requests      input  output       USD",
        "openai          12  1 234 567     890  3.095318",
        "ollama           3        500      40  0.000000",
        "total           15  1 235 067     930  3.095318",
    ]


def test_what_has_no_price_is_starred_and_what_else_there_is_to_say_is_said(gateway, capsys):
    gateway.json(
        "/v1/costs?group_by=model,day&since=2026-11-01",
        answer(
            record(1, 10, 1, 5, day="earlier", model="gpt-4o"),
            record(2, 20, 2, 0, day="2026-11-26", model="evil\x1b[2J\nname", unpriced=2),
            requests_cached=4,
            saved_tokens=99,
            truncated=True,
            since="2026-10-01T00:00:00Z",
        ),
    )
    assert main(["costs", "--by", "model, day", "--since", "2026-11-01"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "day         model          requests  input  output       USD",
        "earlier     gpt-4o                1     10       1  0.000005",
        "2026-11-26  evil?[2J?name         2     20       2  0.000000*",
        "total                             3     30       3  0.000005*",
        "* 2 requests without a known price not counted; [[prices]] can set one",
        "4 answered from the cache, which saved 99 tokens",
        "there are more rows; the total is that of all",
        "counted since 2026-10-01T00:00:00Z",
    ]


@pytest.mark.parametrize(
    ("since", "words"), [(None, "nothing has been spent yet"), ("2026-11-01T00:00:00Z", "since 2026-11-01T00:00:00Z")]
)
def test_an_empty_book_is_no_empty_table(gateway, capsys, since, words):
    gateway.json("/v1/costs?group_by=provider", answer(since=since))
    assert main(["costs"]) == 0
    assert words in capsys.readouterr().out


def test_json_is_the_answer_itself(gateway, capsys):
    gateway.json("/v1/costs?group_by=key", answer(record(1, 1, 1, 1, key="é")))
    assert main(["costs", "--by", "key", "--json", "--key", "hunter2"]) == 0
    assert json.loads(capsys.readouterr().out)["records"][0]["key"] == "é"
    assert gateway.asked[-1][2]["authorization"] == "Bearer hunter2"


@pytest.mark.parametrize("by", ["", ",", "colour", "key,colour"])
def test_groups_that_are_none_are_wrong_usage_and_nobody_is_asked(gateway, capsys, by):
    assert main(["costs", "--by", by]) == 2
    assert "day, key, pool, provider, model" in capsys.readouterr().err
    assert gateway.asked == []


@pytest.mark.parametrize("body", [[], {}, {"records": 5}, {"records": [{}], "since": None}, "text", None])
def test_whoever_does_not_answer_like_a_gateway_is_told_apart(gateway, capsys, body):
    gateway.json("/v1/costs?group_by=provider", body)
    assert main(["costs"]) == 1
    assert "does not answer like a hoosh gateway" in capsys.readouterr().err


def test_the_command_has_help(capsys, monkeypatch):
    monkeypatch.setenv("HOOSH_API_KEY", "hunter2")
    assert main(["costs", "--help"]) == 0
    out = capsys.readouterr().out
    assert "--by WHAT" in out
    assert "hunter2" not in out


def test_a_refusal_is_passed_on(gateway, capsys):
    refusal = {"error": {"message": "Invalid 'since': a day is written YYYY-MM-DD."}}
    gateway.json("/v1/costs?group_by=provider&since=yesterday", refusal, status=400)
    assert main(["costs", "--since", "yesterday"]) == 1
    assert "YYYY-MM-DD" in capsys.readouterr().err
