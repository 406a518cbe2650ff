"""What a client is told when something fails."""

from __future__ import annotations

import json

import pytest

from hoosh.api.errors import (
    error_body,
    error_event,
    error_headers,
    error_page,
    error_response,
    log_words,
    plain_error,
    status_of,
    unwrap,
)
from hoosh.errors import (
    BodyTooLarge,
    ConfigError,
    ConnectFailed,
    Forbidden,
    HooshError,
    InvalidRequest,
    MethodNotAllowed,
    NoRoute,
    NoSuchPath,
    NotCached,
    RateLimited,
    Refused,
    RequestTimeout,
    TransportTimeout,
    Unauthenticated,
    Unavailable,
    UnsupportedMedia,
    UpstreamBroke,
    UpstreamError,
    UpstreamTimeout,
    Withdrawn,
)


def said(error: BaseException) -> dict[str, object]:
    body = json.loads(error_body(error))
    assert list(body) == ["error"]
    assert set(body["error"]) == {"message", "type", "param", "code"}
    return dict(body["error"])


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InvalidRequest("no"), 400),
        (Unauthenticated("no"), 401),
        (Forbidden("no"), 403),
        (NoRoute("m"), 404),
        (NoSuchPath("GET", "/x"), 404),
        (MethodNotAllowed("GET", ["POST"]), 405),
        (RequestTimeout("slow"), 408),
        (BodyTooLarge(10), 413),
        (UnsupportedMedia("no"), 415),
        (Refused("later"), 429),
        (Unavailable("closing"), 503),
        (NotCached(), 504),
        (UpstreamError("no", provider="p"), 502),
        (UpstreamBroke("cut", provider="p"), 502),
        (UpstreamTimeout("slow", provider="p", phase="idle"), 504),
        (ConnectFailed("no"), 502),
        (TransportTimeout("idle", 1.0), 504),
        (ConfigError(["a.toml:1: no"]), 400),
        (HooshError("?"), 500),
        (ZeroDivisionError("secret"), 500),
    ],
)
def test_each_fact_has_its_status(error: BaseException, status: int) -> None:
    assert status_of(error) == status
    said(error)


@pytest.mark.parametrize("status", [400, 404, 409, 413, 422, 429, 451])
def test_an_upstream_keeps_its_verdict_on_the_request(status: int) -> None:
    assert status_of(UpstreamError("x", provider="p", status=status)) == status


@pytest.mark.parametrize(
    ("upstream", "ours"),
    {
        401: 502,
        402: 502,
        403: 502,
        405: 502,
        408: 504,
        500: 502,
        503: 503,
        504: 504,
        529: 503,
        599: 502,
        200: 502,
    }.items(),
)
def test_an_upstreams_troubles_become_ours(upstream: int, ours: int) -> None:
    assert status_of(UpstreamError("x", provider="p", status=upstream)) == ours


def test_an_upstreams_verdict_keeps_message_type_param_and_code() -> None:
    error = UpstreamError(
        "too long", provider="p", status=400, code="context_length_exceeded", kind="their_type", param="messages"
    )
    assert said(error) == {
        "message": "too long",
        "type": "their_type",
        "param": "messages",
        "code": "context_length_exceeded",
    }


def test_what_an_upstream_says_of_our_key_is_not_repeated() -> None:
    error = UpstreamError("Incorrect API key provided: sk-abc", provider="p", status=401, kind="auth", code="bad_key")
    assert b"sk-abc" not in error_body(error)
    assert said(error)["type"] == "server_error"


@pytest.mark.parametrize("status", [400, 422, 500, None])
@pytest.mark.parametrize("words", ["Incorrect API key provided: sk-***bc.", "The api_key is not valid (sk-***bc)."])
def test_nor_is_it_where_the_status_does_not_say_so(words: str, status: int | None) -> None:
    error = UpstreamError(words, provider="p", status=status, code="invalid-argument", kind="bad")
    assert (status_of(error), said(error)["code"], said(error)["type"]) == (502, "upstream_refused", "server_error")
    assert b"sk-" not in error_body(error)
    assert "sk-" not in log_words(error)[1]


def test_a_clients_own_words_of_keys_are_no_word_of_ours() -> None:
    assert status_of(UpstreamError("Unknown parameter: 'api_key'.", provider="p", status=400)) == 400


def test_a_policy_verdict_is_relayed_even_when_it_comes_as_403() -> None:
    error = UpstreamError("flagged", provider="p", status=403, code="content_policy_violation")
    assert status_of(error) == 403
    assert said(error)["message"] == "flagged"


def test_a_bug_says_nothing_of_itself() -> None:
    assert said(KeyError("password=1")) == {
        "message": "internal error",
        "type": "server_error",
        "param": None,
        "code": "internal_error",
    }


