"""Every recorded answer of OpenAI's family, read into values, against a naive reading of the same bytes."""

from __future__ import annotations

import base64
import copy
import json
from array import array
from random import Random
from typing import Any

import pytest
from recordings import WIRE, Recording, pick

from hoosh.codec.sse import SseDecoder
from hoosh.dialects.contract import Ending
from hoosh.dialects.openai import FAMILY, OpenAIUpstream
from hoosh.dialects.openai.decoder import OpenAIDecoder
from hoosh.dialects.replies import fold, unfold
from hoosh.errors import UpstreamError
from hoosh.values import Capability, ChatReply, Finished, ReplyEvent, ReplyStarted, UsageReported

ANSWERS = pick(lambda recording: recording.status == 200 and recording.response is not None)
STREAMS = [recording for recording in ANSWERS if recording.streaming]
WHOLES = [recording for recording in ANSWERS if not recording.streaming and recording.kind != "embeddings"]
VECTORS = [recording for recording in ANSWERS if recording.kind == "embeddings"]

every_stream = pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
either_line_end = pytest.mark.parametrize("line_end", [b"\n", b"\r\n"], ids=["lf", "crlf"])

FINISHES = {"function_call": "tool_calls", "model_length": "length"}


def upstream_of(recording: Recording) -> OpenAIUpstream:
    name = {"xai": "grok", "ifran": "synapse"}.get(recording.provider, recording.provider)
    return OpenAIUpstream(FAMILY.get(name, FAMILY["openai-compatible"]))


# -- the naive reading -------------------------------------------------------------------------------------------


class Naive:
    """What choice 0 says, read without thought for speed or odd vendors."""

    def __init__(self) -> None:
        self.text = self.reasoning = self.refusal = ""
        self.calls: list[dict[str, Any]] = []
        self.seals: list[tuple[str, str]] = []
        self.finish: str | None = None
        self.usage: Any = None
        self.error: Any = None

    def chunk(self, chunk: dict[str, Any], *, whole: bool = False) -> None:
        self.usage = chunk.get("usage") or (chunk.get("x_groq") or {}).get("usage") or self.usage
        for choice in chunk.get("choices") or ():
            if choice.get("index", 0) == 0:
                self.finish = choice.get("finish_reason") or self.finish
                self.text += choice.get("text") or ""
                self.said(choice.get("message" if whole else "delta") or {}, whole=whole)

    def said(self, said: dict[str, Any], *, whole: bool) -> None:
        content = said.get("content")
        if isinstance(content, list):
            for item in content:
                if item["type"] == "thinking":
                    self.reasoning += "".join(piece["text"] for piece in item["thinking"])
                else:
                    self.text += item.get("text") or ""
        else:
            self.text += content or (said.get("audio") or {}).get("transcript") or ""
        self.refusal += said.get("refusal") or ""
        details = said.get("reasoning_details") or []
        spelled = "".join(detail.get("text") or detail.get("summary") or "" for detail in details)
        self.reasoning += spelled or said.get("reasoning_content") or said.get("reasoning") or ""
        self.seals += [
            (detail.get("signature") or "", detail.get("data") or "")
            for detail in details
            if detail.get("signature") or detail.get("data")
        ]
        for call in said.get("tool_calls") or ():
            self.call(call.get("id"), call["function"], begins=whole or bool(call.get("id")))
        if said.get("function_call"):
            self.call(None, said["function_call"], begins=bool(said["function_call"].get("name")))

    def call(self, call_id: str | None, function: dict[str, Any], *, begins: bool) -> None:
        if begins:
            self.calls.append({"id": call_id, "name": function["name"], "arguments": ""})
        arguments = function.get("arguments") or ""
        self.calls[-1]["arguments"] += arguments if isinstance(arguments, str) else json.dumps(arguments)


def naive_stream(stream: Recording) -> Naive:
    naive = Naive()
    for event in SseDecoder().feed(stream.response or b""):
        if event.data == "[DONE]":
            break
        chunk = json.loads(event.data)
        if event.event == "error" or chunk.get("error"):
            naive.error = chunk["error"]
            break
        naive.chunk(chunk)
    return naive


def naive_whole(recording: Recording) -> Naive:
    naive = Naive()
    naive.chunk(recording.reply, whole=True)
    return naive


def parsed(arguments: str) -> Any:
    try:
        return json.loads(arguments or "{}")
    except ValueError:
        return arguments  # cut off by the limit of tokens: as it came


