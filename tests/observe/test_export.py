"""The service that sends traces: it never waits where a request would, bounds what waits, and comes to its end."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import pytest
import trio
import trio.testing
from test_otlp import RECORD

from hoosh.errors import ConfigError
from hoosh.observe import AccessLog, Logging, Telemetry
from hoosh.observe import export as exporting
from hoosh.observe.export import BATCH, Traces, with_environment
from hoosh.observe.traces import Answer, Trace
from hoosh.testing.collector import collector
from hoosh.values import Record

ON = Telemetry(enabled=True)
LATER = Answer(why="the collector answered 503")
NEVER = Answer(why="the collector answered 400", is_final=True)
THERE = Answer(is_there=True)


class FakeExporter:
    """Answers as it is told, then takes everything."""

    def __init__(self, settings: Telemetry, answers: list[Answer | Exception]) -> None:
        self.settings = settings
        self.answers = answers
        self.batches: list[list[str]] = []
        self.is_closed = False
        self.go_on = threading.Event()
        self.go_on.set()

    def send(self, batch: Sequence[tuple[Record, Trace, float]]) -> Answer:
        self.batches.append([record.request_id for record, _, _ in batch])
        self.go_on.wait(10)
        answer = self.answers.pop(0) if self.answers else THERE
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        self.is_closed = True


class Desk:
    """Traces, what they have made, and what they have said."""

    def __init__(self, *answers: Answer | Exception, settings: Telemetry = ON) -> None:
        self.made: list[FakeExporter] = []
        self.said = io.StringIO()
        self.log = AccessLog(self.said, Logging(format="json"))
        self.answers = list(answers)
        self.traces = Traces(settings, version="1", log=self.log, environ={}, chance=Random(1), make=self._make)

    def _make(self, settings: Telemetry) -> FakeExporter:
        self.made.append(FakeExporter(settings, self.answers))
        return self.made[-1]

    def put(self, *names: str) -> None:
        for name in names:
            self.traces.put(record(name), self.traces.begin([]), 1.0)

    async def until(self, is_so: Callable[[], bool]) -> None:
        while not is_so():
            await trio.sleep(0.01)

    @property
    def counts(self) -> tuple[int, int, int]:
        now = self.traces.statistics()
        return now.waiting, now.exported, now.dropped

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with trio.open_nursery() as nursery:
            await nursery.start(self.traces.run)
            yield
            nursery.cancel_scope.cancel()

    def lines(self) -> list[Any]:
        return [(line.message, line.fields.get("why")) for line in self.log._queue]  # type: ignore[union-attr]


def record(name: str) -> Record:
    from msgspec.structs import replace

    return replace(RECORD, request_id=name)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses of no length, on the real clock: threads work here."""
    for name in ("GATHER_S", "FIRST_PAUSE_S"):
        monkeypatch.setattr(exporting, name, 0.001)


async def test_what_has_ended_is_sent_in_small_batches(quick):
    desk = Desk()
    names = [f"r{number}" for number in range(2 * BATCH + 3)]
    async with desk.running():
        desk.put(*names)
        await desk.until(lambda: desk.counts == (0, len(names), 0))
    (exporter,) = desk.made
    assert [len(batch) for batch in exporter.batches] == [BATCH, BATCH, 3]
    assert [name for batch in exporter.batches for name in batch] == names
    assert exporter.is_closed


async def test_a_full_queue_drops_and_counts_and_nobody_waits():
    desk = Desk(settings=Telemetry(enabled=True, queue=5))
    desk.put(*map(str, range(8)))
    assert desk.counts == (5, 0, 3)


async def test_who_is_not_sampled_is_not_sent():
    desk = Desk(settings=Telemetry(enabled=True, sample=0.0))
    desk.put("a")
    assert desk.counts == (0, 0, 0)


async def test_a_batch_that_the_collector_cannot_take_now_is_sent_again_and_said_once(quick):
    desk = Desk(LATER, LATER, LATER)
    async with desk.running():
        desk.put("a")
        await desk.until(lambda: desk.counts == (0, 1, 0))
        desk.put("b")
        await desk.until(lambda: desk.counts == (0, 2, 0))
    assert desk.made[0].batches == [["a"]] * 4 + [["b"]]
    assert desk.lines() == [
        ("traces are not exported", "the collector answered 503"),
        ("traces are exported again", None),
    ]


@pytest.mark.parametrize("answer", [NEVER, RuntimeError("a bug")])
async def test_a_batch_that_it_never_takes_is_lost_and_the_next_one_goes(quick, answer):
    desk = Desk(answer)
    async with desk.running():
        desk.put("a")
        await desk.until(lambda: desk.counts == (0, 0, 1))
        desk.put("b")
        await desk.until(lambda: desk.counts == (0, 1, 1))


def test_pauses_grow_to_a_minute_and_are_as_long_as_the_collector_asks():
    traces = Desk().traces
    pauses = [traces._pause_s(failures, 0.0) for failures in range(1, 20)]
    assert all(0.5 * bound <= pause <= bound for bound, pause in zip((1, 2, 4, 8, 16, 32), pauses, strict=False))
    assert max(pauses) <= 60.0
    assert traces._pause_s(1000, 0.0) <= 60.0
    assert traces._pause_s(1, 100.0) == 100.0


