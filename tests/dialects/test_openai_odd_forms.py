"""Forms of OpenAI's family that its documents do not dwell on, written by hand after what vendors and clients send."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hoosh.dialects.faults import decode_error
from hoosh.dialects.openai import FAMILY, OpenAIDownstream, OpenAIUpstream
from hoosh.values import (
    Annotation,
    CallKind,
    CallSaid,
    ChatRequest,
    Message,
    Role,
    TextPart,
    TextSaid,
    Usage,
)

USER = {"role": "user", "content": "Salam"}
HELLO = Message(Role.USER, (TextPart("Salam"),))
CITED = {"type": "url_citation", "url_citation": {"url": "https://h", "title": "T", "start_index": 0, "end_index": 2}}
CALL = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def reply(message: dict[str, Any], **rest: Any) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": "stop"}
    return json.dumps({"id": "x", "model": "m", "choices": [choice], **rest}).encode()


def sent(request: ChatRequest, vendor: str) -> dict[str, Any]:
    outgoing = OpenAIUpstream(FAMILY[vendor]).encode_chat(request, model="m")
    body: dict[str, Any] = json.loads(outgoing.body)
    return body


def read(*parts: dict[str, Any]) -> ChatRequest:
    body = {"model": "m", "messages": [{"role": "user", "content": list(parts)}]}
    openai = OpenAIDownstream()
    return openai.chat_request(openai.read(CallKind.CHAT, json.dumps(body).encode()))


# -- answers -----------------------------------------------------------------------------------------------------


def test_citations_of_a_whole_message_stay_with_its_text_where_calls_follow():
    body = reply({"content": "Hi", "annotations": [CITED], "tool_calls": [CALL]})
    parts = OpenAIUpstream().decode_chat(body, provider="p").parts
    assert parts == (TextSaid("Hi", (Annotation("https://h", "T", 0, 2),)), CallSaid("a", "f", "{}"))


@pytest.mark.parametrize(
    ("usage", "read_as"),
    [
        ({"prompt_tokens": 35, "completion_tokens": 12, "total_tokens": 126}, Usage(35, 91, reasoning_tokens=79)),
        (
            {
                "prompt_tokens": 5,
                "completion_tokens": 1,
                "total_tokens": 10,
                "completion_tokens_details": {"reasoning_tokens": 3},
            },
            Usage(5, 5, reasoning_tokens=3),
        ),
        (
            {
                "prompt_tokens": 5,
                "completion_tokens": 1,
                "total_tokens": 106,
                "prompt_tokens_details": {"cached_tokens": 100},
            },
            Usage(105, 1, cached_tokens=100),
        ),
    ],
    ids=["thoughts that nobody names", "some are named", "a cache beside the prompt"],
)
def test_tokens_that_only_the_total_knows_are_counted(usage: dict[str, Any], read_as: Usage):
    assert OpenAIUpstream().decode_chat(reply({"content": "Hi"}, usage=usage), provider="p").usage == read_as


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (422, {"error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000"}),
        (422, {"error": "Input validation error: `inputs` must have less than 1024 tokens. Given: 2000"}),
        (500, {"error": {"message": "input (900 tokens) is too large to process. increase the physical batch size"}}),
        (400, {"error": "Trying to keep the first 6000 tokens when context the overflows. However, …"}),
        (400, {"error": {"code": 400, "message": "No.", "metadata": {"error_type": "context_length_exceeded"}}}),
    ],
)
def test_a_prompt_that_is_too_long_is_recognised_in_more_words(status: int, error: dict[str, Any]):
    told = decode_error(status, None, json.dumps(error).encode(), provider="p", now_s=0.0)
    assert (told.status, told.code) == (status, "context_length_exceeded")


def test_a_limit_of_tokens_a_minute_is_no_prompt_that_is_too_long():
    message = "Request too large for m on tokens per min (TPM): Limit 30000, Requested 35364."
    body = json.dumps({"error": {"message": message, "type": "tokens", "code": "rate_limit_exceeded"}}).encode()
    assert decode_error(429, None, body, provider="p", now_s=0.0).code == "rate_limit_exceeded"