def test_a_transport_error_names_no_address() -> None:
    assert b"10.0.0.7" not in error_body(ConnectFailed("10.0.0.7:443 refused"))


@pytest.mark.parametrize(("wait_s", "header"), [(0.0, b"0"), (0.2, b"1"), (2.0, b"2"), (2.001, b"3"), (1e9, b"86400")])
def test_retry_after_is_whole_seconds_rounded_up(wait_s: float, header: bytes) -> None:
    assert error_headers(Refused("later", retry_after_s=wait_s)) == [(b"retry-after", header)]
    assert (b"retry-after", header) in error_headers(UpstreamError("x", provider="p", status=429, retry_after_s=wait_s))


@pytest.mark.parametrize("error", [NotCached(), Withdrawn()], ids=["not kept", "cancelled by the owner"])
def test_sdks_do_not_ask_again_in_vain(error: HooshError) -> None:
    assert error_headers(error) == [(b"x-should-retry", b"false")]


def test_what_an_upstream_says_of_asking_again_is_passed_on() -> None:
    error = UpstreamError("x", provider="p", status=500)
    error.is_final = True
    assert error_headers(error) == [(b"x-should-retry", b"false")]


def test_405_names_the_methods_and_401_the_scheme() -> None:
    assert error_headers(MethodNotAllowed("GET", ["POST", "PUT"])) == [(b"allow", b"POST, PUT")]
    assert error_headers(Unauthenticated("no")) == [(b"www-authenticate", b"Bearer")]
    assert error_headers(Refused("later")) == []


def test_the_log_repeats_nothing_that_an_upstream_says() -> None:
    code, message = log_words(
        UpstreamError("Incorrect API key: sk-abc", provider="p", status=401, code="invalid_api_key")
    )
    assert (code, "sk-abc" in message, "status 401" in message) == ("upstream_refused", False, True)
    told = UpstreamError("bad: 'my patient John Doe'", provider="p", status=400, code="context_length_exceeded")
    said = "Provider `p` answered with an error. (upstream status 400)"
    assert log_words(told) == ("context_length_exceeded", said), "what it repeats may be the prompt"
    assert log_words(UpstreamError("no", provider="p", status=400, code="John Doe sk-a")) == ("upstream_error", said)
    assert log_words(KeyError("sk-abc")) == ("KeyError", "KeyError")


def test_types_are_openais() -> None:
    assert said(Unauthenticated("no"))["type"] == "invalid_request_error"
    assert said(Unauthenticated("no"))["code"] == "invalid_api_key"
    assert said(Refused("later"))["type"] == "requests"
    assert said(Refused("spent", code="budget_exceeded"))["type"] == "tokens"
    for what, kind in (("tokens", "tokens"), ("requests", "requests"), ("concurrent", "requests")):
        limited = RateLimited("slow down", scope="key", name="ada", what=what, retry_after_s=1.0)
        assert (said(limited)["type"], said(limited)["code"]) == (kind, "rate_limit_exceeded")
    assert said(Unavailable("closing"))["type"] == "server_error"


def test_a_response_has_its_request_id_and_is_json() -> None:
    status, headers, body = error_response(NoRoute("gpt-9"), "req_1")
    assert status == 404
    assert (b"x-request-id", b"req_1") in headers
    assert (b"content-type", b"application/json") in headers
    assert json.loads(body)["error"]["param"] == "model"


def test_a_protocol_error_has_the_same_shape() -> None:
    status, headers, body = plain_error(431, "Too many headers.", "req_2")
    assert status == 431
    assert (b"x-request-id", b"req_2") in headers
    assert json.loads(body) == {
        "error": {
            "message": "Too many headers.",
            "type": "invalid_request_error",
            "param": None,
            "code": "headers_too_large",
        }
    }
    headers, body = error_page(503, "The house is full.")
    assert any(name == b"x-request-id" for name, _ in headers)
    assert json.loads(body)["error"]["type"] == "server_error"


def test_an_event_is_one_line_whatever_the_message_holds() -> None:
    event = error_event(UpstreamBroke("two\nlines\r\n\r\ndata: [DONE]", provider="p"))
    assert event.startswith(b'data: {"error":{')
    assert event.endswith(b"}}\n\n")
    assert b"\n" not in event[:-2]
    assert b"\r" not in event


def test_a_lone_surrogate_is_no_reason_to_fail() -> None:
    assert said(NoSuchPath("GET", "/\udcff"))["message"] == "Unknown request URL: GET /\ufffd."


def test_a_group_stands_for_its_bug_if_there_is_one() -> None:
    bug, refusal = KeyError("x"), Refused("later")
    assert unwrap(refusal) is refusal
    assert unwrap(ExceptionGroup("g", [ExceptionGroup("h", [refusal])])) is refusal
    assert unwrap(ExceptionGroup("g", [refusal, ExceptionGroup("h", [bug])])) is bug