async def test_while_the_collector_hangs_the_house_goes_on_and_the_queue_is_bounded(quick):
    desk = Desk(settings=Telemetry(enabled=True, queue=4))
    async with desk.running():
        desk.put("a")
        await desk.until(lambda: bool(desk.made and desk.made[0].batches))
        exporter = desk.made[0]
        exporter.go_on.clear()
        desk.put("b")
        await desk.until(lambda: len(exporter.batches) == 2)
        desk.put(*"cdefgh")
        assert desk.counts == (5, 1, 2), "one is being sent, four wait, two had no place"
        exporter.go_on.set()
        await desk.until(lambda: desk.counts == (0, 6, 2))


async def test_what_is_left_goes_out_when_the_house_closes():
    desk = Desk()
    async with desk.running():
        desk.put("a", "b")
    assert desk.counts == (0, 2, 0)
    assert desk.made[0].is_closed


async def test_a_collector_that_hangs_does_not_keep_the_house_open(quick, monkeypatch):
    monkeypatch.setattr(exporting, "FLUSH_WITHIN_S", 0.05)
    desk = Desk()
    async with desk.running():
        desk.put("a")
        await desk.until(lambda: desk.counts == (0, 1, 0))
        desk.made[0].go_on.clear()
        desk.put("b")
        await desk.until(lambda: len(desk.made[0].batches) == 2)
        desk.put("c")
    assert desk.made[0].is_closed
    assert desk.counts[1:] == (1, 2)
    desk.made[0].go_on.set()


async def test_one_that_is_away_does_neither(quick, monkeypatch):
    monkeypatch.setattr(exporting, "FIRST_PAUSE_S", 60.0)
    desk = Desk(*[LATER] * 10)
    async with desk.running():
        desk.put("a")
        await desk.until(lambda: len(desk.lines()) == 1)
        desk.put("b")
    assert desk.counts[2] == 2


async def test_new_settings_count_at_once_also_within_a_pause(quick, monkeypatch):
    monkeypatch.setattr(exporting, "FIRST_PAUSE_S", 3600.0)
    desk = Desk(LATER)
    async with desk.running():
        desk.put("a")
        await desk.until(lambda: len(desk.lines()) == 1)
        await trio.testing.wait_all_tasks_blocked()
        desk.traces.configure(Telemetry(otlp_endpoint="http://other:4318"))
        await desk.until(lambda: desk.counts == (0, 1, 0))
    old, new = desk.made
    assert old.is_closed
    assert new.settings.otlp_endpoint == "http://other:4318"
    assert new.batches == [["a"]]


async def test_it_can_be_switched_on_and_off():
    desk = Desk(settings=Telemetry())
    assert not desk.traces.is_on
    desk.traces.configure(ON)
    assert desk.traces.is_on
    desk.traces.configure(Telemetry(enabled=False, otlp_endpoint="http://c:4318"))
    assert not desk.traces.is_on


async def test_what_waits_when_it_is_switched_off_goes_nowhere(quick):
    desk = Desk(settings=ON)
    desk.put("before")
    running = desk.traces.begin([])
    desk.traces.configure(Telemetry())
    desk.traces.put(record("after"), running, 1.0)
    async with desk.running():
        await trio.testing.wait_all_tasks_blocked()
    assert not any(exporter.settings.otlp_endpoint is None for exporter in desk.made)
    assert desk.counts == (0, 0, 1)


async def test_without_its_libraries_it_cannot_be_switched_on(monkeypatch):
    desk = Desk(settings=Telemetry())
    monkeypatch.setattr(exporting, "NEEDED", "opentelemetry_is_not.here")
    with pytest.raises(ConfigError, match=r"hoosh-trio\[otel\]"):
        desk.traces.configure(ON)
    assert not desk.traces.is_on
    desk.traces.configure(Telemetry(enabled=False))


async def test_over_real_http(quick):
    with collector((503, {"retry-after": "0"})) as there:
        log = AccessLog(io.StringIO())
        traces = Traces(Telemetry(otlp_endpoint=there.url), version="1", log=log, environ={})
        async with trio.open_nursery() as nursery:
            await nursery.start(traces.run)
            traces.put(RECORD, traces.begin([]), 2.0)
            while traces.statistics().exported < 1:
                await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
        assert [span.name for span in there.spans()] == ["chat fast"]
    assert json.dumps(there.resource())


@pytest.mark.parametrize(
    ("environ", "settings", "enabled", "sample"),
    [
        ({}, ON, True, 1.0),
        ({"OTEL_SDK_DISABLED": "true"}, ON, False, None),
        ({"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.25"}, ON, True, 0.25),
        ({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "x"}, ON, True, 1.0),
        ({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "7"}, ON, True, 1.0),
        ({"OTEL_TRACES_SAMPLER": "always_off"}, ON, True, 0.0),
        ({"OTEL_TRACES_SAMPLER": "always_off"}, Telemetry(enabled=True, sample=0.5), True, 0.5),
    ],
)
def test_the_environment_says_what_the_settings_leave_open(environ, settings, enabled, sample):
    found = with_environment(settings, environ)
    assert (found.is_on, found.sample) == (enabled, sample)
