from __future__ import annotations

import json
from typing import Any

import pytest

from hoosh.dialects.faults import decode_error, error_in
from hoosh.dialects.verdicts import CONTEXT, POLICY
from hoosh.errors import UpstreamError


def decode(status: int, body: Any) -> UpstreamError:
    wire = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    return decode_error(status, None, wire, provider="p", now_s=0.0)


def said(message: str, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, **more}}


TOO_LONG: dict[str, tuple[int, Any]] = {
    "openai": (
        400,
        said(
            "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens.",
            type="invalid_request_error",
            param="messages",
            code="context_length_exceeded",
        ),
    ),
    "openai responses": (400, said("Your input exceeds the context window of this model. Please adjust your input.")),
    "anthropic": (
        400,
        {
            "type": "error",
            "error": {"type": "invalid_request_error", "message": "prompt is too long: 210000 tokens > 200000 maximum"},
        },
    ),
    "anthropic with reply": (
        400,
        said("input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000", type="e"),
    ),
    "gemini": (
        400,
        {
            "error": {
                "code": 400,
                "message": "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
                "status": "INVALID_ARGUMENT",
            }
        },
    ),
    "mistral": (
        400,
        {
            "object": "error",
            "message": "Prompt contains 40000 tokens, too large for model with 32768 maximum context length",
            "type": "invalid_request_error",
            "code": "3051",
        },
    ),
    "groq": (400, said("Please reduce the length of the messages or completion.", code="context_length_exceeded")),
    "xai": (
        400,
        {
            "code": "invalid-argument",
            "error": "This model's maximum prompt length is 131072 but the request contains 136973 tokens.",
        },
    ),
    "deepseek": (
        400,
        said(
            "This model's maximum context length is 131072 tokens. However, you requested 141403 tokens.",
            code="invalid_request_error",
        ),
    ),
    "openrouter": (
        400,
        said("This endpoint's maximum context length is 8191 tokens. However, you requested about 9000.", code=400),
    ),
    "behind openrouter": (
        400,
        said(
            "Provider returned error", code=400, metadata={"raw": '{"error":{"message":"prompt is too long: 3 > 2"}}'}
        ),
    ),
    "ollama": (400, {"error": "prompt too long; exceeded max context length by 12 tokens"}),
    "ollama embeddings": (400, {"error": "the input length exceeds the context length"}),
    "llama.cpp": (
        400,
        said("request (20 tokens) exceeds the available context size (16 tokens)", type="exceed_context_size_error"),
    ),
    "lm studio": (
        400,
        {"error": "The number of tokens to keep from the initial prompt is greater than the context length."},
    ),
    "vllm": (
        400,
        {"object": "error", "message": "This model's maximum context length is 10 tokens.", "code": 400, "type": "B"},
    ),
    "vllm prompt": (400, said("The decoder prompt (length 9) is longer than the maximum model length of 8.")),
    "tensorrt-llm": (400, said("The prompt length (9) should not exceed max_seq_len (8)")),
    "plain text": (413, "Input too long"),
}


@pytest.mark.parametrize("name", TOO_LONG)
def test_a_prompt_that_is_too_long_is_recognised(name: str):
    status, body = TOO_LONG[name]
    error = decode(status, body)
    assert (error.code, error.status) == (CONTEXT, status)


FILTERED: dict[str, tuple[int, Any]] = {
    "openai": (400, said("Your request was rejected as a result of our safety system.", code=POLICY)),
    "openai prompt": (
        400,
        said(
            "Invalid prompt: your prompt was flagged as potentially violating our usage policy.", code="invalid_prompt"
        ),
    ),
    "azure": (
        400,
        said(
            "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
            code="content_filter",
        ),
    ),
    "anthropic": (
        400,
        {"type": "error", "error": {"type": "e", "message": "Output blocked by content filtering policy"}},
    ),
    "openrouter": (
        403,
        said('openai/gpt-4o requires moderation on OpenAI. Your input was flagged for "violence".', code=403),
    ),
    "deepseek": (400, said("Content Exists Risk", type="invalid_request_error", code="invalid_request_error")),
    "xai": (403, {"code": "The caller does not have permission", "error": "Content violates usage guidelines. No."}),
    "gemini": (400, {"error": {"code": 400, "message": "The prompt was blocked: PROHIBITED_CONTENT"}}),
}


