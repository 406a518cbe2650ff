"""D4: one tree of deadlines.  Whatever upstreams do, a client has its answer or a clear error by its own deadline.

    x-hoosh-timeout, request_timeout_s ⊇ queue, attempt + pause + attempt + …
                                                 attempt ⊇ connect, first byte, first token, idle; total

Random upstreams, random limits, on a mock clock: seconds are exact here, and nothing is measured.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from random import Random
from typing import Any

import pytest
import trio
import trio.testing
from faults_house import CHAT, Heard, records_of
from faults_memory import USER, Came, ask, member, quick_house
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import replace

from hoosh.config import Alias, Health, Retry, Routing, Server, Timeouts
from hoosh.testing.faults import WORDS as FULL
from hoosh.testing.faults import Asked, Fault, FaultyUpstream, refuses
from hoosh.testing.house import GATEWAY, MemoryHouse
from hoosh.testing.upstream import Cut, End, Hang, Pause, Reset, Script, Step, with_pauses
from hoosh.values import Outcome, Record

WORDS = FULL[:4]
WRITING_S = 0.001
"""For an answer, or an error, to get out: no time passes on a mock clock but what somebody waits for."""
EXAMPLES = int(os.environ.get("HOOSH_EXAMPLES", "60"))
LONG = Timeouts(connect_s=1000.0, first_byte_s=1000.0, first_token_s=1000.0, idle_s=1000.0, total_s=1000.0)


# -- what upstreams do -------------------------------------------------------------------------------------------


def after(seconds: float, then: Fault) -> Fault:
    return lambda upstream, asked: [Pause(seconds), *then(upstream, asked)]


def slow_to_speak(seconds: float) -> Fault:
    """The head at once, the first word after so long."""

    def script(upstream: FaultyUpstream, asked: Asked) -> Script:
        head, *rest = upstream.answer(asked)
        return [head, Pause(seconds), *rest]

    return script


def word_by_word(seconds: float, *last: Step, words: int = len(WORDS)) -> Fault:
    """Stops after so many words, where it has `last` words of its own."""

    def script(upstream: FaultyUpstream, asked: Asked) -> Script:
        if not asked.is_stream:
            return [Pause(seconds), *(upstream.part(asked, *last) if last else upstream.answer(asked))]
        events = upstream.begun(asked, words) if last else upstream.events(asked)
        return with_pauses(upstream.stream(events, *(last or (End(),))), seconds)

    return script


def silent(upstream: FaultyUpstream, asked: Asked) -> Script:
    return [Hang()]


def reset(upstream: FaultyUpstream, asked: Asked) -> Script:
    return [Reset()]


waits_s = st.sampled_from([0.0, 0.1, 0.4, 1.0, 2.5, 6.0, 15.0])
refusals = st.builds(
    refuses, st.sampled_from(["busy", "overloaded", "broken"]), retry_after_s=st.sampled_from([None, 0.5, 2.0, 20.0])
)
faults: st.SearchStrategy[Fault] = st.one_of(
    st.just(silent),
    st.just(reset),
    refusals,
    st.builds(after, waits_s, refusals),
    st.builds(after, waits_s, st.just(FaultyUpstream.answer)),
    st.builds(slow_to_speak, waits_s),
    st.builds(word_by_word, waits_s),
    st.builds(word_by_word, waits_s, st.sampled_from([Cut(), Hang(), End()]), words=st.integers(0, 3)),
)


class Host(Struct, frozen=True):
    """One upstream: how long it takes to be reached, and what it does, request for request; the last one again."""

    connect_s: float
    does: Sequence[Fault]

    def __repr__(self) -> str:
        return f"Host({self.connect_s}, {[fault.__qualname__ for fault in self.does]})"


class Limits(Struct, frozen=True):
    """All that bounds a request."""

    own_s: float | None = None
    house_s: float = 600.0
    queue_s: float = 30.0
    upstream: Timeouts = Timeouts()

    @property
    def outer_s(self) -> float:
        return self.house_s if self.own_s is None else min(self.own_s, self.house_s)


hosts = st.builds(Host, st.sampled_from([0.0, 0.0, 0.3, 4.0, 100.0]), st.lists(faults, min_size=1, max_size=3))
few_s = st.sampled_from([0.5, 1.0, 3.0, 8.0, 30.0])
timeouts = st.builds(Timeouts, connect_s=few_s, first_byte_s=few_s, first_token_s=few_s, idle_s=few_s, total_s=few_s)
limits = st.builds(
    Limits,
    own_s=st.none() | st.sampled_from([0.05, 0.7, 2.0, 5.0, 12.0]),
    house_s=st.sampled_from([1.5, 4.0, 10.0, 40.0]),
    queue_s=few_s,
    upstream=timeouts,
)
retries = st.builds(
    Retry,
    max_retries=st.integers(0, 4),
    base_delay_ms=st.sampled_from([0, 500, 3000]),
    wait_out_s=st.sampled_from([0.0, 3.0, 30.0]),
    budget_ratio=st.just(1.0),
)


# -- one request -------------------------------------------------------------------------------------------------


class Told(Struct):
    """What has become of one request."""

    came: Came
    record: Record

    @property
    def error(self) -> dict[str, Any]:
        assert self.came.heard.error is not None, self.came
        return self.came.heard.error


async def tell(
    upstreams: Sequence[Host],
    bounds: Limits,
    *,
    stream: bool = True,
    retry: Retry | None = None,
    hedge_ms: int | None = None,
    before_s: float | None = None,
    before: int = 1,
    http2: bool = False,
    **fields: Any,
) -> Told:
    """Ask once.  With `before_s` others have the only place in the house, each for so long."""
    names = [f"host{number}" for number in range(len(upstreams))]
    made = {name: FaultyUpstream(words=WORDS) for name in [*names, "other"]}
    for name, host in zip(names, upstreams, strict=True):
        made[name].faults["m"] = in_turn(host.does)
    made["other"].faults["m"] = after(before_s or 0.0, FaultyUpstream.answer)
    async with quick_house(
        made,
        providers=[*[member(name, timeouts=bounds.upstream) for name in names], member("other", timeouts=LONG)],
        connect_s={name: host.connect_s for name, host in zip(names, upstreams, strict=True)},
        http2=http2,
        chance=Random(4),
        models=(Alias(name="m", targets=tuple([f"{name}/m" for name in names])), Alias("before", ("other/m",))),
        server=Server(
            request_timeout_s=bounds.house_s,
            queue_timeout_s=bounds.queue_s,
            max_concurrent=None if before_s is None else 1,
        ),
        routing=Routing(hedge_after_ms=hedge_ms, hedge_max_ratio=1.0),
        retry=retry or Retry(),
        health=Health(interval_secs=0),
    ) as house:
        records = records_of(house.gateway)
        own = [] if bounds.own_s is None else [(b"x-hoosh-timeout", b"%.3f" % bounds.own_s)]
        async with trio.open_nursery() as nursery:
            if before_s is not None:
                nursery.start_soon(come_before, house, before_s, before)
                await made["other"].wait_requests(1)
            came = await ask(house, "m", stream=stream, headers=[*own, (b"x-hoosh-priority", b"low")], **fields)
            while not (found := [one for one in records if one.model == "m"]):
                await trio.sleep(WRITING_S)
            [record] = found
            nursery.cancel_scope.cancel(reason="not needed any more")
    return Told(came, record)


async def come_before(house: MemoryHouse, each_s: float, times: int) -> None:
    """The next one is there before the last one leaves."""
    async with trio.open_nursery() as nursery:
        for _ in range(times):
            nursery.start_soon(ask, house, "before")
            await trio.sleep(each_s * 0.9)


def in_turn(does: Sequence[Fault]) -> Fault:
    return lambda upstream, asked: does[min(asked.number, len(does) - 1)](upstream, asked)


def run(*args: Any, **named: Any) -> Told:
    """`tell`, on a clock of its own: Hypothesis wants a plain function."""

    async def main() -> Told:
        return await tell(*args, **named)

    return trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


# -- the tree ----------------------------------------------------------------------------------------------------


@settings(max_examples=EXAMPLES, phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink])
@given(
    upstreams=st.lists(hosts, min_size=1, max_size=3),
    bounds=limits,
    retry=retries,
    stream=st.booleans(),
    hedge_ms=st.sampled_from([None, None, 100, 1500]),
    before_s=st.sampled_from([None, None, 0.5, 3.0, 7.0]),
    fields=st.sampled_from([{}, {}, {"temperature": 0}]),
)
def test_d4_no_request_outlives_its_deadline_and_each_is_told_what_has_passed(
    upstreams, bounds, retry, stream, hedge_ms, before_s, fields
):
    told = run(upstreams, bounds, retry=retry, stream=stream, hedge_ms=hedge_ms, before_s=before_s, **fields)
    came, record = told.came, told.record
    must_not_lie(came.heard)
    assert came.whole_s <= bounds.outer_s + WRITING_S, f"answered after {came.whole_s} s: {came.heard.body[-300:]!r}"
    assert record.duration_s <= bounds.outer_s + WRITING_S
    if hedge_ms is None:
        assert sum(attempt.duration_s for attempt in record.tried) <= bounds.outer_s + WRITING_S
    if not came.heard.is_done:
        must_say_what_has_passed(told, bounds)


def must_not_lie(heard: Heard) -> None:
    if heard.is_done:
        heard.must_be_whole("".join(WORDS))
    else:
        heard.must_be_an_error()


def must_say_what_has_passed(told: Told, bounds: Limits) -> None:
    """The code of an error is that of the deadline which has passed, and so is its status where there is one."""
    code, message, waited_s = told.error["code"], told.error["message"], told.came.whole_s
    if code == "request_timeout":
        assert bounds.own_s is not None
        assert waited_s >= bounds.own_s - WRITING_S, f"too early: {waited_s}"
        assert "own deadline" in message
        assert "None" not in message
        assert told.record.status == 408
    elif code == "upstream_timeout":
        limit_s = bounds.upstream
        shortest_s = min(
            limit_s.connect_s, limit_s.first_byte_s, limit_s.first_token_s, limit_s.idle_s, limit_s.total_s
        )
        assert waited_s >= min(shortest_s, bounds.house_s) - WRITING_S
        assert any(phase in message for phase in ("connect", "first_byte", "in time", "idle", "total"))
        if "total" in message and bounds.own_s is not None:
            assert waited_s < bounds.own_s, "the client's own deadline has passed, and it is told of another"
        assert told.record.status == 504
    elif code == "queue_full":
        assert waited_s >= min(bounds.queue_s, bounds.house_s) - WRITING_S
        assert told.record.status == 429


# -- which of them has passed ------------------------------------------------------------------------------------

OWN_S = 2.0
AT_ONCE = Host(0.0, [FaultyUpstream.answer])
BUSY = Host(0.0, [refuses("busy", retry_after_s=2.5)])
DIES = Host(0.0, [word_by_word(0.1, Cut(), words=2)])
SILENT = Host(0.0, [silent])
OWN: dict[str, tuple[list[Host], dict[str, Any], str]] = {
    "the queue": ([AT_ONCE], {"before_s": 9.0}, "while it waited for its turn"),
    "connecting": ([Host(4.0, [silent])], {}, "before provider `host0` had answered"),
    "the head": ([SILENT], {}, "before provider `host0` had answered"),
    "the first word": ([Host(0.0, [slow_to_speak(9.0)])], {}, "before provider `host0` had answered"),
    "the middle": ([Host(0.0, [word_by_word(0.7)])], {}, "within the answer of provider `host0`"),
    "the second": ([Host(0.0, [reset]), SILENT], {"retry": Retry(max_retries=0)}, "before provider `host1` had"),
    "a race": ([SILENT, SILENT], {"hedge_ms": 100}, "before provider `host0` had answered"),
    "a rescue": ([DIES, SILENT], {}, "before provider `host1` had answered"),
    "a flight": ([SILENT], {"temperature": 0}, "before provider `host0` had answered"),
    "a flight's middle": (
        [Host(0.0, [word_by_word(0.7)])],
        {"temperature": 0},
        "within the answer of provider `host0`",
    ),
}


@pytest.mark.parametrize("where", OWN)
async def test_d4_a_clients_own_deadline_says_what_the_request_was_about(where, autojump_clock):
    upstreams, named, words = OWN[where]
    told = await tell(upstreams, Limits(own_s=OWN_S), **named)
    must_not_lie(told.came.heard)
    assert told.came.whole_s == pytest.approx(OWN_S, abs=WRITING_S)
    assert (told.error["code"], told.record.status) == ("request_timeout", 408)
    assert words in told.error["message"]


UPSTREAMS: dict[str, tuple[list[Host], Timeouts, float, str]] = {
    "connect": ([Host(9.0, [silent])], replace(LONG, connect_s=1.0), 1.0, "connect deadline of 1 s"),
    "first_byte": ([SILENT], replace(LONG, first_byte_s=1.0), 1.0, "first_byte deadline of 1 s"),
    "first_token": (
        [Host(0.0, [slow_to_speak(9.0)]), Host(0.0, [after(0.5, refuses("broken"))])],
        replace(LONG, first_token_s=1.0),
        1.5,
        "nothing of its answer came in time",
    ),
    "idle": ([Host(0.0, [word_by_word(0.1, Hang(), words=2)])], replace(LONG, idle_s=1.0), 1.3, "idle deadline of 1 s"),
    "total": ([Host(0.0, [word_by_word(0.7)])], replace(LONG, total_s=1.0), 1.0, "total deadline of 1 s"),
    "house": ([SILENT], LONG, 3.0, "total deadline of 3 s"),
}


@pytest.mark.parametrize("which", UPSTREAMS)
async def test_d4_an_upstreams_deadline_is_named(which, autojump_clock):
    upstreams, bounds, passes_s, words = UPSTREAMS[which]
    told = await tell(upstreams, Limits(house_s=3.0, upstream=bounds), retry=Retry(max_retries=0))
    must_not_lie(told.came.heard)
    assert told.came.whole_s == pytest.approx(passes_s, abs=WRITING_S)
    assert (told.error["code"], told.record.status) == ("upstream_timeout", 504)
    assert words in told.error["message"]


async def test_d4_no_pause_is_begun_that_would_pass_the_deadline(autojump_clock):
    told = await tell([BUSY], Limits(own_s=OWN_S))
    assert (told.came.whole_s, told.record.status) == (0.0, 429)


async def test_d4_a_turn_that_does_not_come_is_named(autojump_clock):
    told = await tell([AT_ONCE], Limits(queue_s=1.0), before_s=9.0)
    assert told.came.whole_s == pytest.approx(1.0, abs=WRITING_S)
    assert (told.error["code"], told.record.status) == ("queue_full", 429)


async def test_d4_the_wait_for_a_turn_counts_against_the_time_that_any_request_has(autojump_clock):
    """`request_timeout_s` is of the request: what the queue has taken the upstream does not get on top."""
    told = await tell([SILENT], Limits(house_s=3.0, queue_s=30.0), before_s=2.0)
    assert told.came.whole_s == pytest.approx(3.0, abs=WRITING_S)
    assert told.record.status == 504


async def test_d4_nobody_waits_for_a_turn_longer_than_any_request_may_take(autojump_clock):
    told = await tell([AT_ONCE], Limits(house_s=3.0, queue_s=30.0), before_s=4.0, before=9)
    assert told.came.whole_s == pytest.approx(3.0, abs=WRITING_S)
    assert told.error["code"] in ("queue_full", "request_timeout", "upstream_timeout")


async def test_d4_a_deadline_that_passes_behind_the_last_byte_changes_nothing(autojump_clock):
    """All is said, and only the upstream's framing is waited for."""
    says_all = lambda upstream, asked: upstream.stream(upstream.events(asked), Hang())  # noqa: E731
    told = await tell([Host(0.9, [says_all])], Limits(own_s=1.0))
    told.came.heard.must_be_whole("".join(WORDS))
    assert (told.record.outcome, told.record.status) == (Outcome.OK, 200)


