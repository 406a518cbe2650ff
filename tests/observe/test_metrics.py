"""Metrics: the names and buckets of the original, bounded labels, readings at the scrape."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path
from typing import get_args

import pytest
import yaml
from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families

from hoosh.http.deadlines import Phase
from hoosh.observe import Metrics, Readings, genai
from hoosh.observe.attempts import REASONS
from hoosh.observe.metrics import MODELS_MAX, PROVIDERS_MAX
from hoosh.observe.scrape import DEVICES_MAX, TARGETS_MAX
from hoosh.testing.machines import gpu
from hoosh.values import PHASES, AttemptRecord, Outcome, Record, Usage

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


def test_of_limits_those_that_are_nearest_to_it_are_shown() -> None:
    limits = [("key", f"k{number}", "requests", number, 1000) for number in range(1000)]
    now = Readings(limits=limits, limit_refusals=[("key", f"k{number}", number) for number in range(1000)])
    metrics = Metrics(version="1", read=lambda: now)
    names = {f"k{number}" for number in range(1000 - TARGETS_MAX, 1000)}
    for name in ("hoosh_limit", "hoosh_limit_used", "hoosh_limit_refusals_total"):
        assert {dict(labels)["name"] for labels in samples(metrics)[name]} == names
    nearest = (("kind", "key"), ("name", "k999"), ("what", "requests"))
    assert samples(metrics)["hoosh_limit_used"][nearest] == 999


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


# -- phases and OpenTelemetry's names --------------------------------------------------------------------------------

PHASED = replace(
    RECORD,
    attempts=1,
    duration_s=2.0,
    stream=True,
    first_token_s=0.8,
    phases=(0.1, 0.0, 0.05, 0.65, 1.1, 0.1),
    usage=Usage(10, 12),
)
GEN_AI = {
    "gen_ai_operation_name": "chat",
    "gen_ai_provider_name": "openai",
    "gen_ai_request_model": "gpt-4o",
}


def test_the_phases_of_a_request_are_where_its_time_went():
    metrics = Metrics(version="1")
    metrics.record(PHASED)
    metrics.record(RECORD)  # has asked nobody
    sums = {phase: value(metrics, "hoosh_phase_seconds_sum", phase=phase) for phase in ("queue", *PHASES)}
    assert sums == {
        "queue": 0.004,
        "route": 0.1,
        "retry": 0.0,
        "connect": 0.05,
        "ttft": 0.65,
        "relay": 1.1,
        "settle": 0.1,
    }
    assert value(metrics, "hoosh_phase_seconds_count", phase="relay") == 1
    assert sum(PHASED.phases) == pytest.approx(PHASED.duration_s)


def test_a_request_counts_under_the_names_of_the_conventions():
    metrics = Metrics(version="1")
    metrics.record(PHASED)
    assert value(metrics, "gen_ai_client_operation_duration_seconds_sum", **GEN_AI, error_type="") == pytest.approx(1.8)
    assert value(metrics, "gen_ai_client_operation_time_to_first_chunk_seconds_sum", **GEN_AI) == pytest.approx(0.7)
    assert value(metrics, "gen_ai_server_time_to_first_token_seconds_sum", **GEN_AI) == 0.8
    assert value(metrics, "gen_ai_server_time_per_output_token_seconds_sum", **GEN_AI) == pytest.approx(0.1)
    assert value(metrics, "gen_ai_client_token_usage_sum", **GEN_AI, gen_ai_token_type="input") == 10
    assert value(metrics, "gen_ai_client_token_usage_sum", **GEN_AI, gen_ai_token_type="output") == 12


def test_what_failed_has_a_type_of_error_and_no_speed():
    metrics = Metrics(version="1")
    for status, outcome in (
        (502, Outcome.ERROR),
        (200, Outcome.CUT),
        (499, Outcome.CLIENT_LEFT),
        (9999, Outcome.ERROR),
    ):
        metrics.record(replace(PHASED, status=status, outcome=outcome))
    counts = samples(metrics)["gen_ai_client_operation_duration_seconds_count"]
    assert {dict(labels)["error_type"]: count for labels, count in counts.items()} == {
        "502": 1,
        "cut": 1,
        "client_left": 1,
        "_OTHER": 1,
    }
    assert "gen_ai_server_time_per_output_token_seconds_count" not in samples(metrics)


def test_a_whole_answer_has_no_first_chunk_and_one_token_no_distance():
    metrics = Metrics(version="1")
    metrics.record(replace(PHASED, stream=False))
    metrics.record(replace(PHASED, usage=Usage(10, 1)))
    found = samples(metrics)
    assert found["gen_ai_client_operation_time_to_first_chunk_seconds_count"] == {tuple(sorted(GEN_AI.items())): 1}
    assert "gen_ai_server_time_per_output_token_seconds_count" not in found


@pytest.mark.parametrize(
    ("kind", "type_name", "operation", "provider"),
    [
        ("completion", "google", "text_completion", "gcp.gemini"),
        ("embedding", "mistral", "embeddings", "mistral_ai"),
        ("speech", "vllm", "speech", "vllm"),
        ("chat", "", "chat", "mine"),
    ],
)
def test_operations_and_providers_have_the_conventions_words(kind, type_name, operation, provider):
    metrics = Metrics(version="1", type_of=lambda name: type_name)
    metrics.record(replace(PHASED, kind=kind, provider="mine"))
    ((labels, _),) = samples(metrics)["gen_ai_server_time_to_first_token_seconds_count"].items()
    assert dict(labels)["gen_ai_operation_name"] == operation
    assert dict(labels)["gen_ai_provider_name"] == provider


def test_accounts_of_one_type_share_a_series():
    metrics = Metrics(version="1", type_of=lambda name: "openai")
    for provider in ("openai", "openai#2", "openai#3"):
        metrics.record(replace(PHASED, provider=provider))
    assert value(metrics, "gen_ai_client_operation_duration_seconds_count", **GEN_AI, error_type="") == 3


def test_buckets_are_those_of_the_conventions():
    assert tuple(round(0.01 * 2**power, 2) for power in range(14)) == genai.DURATION_S
    assert tuple(4**power for power in range(14)) == genai.TOKENS
    metrics = Metrics(version="1")
    metrics.record(PHASED)
    bounds = [dict(labels)["le"] for labels in samples(metrics)["gen_ai_client_token_usage_bucket"]]
    assert bounds[:3] == ["1.0", "4.0", "16.0"]
    assert bounds.index("+Inf") == 14
    bounds = [dict(labels)["le"] for labels in samples(metrics)["gen_ai_server_time_to_first_token_seconds_bucket"]]
    assert [float(bound) for bound in bounds[:-1]] == [
        *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
    ]


def test_no_names_of_clients_make_series_without_end():
    metrics = Metrics(version="1")
    rounds = 3 * max(MODELS_MAX, PROVIDERS_MAX)
    for number in range(rounds):
        tried = (AttemptRecord(f"t{number}", "m", 0.1, f"why{number}"),)
        name = f"{number}"
        metrics.record(
            replace(PHASED, provider=f"p{name}", served_model=f"m{name}", model=name, attempts=2, tried=tried)
        )
        metrics.record(replace(PHASED, provider="p0", served_model=f"x{name}", status=404, outcome=Outcome.ERROR))
    found = samples(metrics)
    for name, series in found.items():
        for label in ("provider", "model", "gen_ai_provider_name", "gen_ai_request_model"):
            kinds = {dict(labels)[label] for labels in series if label in dict(labels)}
            most = PROVIDERS_MAX if "provider" in label else MODELS_MAX
            assert len(kinds) <= most + 2, f"{name} has {len(kinds)} values of {label}"
    assert sum(found["hoosh_requests_total"].values()) == 2 * rounds, "and none is lost"


def test_nothing_is_loaded_for_whoever_does_not_ask():
    program = (
        "import sys, hoosh\n"
        "from hoosh.config import Config\n"
        "from hoosh.gateway.assembly import build_gateway\n"
        "from hoosh.http.dial import SocketDialer\n"
        "build_gateway(Config(), environ={}, dialer=SocketDialer())\n"
        "print([name for name in ('prometheus_client', 'opentelemetry.sdk', 'requests', 'google.protobuf')"
        " if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# -- what is told about them -----------------------------------------------------------------------------------------

DOCS = Path(__file__).parents[2] / "docs"
SUFFIXES = re.compile(r"_(total|bucket|sum|count)$")


def test_accelerators_say_what_they_can_and_are_not_endless():
    silent = replace(gpu(1), parent=0, used_bytes=None, utilization_pct=None, temperature_c=None, power_w=None)
    found = samples(Metrics(version="1", read=lambda: Readings(accelerators=[gpu(), silent])))
    first = (("device", "0"), ("name", "Fake GPU"), ("type", "cuda"))
    assert found["hoosh_accelerator_utilization_ratio"] == {first: 0.12}
    assert found["hoosh_accelerator_temperature_celsius"] == {first: 45.0}
    assert found["hoosh_accelerator_power_watts"] == {first: 120.0}
    memory = {dict(labels)["device"] + dict(labels)["state"] for labels in found["hoosh_accelerator_memory_bytes"]}
    assert memory == {"0total", "0used", "0.1total"}
    many = samples(Metrics(version="1", read=lambda: Readings(accelerators=[gpu(at) for at in range(1000)])))
    assert len(many["hoosh_accelerator_power_watts"]) == DEVICES_MAX


@cache
def exposed() -> dict[str, set[str]]:
    """Every metric by its name as it is written, with its labels, of a house where everything has happened."""
    now = Readings(
        upstream_connections=[("a", "idle", 1)],
        pools=[("default", "tokens", "used", 1)],
        breakers=[("a", "*", "open")],
        queue_waiting={"high": 1},
        loads=[("a", "m", 1, 0.1)],
        limits=[("key", "ada", "requests", 1, 2)],
        limit_refusals=[("key", "ada", 1)],
        log_lines={"written": 1},
        events_published={"requests/finished": 1},
        webhook_deliveries=[("hook", "delivered", 1)],
        traces={"exported": 1},
        accelerators=[gpu()],
    )
    metrics = Metrics(version="1", read=lambda: now)
    for outcome in Outcome:
        metrics.record(replace(PHASED, outcome=outcome, tried=TRIED, cost_micro_usd=1))
    found = samples(metrics)
    return {name: {label for labels in series for label, _ in labels} for name, series in found.items()}


TRIED = (AttemptRecord("azure", "gpt-4o", 0.1, "503"),)


def test_every_metric_is_documented_and_no_other():
    page = (DOCS / "metrics.md").read_text()
    told = dict(re.findall(r"`((?:hoosh|gen_ai_client|gen_ai_server)_\w+)(?:\{([^}]*)\})?`", page))
    by_base: dict[str, set[str]] = {}
    for name, labels in exposed().items():
        if name.startswith(("hoosh_", "gen_ai_")):
            base = name if name in told else SUFFIXES.sub("", name)
            by_base.setdefault(base, set()).update(labels - {"le"})
    assert set(told) == set(by_base)
    common = {"gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model"}
    for name, labels in told.items():
        said = {label for label in labels.split(",") if label}
        assert said - {"…"} | (common if "…" in said else set()) == by_base[name], name


@cache
def queries() -> dict[str, str]:
    """Where it stands, and the expression."""
    dashboard = json.loads((DOCS / "grafana.json").read_text())
    rules = yaml.safe_load((DOCS / "alerts.yml").read_text())
    found = {f"alert {rule['alert']}": rule["expr"] for group in rules["groups"] for rule in group["rules"]}
    for panel in dashboard["panels"]:
        for number, target in enumerate(panel.get("targets", ())):
            found[f"panel {panel['title']} {number}"] = target["expr"]
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            found[f"variable {variable['name']}"] = variable["query"]["query"]
    return found


@pytest.mark.parametrize("where", queries())
def test_dashboard_and_alerts_ask_for_what_is_there(where):
    query, there = queries()[where], exposed()
    names = re.findall(
        r"\b((?:hoosh|gen_ai|process)_\w+?)(?=[\s{\[),]|$)", re.sub(r"\{[^}]*\}|\bby\s*\([^)]*\)", "", query)
    )
    assert names, query
    for name in names:
        assert name in there, f"{where}: there is no {name}"
    known = set.union(*(there[name] for name in names)) | {"job", "instance"}
    asked = {label for labels in re.findall(r"\{([^}]*)\}", query) for label in re.findall(r"(\w+)\s*[=!]", labels)}
    asked |= {label.strip() for labels in re.findall(r"\bby\s*\(([^)]*)\)", query) for label in labels.split(",")}
    assert asked <= known, f"{where}: no label {asked - known}"


def test_alerts_say_how_bad_it_is_and_what_to_do():
    rules = yaml.safe_load((DOCS / "alerts.yml").read_text())
    named = [rule for group in rules["groups"] for rule in group["rules"]]
    assert len({rule["alert"] for rule in named}) == len(named) >= 10
    for rule in named:
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["description"]


def test_panels_do_not_lie_upon_each_other():
    panels = json.loads((DOCS / "grafana.json").read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not here")
def test_promtool_takes_the_rules():
    subprocess.run(["promtool", "check", "rules", str(DOCS / "alerts.yml")], check=True, capture_output=True)
