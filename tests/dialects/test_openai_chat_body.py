from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import Raw
from msgspec.structs import replace

from hoosh.dialects.openai import FAMILY, OpenAIExtension, OpenAIUpstream
from hoosh.dialects.openai.history import upstream_id
from hoosh.errors import InvalidRequest
from hoosh.values import (
    AudioPart,
    CacheMark,
    ChatRequest,
    DataSource,
    Effort,
    EmbeddingRequest,
    FilePart,
    FileSource,
    ImagePart,
    JsonFormat,
    Message,
    OpaquePart,
    Part,
    Reasoning,
    ReasoningPart,
    RefusalPart,
    Role,
    Sampling,
    SchemaFormat,
    TextPart,
    Tool,
    ToolCallPart,
    ToolChoice,
    ToolMode,
    ToolResultPart,
    UrlSource,
)

PNG = ImagePart(DataSource("image/png", "AAAA"), detail="low")
PDF = FilePart(DataSource("application/pdf", "AAAA"), "a.pdf")
WEATHER = Tool("weather", "Tells it.", Raw(b'{"type":"object","properties":{"city":{"type":"string"}}}'), strict=True)
NOW = Tool("now")


def said(role: Role, *parts: Part | str) -> Message:
    return Message(role, tuple(TextPart(part) if isinstance(part, str) else part for part in parts))


HELLO = said(Role.USER, "hello")
ASKED = replace(ChatRequest("theirs", (HELLO,)), tools=(WEATHER, NOW))


def body(request: ChatRequest, vendor: str = "openai") -> Any:
    return json.loads(OpenAIUpstream(FAMILY[vendor]).encode_chat(request, model="ours").body)


def messages(*history: Message, vendor: str = "openai") -> Any:
    return body(ChatRequest("theirs", history), vendor)["messages"]


def refusal(request: ChatRequest, vendor: str) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        OpenAIUpstream(FAMILY[vendor]).encode_chat(request, model="ours")
    assert caught.value.code == "unsupported_parameter"
    return caught.value


# -- messages ----------------------------------------------------------------------------------------------------


def test_a_plain_chat_is_plain():
    request = ChatRequest("theirs", (said(Role.SYSTEM, "be kind"), HELLO))
    sent = [{"role": "system", "content": "be kind"}, {"role": "user", "content": "hello"}]
    assert body(request) == {"model": "ours", "messages": sent}


def test_parts_keep_their_order():
    sound = AudioPart("UklG", "wav")
    assert messages(said(Role.USER, "see", PNG, "and hear", sound, PDF))[0]["content"] == [
        {"type": "text", "text": "see"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}},
        {"type": "text", "text": "and hear"},
        {"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"}},
    ]


def test_mistral_has_words_of_its_own_for_sound_and_documents():
    sent = messages(said(Role.USER, AudioPart("UklG", "wav"), FilePart(UrlSource("https://h/a.pdf"))), vendor="mistral")
    assert sent[0]["content"] == [
        {"type": "input_audio", "input_audio": "UklG"},
        {"type": "document_url", "document_url": "https://h/a.pdf"},
    ]


def test_a_text_file_is_text_for_everybody():
    sent = messages(said(Role.USER, FilePart(DataSource("text/plain", "c2FsYW0="))), vendor="deepseek")
    assert sent[0]["content"] == [{"type": "text", "text": "salam"}]


@pytest.mark.parametrize(("vendor", "role"), [("openai", "developer"), ("openrouter", "developer"), ("groq", "system")])
def test_who_does_not_know_developers_has_them_as_system(vendor: str, role: str):
    assert messages(said(Role.DEVELOPER, "be kind"), HELLO, vendor=vendor)[0]["role"] == role


