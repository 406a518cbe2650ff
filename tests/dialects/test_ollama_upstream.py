"""Ollama as an upstream: what is sent to it, and what is made of its answers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import Raw

from hoosh.codec.sse import EventTooLarge
from hoosh.dialects.contract import Ending, Stamp
from hoosh.dialects.ollama import ModelOptions, OllamaExtension, OllamaUpstream
from hoosh.dialects.replies import fold
from hoosh.errors import InvalidRequest, UpstreamBroke, UpstreamError
from hoosh.values import (
    AUTO,
    AudioPart,
    ChatReply,
    ChatRequest,
    DataSource,
    Effort,
    EmbeddingRequest,
    FilePart,
    Finished,
    FinishReason,
    ImagePart,
    JsonFormat,
    MediaOutput,
    Message,
    Reasoning,
    ReasoningDelta,
    ReasoningPart,
    ReplyEvent,
    ReplyStarted,
    Role,
    Sampling,
    SchemaFormat,
    TextDelta,
    TextPart,
    Tool,
    ToolCallDelta,
    ToolCallPart,
    ToolCallStarted,
    ToolChoice,
    ToolMode,
    ToolResultPart,
    UrlSource,
    Usage,
    UsageReported,
)

UPSTREAM = OllamaUpstream(now=lambda: 0.0)
PNG = DataSource("image/png", "iVBORw0KGgo=")
HELLO = Message(Role.USER, (TextPart("hello"),))
ADD = Tool("add", "Adds", Raw(b'{"type":"object","properties":{"x":{"type":"number"}}}'))
STAMP = Stamp("1", "m", 0)


def ask(*messages: Message, **settings: Any) -> dict[str, Any]:
    outgoing = UPSTREAM.encode_chat(ChatRequest("client's word", messages or (HELLO,), **settings), model="qwen3")
    assert (outgoing.method, outgoing.path) == ("POST", "/api/chat")
    body: dict[str, Any] = json.loads(outgoing.body)
    return body


# -- requests ----------------------------------------------------------------------------------------------------


def test_a_plain_request_says_no_more_than_was_asked():
    assert ask() == {"model": "qwen3", "messages": [{"role": "user", "content": "hello"}], "stream": False}
    assert ask(stream=True)["stream"] is True


def test_sampling_goes_into_options_and_only_what_was_set():
    sampling = Sampling(0.0, 0.9, 40, 0.05, 7, ("a", "", "b"), 0.1, 0.2, 100)
    assert ask(sampling=sampling)["options"] == {
        "temperature": 0.0,
        "top_p": 0.9,
        "top_k": 40,
        "min_p": 0.05,
        "seed": 7,
        "stop": ["a", "b"],
        "presence_penalty": 0.1,
        "frequency_penalty": 0.2,
        "num_predict": 100,
    }


def test_an_ollama_clients_own_settings_come_along():
    extension = OllamaExtension("5m", ModelOptions(num_ctx=8192, repeat_penalty=1.1, num_predict=-1), shift=False)
    body = ask(extensions=(extension,), sampling=Sampling(seed=1))
    assert body["options"] == {"num_ctx": 8192, "repeat_penalty": 1.1, "num_predict": -1, "seed": 1}
    assert (body["keep_alive"], body["shift"]) == ("5m", False)


@pytest.mark.parametrize(
    ("reasoning", "think"),
    [
        (Reasoning(), None),
        (Reasoning(Effort.NONE), False),
        (Reasoning(Effort.MINIMAL), "low"),
        (Reasoning(Effort.MEDIUM), "medium"),
        (Reasoning(Effort.XHIGH), "high"),
        (Reasoning(Effort.MAX), "max"),
        (Reasoning(Effort.HIGH, enabled=True), "high"),
        (Reasoning(Effort.HIGH, enabled=False), False),
        (Reasoning(enabled=True), True),
        (Reasoning(budget_tokens=2000), True),
        (Reasoning(budget_tokens=0), False),
        (Reasoning(summary="auto"), None),
    ],
)
def test_thinking_is_a_level_a_switch_or_unsaid(reasoning: Reasoning, think: object):
    assert ask(reasoning=reasoning).get("think") == think


def test_formats():
    assert ask(reply_format=JsonFormat())["format"] == "json"
    assert ask(reply_format=SchemaFormat(Raw(b'{"type":"object"}')))["format"] == {"type": "object"}


def test_a_developer_is_a_system_and_texts_and_images_of_a_message_stand_side_by_side():
    body = ask(
        Message(Role.SYSTEM, (TextPart("a"), TextPart("b"))),
        Message(Role.DEVELOPER, (TextPart("c"),)),
        Message(Role.USER, (TextPart("look"), ImagePart(PNG))),
        Message(Role.USER, (ImagePart(PNG), TextPart("look"))),
        Message(Role.USER, ()),
    )
    side_by_side = {"role": "user", "content": "look", "images": [PNG.base64]}
    assert body["messages"] == [
        {"role": "system", "content": "a\n\nb"},
        {"role": "system", "content": "c"},
        side_by_side,
        side_by_side,
        {"role": "user", "content": ""},
    ]


def test_texts_and_images_that_take_turns_keep_their_order():
    one, two = ImagePart(PNG), ImagePart(DataSource("image/png", "AAAA"))
    body = ask(Message(Role.USER, (TextPart("a"), one, TextPart("b"), two)))
    assert [(m["content"], m["images"]) for m in body["messages"]] == [("a", [PNG.base64]), ("b", ["AAAA"])]
    body = ask(Message(Role.USER, (one, TextPart("a"), two)))
    assert [(m["content"], m["images"]) for m in body["messages"]] == [("a", [PNG.base64]), ("", ["AAAA"])]


def test_a_conversation_with_tools():
    calls = (
        ReasoningPart("I add", signature="s", origin="anthropic"),
        TextPart("adding"),
        ToolCallPart("c1", "add", '{"x": 1.0}', signature="gemini's"),
        ToolCallPart("c2", "now", ""),
    )
    results = tuple(ToolResultPart(call_id, (TextPart(text),)) for call_id, text in (("c1", "3"), ("c2", "noon")))
    body = ask(HELLO, Message(Role.ASSISTANT, calls), Message(Role.TOOL, results), tools=(ADD, Tool("now")))
    assert body["messages"][1:] == [
        {
            "role": "assistant",
            "content": "adding",
            "thinking": "I add",
            "tool_calls": [
                {"id": "c1", "function": {"index": 0, "name": "add", "arguments": {"x": 1.0}}},
                {"id": "c2", "function": {"index": 1, "name": "now", "arguments": {}}},
            ],
        },
        {"role": "tool", "content": "3", "tool_name": "add", "tool_call_id": "c1"},
        {"role": "tool", "content": "noon", "tool_name": "now", "tool_call_id": "c2"},
    ]
    assert body["tools"] == [
        {
            "type": "function",
            "function": {"name": "add", "description": "Adds", "parameters": json.loads(bytes(ADD.parameters or b""))},
        },
        {"type": "function", "function": {"name": "now", "parameters": {"type": "object", "properties": {}}}},
    ]


@pytest.mark.parametrize(
    ("choice", "names"),
    [
        (None, ["add", "now"]),
        (AUTO, ["add", "now"]),
        (ToolChoice(ToolMode.NONE), []),
        (ToolChoice(ToolMode.AUTO, allowed=("now",)), ["now"]),
    ],
)
def test_a_choice_of_tools_is_made_by_sending_only_those(choice: ToolChoice | None, names: list[str]):
    sent = ask(tools=(ADD, Tool("now")), tool_choice=choice).get("tools", [])
    assert [tool["function"]["name"] for tool in sent] == names


@pytest.mark.parametrize(
    ("settings", "param"),
    [
        ({"sampling": Sampling(n=2)}, "n"),
        ({"sampling": Sampling(logprobs=True)}, "logprobs"),
        ({"tools": (ADD,), "tool_choice": ToolChoice(ToolMode.REQUIRED)}, "tool_choice"),
        ({"tools": (ADD,), "tool_choice": ToolChoice(ToolMode.NAMED, "add")}, "tool_choice"),
        ({"extensions": (OllamaExtension(only_here=("suffix",)),)}, "suffix"),
    ],
)
def test_what_ollama_would_ignore_is_refused(settings: dict[str, Any], param: str):
    with pytest.raises(InvalidRequest) as caught:
        ask(**settings)
    assert (caught.value.param, caught.value.code) == (param, "unsupported_parameter")


@pytest.mark.parametrize(
    "part",
    [
        ImagePart(UrlSource("https://example.org/a.png")),
        AudioPart("AAAA", "wav"),
        FilePart(DataSource("application/pdf", "AAAA")),
    ],
)
def test_content_that_ollama_does_not_take_is_refused(part: Any):
    with pytest.raises(InvalidRequest) as caught:
        ask(Message(Role.USER, (part,)))
    assert caught.value.param == "messages"


@pytest.mark.parametrize("arguments", ['{"x": ', "[1]", '"x"', "nonsense"])
def test_a_broken_call_in_the_history_is_refused(arguments: str):
    with pytest.raises(InvalidRequest, match="c9"):
        ask(Message(Role.ASSISTANT, (ToolCallPart("c9", "add", arguments),)))


def test_embeddings_are_asked_for_texts_and_refused_for_tokens():
    outgoing = UPSTREAM.encode_embeddings(EmbeddingRequest("x", ("a", "b"), 64), model="e")
    assert (outgoing.path, json.loads(outgoing.body)) == (
        "/api/embed",
        {"model": "e", "input": ["a", "b"], "dimensions": 64},
    )
    with pytest.raises(InvalidRequest) as caught:
        UPSTREAM.encode_embeddings(EmbeddingRequest("x", ("a", (1, 2))), model="e")
    assert caught.value.param == "input"


# -- replies -----------------------------------------------------------------------------------------------------


def line(message: object = None, **fields: object) -> bytes:
    body = {"model": "m", "message": message, "done": False, **fields}
    return json.dumps({name: value for name, value in body.items() if value is not None}).encode() + b"\n"


def said(**fields: object) -> dict[str, object]:
    return {"role": "assistant", "content": "", **fields}


END = line(said(), done=True, done_reason="stop", prompt_eval_count=3, eval_count=2)


def decode(wire: bytes) -> tuple[list[ReplyEvent], Ending, UpstreamError | None]:
    decoder = UPSTREAM.chat_decoder(provider="p")
    events = decoder.feed(wire)
    rest, ending = decoder.close()
    return events + rest, ending, decoder.error


def test_a_stream_of_everything():
    wire = (
        line(said(thinking="hm"))
        + line(said(content="a"))
        + line(said())
        + line(said(images=["iVBORw0KGgo="]))
        + line(said(tool_calls=[{"id": "c", "function": {"index": 5, "name": "f", "arguments": {"x": 1}}}]))
        + END
        + line(said(content="late"))
    )
    assert decode(wire) == (
        [
            ReplyStarted("", "m"),
            ReasoningDelta("hm"),
            TextDelta("a"),
            MediaOutput("image/png", "iVBORw0KGgo="),
            ToolCallStarted(0, "c", "f"),
            ToolCallDelta(0, '{"x": 1}'),
            UsageReported(Usage(3, 2)),
            Finished(FinishReason.TOOL_CALLS, "stop"),
        ],
        Ending.COMPLETE,
        None,
    )


@pytest.mark.parametrize(
    ("fields", "reason", "usage"),
    [
        ({"done_reason": "length", "eval_count": 5}, FinishReason.LENGTH, Usage(0, 5)),
        ({"done_reason": "load"}, FinishReason.STOP, None),
        ({"done_reason": "unload"}, FinishReason.STOP, None),
        ({}, FinishReason.STOP, None),
        (
            {"prompt_eval_count": 195, "prompt_eval_cached_count": 194, "eval_count": 2},
            FinishReason.STOP,
            Usage(195, 2, cached_tokens=194),
        ),
        (
            {"prompt_eval_count": 3, "prompt_eval_cached_count": 9},
            FinishReason.STOP,
            Usage(3, 0, cached_tokens=3),
        ),
        ({"done_reason": 7, "eval_count": "many", "prompt_eval_count": -1}, FinishReason.STOP, None),
        ({"done_reason": "new", "prompt_eval_count": 4.0, "eval_count": 1 << 99}, FinishReason.STOP, Usage(4, 0)),
    ],
)
def test_ends(fields: dict[str, object], reason: FinishReason, usage: Usage | None):
    events, ending, _ = decode(line(said(content="x"), done=True, **fields))
    finish = events[-1]
    assert isinstance(finish, Finished)
    assert (ending, finish.reason) == (Ending.COMPLETE, reason)
    assert [event.usage for event in events if isinstance(event, UsageReported)] == ([usage] if usage else [])


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({}, "{}"),
        (None, "{}"),
        ("", "{}"),
        ('{"x":1}', '{"x":1}'),
        ({"x": [1.0, "<"]}, '{"x": [1.0, "<"]}'),
        ('{"x":', '{"x":'),
    ],
)
def test_calls_of_old_servers_have_no_id_and_arguments_of_many_kinds(arguments: object, text: str):
    call = {"function": {"name": "f", "arguments": arguments}}
    events, *_ = decode(line(said(tool_calls=[call, call])) + END)
    first, second = fold(events).calls
    assert (first.name, first.arguments, second.arguments) == ("f", text, text)
    assert first.id != second.id
    assert all(call.id.startswith("call_") and len(call.id) == 29 for call in (first, second))
    assert fold(events).finish.reason is FinishReason.TOOL_CALLS


def test_an_error_line_ends_the_stream_and_nothing_after_it_counts():
    events, ending, error = decode(line(said(content="a")) + b'{"error":"the model broke"}\n' + END)
    assert (events[1:], ending, str(error)) == ([TextDelta("a")], Ending.FAILED, "the model broke")
    assert decode(b'{"error":{"message":"no","code":"c"}}\n')[0] == []


@pytest.mark.parametrize(
    "wrong",
    [
        b"nonsense\n",
        b"[1]\n",
        b"null\n",
        b'data: {"done":true}\n',
        b'{"message":{"content":5}}\n',
        b'{"message":{"tool_calls":[{"function":{}}]}}\n',
        b'{"message":' + b"[" * 100_000 + b"\n",
        b'{"done":true} {"done":true}\n',
    ],
)
def test_a_line_that_is_none_breaks_the_stream(wrong: bytes):
    events, ending, error = decode(line(said(content="a")) + wrong + END)
    assert (events[1:], ending) == ([TextDelta("a")], Ending.FAILED)
    assert isinstance(error, UpstreamBroke)


def test_what_only_other_json_readers_take_is_forgiven():
    wire = b'{"x":NaN,"message":{"content":"\\ud83d\xff"}}\n\n{"status":"news"}\n' + END
    events, ending, _ = decode(wire)
    assert (events[1], ending) == (TextDelta("��"), Ending.COMPLETE)


def test_a_stream_without_its_end_is_cut():
    assert decode(line(said(content="a")))[1] is Ending.CUT
    assert decode(line(said(content="a")) + END[:-2])[1] is Ending.CUT
    assert decode(b"")[1] is Ending.CUT
    assert decode(END[:-1])[1] is Ending.COMPLETE


def test_an_endless_line_is_refused():
    decoder = UPSTREAM.chat_decoder(provider="p")
    decoder.feed(b"x" * (1 << 20))
    with pytest.raises(EventTooLarge):
        decoder.feed(b"x")


@pytest.mark.parametrize("pretty", [False, True])
def test_a_whole_reply(pretty: bool):
    answer = {
        "model": "m",
        "message": said(content="hi", thinking="hm"),
        "done": True,
        "done_reason": "stop",
        "eval_count": 1,
    }
    body = json.dumps(answer, indent=2 if pretty else None).encode()
    reply = UPSTREAM.decode_chat(body, provider="p")
    assert (reply.text, reply.reasoning, reply.usage, reply.model) == ("hi", "hm", Usage(0, 1), "m")


def test_a_stream_that_nobody_asked_for_is_added_up():
    reply = UPSTREAM.decode_chat(line(said(content="a")) + line(said(content="b")) + END, provider="p")
    assert reply.text == "ab"
    with pytest.raises(UpstreamBroke):
        UPSTREAM.decode_chat(line(said(content="a")) + line(said(content="b")), provider="p")


@pytest.mark.parametrize("body", [b"", b"x", b"[]", b"{}", b'{"message":7}', line(said(content="a"))])
def test_what_is_no_reply_is_broken(body: bytes):
    with pytest.raises(UpstreamBroke):
        UPSTREAM.decode_chat(body, provider="p")
    with pytest.raises(UpstreamBroke):
        UPSTREAM.decode_embeddings(body, provider="p")


def test_an_error_in_a_whole_reply_is_raised():
    for decode_it in (UPSTREAM.decode_chat, UPSTREAM.decode_embeddings):
        with pytest.raises(UpstreamError, match="model not loaded"):
            decode_it(b'{"error":"model not loaded"}', provider="p")


def test_batches_of_embeddings_are_kept_apart():
    decoded = UPSTREAM.decode_embeddings(
        b'{"model":"e","embeddings":[[1,2.5],[3,4]],"prompt_eval_count":9}', provider="p"
    )
    assert (decoded.vectors, decoded.model, decoded.usage) == (((1.0, 2.5), (3.0, 4.0)), "e", Usage(9))


def test_a_refusal_of_the_upstream_is_typed():
    error = UPSTREAM.decode_error(404, None, b'{"error":"model \'x\' not found"}', provider="p")
    assert (error.status, str(error)) == (404, "model 'x' not found")


def test_a_reply_without_anything_is_still_one():
    assert UPSTREAM.decode_chat(END, provider="p") == ChatReply(
        (), Finished(FinishReason.STOP, "stop"), Usage(3, 2), "", "m"
    )