@pytest.mark.parametrize("name", FILTERED)
def test_a_verdict_of_a_filter_is_recognised(name: str):
    status, body = FILTERED[name]
    assert decode(status, body).code == POLICY


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (429, "Limit 6000 tokens per minute: please reduce the length of the messages."),
        (401, "Your account was blocked because its content violates our policies."),
        (400, "Invalid 'temperature': expected a number."),
        (400, "Invalid schema: additional content is not allowed."),
        (404, "The model `context-window-8k` does not exist."),
        (400, "max_tokens is too large: 100000. This model supports at most 16384 completion tokens."),
        (400, "Unknown parameter: 'content_policy'."),
    ],
)
def test_other_errors_are_left_as_they_are(status: int, message: str):
    assert decode(status, said(message, code="theirs")).code == "theirs"


def test_the_vendors_own_word_is_kept_as_the_kind():
    assert decode(*TOO_LONG["xai"]).kind == "invalid-argument"
    assert decode(*TOO_LONG["gemini"]).kind == "INVALID_ARGUMENT"
    assert decode(*TOO_LONG["mistral"]).kind == "invalid_request_error"
    assert decode(*TOO_LONG["llama.cpp"]).kind == "exceed_context_size_error"


@pytest.mark.parametrize(
    ("event", "message", "status", "code"),
    [
        ({"error": {"message": "m", "type": "t", "code": "c"}}, "m", None, "c"),
        ({"error": {"message": "m", "code": "tool_use_failed", "status_code": 400}}, "m", 400, "tool_use_failed"),
        ({"error": {"message": "m", "code": 502}, "choices": [{"delta": {}}]}, "m", 502, "502"),
        ({"type": "error", "error": {"type": "overloaded_error", "message": "m"}}, "m", None, None),
        ({"error": "m"}, "m", None, None),
        ({"object": "error", "message": "m", "code": 1113}, "m", None, "1113"),
        ({"error": {"message": "m", "code": 503, "status": "UNAVAILABLE"}}, "m", 503, "UNAVAILABLE"),
        ("m", "m", None, None),
    ],
)
def test_an_error_inside_a_stream_is_read_in_each_of_its_shapes(
    event: Any, message: str, status: int | None, code: str | None
):
    error = error_in(event, provider="p")
    assert (str(error), error.status, error.code) == (message, status, code or "upstream_error" if not status else code)


def test_nested_errors_of_lm_studio_are_recognised_inside_a_stream():
    nested = json.dumps({"error": {"code": 400, "message": "request (9) exceeds the available context size (8)"}})
    error = error_in({"error": {"message": f"Engine returned 400: {nested}"}, "message": "400"}, provider="p")
    assert error.code == CONTEXT


@pytest.mark.parametrize(
    ("error", "wait_s"),
    [
        ({"message": "Please retry your request. Please try again in 1m2.5s."}, 62.5),
        ({"message": "Please retry after 20 seconds."}, 20.0),
        ({"message": "Try again in 5 minutes."}, 300.0),
        ({"message": "Please retry in 48.939935699s."}, 48.939935699),
        ({"message": "m", "retry_after": 7}, 7.0),
        ({"message": "m", "metadata": {"retry_after_seconds": 1.5}}, 1.5),
        ({"message": "m", "retry_after": "soon"}, None),
        ({"message": "Wait for it."}, None),
    ],
)
def test_a_wait_is_read_from_the_body(error: dict[str, Any], wait_s: float | None):
    assert decode(429, {"error": error}).retry_after_s == wait_s