def test_calls_and_results_are_told_apart_and_pictures_of_a_tool_come_after_them_all():
    history = (
        said(Role.ASSISTANT, "Let me see.", ToolCallPart("a", "look", '{"n":1}'), ToolCallPart("b", "now", "")),
        said(Role.TOOL, ToolResultPart("a", (PNG,)), ToolResultPart("b", (TextPart("noon"),), is_error=True)),
        HELLO,
    )
    look = {"id": "a", "type": "function", "function": {"name": "look", "arguments": '{"n":1}'}}
    now = {"id": "b", "type": "function", "function": {"name": "now", "arguments": "{}"}}
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}}
    assert messages(*history) == [
        {"role": "assistant", "content": "Let me see.", "tool_calls": [look, now]},
        {"role": "tool", "tool_call_id": "a", "content": "(The result is shown in the next message.)"},
        {"role": "tool", "tool_call_id": "b", "content": "noon"},
        {"role": "user", "content": [picture]},
        {"role": "user", "content": "hello"},
    ]


def test_an_assistant_who_only_calls_says_nothing_as_the_vendor_writes_it():
    call = said(Role.ASSISTANT, ToolCallPart("123456789", "now", "{}"))
    assert messages(call)[0]["content"] is None
    assert messages(call, vendor="mistral")[0]["content"] == ""


def test_a_refusal_is_a_refusal_to_who_knows_them_and_text_to_others():
    history = said(Role.ASSISTANT, RefusalPart("No."))
    assert messages(history) == [{"role": "assistant", "content": None, "refusal": "No."}]
    assert messages(history, HELLO, vendor="groq")[0] == {"role": "assistant", "content": "No."}


@pytest.mark.parametrize("call_id", ["call_abc", "toolu_0123", "", "a" * 400, "é", "12345678_"])
def test_mistral_gets_ids_it_takes_and_always_the_same(call_id: str):
    quirks = FAMILY["mistral"]
    short = upstream_id(call_id, quirks)
    assert len(short) == 9
    assert short.isascii()
    assert short.isalnum()
    assert upstream_id(call_id, quirks) == short == upstream_id(short, quirks)
    history = (said(Role.ASSISTANT, ToolCallPart(call_id, "f", "{}")), said(Role.TOOL, ToolResultPart(call_id, ())))
    called, result = messages(*history, vendor="mistral")
    assert called["tool_calls"][0]["id"] == result["tool_call_id"] == short


def test_an_id_too_long_for_openai_is_shortened():
    assert upstream_id("a" * 40, FAMILY["openai"]) == "a" * 40
    assert len(upstream_id("a" * 41, FAMILY["openai"])) <= 40


def test_a_trailing_assistant_is_a_prefix_to_mistral():
    history = (HELLO, said(Role.ASSISTANT, "Sal"))
    assert messages(*history, vendor="mistral")[-1] == {"role": "assistant", "content": "Sal", "prefix": True}
    assert messages(*history, HELLO, vendor="mistral")[1] == {"role": "assistant", "content": "Sal"}
    assert messages(*history)[-1] == {"role": "assistant", "content": "Sal"}


THOUGHT = ReasoningPart("Hm.", signature="sig", origin="anthropic")


@pytest.mark.parametrize(
    ("vendor", "expected"),
    [
        ("openai", {"content": "Yes."}),
        ("groq", {"content": "Yes."}),
        ("llamacpp", {"content": "Yes.", "reasoning_content": "Hm."}),
        ("vllm", {"content": "Yes.", "reasoning": "Hm.", "reasoning_content": "Hm."}),
        ("deepseek", {"content": "Yes."}),  # a new turn has begun
        (
            "mistral",
            {
                "content": [
                    {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]},
                    {"type": "text", "text": "Yes."},
                ]
            },
        ),
        (
            "openrouter",
            {
                "content": "Yes.",
                "reasoning_details": [
                    {
                        "type": "reasoning.text",
                        "text": "Hm.",
                        "signature": "sig",
                        "format": "anthropic-claude-v1",
                        "index": 0,
                    }
                ],
            },
        ),
    ],
)
def test_thoughts_go_back_as_each_vendor_takes_them(vendor: str, expected: dict[str, Any]):
    history = (HELLO, said(Role.ASSISTANT, THOUGHT, "Yes."), HELLO)
    assert messages(*history, vendor=vendor)[1] == {"role": "assistant", **expected}


