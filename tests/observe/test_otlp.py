"""Spans as a collector gets them, over real HTTP, decoded from protobuf."""

from __future__ import annotations

import socket
from random import Random

import pytest
from msgspec.structs import replace

from hoosh.observe import Telemetry
from hoosh.observe.otlp import Otlp, traces_url
from hoosh.observe.traces import Trace, Tracer
from hoosh.testing.collector import attributes, collector
from hoosh.values import AttemptRecord, Outcome, Record, Secret, Usage

PARENT = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
RECORD = Record(
    request_id="req_1",
    method="POST",
    path="/v1/chat/completions",
    http_version="1.1",
    outcome=Outcome.OK,
    status=200,
    started_at=1_700_000_000.0,
    duration_s=2.0,
    queue_s=0.25,
    first_token_s=1.5,
    kind="chat",
    caller="ada",
    model="fast",
    served_model="gpt-4o",
    provider="azure",
    stream=True,
    attempts=2,
    tried=(AttemptRecord("openai", "gpt-4o", 0.5, "503"),),
    usage=Usage(10, 20),
    pool="default",
    cost_micro_usd=7,
)
TYPES = {"openai": "openai", "azure": "google"}


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch):
    for name in (
        "ENDPOINT",
        "TRACES_ENDPOINT",
        "HEADERS",
        "TRACES_HEADERS",
        "TIMEOUT",
        "TRACES_TIMEOUT",
        "COMPRESSION",
    ):
        monkeypatch.delenv(f"OTEL_EXPORTER_OTLP_{name}", raising=False)
    for name in ("OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"):
        monkeypatch.delenv(name, raising=False)


def begun(*headers: tuple[bytes, bytes]) -> Trace:
    return Tracer(Telemetry(), Random(7)).begin(headers)


def failover() -> Trace:
    """The request came at 100.0 of Trio's clock and ended at 102.0."""
    trace = begun((b"traceparent", PARENT), (b"tracestate", b"a=1"))
    first = trace.begin("openai", "gpt-4o", 100.25)
    first.status = 503
    first.over("503", 100.75)
    second = trace.begin("azure", "gpt-4o", 100.75)
    second.status = 200
    second.over("", 101.75)
    return trace


def otlp(url: str | None, **settings: object) -> Otlp:
    return Otlp(Telemetry(otlp_endpoint=url, **{"timeout_s": 5.0, **settings}), "1.2", TYPES.__getitem__)


def test_a_request_and_its_attempts_are_spans_of_one_trace():
    with collector() as there:
        assert otlp(there.url).send([(RECORD, failover(), 102.0)]).is_there
    request, first, second = there.spans()
    assert there.paths == ["/v1/traces"]
    assert {span.trace_id.hex() for span in there.spans()} == {"4bf92f3577b34da6a3ce929d0e0e4736"}
    assert request.parent_span_id.hex() == "00f067aa0ba902b7"
    assert first.parent_span_id == second.parent_span_id == request.span_id
    assert len({request.span_id, first.span_id, second.span_id}) == 3
    assert (request.name, first.name) == ("chat fast", "chat gpt-4o")
    assert (request.kind, first.kind) == (request.SPAN_KIND_SERVER, request.SPAN_KIND_CLIENT)
    assert request.trace_state == "a=1"
    begins = 1_700_000_000_000_000_000
    assert (request.start_time_unix_nano, request.end_time_unix_nano) == (begins, begins + 2_000_000_000)
    ms = [
        [round((at - begins) / 1e6) for at in (s.start_time_unix_nano, s.end_time_unix_nano)] for s in (first, second)
    ]
    assert ms == [[250, 750], [750, 1750]]


