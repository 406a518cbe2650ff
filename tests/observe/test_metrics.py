"""Metrics: the names and buckets of the original, bounded labels, readings at the scrape."""

from __future__ import annotations

from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families

from hoosh.observe import Metrics, Readings
from hoosh.observe.metrics import MODELS_MAX
from hoosh.values import Outcome, Record, Usage

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