def test_deepseek_gets_its_thoughts_back_within_a_loop_of_tools():
    history = (HELLO, said(Role.ASSISTANT, ReasoningPart("Hm."), ToolCallPart("a", "now", "{}")))
    sent = messages(*history, said(Role.TOOL, ToolResultPart("a", (TextPart("noon"),))), vendor="deepseek")
    assert sent[1]["reasoning_content"] == "Hm."


def test_openrouter_gets_sealed_thoughts_back():
    sealed = ReasoningPart("in short", data="xyz", origin="openai", id="rs_1")
    sent = messages(HELLO, said(Role.ASSISTANT, sealed, "Yes."), vendor="openrouter")[1]["reasoning_details"]
    known = {"format": "openai-responses-v1", "id": "rs_1"}
    assert sent == [
        {"type": "reasoning.summary", "summary": "in short", **known, "index": 0},
        {"type": "reasoning.encrypted", "data": "xyz", **known, "index": 0},
    ]


def test_a_signature_on_a_call_goes_where_gemini_may_be():
    call = said(Role.ASSISTANT, ToolCallPart("a", "now", "{}", signature="sig"))
    assert "extra_content" not in messages(call)[0]["tool_calls"][0]
    extra = messages(call, vendor="openai-compatible")[0]["tool_calls"][0]["extra_content"]
    assert extra == {"google": {"thought_signature": "sig"}}


def test_cache_marks_go_to_openrouter_alone():
    marked = said(Role.USER, TextPart("long", cache=CacheMark("1h")))
    assert messages(marked)[0]["content"] == "long"
    assert messages(marked, vendor="openrouter")[0]["content"] == [
        {"type": "text", "text": "long", "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    ]


# -- tools and settings --------------------------------------------------------------------------------------------


def test_tools_are_told_word_for_word_and_one_without_parameters_takes_an_empty_object():
    schema = json.loads(bytes(WEATHER.parameters or b""))
    weather = {"name": "weather", "description": "Tells it.", "parameters": schema, "strict": True}
    now = {"name": "now", "parameters": {"type": "object", "properties": {}}}
    sent = body(replace(ASKED, parallel_tool_calls=False))
    assert sent["tools"] == [{"type": "function", "function": weather}, {"type": "function", "function": now}]
    assert sent["parallel_tool_calls"] is False
    assert "tool_choice" not in sent


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (ToolChoice(ToolMode.AUTO), "auto"),
        (ToolChoice(ToolMode.REQUIRED), "required"),
        (ToolChoice(ToolMode.NONE), "none"),
        (ToolChoice(ToolMode.NAMED, "now"), {"type": "function", "function": {"name": "now"}}),
    ],
)
def test_a_choice_of_tools_has_four_forms(choice: ToolChoice, expected: Any):
    for vendor in ("openai", "mistral", "vllm"):
        assert body(replace(ASKED, tool_choice=choice), vendor)["tool_choice"] == expected


def test_who_knows_no_list_of_allowed_tools_is_offered_no_others():
    choice = ToolChoice(ToolMode.REQUIRED, allowed=("now",))
    named = [{"type": "function", "function": {"name": "now"}}]
    allowed = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": named}}
    assert body(replace(ASKED, tool_choice=choice))["tool_choice"] == allowed
    sent = body(replace(ASKED, tool_choice=choice), "groq")
    assert sent["tool_choice"] == "required"
    assert [tool["function"]["name"] for tool in sent["tools"]] == ["now"]