def check(reply: ChatReply, naive: Naive) -> None:
    assert reply.text == naive.text
    assert reply.reasoning == naive.reasoning
    assert reply.refusal == naive.refusal
    assert [(call.name, parsed(call.arguments)) for call in reply.calls] == [
        (call["name"], parsed(call["arguments"])) for call in naive.calls
    ]
    for call, said in zip(reply.calls, naive.calls, strict=True):
        assert call.id == said["id"] or (said["id"] is None and call.id.startswith("call_"))
    seals = [(part.signature, part.data) for part in reply.parts if hasattr(part, "origin") and part.origin]
    assert seals == naive.seals
    finish = FINISHES.get(naive.finish or "", naive.finish)
    assert reply.finish.reason == ("tool_calls" if finish == "stop" and naive.calls else finish)
    assert reply.finish.native == naive.finish
    if naive.usage is None or not naive.usage.get("total_tokens"):
        assert reply.usage is None
        return
    assert reply.usage is not None
    assert reply.usage.total_tokens == naive.usage["total_tokens"]
    details = naive.usage.get("prompt_tokens_details") or {}
    assert reply.usage.cached_tokens == (
        details.get("cached_tokens") or naive.usage.get("prompt_cache_hit_tokens") or 0
    )
    reasoning = (naive.usage.get("completion_tokens_details") or {}).get("reasoning_tokens") or 0
    assert reply.usage.reasoning_tokens == min(reasoning, reply.usage.completion_tokens)


# -- streams -----------------------------------------------------------------------------------------------------


def with_line_end(stream: Recording, line_end: bytes) -> bytes:
    return (stream.response or b"").replace(b"\r\n", b"\n").replace(b"\n", line_end)


def run(stream: Recording, pieces: list[bytes]) -> tuple[list[ReplyEvent], Ending, Any]:
    decoder = upstream_of(stream).chat_decoder(provider="p")
    events = [event for piece in pieces for event in decoder.feed(piece)]
    rest, ending = decoder.close()
    return events + rest, ending, facts(decoder)


def facts(decoder: Any) -> Any:
    error = decoder.error and (str(decoder.error), decoder.error.status, decoder.error.code, decoder.error.kind)
    return decoder.usage, decoder.has_content, decoder.terminated, error


@every_stream
@either_line_end
def test_a_recorded_stream_says_what_it_says(stream: Recording, line_end: bytes):
    naive = naive_stream(stream)
    events, ending, (usage, has_content, _, error) = run(stream, [with_line_end(stream, line_end)])
    if naive.error is not None:
        assert ending is Ending.FAILED
        assert error[0] == (naive.error if isinstance(naive.error, str) else naive.error["message"])
        assert not any(isinstance(event, Finished) for event in events)
        return
    assert ending is Ending.COMPLETE
    assert error is None
    assert has_content
    assert isinstance(events[0], ReplyStarted)
    assert [isinstance(event, Finished) for event in events].count(True) == 1
    assert all(isinstance(event, (Finished, UsageReported)) for event in events[-1 if usage is None else -2 :])
    reply = fold(events)
    check(reply, naive)
    assert reply.usage == usage
    assert fold(unfold(reply)) == reply


@every_stream
@either_line_end
def test_a_recorded_stream_says_the_same_wherever_it_is_cut(stream: Recording, line_end: bytes):
    """Event by event: from the same state, a cut event must give the same as a whole one."""
    wire = with_line_end(stream, line_end)
    decoder = upstream_of(stream).chat_decoder(provider="p")
    assert isinstance(decoder, OpenAIDecoder)
    step = 1 if len(wire) < 4000 else 37
    for number, event in enumerate(wire.split(line_end * 2)):
        if decoder.error is not None:
            break
        event += line_end * 2
        before = copy.deepcopy(decoder)
        said = decoder.feed(event)
        after = facts(decoder)
        size = len(event)
        cuts = {1, 2, 6, *range(max(1, size - 6), size), *range(1 + number % step, size, step)}
        for cut in cuts if number < 60 or number % 5 == 0 else ():
            other = copy.deepcopy(before)
            assert other.feed(event[:cut]) + other.feed(event[cut:]) == said
            assert facts(other) == after


