"""`hoosh-trio embed` against a tiny gateway."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from hoosh.cli import main

PATH = "/v1/embeddings"


def vectors(*found: list[float], **more: Any) -> dict[str, Any]:
    return {"data": [{"index": place, "embedding": vector, **more} for place, vector in enumerate(found)]}


def test_a_person_sees_how_long_they_are_and_how_they_begin(gateway, capsys):
    gateway.json(PATH, vectors([0.125, -0.5, 1, 0, 2, 3], [1.0]))
    assert main(["embed", "m", "a text", "another", "--dimensions", "6"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "6 numbers: 0.125000 -0.500000 1.000000 0.000000 2.000000 ...",
        "1 numbers: 1.000000",
    ]
    assert gateway.asked[0][3] == {"model": "m", "input": ["a text", "another"], "dimensions": 6}


def test_json_is_a_whole_vector_on_each_line_in_the_order_of_the_texts(gateway, capsys):
    answer = {"data": [{"index": 1, "embedding": [2.0]}, {"index": 0, "embedding": [1.0]}]}
    gateway.json(PATH, answer)
    assert main(["embed", "-m", "m", "é", "b", "--json"]) == 0
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [
        {"index": 0, "text": "é", "embedding": [1.0]},
        {"index": 1, "text": "b", "embedding": [2.0]},
    ]


@pytest.mark.parametrize("said", [["m"], ["m", "-"], ["-m", "m"]])
def test_each_line_of_stdin_is_a_text(said, gateway, monkeypatch):
    gateway.json(PATH, vectors([1.0], [2.0]))
    monkeypatch.setattr("sys.stdin", io.StringIO("one\n\n  \ntwo\n"))
    assert main(["embed", *said]) == 0
    assert gateway.asked[0][3] == {"model": "m", "input": ["one", "two"]}


@pytest.mark.parametrize("given", ["", "\n \n", "x\n" * 2049, "x" * (8 * 1024 * 1024 + 1)])
def test_what_no_request_can_hold_is_wrong_usage(given, gateway, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO(given))
    assert main(["embed", "m"]) == 2
    assert gateway.asked == []


@pytest.mark.parametrize(
    "answer",
    [
        *([], {}, None, "text", {"data": 5}, {"data": []}, {"data": [{}]}, vectors([1.0]), vectors([1.0], [])),
        vectors([1.0], ["a"]),  # type: ignore[list-item]
        {"data": [{"index": 7, "embedding": [1.0]}, {"index": 0, "embedding": [1.0]}]},
        {"data": [{"index": "x", "embedding": [1.0]}, {"index": 0, "embedding": [1.0]}]},
        {"data": [{"index": 0, "embedding": [1.0]}, {"index": 0, "embedding": [1.0]}]},
    ],
)
def test_an_answer_that_lacks_a_vector_is_none(answer, gateway, capsys):
    gateway.json(PATH, answer)
    assert main(["embed", "m", "a", "b"]) == 1
    assert "does not answer like a hoosh gateway" in capsys.readouterr().err