def test_a_schema_of_the_reply_is_told_or_refused():
    schema = SchemaFormat(Raw(b'{"type":"object"}'), "city", "A city.", strict=True)
    told = {"name": "city", "description": "A city.", "schema": {"type": "object"}, "strict": True}
    request = ChatRequest("m", (HELLO,), reply_format=schema)
    assert body(request)["response_format"] == {"type": "json_schema", "json_schema": told}
    assert refusal(request, "deepseek").param == "response_format"
    plain = replace(request, reply_format=JsonFormat())
    assert body(plain, "deepseek")["response_format"] == {"type": "json_object"}


@pytest.mark.parametrize(
    ("vendor", "reasoning", "expected"),
    [
        ("openai", Reasoning(effort=Effort.MAX), {"reasoning_effort": "xhigh"}),
        ("openai", Reasoning(budget_tokens=4096), {"reasoning_effort": "medium"}),
        ("openai", Reasoning(enabled=True), {}),
        ("openai", Reasoning(enabled=False), {"reasoning_effort": "none"}),
        ("mistral", Reasoning(effort=Effort.LOW), {"reasoning_effort": "high"}),
        ("groq", Reasoning(effort=Effort.XHIGH), {"reasoning_effort": "high"}),
        ("deepseek", Reasoning(effort=Effort.NONE), {"thinking": {"type": "disabled"}}),
        ("deepseek", Reasoning(enabled=True), {"thinking": {"type": "enabled"}}),
        ("deepseek", Reasoning(effort=Effort.MAX), {"thinking": {"type": "enabled"}, "reasoning_effort": "max"}),
        ("llamacpp", Reasoning(effort=Effort.HIGH), {"chat_template_kwargs": {"enable_thinking": True}}),
        ("vllm", Reasoning(budget_tokens=0), {"chat_template_kwargs": {"enable_thinking": False}}),
        ("openrouter", Reasoning(effort=Effort.HIGH, budget_tokens=9), {"reasoning": {"effort": "high"}}),
        ("openrouter", Reasoning(budget_tokens=9000), {"reasoning": {"max_tokens": 9000}}),
        ("openrouter", Reasoning(enabled=True), {"reasoning": {"enabled": True}}),
        ("synapse", Reasoning(effort=Effort.HIGH), {}),
    ],
)
def test_each_vendor_is_told_how_to_think_in_its_own_way(vendor: str, reasoning: Reasoning, expected: dict[str, Any]):
    sent = body(ChatRequest("m", (HELLO,), reasoning=reasoning), vendor)
    assert {name: value for name, value in sent.items() if name not in ("model", "messages")} == expected


SAMPLING = Sampling(0.5, 0.9, 40, 0.1, 7, ("\n",), 0.2, 0.3, 64)
COMMON = {"temperature": 0.5, "top_p": 0.9, "presence_penalty": 0.2, "frequency_penalty": 0.3, "stop": ["\n"]}


@pytest.mark.parametrize(
    ("vendor", "own"),
    [
        ("openai", {"max_completion_tokens": 64, "seed": 7, "user": "u"}),
        ("groq", {"max_tokens": 64, "seed": 7, "user": "u"}),
        ("mistral", {"max_tokens": 64, "random_seed": 7}),
        ("deepseek", {"max_tokens": 64}),
        ("vllm", {"max_tokens": 64, "seed": 7, "user": "u", "top_k": 40, "min_p": 0.1}),
    ],
)
def test_sampling_goes_under_the_vendors_names(vendor: str, own: dict[str, Any]):
    sent = body(ChatRequest("m", (HELLO,), sampling=SAMPLING, user="u"), vendor)
    assert {name: value for name, value in sent.items() if name not in ("model", "messages")} == {**COMMON, **own}


def test_usage_of_a_stream_is_asked_for_where_that_is_understood():
    request = ChatRequest("m", (HELLO,), stream=True)
    assert body(request)["stream_options"] == {"include_usage": True}
    assert body(request, "mistral")["stream"] is True
    assert "stream_options" not in body(request, "mistral")


