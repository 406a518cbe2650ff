from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hoosh.dialects.faults import decode_error, error_in
from hoosh.dialects.gemini.errors import decode_error as decode_gemini
from hoosh.errors import UpstreamBroke, UpstreamError, UpstreamTimeout
from hoosh.routing import Verdict, judge
from hoosh.routing.judge import is_throttled

AGAIN, ONCE_MORE, ELSEWHERE, LARGER, NOBODY = Verdict

STATUSES = {
    AGAIN: (408, 409, 425, 429, 498, 502, 503, 504, 521, 524, 529),
    ONCE_MORE: (500, 507, 520, 530, 599),
    ELSEWHERE: (401, 402, 403, 404, 405, 410, 424, 451, 501, 505),
    NOBODY: (400, 411, 413, 414, 415, 418, 422, 431),
}


@pytest.mark.parametrize(("verdict", "status"), [(each, status) for each, all_ in STATUSES.items() for status in all_])
def test_an_error_without_words_is_judged_by_its_status(verdict, status):
    assert judge(decode_error(status, None, b"", provider="p", now_s=0.0)) is verdict


def openai(message, code=None, kind="invalid_request_error", param=None):
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def anthropic(kind, message):
    return {"type": "error", "error": {"type": kind, "message": message}}


TOO_LONG = [
    (400, openai("This model's maximum context length is 8192 tokens.", "context_length_exceeded", param="messages")),
    (400, anthropic("invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum")),
    (400, {"error": {"code": 400, "message": "The input token count (9) exceeds the maximum number of tokens (1)"}}),
    (400, {"object": "error", "message": "This model's maximum context length is 16 tokens.", "code": 400}),  # vLLM
    (400, {"error": {"code": 400, "message": "it exceeds n_ctx", "type": "exceed_context_size_error"}}),  # llama.cpp
    (400, {"error": "the input length exceeds the context length"}),  # Ollama
    (500, {"error": "the input length exceeds the context length"}),
    (413, openai("Please reduce the length of the messages or completion.")),
]
REQUESTS_FAULT = [
    (400, openai("Your request was rejected as a result of our safety system.", "content_policy_violation")),
    (400, openai("The response was filtered", "content_filter")),
    (403, {"error": {"code": 403, "message": "Input was flagged", "metadata": {"error_type": "moderation_flagged"}}}),
    (400, openai("Unsupported parameter: 'max_tokens' is not supported with this model.", "unsupported_parameter")),
    (400, openai("Invalid schema for function 'f'", "invalid_function_parameters", param="tools[0]")),
    (404, openai("No such File object: file-1", param="id")),
    (422, {"detail": [{"loc": ["body", "messages"], "msg": "field required"}]}),
    (413, anthropic("request_too_large", "Request exceeds the maximum size")),
    (400, {"error": "registry.ollama.ai/library/x does not support tools"}),
]
OURS = [
    (429, openai("You exceeded your current quota", "insufficient_quota", "insufficient_quota")),
    (402, {"error": {"message": "Insufficient Balance", "type": "unknown_error", "code": "invalid_request_error"}}),
    (400, anthropic("invalid_request_error", "Your credit balance is too low to access the Anthropic API.")),
    (400, {"code": "invalid-argument", "error": "Incorrect API key provided: xa***z."}),  # xAI
    (400, {"code": "invalid-argument", "error": "Model not found: grok-x"}),
    (400, {"error": {"message": "The model `x` has been decommissioned", "code": "model_decommissioned"}}),  # Groq
    (400, {"error": {"message": "foo/bar is not a valid model ID", "code": 400}}),  # OpenRouter
    (400, {"error": {"message": "Model Not Exist", "type": "invalid_request_error"}}),  # DeepSeek
    (400, {"object": "error", "message": "Invalid model: x", "type": "invalid_model", "code": "1500"}),  # Mistral
    (404, openai("The model `x` does not exist", "model_not_found", param="model")),
    (404, {"error": "model 'x' not found, try pulling it first"}),  # Ollama
    (404, anthropic("not_found_error", "model: x")),
    (
        413,
        openai("Request too large for model `x` on tokens per minute (TPM)", "rate_limit_exceeded", "tokens"),
    ),  # Groq
    (401, {"detail": "Invalid API Key"}),
]


