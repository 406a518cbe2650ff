from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hoosh.dialects.contract import Stamp, WholeReply
from hoosh.dialects.openai import OpenAIUpstream
from hoosh.dialects.openai.wire import read_usage
from hoosh.errors import UpstreamBroke, UpstreamError
from hoosh.values import Call, CallKind, Usage

NOW_S = 1_445_412_000.0  # Wed, 21 Oct 2015 07:20:00 GMT
UPSTREAM = OpenAIUpstream(now=lambda: NOW_S)
CALL = Call(CallKind.CHAT, "m", {})
STAMP = Stamp("r", "m", 1)


def decode(status: int, body: bytes | dict[str, Any], retry_after: str | None = None) -> UpstreamError:
    wire = body if isinstance(body, bytes) else json.dumps(body).encode()
    return UPSTREAM.decode_error(status, retry_after, wire, provider="p")


def read_reply(body: bytes) -> WholeReply:
    passage = UPSTREAM.passage(CALL)
    assert passage is not None
    return passage.read_reply(CALL, body, STAMP, provider="p")


@pytest.mark.parametrize(
    ("body", "message", "kind", "code"),
    [
        ({"error": {"message": "m", "type": "t", "param": None, "code": "c"}}, "m", "t", "c"),
        ({"error": {"message": "m", "type": "t", "code": 503}}, "m", "t", None),
        ({"error": "m", "code": "c"}, "m", None, "c"),
        ({"object": "error", "message": "m", "type": "t", "code": "1300"}, "m", "t", "1300"),
        ({"detail": "m"}, "m", None, None),
        ({"detail": [{"loc": ["body", "n"], "msg": "too big"}, "x"]}, "body.n: too big; x", None, None),
        ({"message": "m"}, "m", None, None),
        (b"plain text", "plain text", None, None),
        (b'"quoted"', "quoted", None, None),
    ],
)
def test_an_error_is_read_in_each_of_its_shapes(body: Any, message: str, kind: str | None, code: str | None):
    error = decode(418, body)
    assert (str(error), error.kind, error.code, error.status, error.provider) == (message, kind, code, 418, "p")


@pytest.mark.parametrize("body", [b"", b"  ", b"<html><body>nginx</body></html>", b"{}", b"[]", b"null", b"7"])
def test_an_error_that_says_nothing_still_has_a_message(body: bytes):
    error = decode(502, body)
    assert str(error).startswith("The upstream")
    assert "nginx" not in str(error)


@given(st.integers(400, 599), st.none() | st.text(), st.binary())
def test_no_error_body_whatever_raises(status: int, retry_after: str | None, body: bytes):
    assert decode(status, body, retry_after).status == status


def test_a_nested_or_huge_error_body_is_no_trouble():
    assert decode(500, b'{"error":' * 100_000).status == 500
    assert len(str(decode(500, {"error": {"message": "x" * 100_000}}))) == 2000
    assert len(str(decode(500, b"x" * 100_000))) == 2000


@pytest.mark.parametrize(
    ("header", "wait_s"),
    [
        ("7", 7.0),
        (" 0.5 ", 0.5),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 480.0),
        ("Wed, 21 Oct 2015 07:00:00 GMT", 0.0),
        ("-3", 0.0),
        ("soon", None),
        ("nan", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str | None, wait_s: float | None):
    assert decode(429, b"", header).retry_after_s == wait_s


@pytest.mark.parametrize(
    ("error", "wait_s"),
    [
        ({"message": "Please try again in 20s."}, 20.0),
        ({"message": "Please try again in 6m0.5s."}, 360.5),
        ({"message": "Please try again in 1h2m."}, 3720.0),
        ({"message": "Please try again in 120ms."}, 0.12),
        ({"message": "Please try again in a while."}, None),
        ({"message": "m", "details": [{}, {"retryDelay": "34.4s"}]}, 34.4),
    ],
)
def test_a_wait_named_in_the_body_is_read_when_no_header_says(error: dict[str, Any], wait_s: float | None):
    assert decode(429, {"error": error}).retry_after_s == wait_s
    assert decode(429, {"error": error}, "3").retry_after_s == 3.0


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"choices":null}', b"{" * 100_000, b'{"id":1}'])
def test_an_answer_that_is_no_reply_is_a_broken_upstream(body: bytes):
    with pytest.raises(UpstreamBroke):
        read_reply(body)


def test_an_error_under_a_200_is_an_error():
    with pytest.raises(UpstreamError, match="no such model") as caught:
        read_reply(b'  {"error":{"message":"no such model","code":404}}')
    assert caught.value.status == 404
    assert not isinstance(caught.value, UpstreamBroke)


def test_a_whole_reply_is_counted():
    body = {"model": "m", "choices": [{"finish_reason": "length"}], "usage": {"prompt_tokens": 1, "total_tokens": 1}}
    facts = read_reply(b"\n\n" + json.dumps(body).encode())
    assert (facts.model, facts.finish_reason, facts.usage) == ("m", "length", Usage(1, 0))


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": 5, "completion_tokens": 2}, Usage(5, 2)),
        ({"prompt_tokens": 5.0, "completion_tokens": "2"}, Usage(5, 0)),
        ({"prompt_tokens": -5, "completion_tokens": True}, None),
        ({"prompt_tokens": 10**30, "completion_tokens": 1}, Usage(0, 1)),
        ({"prompt_tokens": 5, "completion_tokens": 1, "prompt_cache_hit_tokens": 4}, Usage(5, 1, 4)),
        ({"prompt_tokens": 0, "completion_tokens": 0}, None),
        ("many", None),
        # xAI: reasoning stands beside completion_tokens; the total knows.
        (
            {
                "prompt_tokens": 12,
                "completion_tokens": 1,
                "total_tokens": 303,
                "completion_tokens_details": {"reasoning_tokens": 290},
            },
            Usage(12, 291, 0, 290),
        ),
        # Mistral: audio stands beside prompt_tokens.
        (
            {
                "prompt_tokens": 11,
                "completion_tokens": 15,
                "total_tokens": 401,
                "prompt_tokens_details": {"audio_tokens": 375},
            },
            Usage(386, 15, audio_prompt_tokens=375),
        ),
    ],
)
def test_usage_is_read_in_our_terms(usage: Any, expected: Usage | None):
    assert read_usage(usage) == expected
