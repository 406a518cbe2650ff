"""Ollama's recorded native traffic, read by us and by a naive reader that knows nothing of us.

Each recording decodes to the same text, thoughts, calls, finish reason and counts, cut at every byte, in LF and CRLF;
a recorded request keeps what it asks for on its way through our values; and what we tell an Ollama client reads back.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct
from recordings import WIRE

from hoosh.dialects.contract import Ending, Stamp
from hoosh.dialects.ollama import OllamaDownstream, OllamaUpstream
from hoosh.dialects.ollama.tap import OllamaTap
from hoosh.dialects.replies import fold, unfold
from hoosh.errors import UpstreamError
from hoosh.values import Call, CallKind, ChatReply, ReplyEvent

UPSTREAM, DOWNSTREAM = OllamaUpstream(), OllamaDownstream()
KINDS = {
    "/api/chat": CallKind.CHAT,
    "/api/generate": CallKind.COMPLETION,
    "/api/embed": CallKind.EMBEDDING,
    "/api/embeddings": CallKind.EMBEDDING,
}
STAMP = Stamp("1", "m", 1_700_000_000)
CALL = Call(CallKind.CHAT, "m", {}, stream=True, language="ollama")


class Native(Struct, frozen=True):
    name: str
    endpoint: str
    status: int
    request: bytes | None
    response: bytes

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The naive reading: a whole body, else a line for each."""
        try:
            return [json.loads(self.response)]
        except ValueError:
            return [json.loads(line) for line in self.response.decode().split("\n") if line.strip()]


@cache
def natives() -> list[Native]:
    found = []
    for meta_path in sorted(WIRE.glob("*/ollama/*.meta.json")):
        meta = json.loads(meta_path.read_text())
        endpoint = (meta.get("endpoint") or "").partition("?")[0]
        if endpoint.startswith("/api/") and "response" in meta["files"]:
            found.append(_read(meta_path, meta, endpoint))
    return found


def _read(meta_path: Path, meta: dict[str, Any], endpoint: str) -> Native:
    files, folder = meta["files"], meta_path.parent
    request = (folder / files["request"]).read_bytes() if "request" in files else None
    name = f"{folder.parent.name}/{meta_path.name.removesuffix('.meta.json')}"
    return Native(name, endpoint, meta["status"], request, (folder / files["response"]).read_bytes())


def pick(*endpoints: str, failed: bool = False) -> list[Any]:
    chosen = [native for native in natives() if native.endpoint in endpoints]
    chosen = [n for n in chosen if (n.status >= 400 or any("error" in line for line in n.lines)) is failed]
    return [pytest.param(native, id=native.name) for native in chosen]


TALKS = pick("/api/chat", "/api/generate")


def naive(native: Native) -> dict[str, Any]:
    texts, thoughts, calls = [], [], []
    for line in native.lines:
        said = line.get("message") or {"content": line.get("response"), "thinking": line.get("thinking")}
        texts.append(said.get("content") or "")
        thoughts.append(said.get("thinking") or "")
        calls += [(call.get("id"), call["function"]) for call in said.get("tool_calls") or ()]
    last = native.lines[-1]
    finish = "tool_calls" if calls and last["done_reason"] == "stop" else last["done_reason"]
    return {
        "text": "".join(texts),
        "reasoning": "".join(thoughts),
        "calls": [(given, function["name"], function["arguments"]) for given, function in calls],
        "finish": {"load": "stop", "unload": "stop"}.get(finish, finish),
        "counts": (last.get("prompt_eval_count", 0), last.get("eval_count", 0)),
        "model": last["model"],
    }


def told(reply: ChatReply, *, ids: list[str | None]) -> dict[str, Any]:
    calls = [
        (call.id if given else None, call.name, json.loads(call.arguments))
        for call, given in zip(reply.calls, ids, strict=True)
    ]
    return {
        "text": reply.text,
        "reasoning": reply.reasoning,
        "calls": calls,
        "finish": reply.finish.reason.value,
        "counts": (reply.usage.prompt_tokens, reply.usage.completion_tokens) if reply.usage else (0, 0),
        "model": reply.model,
    }