@pytest.mark.parametrize(
    ("verdict", "status", "body"),
    [
        *((LARGER, *case) for case in TOO_LONG),
        *((NOBODY, *case) for case in REQUESTS_FAULT),
        *((ELSEWHERE, *case) for case in OURS),
        (AGAIN, 429, openai("Rate limit reached for requests", "rate_limit_exceeded", "requests")),
        (AGAIN, 429, openai("Request too large for the context of a minute: maximum context length", "x")),
        (AGAIN, 503, {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}),
        (ONCE_MORE, 500, {"error": {"code": 500, "message": "the model `x` was not found in memory"}}),
    ],
)
def test_vendors_errors_are_understood(verdict, status, body):
    assert judge(decode_error(status, None, json.dumps(body).encode(), provider="p", now_s=0.0)) is verdict


def test_googles_bad_key_is_no_bad_request():
    details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}]
    body = {"error": {"code": 400, "message": "Not valid.", "status": "INVALID_ARGUMENT", "details": details}}
    assert judge(decode_gemini(400, None, json.dumps(body).encode(), provider="p", now_s=0.0)) is ELSEWHERE


@pytest.mark.parametrize(
    ("verdict", "event"),
    [
        (AGAIN, anthropic("overloaded_error", "Overloaded")),
        (AGAIN, anthropic("rate_limit_error", "slow down")),
        (AGAIN, {"error": {"message": "busy", "code": 503}}),
        (AGAIN, {"error": {"message": "busy", "status": "UNAVAILABLE"}}),
        (ONCE_MORE, anthropic("api_error", "Internal server error")),
        (ONCE_MORE, {"error": "something happened"}),
        (ELSEWHERE, anthropic("authentication_error", "no")),
        (NOBODY, anthropic("invalid_request_error", "no")),
        (NOBODY, {"error": {"message": "tool_use_failed", "status_code": 400}}),
        (LARGER, {"error": {"message": "Trying to keep the first 9 tokens when context the overflows."}}),
    ],
)
def test_an_error_inside_a_200_is_judged_by_its_kind(verdict, event):
    assert judge(error_in(event, provider="p")) is verdict


@pytest.mark.parametrize("phase", ["connect", "first_byte", "first_token", "idle", "total"])
def test_who_was_silent_is_not_asked_again(phase):
    assert judge(UpstreamTimeout("slow", provider="p", phase=phase)) is ELSEWHERE


def test_what_broke_is_tried_once_more_but_not_what_could_not_be_reached():
    assert judge(UpstreamBroke("reset", provider="p")) is ONCE_MORE
    assert judge(UpstreamBroke("no answer", provider="p", code="malformed_function_call")) is ONCE_MORE
    assert judge(UpstreamBroke("refused", provider="p", code="connect_failed")) is ELSEWHERE
    assert judge(UpstreamBroke("too long", provider="p", code="context_length_exceeded")) is LARGER


@pytest.mark.parametrize(("status", "verdict"), [(429, ELSEWHERE), (500, ELSEWHERE), (401, ELSEWHERE), (400, NOBODY)])
def test_who_says_that_asking_again_will_not_help_is_not_asked_again(status, verdict):
    error = UpstreamError("", provider="p", status=status)
    error.is_final = True
    assert judge(error) is verdict


def test_only_who_answers_and_asks_for_time_is_throttled():
    assert is_throttled(UpstreamError("", provider="p", status=429))
    assert is_throttled(error_in(anthropic("rate_limit_error", ""), provider="p"))
    assert not is_throttled(UpstreamError("", provider="p", status=503))


words = st.none() | st.text(max_size=40)


@given(st.none() | st.integers(100, 700), words, words, words, st.text(max_size=200))
def test_every_error_has_a_verdict(status, code, kind, param, message):
    error = UpstreamError(message, provider="p", status=status, code=code, kind=kind, param=param)
    assert judge(error) in Verdict
