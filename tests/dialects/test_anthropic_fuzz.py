"""Whatever comes, from a client or an upstream: only the errors meant for it, and the same wherever it is cut."""

from __future__ import annotations

import json
from contextlib import suppress
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hoosh.dialects.anthropic import AnthropicDownstream, AnthropicTap, AnthropicUpstream
from hoosh.dialects.contract import Ending, Stamp
from hoosh.dialects.replies import fold
from hoosh.errors import InvalidRequest, ProtocolViolation, UpstreamError
from hoosh.values import Call, CallKind, Finished

UP, DOWN = AnthropicUpstream(), AnthropicDownstream()
STAMP = Stamp("r", "m", 0)
CALL = Call(CallKind.CHAT, "m", {}, language="anthropic")

leaves = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**30), 10**30), st.floats(), st.text(max_size=5), st.just("\ud800")
)
anything = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)


def some(*values: Any) -> st.SearchStrategy[Any]:
    return st.one_of(st.sampled_from(values), anything)


def shaped(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries({}, optional=fields)


# -- upstreams ---------------------------------------------------------------------------------------------------

block_types = some("text", "thinking", "redacted_thinking", "tool_use", "server_tool_use", "new")
wire_blocks = shaped(
    type=block_types,
    text=some("t"),
    thinking=some("h"),
    signature=some("s"),
    data=some("d"),
    id=some("i"),
    name=some("n"),
    input=some({}, {"a": 1}),
    citations=some([{"cited_text": "c"}]),
)
deltas = shaped(
    type=some("text_delta", "thinking_delta", "input_json_delta", "signature_delta", "citations_delta", "new_delta"),
    text=some("t"),
    thinking=some("h"),
    partial_json=some("", "{", "}"),
    signature=some("s"),
    citation=some({"url": "u"}),
    stop_reason=some("end_turn", "tool_use", "refusal"),
    stop_sequence=some(None, "X"),
    stop_details=some({"explanation": "e"}),
)
usages = shaped(input_tokens=some(5), output_tokens=some(2), cache_read_input_tokens=some(1))
messages = shaped(
    type=some("message"),
    id=some("i"),
    model=some("x"),
    content=st.lists(anything | wire_blocks, max_size=3),
    usage=usages,
)
events = shaped(
    type=some(
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
        "ping",
        "error",
    ),
    index=some(0, 1),
    delta=deltas,
    content_block=wire_blocks,
    message=messages,
    usage=usages,
    error=some(None),
)
names = st.sampled_from(["message_start", "content_block_delta", "content_block_start", "error", "", "odd"])


@st.composite
def frames(draw: Any) -> bytes:
    event = draw(events)
    name = event.get("type") if isinstance(event, dict) and draw(st.booleans()) else draw(names)
    ending = draw(st.sampled_from([b"\n", b"\r\n", b"\r"]))
    head = b"event: %b\n" % name.encode() if isinstance(name, str) and name.isidentifier() else b""
    body = b"data: %b\n" % json.dumps(event).encode()
    return (head + body + draw(st.sampled_from([b"", b": c\n", b"id: 1\n"])) + b"\n").replace(b"\n", ending)


streams = st.lists(frames() | st.binary(max_size=12), max_size=8).map(b"".join)


def decoded(pieces: list[bytes]) -> Any:
    decoder = UP.chat_decoder(provider="p")
    told = [event for piece in pieces for event in decoder.feed(piece)]
    rest, ending = decoder.close()
    told += rest
    finished = [event for event in told if isinstance(event, Finished)]
    assert len(finished) == (ending is Ending.COMPLETE)
    assert (decoder.error is not None) == (ending is Ending.FAILED)
    if ending is Ending.COMPLETE:
        fold(told)
    encoder = DOWN.chat_encoder(CALL, STAMP)
    assert isinstance(encoder.encode(told) + encoder.finish(), bytes)
    return [event for event in told if "call_" not in repr(event)], ending, str(decoder.error), decoder.usage


def tapped(pieces: list[bytes]) -> Any:
    tap = AnthropicTap(STAMP, provider="p")
    out = b"".join([tap.feed(piece) for piece in pieces])
    rest, ending = tap.close()
    return out + rest, ending, str(tap.error), tap.usage, tap.chunks, tap.has_content, tap.malformed, tap.terminated


@given(streams, st.integers(1, 7))
@settings(max_examples=60)
def test_a_stream_of_anything_means_the_same_wherever_it_is_cut(stream: bytes, size: int):
    pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
    assert decoded(pieces) == decoded([stream])
    assert tapped(pieces) == tapped([stream])


@given(st.one_of(st.binary(max_size=99), messages.map(lambda value: json.dumps(value).encode())))
@settings(max_examples=60)
def test_an_answer_of_anything_raises_only_what_is_the_upstreams(body: bytes):
    passage = UP.passage(CALL)
    assert passage is not None
    for reading in (UP.decode_chat, UP.decode_token_count):
        with suppress(UpstreamError):
            reading(body, provider="p")
    for way in (passage.read_reply, passage.as_stream):
        with suppress(UpstreamError):
            way(CALL, body, STAMP, provider="p")
    UP.decode_error(400, None, body, provider="p")
    UP.read_models(body, default_owner="a")


@pytest.mark.parametrize("seed", [11, 12])
def test_a_recorded_like_stream_with_bytes_changed_never_raises(seed: int):
    print("seed", seed)
    random = Random(seed)
    start = b'event: message_start\ndata: {"type":"message_start","message":{"usage":{"input_tokens":1}}}\n\n'
    text = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta",'
    stream = start + (text + b'"text":"x"}}\n\n') * 3 + b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
    for _ in range(1_000):
        hostile = bytearray(stream)
        for _ in range(random.randint(1, 3)):
            hostile[random.randrange(len(hostile))] = random.choice(b'{}[]",:\\\r\n \x00\xff0a')
        cut = random.randrange(len(hostile))
        pieces = [bytes(hostile[:cut]), bytes(hostile[cut:])]
        assert decoded(pieces) == decoded([bytes(hostile)])
        assert tapped(pieces) == tapped([bytes(hostile)])


def test_nests_and_numbers_without_end_are_refused_or_broken():
    for hostile in (b"[" * 200_000, b'{"a":' * 100_000, b"9" * 5_000, b'{"content":' + b"[" * 5_000):
        assert UP.chat_decoder(provider="p").feed(b"data: " + hostile + b"\n\n") == []
        with pytest.raises(UpstreamError):
            UP.decode_chat(hostile, provider="p")
        with pytest.raises(InvalidRequest):
            DOWN.read(CallKind.CHAT, hostile)
    with pytest.raises(ProtocolViolation):
        UP.chat_decoder(provider="p").feed(b":" * (1 << 20) + b"x")


# -- clients -----------------------------------------------------------------------------------------------------

caches = some(None, {"type": "ephemeral"}, {"type": "ephemeral", "ttl": "1h"})
sources = shaped(
    type=some("base64", "url", "file", "text", "content"),
    media_type=some("image/png", "application/pdf", "text/plain"),
    data=some("AA==", "SGk="),
    url=some("https://x.example"),
    file_id=some("file_1", "file-1"),
    content=some([]),
)
asked_blocks = shaped(
    type=some("text", "image", "document", "thinking", "redacted_thinking", "tool_use", "tool_result", "new"),
    text=some("t", ""),
    source=sources,
    thinking=some("h"),
    signature=some("s", "hoosh:gemini:s", "hoosh:"),
    data=some("d", "hoosh:openai#d#i:d"),
    id=some("i", "i__sig_Z3M"),
    name=some("n"),
    input=some({}),
    tool_use_id=some("i"),
    content=some("c", [], [{"type": "text", "text": "c"}]),
    cache_control=caches,
    citations=some([{"encrypted_index": ""}], {"encrypted_index": 1}),
)
turns = shaped(role=some("user", "assistant", "system"), content=st.lists(asked_blocks, max_size=3) | some("hi"))
tools = shaped(type=some(None, "custom", "bash_20250124"), name=some("n"), input_schema=some({}), strict=some(True))
bodies = shaped(
    model=some("m", "claude-sonnet-4-5", "claude-opus-5"),
    messages=st.lists(turns, max_size=3) | anything,
    max_tokens=some(9),
    system=some("s", [{"type": "text", "text": "s"}]),
    tools=st.lists(tools, max_size=2) | anything,
    tool_choice=some({"type": "any"}, {"type": "tool", "name": "n"}),
    thinking=some({"type": "enabled", "budget_tokens": 5}, {"type": "adaptive"}, {"type": "disabled"}),
    output_config=some({"effort": "low"}, {"format": {"type": "json_schema", "schema": {}}}),
    stop_sequences=some(["a"]),
    metadata=some({"user_id": "u"}),
    stream=some(True),
    temperature=some(0.5),
)


@given(bodies)
@settings(max_examples=80)
def test_a_body_of_anything_raises_only_what_is_the_clients(body: Any):
    wire = json.dumps(body).encode()
    with suppress(InvalidRequest):
        call = DOWN.read(CallKind.CHAT, wire)
        limited = DOWN.limit_tokens(call, 2_000)
        UP.passage(limited)
        request = DOWN.chat_request(limited)
        for model in ("claude-opus-5", "claude-sonnet-4-5", "claude-3-haiku"):
            json.loads(UP.encode_chat(request, model=model).body)


# -- there and back ----------------------------------------------------------------------------------------------

plain_texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=9).filter(str.strip)
ids = st.text("abcXYZ_019-", min_size=1, max_size=9).filter(lambda text: "__sig_" not in text)
caches_kept = st.sampled_from([{}, {"cache_control": {"type": "ephemeral"}}])


