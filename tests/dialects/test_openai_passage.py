from __future__ import annotations

import json
from typing import Any

import pytest

from hoosh.codec.sse import SseDecoder
from hoosh.dialects.contract import Ending, Passage, Stamp
from hoosh.dialects.openai import FAMILY, OpenAIUpstream, read_chat, read_embedding
from hoosh.dialects.openai.history import upstream_id
from hoosh.dialects.registry import upstream_dialect
from hoosh.values import Call, CallKind, Usage

STAMP = Stamp("r", "m", 1)
CALL = Call(CallKind.CHAT, "m", {}, stream=True)
SHORT = upstream_id("call_abc", FAMILY["mistral"])


def passage(vendor: str) -> Passage:
    found = OpenAIUpstream(FAMILY[vendor]).passage(CALL)
    assert found is not None
    return found


def sent(vendor: str, messages: Any = ({"role": "user", "content": "hi"},), **fields: Any) -> Any:
    call = read_chat(json.dumps({"model": "m", "messages": messages, **fields}).encode())
    return json.loads(passage(vendor).outgoing(call, model="m").body)


# -- what goes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("vendor", FAMILY)
def test_a_request_that_needs_nothing_goes_as_it_was_written(vendor: str):
    upstream = OpenAIUpstream(FAMILY[vendor])
    words = b'"say \\"developer\\" and 1e2"'
    wire = b'{"model":"m","messages":[ {"role":"user", "content":%b} ],"top_p":1.00,"x":{"y": 1}}' % words
    way = upstream.passage(read_chat(wire))
    assert (way is None) is (vendor == "synapse")
    if way is not None:
        assert way.outgoing(read_chat(wire), model="m").body == wire


def test_mistral_gets_its_own_names_for_fields():
    fields = {"seed": 7, "max_completion_tokens": 5, "max_tokens": 9, "user": "u", "stream": True, "x": 1}
    settings = {name: value for name, value in sent("mistral", **fields).items() if name not in ("model", "messages")}
    assert settings == {"random_seed": 7, "max_tokens": 5, "stream": True, "x": 1}


def test_an_older_name_of_the_limit_is_told_to_who_knows_only_that():
    assert sent("deepseek", max_completion_tokens=5)["max_tokens"] == 5
    assert sent("vllm", max_completion_tokens=5)["max_completion_tokens"] == 5


def test_mistral_takes_dimensions_by_another_name():
    call = read_embedding(b'{"model":"m","input":"a","dimensions":5}')
    assert json.loads(passage("mistral").outgoing(call, model="m").body)["output_dimension"] == 5


@pytest.mark.parametrize(
    ("vendor", "role"),
    [
        ("openai", "developer"),
        ("openrouter", "developer"),
        ("openai-compatible", "developer"),  # whoever that is
        ("vllm", "system"),
    ],
)
def test_a_developer_is_system_to_most(vendor: str, role: str):
    messages = [{"role": "developer", "content": "be kind", "x": 1}]
    assert sent(vendor, messages)["messages"] == [{"role": role, "content": "be kind", "x": 1}]


def test_mistral_gets_nine_characters_for_the_id_of_a_call_in_both_places():
    call = {"id": "call_abc", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    history = [
        {"role": "assistant", "content": "", "tool_calls": [call, {**call, "id": "abcdefgh9"}]},
        {"role": "tool", "tool_call_id": "call_abc", "content": "1"},
        {"role": "tool", "tool_call_id": "abcdefgh9", "content": "2"},
    ]
    said, *results = sent("mistral", history)["messages"]
    assert [call["id"] for call in said["tool_calls"]] == [SHORT, "abcdefgh9"]
    assert [result["tool_call_id"] for result in results] == [SHORT, "abcdefgh9"]
    assert sent("groq", history)["messages"] == history


@pytest.mark.parametrize(
    "thought",
    [
        {"reasoning_content": "Hm."},
        {"reasoning": "Hm."},
        {"reasoning_details": [{"type": "reasoning.text", "text": "Hm."}]},
        {"reasoning_content": "Hm.", "reasoning_details": [3]},
    ],
)
def test_mistral_gets_thoughts_back_as_chunks(thought: dict[str, Any]):
    hm = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}
    yes = {"type": "text", "text": "Yes."}
    for content in ("Yes.", [yes]):
        assert sent("mistral", [{"role": "assistant", "content": content, **thought}])["messages"] == [
            {"role": "assistant", "content": [hm, yes]}
        ]
    assert sent("mistral", [{"role": "assistant", **thought}])["messages"] == [{"role": "assistant", "content": [hm]}]


