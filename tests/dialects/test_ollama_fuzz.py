"""Ollama's dialect against strangers: hostile bytes, hostile bodies, and the way there and back for all the rest."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from hoosh.dialects.contract import Ending, Stamp
from hoosh.dialects.ollama import OllamaDownstream, OllamaUpstream, read_show
from hoosh.dialects.ollama.tap import OllamaTap
from hoosh.dialects.replies import fold, unfold
from hoosh.errors import InvalidRequest, UpstreamError
from hoosh.values import (
    Call,
    CallKind,
    CallSaid,
    ChatReply,
    ChatRequest,
    DataSource,
    Finished,
    FinishReason,
    ImagePart,
    JsonFormat,
    Message,
    ReasoningPart,
    ReasoningSaid,
    ReplyEvent,
    Role,
    Sampling,
    SchemaFormat,
    TextPart,
    TextSaid,
    Tool,
    ToolCallPart,
    ToolResultPart,
    Usage,
)

UPSTREAM, OLLAMA = OllamaUpstream(), OllamaDownstream()
STAMP = Stamp("1", "m", 0)
CALL = Call(CallKind.CHAT, "m", {}, stream=True, language="ollama")

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


def or_anything(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with some of these fields, each as it should be or as it should not."""
    return st.fixed_dictionaries({}, optional={name: value | anything for name, value in fields.items()})


call = or_anything(
    function=or_anything(name=st.text(), arguments=st.dictionaries(st.text(), st.integers())), id=st.text()
)
message = or_anything(
    role=st.sampled_from(["user", "assistant", "tool", "system"]),
    content=st.text(),
    thinking=st.text(),
    tool_calls=st.lists(call, max_size=2),
    images=st.lists(st.sampled_from(["AAAA", "", "é"]), max_size=2),
    tool_name=st.text(),
    tool_call_id=st.text() | st.just("x__sig_AA"),
)
line = or_anything(
    model=st.text(),
    message=message,
    response=st.text(),
    done=st.booleans(),
    done_reason=st.sampled_from(["stop", "length"]),
    prompt_eval_count=st.integers(),
    eval_count=st.integers(),
    error=st.text(),
    image=st.text(),
)
wires = st.binary(max_size=40) | (line | anything).map(lambda value: json.dumps(value).encode()) | st.just(b"\n")
hostile = st.lists(wires, max_size=8).map(b"\n".join)


def cut(body: bytes, at: list[int]) -> list[bytes]:
    ends = sorted({min(end, len(body)) for end in at} | {0, len(body)})
    return [body[start:end] for start, end in pairwise(ends)]


@given(hostile, st.lists(st.integers(0, 300)))
def test_hostile_bytes_never_raise_and_never_pass_as_a_success(body: bytes, cuts: list[int]):
    decoder, tap = UPSTREAM.chat_decoder(provider="p"), OllamaTap(CALL, STAMP, provider="p")
    events: list[ReplyEvent] = []
    passed = b""
    for piece in cut(body, cuts):
        events += decoder.feed(piece)
        passed += tap.feed(piece)
    rest, ending = decoder.close()
    tail, verdict = tap.close()
    finishes = [event for event in (*events, *rest) if isinstance(event, Finished)]
    assert len(finishes) == (ending is Ending.COMPLETE)
    assert (ending is Ending.FAILED) == (decoder.error is not None)
    assert (verdict is Ending.FAILED) == (tap.error is not None)
    assert all(isinstance(json.loads(told), dict) for told in (passed + tail).splitlines() if told.isascii())
    if ending is Ending.COMPLETE:
        reply = fold([*events, *rest])
        told = OLLAMA.encode_reply(OLLAMA.read(CallKind.CHAT, b'{"model":"m"}'), reply, STAMP)
        assert UPSTREAM.decode_chat(told, provider="p").reasoning == reply.reasoning


@given(hostile)
def test_hostile_bodies_are_upstream_errors_or_replies(body: bytes):
    for decode in (UPSTREAM.decode_chat, UPSTREAM.decode_embeddings):
        try:
            decode(body, provider="p")
        except UpstreamError:
            pass
    assert isinstance(UPSTREAM.decode_error(500, None, body, provider="p"), UpstreamError)
    UPSTREAM.read_models(body, default_owner="x")
    read_show(body)


@given(
    st.sampled_from([CallKind.CHAT, CallKind.COMPLETION, CallKind.EMBEDDING]),
    or_anything(
        model=st.just("m"),
        messages=st.lists(message, max_size=3),
        prompt=st.text(),
        input=st.lists(st.text(), max_size=2),
        system=st.text(),
        images=st.lists(st.just("AAAA"), max_size=2),
        tools=st.lists(or_anything(function=or_anything(name=st.text(), parameters=st.just({}))), max_size=2),
        format=st.sampled_from(["json", ""]),
        think=st.booleans() | st.just("low"),
        stream=st.booleans(),
        keep_alive=st.just("5m"),
        options=or_anything(num_predict=st.integers(), temperature=st.floats(), stop=st.text(), num_ctx=st.integers()),
    ),
)
def test_a_body_is_understood_or_refused(kind: CallKind, fields: dict[str, Any]):
    try:
        told = OLLAMA.read(kind, json.dumps(fields).encode())
        told = OLLAMA.limit_tokens(told, 10)
        OLLAMA.immediate(told)
        if kind is CallKind.EMBEDDING:
            OLLAMA.embedding_request(told)
        else:
            UPSTREAM.encode_chat(OLLAMA.chat_request(told), model="m")
    except InvalidRequest:
        pass