def test_they_say_what_the_conventions_want_and_what_became_of_each():
    with collector() as there:
        otlp(there.url).send([(RECORD, failover(), 102.0)])
    request, first, second = there.spans()
    said = attributes(request.attributes)
    assert said["gen_ai.operation.name"] == "chat"
    assert (said["gen_ai.request.model"], said["gen_ai.response.model"]) == ("fast", "gpt-4o")
    assert (said["gen_ai.provider.name"], said["hoosh.provider"]) == ("gcp.gemini", "azure")
    assert (said["gen_ai.usage.input_tokens"], said["gen_ai.usage.output_tokens"]) == (10, 20)
    assert (said["http.response.status_code"], said["hoosh.attempts"], said["hoosh.cost_micro_usd"]) == (200, 2, 7)
    assert said["gen_ai.response.time_to_first_chunk"] == 1.5
    assert "error.type" not in said
    failed, answered = attributes(first.attributes), attributes(second.attributes)
    assert (failed["error.type"], failed["http.response.status_code"]) == ("503", 503)
    assert (first.status.code, first.status.message) == (first.status.STATUS_CODE_ERROR, "503")
    assert "gen_ai.usage.input_tokens" not in failed
    assert (answered["http.response.status_code"], answered["gen_ai.usage.output_tokens"]) == (200, 20)
    assert second.status.code == second.status.STATUS_CODE_UNSET
    (event,) = request.events
    assert event.name == "hoosh.failover"
    assert attributes(event.attributes) == {"hoosh.from": "openai", "hoosh.to": "azure", "error.type": "503"}


def test_an_attempt_beside_another_and_one_that_goes_on_say_so():
    trace = begun()
    slow, quick = trace.begin("openai", "gpt-4o", 100.0), trace.begin("azure", "gpt-4o", 100.5)
    quick.is_hedge = True
    slow.over("hedged", 100.75)
    quick.over("broke", 101.0)
    last = trace.begin("openai", "gpt-4o", 101.0)
    last.is_rescue = True
    record = replace(RECORD, rescued=True, outcome=Outcome.CUT)
    with collector() as there:
        otlp(there.url).send([(record, trace, 102.0)])
    request, slow_span, quick_span, last_span = there.spans()
    assert request.parent_span_id == b""
    assert attributes(request.attributes)["hoosh.rescued"] is True
    assert request.status.code == request.status.STATUS_CODE_ERROR
    assert attributes(request.attributes)["error.type"] == "cut"
    assert slow_span.status.code == slow_span.status.STATUS_CODE_UNSET, "being slower is no error"
    assert attributes(quick_span.attributes)["hoosh.hedge"] is True
    assert attributes(last_span.attributes)["hoosh.rescue"] is True
    assert last_span.end_time_unix_nano == request.end_time_unix_nano, "nobody has said that it is over"
    assert [event.name for event in request.events] == ["hoosh.hedge", "hoosh.rescue"]


@pytest.mark.parametrize(
    ("status", "outcome", "error", "is_ours"),
    [
        (404, Outcome.ERROR, "404", False),
        (429, Outcome.ERROR, "429", False),
        (502, Outcome.ERROR, "502", True),
        (499, Outcome.CLIENT_LEFT, "client_left", False),
    ],
)
def test_a_servers_span_is_an_error_where_the_house_was_at_fault(status, outcome, error, is_ours):
    record = replace(RECORD, status=status, outcome=outcome, provider=None, served_model=None, model=None, usage=None)
    with collector() as there:
        otlp(there.url).send([(record, begun(), 102.0)])
    (request,) = there.spans()
    assert attributes(request.attributes)["error.type"] == error
    assert (request.status.code == request.status.STATUS_CODE_ERROR) == is_ours
    assert request.name == "chat"


def test_no_word_of_a_client_breaks_the_export_or_is_longer_than_it_may_be():
    record = replace(RECORD, model="\udcff\x00" + "m" * 10_000, error_code="\udc80" * 1000, error_message="a prompt")
    trace = begun()
    trace.begin("openai", "\ud800" * 10_000, 100.0)
    with collector() as there:
        assert otlp(there.url).send([(record, trace, 102.0)]).is_there
    for span in there.spans():
        texts = [value for value in attributes(span.attributes).values() if isinstance(value, str)]
        assert max(map(len, [span.name, *texts])) < 300
        assert "a prompt" not in texts


