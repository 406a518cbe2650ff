"""Forms of OpenAI's family that its documents do not dwell on, written by hand after what vendors and clients send."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import Raw

from hoosh.dialects.anthropic import AnthropicUpstream
from hoosh.dialects.audio.transcript import read_usage
from hoosh.dialects.faults import decode_error
from hoosh.dialects.gemini import GeminiUpstream
from hoosh.dialects.ollama import OllamaUpstream
from hoosh.dialects.openai import FAMILY, OpenAIDownstream, OpenAIUpstream
from hoosh.dialects.responses import ResponsesDownstream
from hoosh.dialects.translation import Translation
from hoosh.values import (
    Annotation,
    CacheMark,
    CallKind,
    CallSaid,
    ChatRequest,
    DataSource,
    FilePart,
    Message,
    OpaquePart,
    ReasoningPart,
    Role,
    TextPart,
    TextSaid,
    Tool,
    ToolCallPart,
    ToolResultPart,
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


# -- history -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("origin", "kind"), [("openai", "reasoning.summary"), ("gemini", "reasoning.text")])
def test_a_thought_that_was_told_in_two_entries_goes_back_as_one(origin: str, kind: str):
    thoughts = (ReasoningPart("Hm.", data="D", origin=origin), ReasoningPart("So.", data="E", origin=origin))
    history = (HELLO, Message(Role.ASSISTANT, (*thoughts, TextPart("Yes"))))
    message = sent(ChatRequest("m", history), "openrouter")["messages"][1]
    told = [(entry["type"], entry["index"]) for entry in message["reasoning_details"]]
    assert told == [(kind, 0), ("reasoning.encrypted", 0), (kind, 1), ("reasoning.encrypted", 1)]
    openai = OpenAIDownstream()
    again = openai.read(CallKind.CHAT, json.dumps({"model": "m", "messages": [USER, message]}).encode())
    assert openai.chat_request(again).messages == history


def test_sound_that_the_model_made_is_named_beside_the_content():
    sound = OpaquePart("openai", "audio", Raw(b'{"id":"audio_1"}'))
    message = sent(ChatRequest("m", (HELLO, Message(Role.ASSISTANT, (sound,)))), "openai")["messages"][1]
    assert message == {"role": "assistant", "content": None, "audio": {"id": "audio_1"}}


def test_null_for_arguments_goes_back_as_no_arguments():
    said = Message(Role.ASSISTANT, (ToolCallPart("call_1", "now", "null"),))
    result = Message(Role.TOOL, (ToolResultPart("call_1", (TextPart("12"),)),))
    request = ChatRequest("m", (HELLO, said, result))
    assert sent(request, "groq")["messages"][1]["tool_calls"][0]["function"]["arguments"] == "{}"
    native = [upstream.encode_chat(request, model="m") for upstream in (AnthropicUpstream(), GeminiUpstream())]
    anthropic, gemini = [json.loads(outgoing.body) for outgoing in native]
    assert anthropic["messages"][1]["content"][0]["input"] == {}
    assert gemini["contents"][1]["parts"][0]["functionCall"]["args"] == {}
    ollama = json.loads(OllamaUpstream().encode_chat(request, model="m").body)
    assert ollama["messages"][1]["tool_calls"][0]["function"]["arguments"] == {}


def test_a_summary_of_a_thought_goes_to_mistral_as_a_thought():
    details = [{"type": "reasoning.summary", "summary": "Hm.", "index": 0}]
    said = {"role": "assistant", "content": "Yes", "reasoning_details": details}
    call = OpenAIDownstream().read(CallKind.CHAT, json.dumps({"model": "m", "messages": [USER, said, USER]}).encode())
    passage = OpenAIUpstream(FAMILY["mistral"]).passage(call)
    assert passage is not None
    content = json.loads(passage.outgoing(call, model="m").body)["messages"][1]["content"]
    assert content[0] == {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}


# -- requests ----------------------------------------------------------------------------------------------------


def test_documents_in_mistrals_form_are_read_and_told_again():
    part = {"type": "document_url", "document_url": "data:application/pdf;base64,JVBERi0x", "document_name": "a.pdf"}
    request = read({"type": "text", "text": "What?"}, part)
    assert request.messages[0].parts[1] == FilePart(DataSource("application/pdf", "JVBERi0x"), "a.pdf")
    assert sent(request, "mistral")["messages"][0]["content"][1] == part
    assert sent(request, "openai")["messages"][0]["content"][1]["file"]["filename"] == "a.pdf"


OWN = {"service_tier": "flex", "metadata": {"a": "b"}, "prompt_cache_key": "k", "prompt_cache_retention": "24h"}
OWN |= {"safety_identifier": "s"}


@pytest.mark.parametrize(
    ("vendor", "told"),
    [
        ("openai", {*OWN, "verbosity", "user"}),
        ("openrouter", {"metadata", "service_tier", "verbosity", "user"}),
        ("mistral", set()),
        ("groq", {"user"}),
    ],
)
def test_what_both_of_openais_languages_have_reaches_who_knows_it(vendor: str, told: set[str]):
    body = {"model": "m", "input": "Salam", "text": {"verbosity": "low"}, **OWN}
    responses = ResponsesDownstream()
    call = responses.read(CallKind.CHAT, json.dumps(body).encode())
    outgoing = Translation(responses, OpenAIUpstream(FAMILY[vendor])).outgoing(call, model="m")
    written = json.loads(outgoing.body)
    assert written.keys() == {"model", "messages", *told}
    assert all(written[name] == OWN[name] for name in told & OWN.keys())


def test_a_responses_client_is_not_refused_elsewhere_for_what_changes_nothing():
    responses = ResponsesDownstream()
    call = responses.read(CallKind.CHAT, json.dumps({"model": "m", "input": "Salam", **OWN}).encode())
    outgoing = Translation(responses, AnthropicUpstream()).outgoing(call, model="claude-opus-4-5")
    assert "service_tier" not in json.loads(outgoing.body)


def test_marks_for_the_cache_on_tools_and_results_reach_openrouter():
    said = Message(Role.ASSISTANT, (ToolCallPart("call_1", "now", "{}"),))
    result = Message(Role.TOOL, (ToolResultPart("call_1", (TextPart("12"),), cache=CacheMark()),))
    tools = (Tool("now"), Tool("then", cache=CacheMark("1h")))
    request = ChatRequest("m", (HELLO, said, result), tools=tools)
    body = sent(request, "openrouter")
    assert [tool.get("cache_control") for tool in body["tools"]] == [None, {"type": "ephemeral", "ttl": "1h"}]
    assert body["messages"][2]["content"] == [{"type": "text", "text": "12", "cache_control": {"type": "ephemeral"}}]
    plain = sent(request, "openai")
    assert "cache_control" not in json.dumps(plain)
    assert plain["messages"][2]["content"] == "12"


def test_an_error_with_line_ends_in_its_strings_is_read():
    body = b'{"error": {"message": "The response was filtered.\n\tPlease modify it", "code": "content_filter"}}'
    told = decode_error(400, None, body, provider="p", now_s=0.0)
    assert (str(told), told.code) == ("The response was filtered.\n\tPlease modify it", "content_policy_violation")


@pytest.mark.parametrize(
    ("usage", "read_as"),
    [
        (
            {"prompt_tokens": 4, "completion_tokens": 6, "total_tokens": 35, "prompt_audio_seconds": 2},
            Usage(29, 6, audio_prompt_tokens=25, audio_ms=2000),
        ),
        (
            {"input_tokens": 9, "output_tokens": 6, "total_tokens": 15, "input_token_details": {"audio_tokens": 7}},
            Usage(9, 6, audio_prompt_tokens=7),
        ),
        ({"type": "duration", "seconds": 3}, Usage(audio_ms=3000)),
    ],
    ids=["mistral", "openai", "whisper"],
)
def test_the_sound_of_a_transcript_is_counted_with_its_prompt(usage: dict[str, Any], read_as: Usage):
    assert read_usage({"text": "Salam", "usage": usage}) == read_as
