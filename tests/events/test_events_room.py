"""Events are numbered without a gap, kept within bounds, and a listener knows how many it has lost."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from random import Random
from typing import Any

import pytest
import trio
from msgspec import Struct
from msgspec.structs import replace

from hoosh.errors import InvalidRequest, Unavailable
from hoosh.events import (
    TOPICS,
    Answer,
    BreakerChanged,
    Bus,
    Event,
    Events,
    GatewayStarted,
    HealthChanged,
    Lost,
    News,
    RateLimited,
    Signer,
    Verdict,
    encode_event,
    news_of,
    pause_s,
    secret_mistake,
    topic_mistake,
    topics_like,
    verdict_on,
)
from hoosh.values import AttemptRecord, Outcome, Record, Secret, Usage

BORN_S = 1_800_000_000.0
FIRST = 1_800_000_000_000_001
ANSWERED = Record(
    request_id="req_1",
    method="POST",
    path="/v1/chat/completions",
    http_version="1.1",
    outcome=Outcome.OK,
    status=200,
    started_at=BORN_S,
    duration_s=0.25,
    kind="chat",
    caller="ada",
    model="smart",
    served_model="m-1",
    provider="mock",
    attempts=1,
    usage=Usage(3, 4),
)


def bus(**settings: Any) -> Bus:
    return Bus(Events(**settings), wall_s=lambda: BORN_S)


def limited(number: int) -> RateLimited:
    return RateLimited(f"p{number}")


def ids(items: list[Event | Lost]) -> list[int]:
    return [item.id - FIRST for item in items if isinstance(item, Event)]


# -- patterns ----------------------------------------------------------------------------------------------------------

PATTERNS: list[tuple[str, set[str]]] = [
    ("#", set(TOPICS)),
    ("*/*", set(TOPICS)),
    ("providers/health", {"providers/health"}),
    ("budgets/*", {"budgets/low", "budgets/spent"}),
    ("budgets/#", {"budgets/low", "budgets/spent"}),
    ("budgets/low/#", {"budgets/low"}),
    ("*/rate_limit", {"providers/rate_limit"}),
]


@pytest.mark.parametrize(("pattern", "meant"), PATTERNS, ids=[pattern for pattern, _ in PATTERNS])
def test_a_star_is_one_segment_and_a_hash_all_that_follow(pattern: str, meant: set[str]):
    assert topics_like([pattern]) == meant


@pytest.mark.parametrize("pattern", ["", "*", "providers", "providers/healthy", "#/health", "a/" * 40, "x" * 300])
def test_a_pattern_that_means_nothing_is_a_mistake(pattern: str):
    assert topic_mistake(pattern)
    with pytest.raises(InvalidRequest, match="topic"):
        bus().subscribe(pattern)


def test_no_pattern_is_every_topic_and_too_many_are_refused():
    assert topics_like([]) == set(TOPICS)
    with pytest.raises(ValueError, match="more than"):
        topics_like(["#"] * 17)


def test_every_kind_of_news_has_a_topic_and_a_name_of_its_own():
    kinds: list[type[Struct]] = News.__subclasses__()
    assert len({kind.__struct_config__.tag for kind in kinds}) == len(set(TOPICS)) == len(kinds)


# -- the bus -----------------------------------------------------------------------------------------------------------


def test_numbers_follow_each_other_and_only_the_last_are_kept():
    events = bus(keep=3)
    for number in range(5):
        events.publish(limited(number))
    page = events.recent()
    assert [event.id for event in page.events] == [FIRST + 2, FIRST + 3, FIRST + 4]
    assert (page.lost, page.last_id) == (None, FIRST + 4)
    assert events.statistics().kept == 3
    assert events.statistics().published["providers/rate_limit"] == 5


def test_an_answered_request_is_two_events_whether_somebody_listens_or_not():
    quiet, heard = bus(), bus()
    with heard.subscribe() as listener:
        for events in (quiet, heard):
            events.tell(ANSWERED)
            events.publish(limited(0))
            events.tell(ANSWERED)
        told = [encode_event(event) for event in quiet.recent().events]
        assert told == [encode_event(event) for event in heard.recent().events]
        assert told == [encode_event(item) for item in listener.take() if isinstance(item, Event)]
    assert quiet.statistics().published == heard.statistics().published
    assert [event.id - FIRST for event in quiet.recent().events] == [0, 1, 2, 3, 4]


def test_what_is_kept_stays_within_its_bound_whatever_comes():
    chance, events = Random(7), bus(keep=10)
    published = 0
    for _ in range(300):
        if chance.random() < 0.5:
            events.tell(ANSWERED)
            published += 2
        else:
            events.publish(limited(0))
            published += 1
        kept = [event.id for event in events.recent(limit=1000).events]
        assert len(kept) == events.statistics().kept <= 10
        assert len(kept) >= min(9, published)
        assert kept == list(range(FIRST + published - len(kept), FIRST + published))
        after = chance.choice(kept)
        page = events.recent(after=after, limit=1000)
        assert ([event.id for event in page.events], page.lost) == (kept[kept.index(after) + 1 :], None)
    events.configure(Events(keep=2))
    assert events.statistics().kept <= 2


def test_a_page_goes_on_behind_an_event_and_says_what_is_missing():
    events = bus(keep=4)
    for number in range(10):
        events.publish(limited(number))
    page = events.recent(after=FIRST + 2, limit=2)
    assert [event.id - FIRST for event in page.events] == [6, 7]
    assert page.lost == Lost(3, FIRST + 3, FIRST + 5)
    assert events.recent(after=FIRST + 9).events == []
    assert events.recent("gateway/*", after=FIRST + 2).events == []


@pytest.mark.parametrize("stranger", [0, 17, FIRST - 2, FIRST + 1_000_000])
def test_a_number_of_another_life_gets_all_there_is_and_hears_that_something_is_missing(stranger: int):
    events = bus()
    events.publish(limited(0))
    with events.subscribe(after=stranger) as listener:
        lost, event = listener.take()
    assert isinstance(lost, Lost)
    assert lost.count is None
    assert isinstance(event, Event)
    assert event.id == FIRST


def test_replay_and_live_events_have_no_gap_and_no_double():
    events = bus(buffer=4)
    for number in range(20):
        events.publish(limited(number))
    with events.subscribe("providers/#", after=FIRST + 9) as listener:
        events.publish(GatewayStarted("1"))  # not asked for
        for number in range(4):  # as many as may wait
            events.publish(limited(number))
        assert ids(listener.take()) == [*range(10, 20), 21, 22, 23, 24]
        assert events.statistics().lost == 0


def test_a_listener_that_does_not_read_costs_its_buffer_and_knows_what_it_lost():
    events = bus(buffer=3)
    with events.subscribe("providers/rate_limit") as listener, events.subscribe() as other:
        for number in range(10):
            events.publish(limited(number))
            other.take()
        lost, *rest = listener.take()
        assert lost == Lost(7, FIRST, FIRST + 6)
        assert ids(rest) == [7, 8, 9]
        assert events.statistics().lost == 7
        events.publish(limited(10))
        assert ids(listener.take()) == [10]
        assert listener.take() == []


@pytest.mark.parametrize("count", [4, 12])
def test_a_loss_that_nobody_can_count_stays_one_however_much_is_lost_after_it(count: int):
    events = bus(buffer=4)
    events.publish(limited(0))
    with events.subscribe("providers/rate_limit", after=5) as listener:  # of a life before
        for number in range(count):
            events.publish(limited(number))
        first, *_ = listener.take()
    assert isinstance(first, Lost)
    assert first.count is None


def test_a_disabled_bus_says_nothing_until_it_is_enabled():
    events = bus(enabled=False)
    events.publish(limited(0))
    events.tell(ANSWERED)
    assert events.recent().events == []
    events.configure(Events())
    events.publish(limited(1))
    assert len(events.recent().events) == 1


def test_guests_are_counted_and_leave_first():
    events = bus(max_listeners=1)
    own = events.subscribe()
    guest = events.subscribe(is_guest=True)
    with pytest.raises(Unavailable) as refused:
        events.subscribe(is_guest=True)
    assert refused.value.code == "too_many_listeners"
    guest.close()
    guest.close()
    again = events.subscribe(is_guest=True)
    events.begin_closing()
    with pytest.raises(Unavailable, match="shutting down"):
        events.require_seat()
    events.publish(limited(0))
    assert ids(own.take()) == [0]
    again.close()
    own.close()
    assert events.statistics().listeners == events.statistics().guests == 0


# -- listening ---------------------------------------------------------------------------------------------------------


async def test_a_loop_hears_what_happens_and_ends_when_the_bus_is_closed(autojump_clock: object):
    events, heard = bus(), []

    async def listen(task_status: trio.TaskStatus[None]) -> None:
        with events.subscribe("providers/*") as listener:
            task_status.started()
            heard.extend([item async for item in listener])

    async with trio.open_nursery() as nursery:
        await nursery.start(listen)
        for number in range(3):
            events.publish(limited(number))
            await trio.sleep(1)
        events.publish(limited(3))
        events.close()
    assert ids(heard) == [0, 1, 2, 3]
    late = events.subscribe()
    assert not await late.wait()


async def test_a_wait_that_is_given_up_loses_nothing(autojump_clock: object):
    events = bus()
    with events.subscribe() as listener:
        with trio.move_on_after(1):
            await listener.wait()
        events.publish(limited(0))
        with trio.CancelScope() as scope:
            scope.cancel()
            await anext(listener)
        assert scope.cancelled_caught
        assert ids([await anext(listener)]) == [0]


# -- what a request tells ----------------------------------------------------------------------------------------------


def told(record: Record) -> list[dict[str, Any]]:
    return [json.loads(encode_event(Event(1, BORN_S, news))) for news in news_of(record)]


def test_an_answer_tells_its_tokens_or_else_its_pieces():
    completed, finished = told(ANSWERED)
    assert completed == {
        "id": 1,
        "topic": "providers/inference",
        "timestamp": "2027-01-15T08:00:00.000Z",
        "event": "inference_completed",
        "provider": "mock",
        "model": "m-1",
        "latency_ms": 250.0,
        "tokens": 7,
    }
    assert (finished["outcome"], finished["key"], finished["model"]) == ("ok", "ada", "smart")
    assert told(replace(ANSWERED, usage=None, chunks=5))[0]["tokens"] == 5


@pytest.mark.parametrize("outcome", [Outcome.ERROR, Outcome.CUT])
def test_a_failure_tells_a_code_and_nothing_that_an_upstream_said(outcome: Outcome):
    record = replace(ANSWERED, outcome=outcome, status=502, error_code="bad: sk-secret", error_message="sk-secret")
    failed, _ = told(record)
    assert (failed["event"], failed["error"]) == ("inference_failed", "upstream_error")
    assert "sk-secret" not in str(told(record))


def test_who_asked_for_patience_is_named_once_also_where_another_answered():
    tries = tuple(AttemptRecord(name, "m", 0.1, reason) for name, reason in [("a", "429"), ("a", "429"), ("b", "503")])
    assert [each["event"] for each in told(replace(ANSWERED, tried=tries))] == [
        "rate_limited",
        "inference_completed",
        "request_finished",
    ]


def test_refused_and_kept_answers_tell_no_inference_and_what_is_no_inference_nothing():
    assert [each["event"] for each in told(replace(ANSWERED, attempts=0))] == ["request_finished"]
    assert [each["event"] for each in told(replace(ANSWERED, outcome=Outcome.CLIENT_LEFT))] == ["request_finished"]
    assert told(replace(ANSWERED, kind=None)) == []


def test_long_and_odd_names_are_bounded_and_never_fail():
    events = bus()
    events.tell(replace(ANSWERED, model="x" * 100_000))
    events.tell(replace(ANSWERED, model="\ud800"))
    events.publish(HealthChanged("\ud800", "", False, "503"))
    lines = [encode_event(event) for event in events.recent().events]
    assert max(map(len, lines)) < 1000
    assert all(json.loads(line) for line in lines)


def test_words_that_python_keeps_for_itself_are_spelt_as_json_has_them():
    event = json.loads(encode_event(Event(1, BORN_S, BreakerChanged("p", "*", "closed", "open", "503"))))
    assert (event["from"], event["to"]) == ("closed", "open")


# -- webhooks: what decides --------------------------------------------------------------------------------------------

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()


def test_a_signature_is_that_of_the_specification():
    headers = dict(Signer(Secret(SECRET)).headers("evt_1", b'{"a":1}', now_s=1_700_000_000.9))
    expected = hmac.new(b"k" * 32, b'evt_1.1700000000.{"a":1}', hashlib.sha256).digest()
    assert headers == {
        b"webhook-id": b"evt_1",
        b"webhook-timestamp": b"1700000000",
        b"webhook-signature": b"v1," + base64.b64encode(expected),
    }


@pytest.mark.parametrize("wrong", ["", "my-own-words", "whsec_", "whsec_???", "whsec_c2hvcnQ=", "whsec_" + "A" * 200])
def test_what_is_no_secret_is_refused_and_not_repeated(wrong: str):
    mistake = secret_mistake(Secret(wrong))
    assert mistake
    assert not wrong.removeprefix("whsec_") or wrong not in mistake
    assert secret_mistake(Secret(SECRET)) is None
    assert SECRET not in repr(Signer(Secret(SECRET)))


VERDICTS = [
    (200, Verdict.DELIVERED),
    (204, Verdict.DELIVERED),
    (302, Verdict.AGAIN),
    (404, Verdict.AGAIN),
    (410, Verdict.GONE),
    (429, Verdict.AGAIN),
    (503, Verdict.AGAIN),
    (None, Verdict.AGAIN),
]


@pytest.mark.parametrize(("status", "verdict"), VERDICTS)
def test_what_an_answer_means(status: int | None, verdict: Verdict):
    assert verdict_on(Answer(status, str(status))) is verdict


def test_pauses_double_up_to_a_limit_and_a_wish_is_met_up_to_the_same():
    chance = Random(1)
    for attempts in range(1, 60):
        longest_s = min(2.0 ** (attempts - 1), 300.0)
        assert longest_s / 2 <= pause_s(attempts, None, chance) <= longest_s
    assert pause_s(1, 30.0, chance) == 30.0
    assert pause_s(1, 86_400.0, chance) == 300.0
    assert pause_s(9, 0.0, chance) >= 128.0
