"""What `top` makes of readings: samples, percentiles, rates, errors."""

from __future__ import annotations

import math

import pytest
from msgspec.structs import astuple

from hoosh.cli.top.answers import Health, Reading, Running, RunningPage, understand
from hoosh.cli.top.figures import History, Trouble
from hoosh.cli.top.samples import buckets_of, parse, quantile, total
from hoosh.observe import Metrics
from hoosh.values import Outcome, Record, Usage


def record(*, outcome: Outcome = Outcome.OK, status: int = 200, duration_s: float = 0.2) -> Record:
    return Record(
        request_id="req_1",
        method="POST",
        path="/v1/chat/completions",
        http_version="1.1",
        started_at=0.0,
        duration_s=duration_s,
        queue_s=0.0,
        status=status,
        outcome=outcome,
        kind="chat",
        provider='we"ird\\name',
        served_model="m",
        attempts=1,
        first_token_s=0.02,
        usage=Usage(10, 5),
    )


def reading(at_s: float, metrics: bytes | str, *requests: Running) -> Reading:
    text = metrics.decode() if isinstance(metrics, bytes) else metrics
    page = RunningPage(list(requests), len(requests))
    return Reading(at_s, f"12:00:{at_s:02.0f}", Health("ok", "9"), requests=page, metrics=parse(text))


# -- samples -----------------------------------------------------------------------------------------


def test_what_our_own_metrics_write_is_read():
    metrics = Metrics(version="1")
    for _ in range(3):
        metrics.record(record())
    samples = parse(metrics.text().decode())
    assert total(samples, "hoosh_requests_total", provider='we"ird\\name', status="success") == 3
    assert total(samples, "hoosh_tokens_total", type="prompt") == 30
    assert buckets_of(samples, "hoosh_request_duration_seconds")[math.inf] == 3
    assert "process_open_fds" not in samples


@pytest.mark.parametrize(
    "line",
    ["", "# HELP hoosh_x y", "hoosh_x", "hoosh_x{a=} nonsense", "hoosh_x 1 2 3", "other 1", 'hoosh_x{a="b"} one', "\0"],
)
def test_lines_that_are_none_are_passed_over(line):
    assert parse(f"{line}\nhoosh_y 2\n") == {"hoosh_y": [({}, 2.0)]}


@pytest.mark.parametrize(
    ("wire", "value"), [(r"a\\b", "a\\b"), (r"a\"b", 'a"b'), (r"a\nb", "a\nb"), ("a,b}c", "a,b}c"), ("", "")]
)
def test_labels_are_unescaped(wire, value):
    assert parse(f'hoosh_x{{l="{wire}",m="2"}} 1') == {"hoosh_x": [({"l": value, "m": "2"}, 1.0)]}


def test_a_quantile_lies_in_the_bucket_of_its_rank():
    buckets = {0.1: 1.0, 0.5: 4.0, 1.0: 9.0, math.inf: 10.0}
    assert quantile(buckets, 0.1) == pytest.approx(0.1)
    assert quantile(buckets, 0.25) == pytest.approx(0.3)
    assert quantile(buckets, 0.9) == pytest.approx(1.0)
    assert quantile(buckets, 0.95) == math.inf
    assert quantile({}, 0.5) is None
    assert quantile({0.1: 0.0, math.inf: 0.0}, 0.5) is None


# -- figures -----------------------------------------------------------------------------------------


def test_rates_are_those_of_the_window_and_percentiles_too():
    metrics, history = Metrics(version="1"), History(window_s=10.0)
    metrics.record(record(duration_s=50.0))
    first = history.add(reading(0.0, metrics.text()))
    assert (first.requests_per_s, first.latency_window_s) == (None, 0.0)
    assert first.latency is not None
    assert 30 < first.latency.p50 <= 60
    for _ in range(8):
        metrics.record(record(duration_s=0.2))
    second = history.add(reading(4.0, metrics.text()))
    assert (second.requests_per_s, second.completion_tokens_per_s, second.prompt_tokens_per_s) == (2.0, 10.0, 20.0)
    assert second.latency_window_s == second.window_s == 4.0
    assert second.latency is not None
    assert astuple(second.latency) == pytest.approx((0.175, 0.235, 0.2485, 60.0))


def test_where_nothing_has_ended_of_late_percentiles_are_those_since_the_start():
    metrics, history = Metrics(version="1"), History(window_s=10.0)
    metrics.record(record())
    for at_s in (0.0, 5.0, 20.0):
        figures = history.add(reading(at_s, metrics.text()))
    assert (figures.requests_per_s, figures.latency_window_s) == (0.0, 0.0)
    assert figures.latency is not None


def test_what_goes_wrong_is_noted_when_it_is_new():
    metrics, history = Metrics(version="1"), History()
    metrics.record(record(outcome=Outcome.ERROR, status=502))
    assert history.add(reading(0.0, metrics.text())).troubles == ()
    metrics.record(record(outcome=Outcome.CUT))
    metrics.record(record(outcome=Outcome.CUT))
    metrics.record(record(outcome=Outcome.CLIENT_LEFT, status=499))
    figures = history.add(reading(1.0, metrics.text()))
    assert figures.troubles == (Trouble("12:00:01", 'request cut at we"ird\\name m', 2),)
    assert history.add(reading(2.0, metrics.text())).troubles == figures.troubles


def test_a_gateway_that_was_started_anew_gives_no_negative_rates():
    old, new, history = Metrics(version="1"), Metrics(version="1"), History()
    for _ in range(5):
        old.record(record())
    history.add(reading(0.0, old.text()))
    history.add(reading(1.0, old.text()))
    new.record(record())
    assert history.add(reading(2.0, new.text())).requests_per_s is None
    new.record(record())
    assert history.add(reading(3.0, new.text())).requests_per_s == 1.0


def test_without_metrics_the_rest_is_shown():
    history = History()
    figures = history.add(Reading(0.0, "12:00:00", Health("ok", "9"), missing={"metrics": "no scope"}))
    assert (figures.requests_per_s, figures.latency, figures.requests) == (None, None, None)
    assert figures.missing == {"metrics": "no scope"}


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"status":5,"version":[]}', b"\xff"])
def test_an_answer_of_another_form_is_not_understood(body):
    with pytest.raises(ValueError, match=r".*"):
        understand("health", body)