def test_what_openai_alone_knows_is_told_to_it():
    extension = OpenAIExtension(service_tier="flex", logit_bias={"5": -100})
    sent = body(ChatRequest("m", (HELLO,), extensions=(extension,)))
    assert (sent["service_tier"], sent["logit_bias"]) == ("flex", {"5": -100})


@pytest.mark.parametrize(
    ("vendor", "change", "param", "word"),
    [
        ("openai", {"sampling": Sampling(n=2)}, "n", "choice"),
        ("openai", {"sampling": Sampling(logprobs=True)}, "logprobs", "logprobs"),
        ("deepseek", {"messages": (said(Role.USER, PNG),)}, "messages", "`vision`"),
        ("groq", {"messages": (said(Role.USER, AudioPart("A", "wav")),)}, "messages", "`audio_input`"),
        ("llamacpp", {"messages": (said(Role.USER, PDF),)}, "messages", "`files`"),
        ("openai", {"messages": (said(Role.USER, FilePart(UrlSource("https://h/a.pdf"))),)}, "messages", "URL"),
        ("openai", {"messages": (said(Role.USER, ImagePart(FileSource("f"))),)}, "messages", "another provider"),
        ("openai", {"messages": (said(Role.USER, OpaquePart("anthropic", "x", Raw(b"{}"))),)}, "messages", "`x`"),
        ("synapse", {"tools": (NOW,)}, "tools", "`tools`"),
        ("synapse", {"messages": (said(Role.USER, PNG),)}, "messages", "`vision`"),
        ("synapse", {"messages": (said(Role.ASSISTANT, ToolCallPart("a", "f", "{}")),)}, "messages", "`tools`"),
        ("synapse", {"reply_format": JsonFormat()}, "response_format", "`structured_output`"),
        ("synapse", {"sampling": Sampling(stop=("\n",))}, "stop", "`stop`"),
        ("synapse", {"extensions": (OpenAIExtension(logit_bias={"5": 1}),)}, "logit_bias", "`logit_bias`"),
    ],
)
def test_what_a_vendor_cannot_do_is_refused_by_name(vendor: str, change: dict[str, Any], param: str, word: str):
    error = refusal(replace(ChatRequest("m", (HELLO,)), **change), vendor)
    assert error.param == param
    assert word in str(error)


def test_synapse_gets_strings_and_the_few_fields_it_knows():
    request = ChatRequest(
        "m",
        (said(Role.SYSTEM, "be", "kind"), Message(Role.USER, (TextPart("hi"),), name="x")),
        sampling=Sampling(0.5, seed=1),
    )
    assert body(replace(request, stream=True, user="u"), "synapse") == {
        "model": "ours",
        "messages": [{"role": "system", "content": "be\n\nkind"}, {"role": "user", "content": "hi"}],
        "temperature": 0.5,
        "stream": True,
    }


def test_embeddings_are_asked_for_one_by_one_or_in_a_batch():
    def sent(request: EmbeddingRequest, vendor: str = "openai") -> Any:
        outgoing = OpenAIUpstream(FAMILY[vendor]).encode_embeddings(request, model="ours")
        assert outgoing.path == "/v1/embeddings"
        return json.loads(outgoing.body)

    assert sent(EmbeddingRequest("m", ("a",), user="u")) == {"model": "ours", "input": "a", "user": "u"}
    assert sent(EmbeddingRequest("m", ("a", (1, 2)), 5)) == {"model": "ours", "input": ["a", [1, 2]], "dimensions": 5}
    assert sent(EmbeddingRequest("m", ("a",), 5), "mistral") == {"model": "ours", "input": "a", "output_dimension": 5}
    with pytest.raises(InvalidRequest):
        sent(EmbeddingRequest("m", ("a",)), "deepseek")