# -- D13 ---------------------------------------------------------------------------------------------------------

LOOKED_AT_S = 1.5
"""A request is there so long before anybody looks at it: another one on its connection is being answered."""
TURN_S = 2.0
"""And so long it then waits for its turn."""
ANSWER_S = 0.3


async def test_d13_the_time_before_anybody_looks_and_the_wait_for_a_turn_are_queueing_not_the_upstreams(autojump_clock):
    upstream = FaultyUpstream(words=WORDS)
    upstream.faults |= {
        "first": after(LOOKED_AT_S, FaultyUpstream.answer),
        "between": after(TURN_S, FaultyUpstream.answer),
        "m": after(ANSWER_S, FaultyUpstream.answer),
    }
    routing, server = Routing(strategy="lowest_latency"), Server(max_concurrent=1)
    async with quick_house({"host": upstream}, routing=routing, server=server) as house, trio.open_nursery() as nursery:
        records = records_of(house.gateway)
        wire = await house.network.connect(GATEWAY)
        await wire.send(raw_chat("first") + raw_chat("m"))
        await upstream.wait_requests(1)
        nursery.start_soon(ask, house, "between")  # its turn is before that of "m", of which nobody knows yet
        while len(records) < 3:
            await trio.sleep(WRITING_S)
        wire.close()
        record = records[-1]
        assert record.model == "m"
        assert record.queue_s == pytest.approx(LOOKED_AT_S + TURN_S, abs=WRITING_S)
        assert record.duration_s == pytest.approx(TURN_S + ANSWER_S, abs=2 * WRITING_S)
        [load] = [each for each in house.gateway.loads.statistics() if each.model == "m"]
        assert load.first_content_s == pytest.approx(ANSWER_S, abs=WRITING_S)
        house.gateway.flush()
        assert house.gateway.metrics.queue.total == pytest.approx(sum(one.queue_s for one in records))
        assert b"hoosh_queue_seconds_sum" in house.gateway.metrics_text()


def raw_chat(model: str) -> bytes:
    body = json.dumps({"model": model, "messages": USER}).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
    return head.encode() + b"\r\n\r\n" + body