@pytest.mark.parametrize("messages", [[1], [{"role": "developer", "tool_calls": [2]}], ["developer"], [{"role": {}}]])
def test_messages_that_are_none_are_left_to_the_upstream(messages: Any):
    assert sent("mistral", messages)["messages"] == messages


# -- what comes: Mistral's lists -------------------------------------------------------------------------------------


def thinking(text: str) -> dict[str, Any]:
    return {"type": "thinking", "thinking": [{"type": "text", "text": text}]}


def chunk(content: Any, finish: Any = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": {"content": content}, "finish_reason": finish}
    return b"data: %b\n\n" % json.dumps({"id": "r", "choices": [choice], **more}).encode()


STREAM = [
    chunk("", p="abc"),
    chunk([thinking("Hm")]),
    chunk([thinking(".")]),
    chunk([{"type": "text", "text": "Yes"}]),
    chunk(' "content":['),
    chunk(".", "stop", usage={"prompt_tokens": 9, "completion_tokens": 3}),
    b"data: [DONE]\n\n",
]


def deltas(wire: bytes) -> list[Any]:
    return [json.loads(event.data)["choices"][0]["delta"] for event in SseDecoder().feed(wire)]


def test_lists_in_a_stream_reach_the_client_as_texts_wherever_they_are_cut():
    wire = b"".join(STREAM)
    outs = set()
    for cut in range(len(wire) + 1):
        tap = passage("mistral").tap(CALL, STAMP, provider="p")
        out = tap.feed(wire[:cut]) + tap.feed(wire[cut:])
        assert tap.close() == (b"", Ending.COMPLETE)
        assert (tap.usage, tap.chunks, tap.has_content) == (Usage(9, 3), 5, True)
        outs.add(out)
    (out,) = outs
    assert deltas(out) == [
        {"content": ""},
        {"content": None, "reasoning_content": "Hm"},
        {"content": None, "reasoning_content": "."},
        {"content": "Yes"},
        {"content": ' "content":['},
        {"content": "."},
    ]
    assert out.startswith(STREAM[0])  # and what holds no list goes on as it came
    assert out.endswith(STREAM[4] + STREAM[5])


def test_nobody_elses_lists_are_touched():
    tap = passage("openai").tap(CALL, STAMP, provider="p")
    assert tap.feed(STREAM[0] + STREAM[1]) == STREAM[0] + STREAM[1]


def test_a_list_in_a_whole_reply_reaches_the_client_as_text():
    message = {"role": "assistant", "tool_calls": None, "content": [thinking("Hm."), {"type": "text", "text": "Yes."}]}
    body = json.dumps({"id": "r", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}).encode()
    told = {"role": "assistant", "tool_calls": None, "content": "Yes.", "reasoning_content": "Hm."}
    reply = passage("mistral").read_reply(CALL, body, STAMP, provider="p")
    assert json.loads(reply.body)["choices"][0]["message"] == told
    assert reply.finish_reason == "stop"
    assert passage("groq").read_reply(CALL, body, STAMP, provider="p").body == body
    stream = deltas(passage("mistral").as_stream(CALL, body, STAMP, provider="p").body)
    assert {"content": "Yes.", "reasoning_content": "Hm."} in stream


# -- other languages ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("provider_type", "has"), [("openai", True), ("grok", True), ("mistral", False)])
def test_the_responses_api_is_passed_on_where_it_is_served(provider_type: str, has: bool):
    call = Call(CallKind.CHAT, "m", {}, language="responses")
    assert (upstream_dialect(provider_type).passage(call) is not None) is has


def test_another_language_has_no_passage():
    assert OpenAIUpstream().passage(Call(CallKind.CHAT, "m", {}, language="anthropic")) is None