@every_stream
@either_line_end
def test_a_recorded_stream_says_the_same_in_pieces_of_any_size(stream: Recording, line_end: bytes):
    wire = with_line_end(stream, line_end)
    whole = run(stream, [wire])
    random = Random(stream.name)
    for mean in (1, 40, 300, 1400, 9000):
        if mean == 1 and len(wire) > 8000:
            continue
        pieces, start = [], 0
        while start < len(wire):
            size = random.randint(1, 2 * mean - 1)
            pieces.append(wire[start : start + size])
            start += size
        assert run(stream, pieces) == whole


@every_stream
def test_a_recorded_stream_that_stops_early_is_never_whole(stream: Recording):
    wire = with_line_end(stream, b"\n")
    so_far, finished = b"", False
    for event in wire.split(b"\n\n")[:-1]:
        if b"[DONE]" in event or b'"error"' in event:
            break
        so_far += event + b"\n\n"
        for read in SseDecoder().feed(event + b"\n\n"):
            choices = json.loads(read.data).get("choices") or ()
            finished = finished or any(choice.get("finish_reason") for choice in choices if not choice["index"])
        assert run(stream, [so_far])[1] is (Ending.COMPLETE if finished else Ending.CUT)


# -- whole replies, vectors, lists of models -----------------------------------------------------------------------


@pytest.mark.parametrize("recording", WHOLES, ids=lambda recording: recording.name)
def test_a_recorded_reply_says_what_it_says(recording: Recording):
    reply = upstream_of(recording).decode_chat(b" \n\n" + (recording.response or b""), provider="p")
    check(reply, naive_whole(recording))
    assert (reply.id, reply.model) == (recording.reply["id"], recording.reply["model"])
    assert fold(unfold(reply)) == reply


@pytest.mark.parametrize("recording", VECTORS, ids=lambda recording: recording.name)
def test_recorded_embeddings_are_read(recording: Recording):
    read = upstream_of(recording).decode_embeddings(recording.response or b"", provider="p")
    said = recording.reply
    assert read.model == said["model"]
    assert read.usage is not None
    assert read.usage.prompt_tokens == said["usage"]["prompt_tokens"]
    assert len(read.vectors) == len(said["data"])
    for item in said["data"]:
        vector = item["embedding"]
        if isinstance(vector, str):
            raw = base64.b64decode(vector)
            vector = array("d" if recording.provider == "vllm" else "f", raw).tolist()
        assert list(read.vectors[item["index"]]) == vector


LISTS = sorted(WIRE.glob("*/*/models-*.response.json"))


@pytest.mark.parametrize("path", LISTS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_recorded_list_of_models_is_read(path: Any):
    body, provider = path.read_bytes(), path.parent.name
    meta = json.loads(path.with_name(path.name.replace("response", "meta")).read_text())
    said = json.loads(body)
    if meta["status"] != 200 or not str(meta["endpoint"]).split("?")[0].endswith("/models") or "data" not in said:
        pytest.skip("no list of this family")
    if provider == "anthropic":
        pytest.skip("another family's list")
    cards = {card.id: card for card in OpenAIUpstream().read_models(body, default_owner="nobody")}
    assert list(cards) == list(dict.fromkeys(entry["id"] for entry in said["data"]))
    for entry in said["data"]:
        card = cards[entry["id"]]
        prefix = entry["id"].removeprefix("~").partition("/")[0]
        assert card.owned_by == (entry.get("owned_by") or (prefix if provider == "openrouter" else "nobody"))
        meta_of = entry.get("meta") or {}
        context = entry.get("context_length") or entry.get("max_context_length") or meta_of.get("n_ctx")
        assert card.facts.context_tokens == context
        assert card.facts.source == ("provider" if context else "")
        if provider == "openrouter":
            assert (Capability.TOOLS in card.facts.can) is ("tools" in entry["supported_parameters"])
            assert (Capability.VISION in card.facts.can) is ("image" in entry["architecture"]["input_modalities"])
        if provider == "mistral":
            assert (Capability.CHAT in card.facts.can) is entry["capabilities"]["completion_chat"]
            assert (Capability.VISION in card.facts.cannot) is not entry["capabilities"]["vision"]


@pytest.mark.parametrize(
    "recording", pick(lambda recording: recording.status >= 400 and bool(recording.response)), ids=lambda r: r.name
)
def test_an_error_under_a_200_is_never_a_reply(recording: Recording):
    with pytest.raises(UpstreamError):
        upstream_of(recording).decode_chat(recording.response or b"", provider="p")
