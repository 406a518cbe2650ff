"""What an error says about an upstream."""

from __future__ import annotations

import json
from typing import Any

import pytest
from health_desk import answer, cut, late, unconnected

from hoosh.dialects.faults import decode_error, error_in
from hoosh.errors import (
    ConnectFailed,
    ConnectionBroke,
    HooshError,
    InvalidRequest,
    QueueFull,
    TransportTimeout,
    UpstreamError,
)
from hoosh.health import Ailment, diagnose, word_of


@pytest.mark.parametrize(
    ("error", "ailment", "word"),
    [
        (unconnected(), Ailment.UNREACHABLE, "unreachable"),
        (late("connect"), Ailment.UNREACHABLE, "unreachable"),
        (ConnectFailed("no"), Ailment.UNREACHABLE, "unreachable"),
        (TransportTimeout("connect", 5.0), Ailment.UNREACHABLE, "unreachable"),
        (cut(), Ailment.FAILED, "failed"),
        (ConnectionBroke("no"), Ailment.FAILED, "failed"),
        (late("first_byte"), Ailment.FAILED, "first_byte"),
        (late("first_token"), Ailment.FAILED, "first_token"),
        (late("idle"), Ailment.FAILED, "idle"),
        (late("total"), Ailment.NONE, "total"),
        (late("what the client wanted"), Ailment.NONE, "what the client wanted"),
        (InvalidRequest("no"), Ailment.NONE, "none"),
        (QueueFull("no"), Ailment.NONE, "none"),
        (answer(500), Ailment.FAILED, "500"),
        (answer(502), Ailment.FAILED, "502"),
        (answer(503), Ailment.BUSY, "503"),
        (answer(529), Ailment.BUSY, "529"),
        (answer(429), Ailment.LIMITED, "429"),
        (answer(429, code="insufficient_quota"), Ailment.SPENT, "429"),
        (answer(402), Ailment.SPENT, "402"),
        (answer(401), Ailment.DENIED, "401"),
        (answer(403, code="unsupported_country_region_territory"), Ailment.DENIED, "403"),
        (answer(403, code="model_not_found"), Ailment.BARRED, "403"),
        (answer(403), Ailment.BARRED, "403"),
        (answer(403, code="content_policy_violation"), Ailment.NONE, "403"),
        (answer(500, code="context_length_exceeded"), Ailment.NONE, "500"),
        *((answer(status), Ailment.NONE, str(status)) for status in (400, 404, 408, 413, 422)),
    ],
    ids=repr,
)
def test_each_error_has_one_diagnosis_and_a_safe_word(error: HooshError, ailment: Ailment, word: str):
    assert (diagnose(error), word_of(error)) == (ailment, word)


@pytest.mark.parametrize(
    ("status", "body", "ailment"),
    [
        (400, {"code": "Client specified an invalid argument", "error": "Incorrect API key provided: xa***"}, "denied"),
        (400, {"error": {"type": "invalid_request_error", "message": "Your credit balance is too low to"}}, "spent"),
        (429, {"error": {"code": "insufficient_quota", "message": "You exceeded your current quota"}}, "spent"),
        (429, {"error": {"status": "RESOURCE_EXHAUSTED", "message": "You exceeded your current quota"}}, "limited"),
        (402, {"error": {"message": "Insufficient Balance", "type": "unknown_error"}}, "spent"),
        (403, {"error": {"type": "permission_error", "message": "Your key may not use this resource."}}, "denied"),
        (403, {"error": {"code": "model_not_found", "message": "Project p has no access to model `m`"}}, "barred"),
    ],
)
def test_what_vendors_say_of_keys_and_quotas_is_understood(status: int, body: dict[str, Any], ailment: str):
    error = decode_error(status, None, json.dumps(body).encode(), provider="a", now_s=0.0)
    assert diagnose(error) == ailment


@pytest.mark.parametrize(
    ("event", "ailment"),
    [
        ({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, "busy"),
        ({"type": "error", "error": {"type": "rate_limit_error", "message": "slow"}}, "limited"),
        ({"type": "error", "error": {"type": "invalid_request_error", "message": "bad"}}, "none"),
        ({"error": {"code": "insufficient_quota", "message": "no"}}, "spent"),
        ({"error": {"type": "server_error", "message": "oops"}}, "failed"),
        ({"error": {"code": 502, "message": "bad gateway"}}, "failed"),
        ({"error": "oops"}, "failed"),
    ],
)
def test_an_error_inside_a_stream_is_read_by_its_words(event: dict[str, Any], ailment: str):
    assert diagnose(error_in(event, provider="a")) == ailment


@pytest.mark.parametrize(
    "error",
    [
        answer(400, message="Invalid value: 'incorrect API key provided'. Supported values are 'a'."),
        answer(404, code="model_not_found", message="The model `invalid api key` does not exist."),
        answer(400, message="Unknown model: your credit balance is too low"),
        answer(403, message="<html>blocked: invalid api key</html>"),
    ],
    ids=str,
)
def test_a_client_cannot_have_an_account_closed_by_words_that_an_upstream_repeats(error: UpstreamError):
    assert diagnose(error) in (Ailment.NONE, Ailment.BARRED)