def decode(pieces: list[bytes]) -> list[ReplyEvent]:
    decoder = UPSTREAM.chat_decoder(provider="p")
    events = [event for piece in pieces for event in decoder.feed(piece)]
    rest, ending = decoder.close()
    assert ending is Ending.COMPLETE
    assert decoder.error is None
    return [*events, *rest]


def shape(events: list[ReplyEvent]) -> list[Any]:
    """Events without the ids that are invented anew each time."""
    return [type(event) if hasattr(event, "name") else event for event in events]


@pytest.mark.parametrize("native", TALKS)
def test_a_recorded_reply_says_what_a_naive_reader_finds(native: Native):
    expected = naive(native)
    ids = [given for given, *_ in expected["calls"]]
    assert told(fold(decode([native.response])), ids=ids) == expected
    if len(native.lines) == 1:
        assert told(UPSTREAM.decode_chat(native.response, provider="p"), ids=ids) == expected
    call = Call(KINDS[native.endpoint], "m", {}, language="ollama")
    whole = UPSTREAM.passage(call)
    assert whole is not None
    if len(native.lines) == 1:
        counted = whole.read_reply(call, native.response, STAMP, provider="p")
        assert counted.usage is not None
        assert (counted.usage.prompt_tokens, counted.usage.completion_tokens) == expected["counts"]


