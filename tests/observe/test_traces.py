"""Traces as they begin: whose children they are, and who is sampled."""

from __future__ import annotations

from random import Random

from hoosh.observe import Telemetry
from hoosh.observe.context import parse_traceparent
from hoosh.observe.traces import ATTEMPTS_MAX, Tracer

SEED = 20
CLIENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-"


def tracer(sample: float | None = None) -> Tracer:
    return Tracer(Telemetry(enabled=True, sample=sample), Random(SEED))


def test_the_upstream_is_told_of_the_attempt_whose_child_it_is():
    trace = tracer().begin([(b"traceparent", CLIENT.encode() + b"01"), (b"tracestate", b"a=1")])
    one, two = trace.begin("p", "m", 1.0), trace.begin("p", "m", 2.0)
    (_, parent), state = trace.headers(one)
    assert state == (b"tracestate", b"a=1")
    context = parse_traceparent(parent)
    assert context is not None
    assert f"{context.trace_id:032x}" == CLIENT[3:35]
    assert context.span_id == one.span_id
    assert len({trace.parent_id, trace.span_id, one.span_id, two.span_id}) == 4
    assert trace.headers(two)[0] != trace.headers(one)[0]


def test_the_client_decides_where_it_says_so():
    for flags, is_sampled in ((b"01", True), (b"00", False)):
        for sample in (0.0, 1.0):
            trace = tracer(sample).begin([(b"traceparent", CLIENT.encode() + flags)])
            assert trace.is_sampled is is_sampled
            assert trace.headers(trace.begin("p", "m", 1.0))[0][1].endswith(b"-" + flags)


def test_of_all_others_the_owners_share_is_sampled_and_new_settings_count_at_once():
    desk = tracer(0.25)
    taken = sum(desk.begin([]).is_sampled for _ in range(4000))
    assert 900 < taken < 1100
    desk.configure(Telemetry(sample=0.0))
    assert not any(desk.begin([]).is_sampled for _ in range(100))
    desk.configure(Telemetry())
    assert all(desk.begin([]).is_sampled for _ in range(100))


def test_all_who_see_a_trace_id_decide_alike():
    ids = [tracer(1.0).begin([]).trace_id] + [Random(n).getrandbits(128) for n in range(100)]
    for sample in (0.1, 0.5):
        bound = int(sample * 2**64)
        desk = Tracer(Telemetry(sample=sample), Random(SEED))
        for _ in ids:
            trace = desk.begin([])
            assert trace.is_sampled == (trace.trace_id % 2**64 < bound)


def test_a_request_has_only_so_many_attempts_with_spans():
    trace = tracer().begin([])
    for number in range(ATTEMPTS_MAX + 10):
        assert trace.headers(trace.begin("p", f"m{number}", 1.0))
    assert len(trace.attempts) == ATTEMPTS_MAX


def test_the_first_word_on_an_attempts_end_counts():
    tried = tracer().begin([]).begin("p", "m", 1.0)
    tried.over("503", 2.0)
    tried.over("", 3.0)
    assert (tried.error, tried.over_at) == ("503", 2.0)
