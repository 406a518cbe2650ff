"""Ollama as we serve it: what a client's body means, and what it is answered."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import Raw

from hoosh.dialects.contract import ErrorFacts, Stamp
from hoosh.dialects.ollama import ModelOptions, OllamaDownstream, OllamaExtension
from hoosh.dialects.signatures import sign_id
from hoosh.errors import InvalidRequest
from hoosh.values import (
    CallKind,
    CallSaid,
    ChatReply,
    ChatRequest,
    DataSource,
    Effort,
    EmbeddingRequest,
    Embeddings,
    Finished,
    FinishReason,
    ImagePart,
    JsonFormat,
    MediaOutput,
    Message,
    Reasoning,
    ReasoningDelta,
    ReasoningPart,
    ReasoningSealed,
    RefusalDelta,
    ReplyEvent,
    ReplyStarted,
    Role,
    Sampling,
    SchemaFormat,
    TextDelta,
    TextPart,
    TextSaid,
    Tool,
    ToolCallDelta,
    ToolCallPart,
    ToolCallStarted,
    ToolResultPart,
    Usage,
    UsageReported,
)

OLLAMA = OllamaDownstream(now=lambda: 60.0)
STAMP = Stamp("1", "stamp's", 1_700_000_000)
FACTS = ErrorFacts(429, "Not now.", "requests")
USER = {"role": "user", "content": "hi"}
SIGHT = "R0lGODlhAQABAAAAACw="


def read(kind: CallKind = CallKind.CHAT, **fields: Any) -> Any:
    return OLLAMA.read(kind, json.dumps({"model": "m:latest", **fields}).encode())


def chat(**fields: Any) -> ChatRequest:
    return OLLAMA.chat_request(read(messages=[USER], **fields))


def generate(**fields: Any) -> ChatRequest:
    return OLLAMA.chat_request(read(CallKind.COMPLETION, prompt="hi", **fields))


def messages(*told: dict[str, Any]) -> tuple[Message, ...]:
    return OLLAMA.chat_request(read(messages=list(told))).messages


# -- requests ----------------------------------------------------------------------------------------------------


def test_a_stream_is_what_a_client_gets_that_does_not_ask():
    assert [read(messages=[USER], **said).stream for said in ({}, {"stream": None}, {"stream": False})] == [
        True,
        True,
        False,
    ]
    assert read(CallKind.EMBEDDING, input="a").stream is False


def test_a_call_keeps_its_fields_and_loses_ours():
    call = read(messages=[USER], pool="p", provider="q", unknown={"a": 1})
    assert (call.model, call.language, call.pool, call.provider) == ("m:latest", "ollama", "p", "q")
    assert list(call.fields) == ["model", "messages", "unknown"]


@pytest.mark.parametrize(("asked", "limit"), [(None, None), (-1, None), (-2, None), (0, None), (50, 50), (50.0, 50)])
def test_the_limit_of_a_reply(asked: object, limit: int | None):
    call = read(messages=[USER], options={"num_predict": asked, "seed": 1})
    assert call.max_tokens == limit
    assert OLLAMA.chat_request(call).sampling.max_tokens == limit
    limited = OLLAMA.limit_tokens(call, 40)
    assert (limited.max_tokens, json.loads(bytes(limited.fields["options"]))) == (40, {"num_predict": 40, "seed": 1})
    assert OLLAMA.limit_tokens(limited, 60) is limited
    assert OLLAMA.chat_request(OLLAMA.limit_tokens(read(messages=[USER]), 9)).sampling.max_tokens == 9


def test_options_are_sampling_and_what_only_ollama_has():
    request = chat(
        options={"temperature": 0, "top_k": 40.0, "stop": "x", "num_ctx": 8192, "num_predict": -2}, keep_alive=5
    )
    assert request.sampling == Sampling(temperature=0.0, top_k=40, stop=("x",))
    assert request.extensions == (OllamaExtension(5, ModelOptions(num_ctx=8192, num_predict=-2)),)
    assert chat(options={"stop": ["a", "b"], "unheard_of": 1}).sampling.stop == ("a", "b")
    assert chat(format="", tools=[], options={}, keep_alive=None) == chat()


@pytest.mark.parametrize(
    ("think", "reasoning"),
    [
        (None, None),
        (True, Reasoning(enabled=True, summary="auto")),
        (False, Reasoning(enabled=False)),
        ("low", Reasoning(Effort.LOW, enabled=True, summary="auto")),
        ("max", Reasoning(Effort.MAX, enabled=True, summary="auto")),
    ],
)
def test_thinking(think: object, reasoning: Reasoning | None):
    assert chat(think=think).reasoning == generate(think=think).reasoning == reasoning


def test_formats_and_tools():
    assert chat(format="json").reply_format == JsonFormat()
    assert chat(format={"type": "object"}).reply_format == SchemaFormat(Raw(b'{"type": "object"}'))
    tools = [
        {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}},
        {"type": "function", "function": {"name": "g"}},
    ]
    assert chat(tools=tools).tools == (Tool("f", "d", Raw(b'{"type": "object"}')), Tool("g"))


def test_images_are_seen_for_what_they_are():
    told = messages(
        {"role": "user", "content": "look", "images": [SIGHT, "data:image/png;base64,iVBORw0KGgo=", "AAAA"]}
    )
    kinds = [("image/gif", SIGHT), ("image/png", "iVBORw0KGgo="), ("", "AAAA")]
    assert told[0].parts == (TextPart("look"), *(ImagePart(DataSource(*kind)) for kind in kinds))


def test_a_conversation_with_ids():
    signed = sign_id("c2", "gemini's")
    told = messages(
        {"role": "system", "content": "be kind"},
        {
            "role": "assistant",
            "content": "",
            "thinking": "hm",
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"index": 0, "name": "f", "arguments": {"x": 1.0}}},
                {"id": signed, "function": {"name": "f", "arguments": '{"x":2}'}},
            ],
        },
        {"role": "tool", "content": "two", "tool_call_id": signed},
        {"role": "tool", "content": "one", "tool_name": "f", "tool_call_id": "c1"},
    )
    assert told == (
        Message(Role.SYSTEM, (TextPart("be kind"),)),
        Message(
            Role.ASSISTANT,
            (
                ReasoningPart("hm"),
                ToolCallPart("c1", "f", '{"x": 1.0}'),
                ToolCallPart("c2", "f", '{"x":2}', signature="gemini's"),
            ),
        ),
        Message(Role.TOOL, (ToolResultPart("c2", (TextPart("two"),), "f"),)),
        Message(Role.TOOL, (ToolResultPart("c1", (TextPart("one"),), "f"),)),
    )


def test_calls_and_results_without_ids_find_each_other():
    calls = [{"function": {"name": name, "arguments": {}}} for name in ("f", "g", "f")]
    results: list[dict[str, Any]] = [{"tool_name": "g"}, {"tool_name": "f"}, {}, {"tool_name": "never"}, {}]
    told = messages(
        {"role": "assistant", "tool_calls": calls}, *({"role": "tool", "content": "", **result} for result in results)
    )
    ids = [part.id for part in told[0].parts if isinstance(part, ToolCallPart)]
    assert ids == ["call_1", "call_2", "call_3"]
    answered = [
        (part.call_id, part.name) for message in told[1:] for part in message.parts if isinstance(part, ToolResultPart)
    ]
    assert answered == [("call_2", "g"), ("call_1", "f"), ("call_3", "f"), ("call_4", "never"), ("call_5", "")]


def test_a_prompt_is_a_conversation():
    request = generate(system="be kind", images=["AAAA"], context=[], raw=False, template="", suffix="")
    assert request.messages == (
        Message(Role.SYSTEM, (TextPart("be kind"),)),
        Message(Role.USER, (TextPart("hi"), ImagePart(DataSource("", "AAAA")))),
    )
    assert request.extensions == ()


@pytest.mark.parametrize("field", [{"suffix": "x"}, {"template": "{{}}"}, {"raw": True}, {"context": [1, 2]}])
def test_a_prompt_shaped_by_hand_demands_an_ollama(field: dict[str, Any]):
    (extension,) = generate(**field).extensions
    assert (extension.home, extension.demands) == ("ollama", tuple(field))


def test_embeddings_of_both_routes():
    def asked(**fields: Any) -> EmbeddingRequest:
        return OLLAMA.embedding_request(read(CallKind.EMBEDDING, **fields))

    assert asked(input="a") == asked(prompt="a") == EmbeddingRequest("m:latest", ("a",))
    assert asked(input=["a", "b"], dimensions=64) == EmbeddingRequest("m:latest", ("a", "b"), 64)


@pytest.mark.parametrize(
    ("kind", "fields", "param"),
    [
        (CallKind.CHAT, {"messages": "x"}, "messages"),
        (CallKind.CHAT, {"messages": [{"role": "emperor"}]}, "messages"),
        (CallKind.CHAT, {"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages"),
        (CallKind.CHAT, {"messages": [{"role": "user", "images": ["https://a/b.png"]}]}, "messages"),
        (CallKind.CHAT, {"messages": [{"role": "user", "images": ["AAA"]}]}, "messages"),
        (CallKind.CHAT, {"messages": [USER], "stream": "yes"}, "stream"),
        (CallKind.CHAT, {"messages": [USER], "options": []}, "options"),
        (CallKind.CHAT, {"messages": [USER], "options": {"num_predict": "many"}}, "options"),
        (CallKind.CHAT, {"messages": [USER], "options": {"seed": 0.5}}, "options"),
        (CallKind.CHAT, {"messages": [USER], "format": "xml"}, "format"),
        (CallKind.CHAT, {"messages": [USER], "think": "deeply"}, "think"),
        (CallKind.CHAT, {"messages": [USER], "tools": [{}]}, "tools"),
        (CallKind.COMPLETION, {"prompt": 7}, "prompt"),
        (CallKind.EMBEDDING, {"input": [1, 2]}, "input"),
    ],
)
def test_mistakes_are_named(kind: CallKind, fields: dict[str, Any], param: str):
    def understand() -> object:
        call = read(kind, **fields)
        return OLLAMA.embedding_request(call) if kind is CallKind.EMBEDDING else OLLAMA.chat_request(call)

    with pytest.raises(InvalidRequest) as caught:
        understand()
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("kind", "fields", "answer"),
    [
        (CallKind.CHAT, {}, {"message": {"role": "assistant", "content": ""}, "done_reason": "load"}),
        (
            CallKind.CHAT,
            {"messages": [], "keep_alive": 0},
            {"message": {"role": "assistant", "content": ""}, "done_reason": "unload"},
        ),
        (CallKind.COMPLETION, {"prompt": "", "keep_alive": "0s"}, {"response": "", "done_reason": "unload"}),
        (CallKind.COMPLETION, {"images": [], "keep_alive": "10m"}, {"response": "", "done_reason": "load"}),
    ],
)
def test_who_asks_nothing_is_told_at_once_that_the_model_is_there(kind: CallKind, fields: Any, answer: Any):
    told = OLLAMA.immediate(read(kind, **fields))
    assert told is not None
    assert json.loads(told) == {"model": "m:latest", "created_at": "1970-01-01T00:01:00Z", "done": True, **answer}


def test_who_asks_something_is_not_answered_at_once():
    assert OLLAMA.immediate(read(messages=[USER])) is None
    assert OLLAMA.immediate(read(CallKind.COMPLETION, prompt=" ")) is None
    assert OLLAMA.immediate(read(CallKind.EMBEDDING, input="a")) is None
    assert OLLAMA.immediate(read(CallKind.EMBEDDING, prompt="")) == b'{"embedding":[]}'
    assert json.loads(OLLAMA.immediate(read(CallKind.EMBEDDING, input=[])) or b"") == {
        "model": "m:latest",
        "embeddings": [],
    }


# -- replies -----------------------------------------------------------------------------------------------------

EVENTS: list[ReplyEvent] = [
    ReplyStarted("id", "m"),
    ReasoningDelta("hm"),
    ReasoningSealed("anthropic", "signature"),
    TextDelta("é\n<"),
    ToolCallStarted(0, "a", "f"),
    ToolCallStarted(1, "b", "g", "sig"),
    ToolCallDelta(1, '{"y":'),
    ToolCallDelta(0, '{"x":\n1.0}'),
    ToolCallDelta(1, "2}"),
    UsageReported(Usage(3, 2)),
    Finished(FinishReason.TOOL_CALLS),
]
DURATIONS = dict.fromkeys(("total_duration", "load_duration", "prompt_eval_duration", "eval_duration"), 0)


def stream(events: list[ReplyEvent], kind: CallKind = CallKind.CHAT) -> list[dict[str, Any]]:
    encoder = OLLAMA.chat_encoder(read(kind), STAMP)
    wire = b"".join([encoder.encode([event]) for event in events]) + encoder.finish()
    lines = wire.decode().split("\n")
    assert lines.pop() == ""
    assert encoder.chunks == len(lines) - 1
    parsed = [json.loads(line) for line in lines]
    assert {line.pop("created_at") for line in parsed} == {"2023-11-14T22:13:20Z"}
    assert all(line.pop("done") is (number == len(parsed)) for number, line in enumerate(parsed, 1))
    return parsed


def call_line(index: int, call_id: str, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    return {"id": call_id, "function": {"index": index, "name": name, "arguments": arguments}}


def test_a_stream_is_a_line_for_each_delta_and_for_each_whole_call():
    def line(**said: Any) -> dict[str, Any]:
        return {"model": "m", "message": {"role": "assistant", "content": "", **said}}

    assert stream(EVENTS) == [
        line(thinking="hm"),
        line(content="é\n<"),
        line(tool_calls=[call_line(0, "a", "f", {"x": 1.0})]),
        line(tool_calls=[call_line(1, sign_id("b", "sig"), "g", {"y": 2})]),
        {**line(), "done_reason": "stop", **DURATIONS, "prompt_eval_count": 3, "eval_count": 2},
    ]


def test_what_was_cached_is_told_where_it_is_known():
    finished = Finished(FinishReason.STOP)
    (end,) = stream([ReplyStarted(), UsageReported(Usage(5, 2, cached_tokens=4)), finished])
    assert (end["prompt_eval_count"], end["prompt_eval_cached_count"], end["eval_count"]) == (5, 4, 2)


def test_a_stream_of_generate_says_response():
    events: list[ReplyEvent] = [ReplyStarted(), ReasoningDelta("hm"), RefusalDelta("no"), Finished(FinishReason.LENGTH)]
    assert stream(events, CallKind.COMPLETION) == [
        {"model": "stamp's", "response": "", "thinking": "hm"},
        {"model": "stamp's", "response": "no"},
        {"model": "stamp's", "response": "", "done_reason": "length", **DURATIONS},
    ]


@pytest.mark.parametrize(
    ("reason", "word"),
    [("stop", "stop"), ("tool_calls", "stop"), ("length", "length"), ("content_filter", "content_filter")],
)
def test_reasons(reason: str, word: str):
    assert stream([Finished(FinishReason(reason))])[-1]["done_reason"] == word


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("", {}),
        ("{}", {}),
        ("null", {}),
        ('{"a": "\\u003c"}', {"a": "<"}),
        ('{"a": tr', None),
        ("[1]", None),
        ("x", None),
    ],
)
def test_a_call_that_is_no_json_object_is_told_as_text(arguments: str, told: dict[str, Any] | None):
    first, *_ = stream([ToolCallStarted(0, "c", "f"), ToolCallDelta(0, arguments), Finished(FinishReason.STOP)])
    message = first["message"]
    if told is None:
        assert message == {"role": "assistant", "content": '{"name": "f", "arguments": ' + arguments + "}"}
    else:
        assert message["tool_calls"] == [call_line(0, "c", "f", told)]


def test_a_call_that_the_limit_has_cut_before_its_arguments_is_told_as_text():
    first, *_ = stream([ToolCallStarted(0, "c", "f"), Finished(FinishReason.LENGTH)])
    assert first["message"] == {"role": "assistant", "content": '{"name": "f", "arguments": {}'}


def test_half_a_surrogate_pair_does_not_end_a_stream():
    events: list[ReplyEvent] = [
        TextDelta("\ud800"),
        ToolCallStarted(0, "c", "\ud800"),
        ToolCallDelta(0, '{"a":"\ud800"}'),
    ]
    assert [line["message"]["content"] for line in stream(events)] == ["�", "", ""]


def test_a_whole_reply():
    reply = ChatReply(
        (
            TextSaid("a"),
            TextSaid("b"),
            CallSaid("c", "f", '{"x":1}'),
            MediaOutput("image/png", "AAAA"),
            MediaOutput("audio/wav", "A"),
        ),
        Finished(FinishReason.TOOL_CALLS),
        Usage(3, 2),
        model="m",
    )
    body = json.loads(OLLAMA.encode_reply(read(), reply, STAMP))
    assert body["message"] == {
        "role": "assistant",
        "content": "ab",
        "images": ["AAAA"],
        "tool_calls": [call_line(0, "c", "f", {"x": 1})],
    }
    assert (body["done"], body["done_reason"], body["eval_count"]) == (True, "stop", 2)
    assert json.loads(OLLAMA.encode_reply(read(CallKind.COMPLETION), reply, STAMP))["response"] == "ab"


def test_embeddings_are_answered_in_the_form_of_their_route():
    embeddings = Embeddings(((1.0, 2.5), (3.0, 4.0)), "", Usage(9))
    answer = json.loads(OLLAMA.encode_embeddings(read(CallKind.EMBEDDING, input=["a", "b"]), embeddings, STAMP))
    assert (answer["model"], answer["embeddings"], answer["prompt_eval_count"]) == (
        "stamp's",
        [[1.0, 2.5], [3.0, 4.0]],
        9,
    )
    assert (
        OLLAMA.encode_embeddings(read(CallKind.EMBEDDING, prompt="a"), embeddings, STAMP) == b'{"embedding":[1.0,2.5]}'
    )


def test_what_keeps_a_stream_alive_is_an_empty_delta():
    said = json.loads(OLLAMA.keep_alive(read()))
    assert (said["message"]["content"], said["done"]) == ("", False)
    assert json.loads(OLLAMA.keep_alive(read(CallKind.COMPLETION)))["response"] == ""
    assert OLLAMA.keep_alive(read()).count(b"\n") == 1


def test_errors_are_one_text():
    assert OLLAMA.error_status(FACTS) == 429
    assert OLLAMA.error_body(FACTS) == b'{"error":"Not now."}'
    assert OLLAMA.error_event(FACTS) == b'{"error":"Not now."}\n'