@pytest.mark.parametrize("native", TALKS)
def test_a_recorded_stream_cut_at_any_byte_says_the_same(native: Native):
    for wire in (native.response, native.response.replace(b"\n", b"\r\n")):
        whole = shape(decode([wire]))
        assert shape(decode([wire[at : at + 1] for at in range(len(wire))])) == whole
        step = max(1, len(wire) // 400)
        for cut in range(0, len(wire) + 1, step):
            assert shape(decode([wire[:cut], wire[cut:]])) == whole


@pytest.mark.parametrize("native", TALKS)
def test_a_recorded_stream_passes_the_tap_untouched(native: Native):
    wire, expected = native.response, naive(native)
    if not wire.endswith(b"\n"):
        wire += b"\n"
    for size in (len(wire), 1000, 7, 1):
        tap = OllamaTap(CALL, STAMP, provider="p")
        passed = b"".join([tap.feed(wire[at : at + size]) for at in range(0, len(wire), size)])
        rest, ending = tap.close()
        assert passed + rest == wire
        assert (ending, tap.chunks, tap.malformed) == (Ending.COMPLETE, len(native.lines), 0)
        assert tap.usage is not None
        assert (tap.usage.prompt_tokens, tap.usage.completion_tokens) == expected["counts"]


@pytest.mark.parametrize("native", TALKS)
def test_a_recorded_stream_that_breaks_off_is_not_whole(native: Native):
    wire = native.response.rstrip()
    decoder, tap = UPSTREAM.chat_decoder(provider="p"), OllamaTap(CALL, STAMP, provider="p")
    decoder.feed(wire[:-1])
    tap.feed(wire[:-1])
    assert decoder.close()[1] is tap.close()[1] is Ending.CUT


@pytest.mark.parametrize("native", TALKS)
def test_a_recorded_reply_told_to_an_ollama_client_reads_back_the_same(native: Native):
    reply = fold(decode([native.response]))
    call = Call(KINDS[native.endpoint], "m", {}, stream=True, language="ollama")
    encoder = DOWNSTREAM.chat_encoder(call, STAMP)
    streamed = b"".join([encoder.encode([event]) for event in unfold(reply)]) + encoder.finish()
    again = fold(decode([streamed]))
    whole = UPSTREAM.decode_chat(DOWNSTREAM.encode_reply(call, reply, STAMP), provider="p")
    for other in (again, whole):
        assert (other.text, other.reasoning, other.usage, other.model) == (
            reply.text,
            reply.reasoning,
            reply.usage,
            reply.model,
        )
        assert other.calls == reply.calls
        assert other.finish.reason is reply.finish.reason


@pytest.mark.parametrize("native", pick("/api/chat", "/api/generate", failed=True))
def test_a_recorded_failure_is_an_error(native: Native):
    said = native.lines[-1]["error"]
    if native.status >= 400:
        error: UpstreamError | None = UPSTREAM.decode_error(native.status, None, native.response, provider="p")
    else:
        decoder = UPSTREAM.chat_decoder(provider="p")
        decoder.feed(native.response)
        assert decoder.close()[1] is Ending.FAILED
        error = decoder.error
        tap = OllamaTap(CALL, STAMP, provider="p")
        assert b'"error"' not in tap.feed(native.response) + tap.close()[0]
        assert str(tap.error) == str(error)
    assert str(error) == said


def meaning(body: dict[str, Any]) -> dict[str, Any]:
    """A chat request without what means nothing: unset fields, the `type` of a call, an empty text."""
    kept = {name: value for name, value in body.items() if value not in (None, "", {}, [])}
    for message in kept.get("messages", ()):
        for index, call in enumerate(message.get("tool_calls", ())):
            call.pop("type", None)
            call.pop("id", None)
            call["function"]["index"] = index
    return kept


@pytest.mark.parametrize("native", pick("/api/chat"))
def test_a_recorded_chat_request_keeps_what_it_asks(native: Native):
    if native.request is None:
        pytest.skip("recorded without its request")
    sent = json.loads(native.request)
    call = DOWNSTREAM.read(CallKind.CHAT, native.request)
    outgoing = UPSTREAM.encode_chat(DOWNSTREAM.chat_request(call), model=sent["model"])
    encoded, expected = meaning(json.loads(outgoing.body)), meaning(sent)
    results = [message for message in encoded["messages"] if message["role"] == "tool"]
    for message, result in zip([m for m in expected["messages"] if m["role"] == "tool"], results, strict=True):
        assert result.pop("tool_call_id")
        message.setdefault("tool_name", result["tool_name"])  # which call it answers is known
    expected.setdefault("stream", True)
    assert (outgoing.path, encoded) == ("/api/chat", expected)


@pytest.mark.parametrize("native", [param for end in KINDS for param in pick(end)])
def test_a_recorded_request_goes_to_an_ollama_upstream_as_it_is(native: Native):
    if native.request is None:
        pytest.skip("recorded without its request")
    sent = json.loads(native.request)
    call = DOWNSTREAM.read(KINDS[native.endpoint], native.request)
    assert call.stream is (sent.get("stream", True) and call.kind is not CallKind.EMBEDDING)
    passage = UPSTREAM.passage(call)
    assert passage is not None
    outgoing = passage.outgoing(call, model="another")
    assert outgoing.path == native.endpoint
    assert json.loads(outgoing.body) == {**sent, "model": "another"}


@pytest.mark.parametrize("native", pick("/api/embed", "/api/embeddings"))
def test_recorded_embeddings_are_the_recorded_numbers(native: Native):
    (answer,) = native.lines
    expected = answer["embeddings"] if "embeddings" in answer else [answer["embedding"]]
    decoded = UPSTREAM.decode_embeddings(native.response, provider="p")
    assert [list(vector) for vector in decoded.vectors] == expected
    assert native.request is not None
    call = DOWNSTREAM.read(CallKind.EMBEDDING, native.request)
    again = json.loads(DOWNSTREAM.encode_embeddings(call, decoded, STAMP))
    assert again.get("embeddings") == answer.get("embeddings")
    assert again.get("embedding") == answer.get("embedding")


@pytest.mark.parametrize("native", pick("/api/tags"))
def test_a_recorded_model_list_is_read(native: Native):
    (answer,) = native.lines
    cards = UPSTREAM.read_models(native.response, default_owner="ollama")
    assert [card.id for card in cards] == [model["name"] for model in answer["models"]]
    assert all(card.created > 1_600_000_000 and card.owned_by for card in cards)
