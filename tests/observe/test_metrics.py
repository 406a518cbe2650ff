"""Metrics: the names and buckets of the original, bounded labels, readings at the scrape."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import get_args

import pytest
from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families

from hoosh.http.deadlines import Phase
from hoosh.observe import Metrics, Readings
from hoosh.observe.attempts import REASONS
from hoosh.observe.metrics import MODELS_MAX
from hoosh.observe.scrape import TARGETS_MAX
from hoosh.values import AttemptRecord, Outcome, Record, Usage

RECORD = Record(
    request_id="req_1",
    method="POST",
    path="/v1/chat/completions",
    http_version="1.1",
    outcome=Outcome.OK,
    status=200,
    started_at=0.0,
    duration_s=0.2,
    queue_s=0.002,
    kind="chat",
    model="client's name",
    served_model="gpt-4o",
    provider="openai",
    usage=Usage(10, 20),
)


def samples(metrics: Metrics) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """name → sorted labels → value, as a scraper reads them."""
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(metrics.text().decode()):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return found


def value(metrics: Metrics, name: str, **labels: str) -> float:
    return samples(metrics)[name][tuple(sorted(labels.items()))]


def models(metrics: Metrics) -> set[str]:
    return {dict(labels)["model"] for labels in samples(metrics)["hoosh_requests_total"]}


def test_a_request_is_counted_timed_and_its_tokens_added() -> None:
    metrics = Metrics(version="1")
    metrics.record(RECORD)
    metrics.record(RECORD)
    pair = {"provider": "openai", "model": "gpt-4o"}
    assert value(metrics, "hoosh_requests_total", **pair, status="success") == 2
    assert value(metrics, "hoosh_tokens_total", provider="openai", type="prompt") == 20
    assert value(metrics, "hoosh_tokens_total", provider="openai", type="completion") == 40
    assert value(metrics, "hoosh_responses_total", code="200") == 2
    assert value(metrics, "hoosh_request_duration_seconds_count", **pair) == 2
    assert value(metrics, "hoosh_request_duration_seconds_sum", **pair) == 0.4
    assert value(metrics, "hoosh_queue_seconds_count") == 2
    assert "hoosh_time_to_first_token_seconds_count" not in samples(metrics)


def test_duration_buckets_are_the_originals_and_cumulative() -> None:
    metrics = Metrics(version="1")
    for duration_s in (0.01, 0.02, 59.0, 100.0):
        metrics.record(replace(RECORD, duration_s=duration_s))
    buckets = {
        dict(labels)["le"]: count for labels, count in samples(metrics)["hoosh_request_duration_seconds_bucket"].items()
    }
    assert buckets == {
        "0.01": 1,  # a value on the bound belongs below it
        "0.05": 2,
        "0.1": 2,
        "0.25": 2,
        "0.5": 2,
        "1.0": 2,
        "2.5": 2,
        "5.0": 2,
        "10.0": 2,
        "30.0": 2,
        "60.0": 3,
        "+Inf": 4,
    }


def test_each_ending_has_its_status_and_errors_have_real_durations() -> None:
    metrics = Metrics(version="1")
    metrics.record(RECORD)
    for outcome, status in ((Outcome.ERROR, 502), (Outcome.CUT, 200), (Outcome.CLIENT_LEFT, 499)):
        metrics.record(replace(RECORD, outcome=outcome, status=status))
    pair = {"provider": "openai", "model": "gpt-4o"}
    for status_label in ("success", "error", "cut", "client_left"):
        assert value(metrics, "hoosh_requests_total", **pair, status=status_label) == 1
    assert value(metrics, "hoosh_request_duration_seconds_sum", **pair) == 0.8
    assert value(metrics, "hoosh_responses_total", code="499") == 1


def test_a_request_that_was_never_routed_counts_without_the_clients_words() -> None:
    metrics = Metrics(version="1")
    metrics.record(replace(RECORD, outcome=Outcome.ERROR, status=404, provider=None, served_model=None, usage=None))
    assert value(metrics, "hoosh_requests_total", provider="none", model="none", status="error") == 1
    assert b"client's name" not in metrics.text()


def test_requests_that_are_not_inference_count_only_as_responses() -> None:
    metrics = Metrics(version="1")
    metrics.record(replace(RECORD, kind=None))
    assert value(metrics, "hoosh_responses_total", code="200") == 1
    assert "hoosh_requests_total" not in samples(metrics)


def test_only_so_many_models_have_a_series_of_their_own() -> None:
    metrics = Metrics(version="1")
    for number in range(MODELS_MAX + 50):
        metrics.record(replace(RECORD, served_model=f"m{number}"))
    assert len(models(metrics)) == MODELS_MAX + 1
    assert value(metrics, "hoosh_requests_total", provider="openai", model="other", status="success") == 50


def test_names_that_are_only_refused_never_get_one() -> None:
    metrics = Metrics(version="1")
    for number in range(1000):
        metrics.record(replace(RECORD, served_model=f"junk{number}", outcome=Outcome.ERROR, status=404))
    assert models(metrics) == {"other"}
    metrics.record(RECORD)
    assert models(metrics) == {"other", "gpt-4o"}


def test_the_time_to_the_first_token_is_kept_for_streams() -> None:
    metrics = Metrics(version="1")
    metrics.record(replace(RECORD, first_token_s=0.05))
    assert value(metrics, "hoosh_time_to_first_token_seconds_sum", provider="openai", model="gpt-4o") == 0.05


def test_gauges_are_read_at_the_scrape() -> None:
    now = Readings()
    metrics = Metrics(version="1", read=lambda: now)
    assert value(metrics, "hoosh_in_flight_requests") == 0
    now = Readings(
        in_flight=3,
        connections=4,
        providers_configured=2,
        upstream_connections=[("openai", "idle", 5), ("openai", "busy", 1)],
        loop_lag_s=0.5,
        loop_lag_max_s=0.75,
    )
    assert value(metrics, "hoosh_in_flight_requests") == 3
    assert value(metrics, "hoosh_connections") == 4
    assert value(metrics, "hoosh_providers_configured") == 2
    assert value(metrics, "hoosh_upstream_connections", provider="openai", state="idle") == 5
    assert value(metrics, "hoosh_event_loop_lag_seconds") == 0.5
    assert value(metrics, "hoosh_event_loop_lag_max_seconds") == 0.75


def test_two_houses_in_one_process_do_not_mix() -> None:
    one, two = Metrics(version="1"), Metrics(version="2")
    one.record(RECORD)
    assert "hoosh_requests_total" not in samples(two)
    assert any(dict(labels)["version"] == "2" for labels in samples(two)["hoosh_build_info"])
    assert samples(two)["process_resident_memory_bytes"][()] > 0


def test_label_values_are_escaped() -> None:
    metrics = Metrics(version="1")
    metrics.record(replace(RECORD, served_model='a"b\\c\nd'))
    assert models(metrics) == {'a"b\\c\nd'}


# -- attempts --------------------------------------------------------------------------------------------------------

A, B = ("openai", "gpt-4o"), ("azure", "gpt-4o")


def after(*tried: tuple[tuple[str, str], str], attempts: int, **changes: object) -> Record:
    """What openai has answered (unless `changes` say otherwise) after others had not."""
    failed = tuple(AttemptRecord(*target, 0.1, reason) for target, reason in tried)
    return replace(RECORD, attempts=attempts, tried=failed, **changes)


def attempts(metrics: Metrics) -> dict[str, float]:
    """By provider:reason."""
    found = samples(metrics).get("hoosh_attempts_total", {})
    return {":".join(text for _, text in labels): count for labels, count in found.items()}


FAILED = {"outcome": Outcome.ERROR, "status": 502}
LEFT = {"outcome": Outcome.CLIENT_LEFT, "status": 499}


@pytest.mark.parametrize(
    ("record", "ended", "retries", "failovers", "lost"),
    [
        (after(attempts=1), "openai:ok", 0, 0, 0),
        (after(attempts=0, cache="hit"), "", 0, 0, 0),
        (after(attempts=0, **FAILED), "", 0, 0, 0),
        (after(attempts=1, **LEFT), "", 0, 0, 0),
        (after((A, "503"), attempts=2), "openai:503 openai:ok", 1, 0, 0),
        (after((B, "connect"), attempts=2), "azure:connect openai:ok", 0, 1, 0),
        (after((B, "500"), (B, "500"), attempts=3), "azure:500 azure:500 openai:ok", 1, 1, 0),
        (after((A, "503"), (B, "503"), attempts=3), "openai:503 azure:503 openai:ok", 1, 0, 0),
        (after((("openai", "mini"), "404"), attempts=2), "openai:404 openai:ok", 0, 1, 0),
        (after((A, "503"), attempts=1, **FAILED), "openai:503", 0, 0, 0),
        (after((B, "503"), (A, "503"), attempts=2, **FAILED), "azure:503 openai:503", 0, 0, 0),
        (after((A, "503"), attempts=2, **LEFT), "openai:503", 1, 0, 0),
        (after((A, "broke"), attempts=1), "openai:broke", 0, 0, 0),  # all had been said before
        (after((B, "hedged"), attempts=2), "azure:hedged openai:ok", 0, 0, 1),
        (after((A, "503"), (B, "hedged"), attempts=3), "openai:503 azure:hedged openai:ok", 1, 0, 1),
    ],
)
def test_each_attempt_is_counted_by_how_it_ended(
    record: Record, ended: str, retries: int, failovers: int, lost: int
) -> None:
    metrics = Metrics(version="1")
    metrics.record(record)
    assert attempts(metrics) == Counter(ended.split())
    assert value(metrics, "hoosh_retries_total") == retries
    assert value(metrics, "hoosh_failovers_total") == failovers
    assert value(metrics, "hoosh_hedges_total", outcome="lost") == lost


def test_a_stream_is_rescued_when_it_was_answered_in_full() -> None:
    metrics = Metrics(version="1")
    metrics.record(after((B, "broke"), attempts=2, rescued=True))
    metrics.record(after((B, "broke"), (A, "broke"), attempts=2, rescued=True, outcome=Outcome.CUT))
    assert value(metrics, "hoosh_rescued_streams_total") == 1


def test_reasons_are_bounded_and_hold_every_deadline() -> None:
    metrics = Metrics(version="1")
    words = ["a reason", "200", "600", "0503", "٥٠٣", "\ud800", "x" * 10_000]
    metrics.record(after(*((B, word) for word in words), attempts=len(words) + 1))
    assert attempts(metrics) == {"azure:other": len(words), "openai:ok": 1}
    assert {*get_args(Phase), "total", "first_token"} < REASONS
    assert len(REASONS) < 220


# -- readings --------------------------------------------------------------------------------------------------------


def shown(metrics: Metrics, name: str) -> dict[tuple[str, str], float]:
    found = samples(metrics).get(name, {})
    return {(dict(labels)["provider"], dict(labels)["model"]): number for labels, number in found.items()}


def test_the_state_of_routing_and_the_queue_is_read_at_the_scrape() -> None:
    now = Readings(
        breakers=[("a", "*", "open"), ("b", "m", "half_open"), ("c", "m", "closed")],
        queue_waiting={"high": 2, "normal": 0},
        queue_running=64,
        queue_refused=3,
        retry_budget=-1.5,
        loads=[("a", "m", 2, 0.25), ("b", "m", 0, None)],
    )
    metrics = Metrics(version="1", read=lambda: now)
    assert shown(metrics, "hoosh_breaker_state") == {("a", "*"): 1, ("b", "m"): 0.5}
    assert value(metrics, "hoosh_queue_waiting", priority="high") == 2
    assert value(metrics, "hoosh_queue_waiting", priority="normal") == 0
    assert value(metrics, "hoosh_queue_running") == 64
    assert value(metrics, "hoosh_queue_refused_total") == 3
    assert value(metrics, "hoosh_retry_budget") == -1.5
    assert shown(metrics, "hoosh_upstream_in_flight") == {("a", "m"): 2, ("b", "m"): 0}
    assert shown(metrics, "hoosh_upstream_first_content_seconds") == {("a", "m"): 0.25}


def test_of_many_targets_the_busiest_and_the_worst_are_shown() -> None:
    names = [f"m{number}" for number in range(1000)]
    now = Readings(
        loads=[("a", name, number, 0.1) for number, name in enumerate(names)],
        breakers=[*(("a", name, "half_open") for name in names), ("a", "x", "open"), ("b", "*", "half_open")],
    )
    metrics = Metrics(version="1", read=lambda: now)
    assert set(shown(metrics, "hoosh_upstream_in_flight")) == {("a", name) for name in names[-TARGETS_MAX:]}
    breakers = shown(metrics, "hoosh_breaker_state")
    assert len(breakers) == TARGETS_MAX
    assert breakers[("a", "x")] == 1
    assert breakers[("b", "*")] == 0.5


def test_every_metric_is_documented_and_no_other() -> None:
    page = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
    told = {name.removesuffix("_total") for name in re.findall(r"`(hoosh_\w+)(?:\{[\w,]+\})?`", page)}
    text = Metrics(version="1").text().decode()
    names = {name.removesuffix("_total") for name in re.findall(r"^# TYPE (hoosh_\w+)", text, re.MULTILINE)}
    assert told == {name for name in names if not name.endswith("_created")}
