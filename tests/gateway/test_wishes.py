"""What a client may wish for in headers, and how the attempts of its request are told."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hoosh.errors import InvalidRequest
from hoosh.gateway.wishes import NO_WISHES, Wishes, attempts_header, priority_for, read_wishes
from hoosh.http.message import Headers
from hoosh.values import AttemptRecord, Caller
from hoosh.values.caller import PRIORITIES

USUAL = [
    (b"host", b"localhost"),
    (b"content-type", b"application/json"),
    (b"x-hoosh-pool", b"default"),
    (b"x-hoosh-attempts-detail", b"not for us"),
]


def read(**said: str | bytes) -> Wishes:
    headers = [
        (b"x-hoosh-" + name.replace("_", "-").encode(), value.encode() if isinstance(value, str) else value)
        for name, value in said.items()
    ]
    return read_wishes(Headers([*USUAL, *headers]))


# -- reading -----------------------------------------------------------------------------------------


def test_a_request_that_wishes_for_nothing_gets_the_one_shared_object():
    assert read_wishes(Headers(USUAL)) is NO_WISHES
    assert read_wishes(Headers()) is NO_WISHES


def test_all_wishes_at_once():
    assert read(priority="low", timeout="2.5", max_price="0.60", attempts="detail") == Wishes("low", 2.5, 0.6, True)


def test_what_is_not_said_is_not_wished_for():
    assert read(timeout="30") == Wishes(timeout_s=30.0)
    assert read(attempts=" Detail ") == Wishes(wants_attempts=True)


@pytest.mark.parametrize("priority", PRIORITIES)
def test_each_priority_is_understood_in_any_case(priority):
    assert read(priority=priority).priority == priority
    assert read(priority=f" {priority.upper()}").priority == priority


@pytest.mark.parametrize(
    ("header", "value", "number"),
    [
        ("timeout", "0.001", 0.001),
        ("timeout", "3600", 3600.0),
        ("timeout", " 007.50 ", 7.5),
        ("max_price", "0", 0.0),
        ("max_price", "1000000", 1e6),
    ],
)
def test_numbers_are_plain_decimals(header, value, number):
    wishes = read(**{header: value})
    assert (wishes.timeout_s if header == "timeout" else wishes.max_price_usd) == number


@pytest.mark.parametrize(
    ("header", "values"),
    [
        ("priority", ["", "urgent", "high, low", "0", b"\xff"]),
        (
            "timeout",
            ["", "0", "0.0", "-1", "+1", "3600.1", "1e3", "nan", "inf", "1_0", "500ms", "1,5", ".5", "5.", "٣"],
        ),
        ("max_price", ["", "-1", "1000001", "nan", "$1", "0x1", "1 2", "9" * 400, "0." + "0" * 400]),
        ("attempts", ["", "3", "true", "detail, detail"]),
    ],
)
def test_what_cannot_be_read_is_refused_by_the_headers_name(header, values):
    for value in values:
        with pytest.raises(InvalidRequest) as caught:
            read(**{header: value})
        name = "x-hoosh-" + header.replace("_", "-")
        assert (caught.value.param, caught.value.code) == (name, "invalid_value")
        assert name in str(caught.value)


def test_of_a_header_given_twice_the_first_counts():
    assert read_wishes(Headers([(b"x-hoosh-timeout", b"1"), (b"x-hoosh-timeout", b"x")])).timeout_s == 1.0


@given(st.lists(st.tuples(st.sampled_from(["priority", "timeout", "max_price", "attempts"]), st.binary(max_size=12))))
def test_any_bytes_are_wishes_or_a_mistake(said):
    try:
        wishes = read(**dict(said))
        assert wishes.timeout_s is None or 0 < wishes.timeout_s <= 3600
    except InvalidRequest as error:
        found = error
    else:
        return
    assert (found.param or "").startswith("x-hoosh-")


# -- priority ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "wish", "gets"),
    [
        ("normal", None, "normal"),
        ("high", None, "high"),
        ("normal", "background", "background"),
        ("critical", "normal", "normal"),
        ("normal", "high", "normal"),
        ("background", "critical", "background"),
        ("low", "low", "low"),
    ],
)
def test_a_keys_priority_is_the_best_that_its_requests_get(key, wish, gets):
    assert priority_for(Caller("ada", priority=key), wish) == gets


# -- telling the attempts ----------------------------------------------------------------------------


def test_attempts_are_told_in_their_order():
    tried = [
        AttemptRecord("openai", "gpt-4o", 0.2104, "503"),
        AttemptRecord("openai#2", "gpt-4o", 12.0, "first_token"),
        AttemptRecord("azure", "gpt-4o", 0.4),
    ]
    assert attempts_header(tried) == b"openai/gpt-4o;503;0.210, openai#2/gpt-4o;first_token;12.000, azure/gpt-4o;ok"
    assert attempts_header([]) == b""


def test_a_models_name_cannot_add_an_attempt():
    told = attempts_header([AttemptRecord("a", "b;ok, evil/c\r\nx: y", 0.0, "broke")])
    assert told == b"a/b?ok??evil/c??x:?y;broke;0.000"


def test_of_many_attempts_the_last_are_told():
    tried = [AttemptRecord("a", f"m{number}", 1.0, "503") for number in range(100)]
    assert attempts_header(tried).count(b", ") == 15
    assert attempts_header(tried).endswith(b"a/m99;503;1.000")


@given(st.lists(st.builds(AttemptRecord, st.text(), st.text(), st.floats(0, 1e6), st.text()), max_size=40))
def test_whatever_was_tried_fits_into_a_header(tried):
    told = attempts_header(tried)
    assert len(told) <= 3000
    assert re.fullmatch(rb"[\x20-\x7e]*", told)
    assert len(told.split(b", ")) == max(1, min(len(tried), 16))


def test_even_the_longest_names_fit_into_a_header():
    tried = [AttemptRecord("é" * 300, "m" * 300, 123456.0, "r" * 300)] * 40
    assert len(attempts_header(tried)) <= 3000