@given(st.binary(max_size=60))
def test_any_bytes_are_refused(body: bytes):
    with pytest.raises(InvalidRequest):
        OLLAMA.read(CallKind.CHAT, body)


# -- there and back ----------------------------------------------------------------------------------------------

texts = st.text(min_size=1)
names = st.from_regex(r"[a-z_]{1,8}", fullmatch=True)
objects = st.dictionaries(st.text(max_size=4), st.integers() | st.text(), max_size=3).map(json.dumps)


@given(
    texts=st.lists(texts, max_size=2),
    thought=st.text(),
    calls=st.lists(st.tuples(names, objects), max_size=3),
    reason=st.sampled_from([FinishReason.STOP, FinishReason.LENGTH]),
    usage=st.none() | st.builds(Usage, st.integers(1, 9), st.integers(1, 9)),
    size=st.integers(1, 50),
)
def test_a_reply_comes_back_from_an_ollama_client(
    texts: list[str], thought: str, calls: list[tuple[str, str]], reason: FinishReason, usage: Usage | None, size: int
):
    parts = (
        *([ReasoningSaid(thought)] if thought else ()),
        *([TextSaid("".join(texts))] if texts else ()),
        *(CallSaid(f"c{number}", name, arguments) for number, (name, arguments) in enumerate(calls)),
    )
    if calls and reason is FinishReason.STOP:
        reason = FinishReason.TOOL_CALLS
    native = "length" if reason is FinishReason.LENGTH else "stop"
    reply = ChatReply(parts, Finished(reason, native), usage, "", "m")
    chat = OLLAMA.read(CallKind.CHAT, b'{"model":"m"}')
    encoder = OLLAMA.chat_encoder(chat, STAMP)
    wire = encoder.encode(tuple(unfold(reply))) + encoder.finish()
    decoder = UPSTREAM.chat_decoder(provider="p")
    events = [event for at in range(0, len(wire), size) for event in decoder.feed(wire[at : at + size])]
    assert decoder.close() == ([], Ending.COMPLETE)
    assert fold(events) == reply
    assert UPSTREAM.decode_chat(OLLAMA.encode_reply(chat, reply, STAMP), provider="p") == reply


@st.composite
def conversations(draw: st.DrawFn) -> tuple[Message, ...]:
    images = st.just(ImagePart(DataSource("image/png", "iVBORw0KGgo=")))
    told: list[Message] = [Message(Role.SYSTEM, (TextPart(draw(texts)),))] if draw(st.booleans()) else []
    for turn in range(draw(st.integers(1, 3))):
        told.append(Message(Role.USER, (TextPart(draw(texts)), *draw(st.lists(images, max_size=2)))))
        calls = draw(st.lists(st.tuples(names, objects), max_size=2))
        made = tuple(ToolCallPart(f"c{turn}_{n}", name, arguments) for n, (name, arguments) in enumerate(calls))
        told.append(Message(Role.ASSISTANT, (ReasoningPart(draw(texts)), TextPart(draw(texts)), *made)))
        told += [
            Message(Role.TOOL, (ToolResultPart(part.id, (TextPart(draw(st.text())),), part.name),)) for part in made
        ]
    return tuple(told)


@given(
    conversations(),
    st.lists(names, unique=True, max_size=2),
    st.none() | st.just(JsonFormat()) | st.just(SchemaFormat(Raw(b'{"type":"object"}'))),
    st.builds(
        Sampling,
        temperature=st.none() | st.floats(0, 2),
        top_k=st.none() | st.integers(1, 99),
        seed=st.none() | st.integers(0, 99),
        stop=st.lists(texts, max_size=2).map(tuple),
        max_tokens=st.none() | st.integers(1, 99),
    ),
    st.booleans(),
)
def test_a_request_comes_back_from_ollamas_language(
    told: tuple[Message, ...], tools: list[str], form: Any, sampling: Sampling, stream: bool
):
    request = ChatRequest(
        "m",
        told,
        stream,
        tools=tuple(Tool(name, "does it", Raw(b'{"type":"object"}')) for name in tools),
        reply_format=form,
        sampling=sampling,
    )
    outgoing = UPSTREAM.encode_chat(request, model="m")
    again = OLLAMA.chat_request(OLLAMA.read(CallKind.CHAT, outgoing.body))
    assert again == request
    assert msgspec.json.decode(UPSTREAM.encode_chat(again, model="m").body) == msgspec.json.decode(outgoing.body)
