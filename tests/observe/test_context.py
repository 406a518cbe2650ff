"""W3C trace context: what is read, what is dropped, what goes on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hoosh.observe.context import STATE_CHARS, SpanContext, parse_traceparent, read_context, traceparent

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GOOD = f"00-{TRACE}-{SPAN}-01".encode()


def read(*headers: tuple[str, str | bytes]) -> SpanContext | None:
    return read_context([(name.encode(), text if isinstance(text, bytes) else text.encode()) for name, text in headers])


def test_a_traceparent_is_read_and_written_again():
    context = read(("traceparent", GOOD))
    assert context == SpanContext(int(TRACE, 16), int(SPAN, 16), 1)
    assert context.is_sampled
    assert traceparent(context.trace_id, context.span_id, context.flags) == GOOD


@pytest.mark.parametrize(
    "value",
    [
        b"",
        GOOD[:-1],
        GOOD + b"0",
        GOOD + b"-extra",  # version 00 has nothing more
        GOOD.upper(),
        GOOD.replace(b"-", b"_"),
        b"ff" + GOOD[2:],
        b"0x" + GOOD[2:],
        b"00-" + b"0" * 32 + GOOD[35:],
        GOOD[:36] + b"0" * 16 + b"-01",
        GOOD[:36] + b"+0f067aa0ba902b7-01",
        GOOD[:52] + b"-0g",
        "00-４bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".encode(),
    ],
)
def test_what_is_no_traceparent_is_dropped_with_its_state(value):
    assert read(("traceparent", value), ("tracestate", "a=1")) is None


def test_a_later_version_is_read_as_far_as_it_is_known():
    assert parse_traceparent(b"cc-" + GOOD[3:] + b"-what-the-future-brings") == parse_traceparent(GOOD)
    assert parse_traceparent(b"cc" + GOOD[2:]) == parse_traceparent(GOOD)
    assert parse_traceparent(b"cc" + GOOD[2:] + b".what") is None


def test_two_traceparents_are_none():
    assert read(("traceparent", GOOD), ("traceparent", GOOD)) is None
    assert read(("tracestate", "a=1")) is None


@pytest.mark.parametrize(("flags", "kept"), [("00", 0), ("01", 1), ("02", 2), ("03", 3), ("fd", 1), ("ff", 3)])
def test_flags_that_nobody_knows_do_not_go_on(flags, kept):
    context = read(("traceparent", GOOD[:-2] + flags.encode()))
    assert context is not None
    assert context.flags == kept


def state(*values: str | bytes) -> str:
    context = read(("traceparent", GOOD), *(("tracestate", value) for value in values))
    assert context is not None, "a bad state does no harm to the parent"
    return context.state


@pytest.mark.parametrize(
    ("values", "kept"),
    [
        (["rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"], "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"),
        (["a=1", "b=2"], "a=1,b=2"),
        ([" a=1 ,\t, b=2,"], "a=1,b=2"),
        (["tenant@vendor=x y"], "tenant@vendor=x y"),
        (["1a=1"], "1a=1"),
        (["a=1,a=2"], ""),
        (["a"], ""),
        (["=1"], ""),
        (["a="], ""),
        (["A=1"], ""),
        (["a=b=c"], ""),
        (["a@b@c=1"], ""),
        (["a=\x7f"], ""),
        (["a=é"], ""),
        ([",".join(f"k{number}=1" for number in range(33))], ""),
        (["k" * 257 + "=1"], ""),
        (["a=" + "v" * 257], ""),
        (["a=1," * 5000], ""),
    ],
)
def test_a_state_goes_on_as_it_should(values, kept):
    assert state(*values) == kept


def test_of_a_long_state_whole_members_go_on():
    long = "long=" + "v" * 200
    short = [f"k{number}=" + "v" * 60 for number in range(12)]
    kept = state(",".join([long, *short]))
    assert len(kept) <= STATE_CHARS
    assert kept.split(",") == short[: len(kept.split(","))]
    assert state(f"{long},a=1") == f"{long},a=1"


@given(st.binary(max_size=80), st.binary(max_size=80))
def test_whatever_a_client_sends_is_read_without_harm(parent, members):
    context = read(("traceparent", parent), ("tracestate", members))
    assert context is None or context.trace_id
    assert state(members).isascii()