def one(kind: str, **fields: Any) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries({"type": st.just(kind), **fields})


def marked(block: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.builds(lambda block, mark: {**block, **mark}, block, caches_kept)


pictures = marked(
    one(
        "image",
        source=one("base64", media_type=st.just("image/png"), data=st.just("AA==")) | one("url", url=plain_texts),
    )
)
text_blocks = marked(one("text", text=plain_texts.map(str.strip)))
results = marked(one("tool_result", tool_use_id=ids, content=st.lists(text_blocks | pictures, min_size=2, max_size=3)))
user_turns = st.builds(
    lambda first, then: {"role": "user", "content": [*first, *then]},
    st.lists(results, max_size=2),
    st.lists(text_blocks | pictures, min_size=1, max_size=3),
)
assistant_turns = st.lists(
    st.one_of(
        text_blocks,
        one("thinking", thinking=plain_texts, signature=ids),
        one("redacted_thinking", data=ids),
        marked(one("tool_use", id=ids, name=ids, input=st.dictionaries(plain_texts, st.integers(0, 9), max_size=2))),
        one("server_tool_use", id=ids, name=ids, input=st.just({})),
    ),
    min_size=1,
    max_size=4,
).map(lambda content: {"role": "assistant", "content": content})


@given(st.lists(user_turns | assistant_turns, min_size=1, max_size=5), st.lists(text_blocks, max_size=2))
@settings(max_examples=80)
def test_a_conversation_in_our_own_words_and_back_is_the_same(turns: list[Any], system: list[Any]):
    """By turns: several of a user in a row are put together, results first."""
    turns = [turn for before, turn in pairwise([{"role": ""}, *turns]) if before["role"] != turn["role"]]
    body = {"model": "claude-opus-5", "messages": turns, "max_tokens": 9, **({"system": system} if system else {})}
    call = DOWN.read(CallKind.CHAT, json.dumps(body).encode())
    assert json.loads(UP.encode_chat(DOWN.chat_request(call), model="claude-opus-5").body) == body
