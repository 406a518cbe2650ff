"""JSON that msgspec refuses, read and written all the same."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import Raw, Struct

from hoosh.dialects.loose_json import encode_safely, quote, read_count, read_loosely


class Call(Struct):
    name: str
    arguments: Raw


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b'{"a":"\\ud83d"}', {"a": "\ud83d"}),
        (b'"a\xff"', "a\ufffd"),
        (b"[1,-Infinity]", [1, float("-inf")]),
        (b"Bad Gateway", "Bad Gateway"),
        (b"[" * 100_000, "[" * 100_000),
    ],
)
def test_what_msgspec_refuses_is_read_as_python_reads_it_or_is_text(data: bytes, value: object) -> None:
    assert read_loosely(data) == value


@pytest.mark.parametrize(
    ("value", "data"),
    [
        ("a\ud83d", '"a�"'),
        ("\ud83d\ude00", '"😀"'),  # two halves that somebody has parted
        ({"\udc00": ["b\udc00", None]}, '{"�":["b�",null]}'),
        ({"call": Call("f\ud800", Raw(b'{"n":1.0}'))}, '{"call":{"name":"f�","arguments":{"n":1.0}}}'),
    ],
)
def test_half_of_a_surrogate_pair_costs_one_sign(value: Any, data: str) -> None:
    assert encode_safely(value).decode() == data
    if isinstance(value, str):
        assert quote(value).decode() == data


@pytest.mark.parametrize(
    ("value", "count"), [(7, 7), (7.0, 7), (7.5, 0), ("7", 0), (-1, 0), (True, 0), (None, 0), (2**60, 0)]
)
def test_what_cannot_be_a_count_counts_nothing(value: object, count: int) -> None:
    assert read_count(value) == count
