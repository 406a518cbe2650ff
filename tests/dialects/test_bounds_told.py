"""A number or text out of bounds is told with its bounds, and not called another type."""

from __future__ import annotations

from typing import Annotated

import msgspec
import pytest
from msgspec import Meta, Struct

from hoosh.dialects.mistakes import explain


class Asked(Struct):
    count: Annotated[int, Meta(ge=1, le=9)] | None = None
    part: Annotated[float, Meta(gt=0)] = 1.0
    name: Annotated[str, Meta(min_length=2)] = "ab"
    names: Annotated[list[str], Meta(max_length=1)] = []


@pytest.mark.parametrize(
    ("body", "param", "message"),
    [
        ('{"count": 0}', "count", "Invalid 'count': expected an integer >= 1."),
        ('{"count": 10}', "count", "Invalid 'count': expected an integer <= 9."),
        ('{"part": 0}', "part", "Invalid 'part': expected a number > 0.0."),
        ('{"name": "a"}', "name", "Invalid 'name': expected a string of length >= 2."),
        ('{"names": ["a", "b"]}', "names", "Invalid 'names': expected an array of length <= 1."),
    ],
)
def test_bounds_are_told(body: str, param: str, message: str):
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.json.decode(body, type=Asked)
    told = explain(caught.value)
    assert (str(told), told.param, told.code) == (message, param, "invalid_value")


def test_another_type_is_still_told_as_one():
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.json.decode('{"count": "1"}', type=Asked)
    assert explain(caught.value).code == "invalid_type"