def test_settings_say_where_to_and_who_sends():
    with collector() as there:
        otlp(
            f"{there.url}/custom/path",
            headers={"authorization": Secret("Bearer sk-collector")},
            service_name="edge",
            resource={"deployment.environment.name": "prod"},
        ).send([(RECORD, failover(), 102.0)])
    assert there.paths == ["/custom/path"]
    assert there.headers[0]["authorization"] == "Bearer sk-collector"
    assert there.headers[0]["content-type"] == "application/x-protobuf"
    resource = there.resource()
    assert (resource["service.name"], resource["deployment.environment.name"]) == ("edge", "prod")
    assert resource["service.version"] == "1.2"
    assert "sk-collector" not in str(there.requests)


def test_the_environment_says_what_the_settings_do_not(monkeypatch):
    with collector() as there:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", there.url)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-team=a%20b")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
        monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "team=blue")
        otlp(None).send([(RECORD, failover(), 102.0)])
        assert (there.resource()["service.name"], there.resource()["team"]) == ("hoosh", "blue")
        monkeypatch.setenv("OTEL_SERVICE_NAME", "named")
        otlp(None).send([(RECORD, failover(), 102.0)])
        assert there.resource()["service.name"] == "named"
    assert there.paths == ["/v1/traces"] * 2
    assert there.headers[0]["x-team"] == "a b"


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        (None, None),
        ("http://c:4318", "http://c:4318/v1/traces"),
        ("http://c:4318/", "http://c:4318/v1/traces"),
        ("http://c/api/otel", "http://c/api/otel"),
    ],
)
def test_the_path_is_added_where_there_is_none(endpoint, url):
    assert traces_url(endpoint) == url


def test_a_collector_that_asks_for_a_moment_gets_the_batch_again_within_its_time(caplog):
    with collector((503, {"retry-after": "0"}), (429, {"retry-after": "0"})) as there:
        assert otlp(there.url).send([(RECORD, failover(), 102.0)]).is_there
    assert len(there.paths) == 3
    assert len(there.requests) == 1
    assert not caplog.records, "what the library says of it is not for our log"


def test_one_that_asks_for_longer_is_heard():
    with collector((503, {"retry-after": "100"})) as there:
        answer = otlp(there.url).send([(RECORD, failover(), 102.0)])
    assert (answer.is_there, answer.is_final, answer.retry_after_s) == (False, False, 100.0)
    with collector((503, {"retry-after": "99999"})) as there:
        assert otlp(there.url).send([(RECORD, failover(), 102.0)]).retry_after_s == 600.0


def test_one_that_refuses_gets_it_never_again():
    with collector((400, {})) as there:
        answer = otlp(there.url).send([(RECORD, failover(), 102.0)])
    assert (answer.is_there, answer.is_final, answer.why) == (False, True, "the collector answered 400")


def test_one_that_is_away_may_come_back():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        answer = otlp(f"http://127.0.0.1:{taken.getsockname()[1]}", timeout_s=0.2).send([(RECORD, failover(), 102.0)])
    assert (answer.is_there, answer.is_final, answer.why) == (False, False, "the collector cannot be reached")


def test_one_that_is_slow_is_left_after_the_timeout():
    with collector() as there:
        there.go_on.clear()
        answer = otlp(there.url, timeout_s=0.2).send([(RECORD, failover(), 102.0)])
        assert (answer.is_there, answer.is_final) == (False, False)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_collector_that_sends_us_elsewhere_has_taken_nothing(status):
    with collector((status, {"location": "http://127.0.0.1:9/login"})) as there:
        answer = Otlp(Telemetry(otlp_endpoint=there.url), "1", TYPES.get).send([(RECORD, begun(), 102.0)])
    assert (answer.is_there, answer.is_final) == (False, True)
    assert str(status) in answer.why


def test_what_a_client_says_in_its_tracestate_is_in_no_log_but_ours(caplog):
    trace = begun((b"traceparent", PARENT), (b"tracestate", b"0x=secret-of-the-client"))
    with collector() as there:
        assert Otlp(Telemetry(otlp_endpoint=there.url), "1", TYPES.get).send([(RECORD, trace, 102.0)]).is_there
    assert "secret-of-the-client" not in caplog.text
