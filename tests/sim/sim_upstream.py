"""What upstreams send: the reply of a mood, in the language that was asked in, one token a piece.

Received ──(path)──▶ Wire: how a stream opens, goes on, fails and ends; what a whole reply looks like
         ──(prompt: "mood 17")──▶ Mood ──▶ Script
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence

from msgspec import Struct
from sim_schedule import Mood

from hoosh.testing.upstream import Body, Cut, End, Hang, Head, Pause, Received, Reset, Script, Step, json_reply

PROMPT_TOKENS = 7
WORD = " da"
MOOD = re.compile(rb"mood (\d+)")
SOUND = b"\xff\xf3\xc4" + bytes(400)


class Wire(Struct, frozen=True):
    """One language, as an upstream speaks it."""

    stream_type: bytes
    opening: Callable[[], list[bytes]]
    piece: Callable[[int | None], bytes]
    """Of content; with a count of the tokens up to here, where the upstream counts on every chunk."""
    error: bytes
    finish: Callable[[int | None], list[bytes]]
    """The last events of the reply; with the count, or None where the upstream does not count."""
    terminator: bytes
    whole: Callable[[int, bool], object]


def sse(value: object, name: str = "") -> bytes:
    return (f"event: {name}\n" if name else "").encode() + b"data: %b\n\n" % json.dumps(value).encode()


def line(value: object) -> bytes:
    return json.dumps(value).encode() + b"\n"


# -- OpenAI ------------------------------------------------------------------------------------------------------


def counted(tokens: int | None) -> dict[str, object]:
    if tokens is None:
        return {}
    total = PROMPT_TOKENS + tokens
    return {"usage": {"prompt_tokens": PROMPT_TOKENS, "completion_tokens": tokens, "total_tokens": total}}


def chunk(delta: dict[str, object], finish: str | None = None, tokens: int | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return sse({"id": "c", "object": "chat.completion.chunk", "model": "m", "choices": [choice], **counted(tokens)})


def chat_finish(tokens: int | None) -> list[bytes]:
    last = [] if tokens is None else [sse({"id": "c", "choices": [], **counted(tokens)})]
    return [chunk({}, "stop"), *last]


def chat_whole(tokens: int, counts: bool) -> object:
    message = {"role": "assistant", "content": WORD * tokens}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {"id": "c", "object": "chat.completion", "choices": [choice], **counted(tokens if counts else None)}


CHAT = Wire(
    b"text/event-stream",
    opening=lambda: [chunk({"role": "assistant", "content": ""})],
    piece=lambda tokens: chunk({"content": WORD}, None, tokens),
    error=sse({"error": {"message": "it broke", "type": "server_error"}}),
    finish=chat_finish,
    terminator=b"data: [DONE]\n\n",
    whole=chat_whole,
)


def text_chunk(text: str, finish: str | None = None, tokens: int | None = None) -> bytes:
    choice = {"index": 0, "text": text, "finish_reason": finish}
    return sse({"id": "c", "object": "text_completion", "model": "m", "choices": [choice], **counted(tokens)})


def text_whole(tokens: int, counts: bool) -> object:
    choice = {"index": 0, "text": WORD * tokens, "finish_reason": "stop"}
    return {"id": "c", "object": "text_completion", "choices": [choice], **counted(tokens if counts else None)}


COMPLETION = Wire(
    b"text/event-stream",
    opening=list,
    piece=lambda tokens: text_chunk(WORD, None, tokens),
    error=CHAT.error,
    finish=lambda tokens: [text_chunk("", "stop", tokens)],
    terminator=b"data: [DONE]\n\n",
    whole=text_whole,
)


# -- Anthropic ---------------------------------------------------------------------------------------------------


def named(kind: str, **fields: object) -> bytes:
    return sse({"type": kind, **fields}, kind)


def messages_opening() -> list[bytes]:
    usage = {"input_tokens": PROMPT_TOKENS, "output_tokens": 1}
    message = {"id": "m", "type": "message", "role": "assistant", "model": "m", "content": [], "stop_reason": None}
    block = {"type": "text", "text": ""}
    return [
        named("message_start", message={**message, "stop_sequence": None, "usage": usage}),
        named("content_block_start", index=0, content_block=block),
        named("ping"),
    ]


def messages_finish(tokens: int | None) -> list[bytes]:
    usage = {} if tokens is None else {"usage": {"output_tokens": tokens}}
    stop = {"stop_reason": "end_turn", "stop_sequence": None}
    return [named("content_block_stop", index=0), named("message_delta", delta=stop, **usage)]


def messages_whole(tokens: int, counts: bool) -> object:
    usage = {"usage": {"input_tokens": PROMPT_TOKENS, "output_tokens": tokens}} if counts else {}
    content = [{"type": "text", "text": WORD * tokens}]
    shell = {"id": "m", "type": "message", "role": "assistant", "model": "m", "stop_sequence": None}
    return {**shell, "content": content, "stop_reason": "end_turn", **usage}


MESSAGES = Wire(
    b"text/event-stream",
    opening=messages_opening,
    piece=lambda tokens: named("content_block_delta", index=0, delta={"type": "text_delta", "text": WORD}),
    error=named("error", error={"type": "overloaded_error", "message": "it broke"}),
    finish=messages_finish,
    terminator=named("message_stop"),
    whole=messages_whole,
)


# -- Ollama ------------------------------------------------------------------------------------------------------


def spoken(text: str, **more: object) -> dict[str, object]:
    message = {"role": "assistant", "content": text}
    return {"model": "m", "created_at": "2026-01-01T00:00:00Z", "message": message, "done": False, **more}


def ollama_end(tokens: int | None) -> dict[str, object]:
    counts = {} if tokens is None else {"prompt_eval_count": PROMPT_TOKENS, "eval_count": tokens}
    return {"done": True, "done_reason": "stop", **counts}


OLLAMA = Wire(
    b"application/x-ndjson",
    opening=list,
    piece=lambda tokens: line(spoken(WORD)),
    error=line({"error": "it broke"}),
    finish=lambda tokens: [],
    terminator=b"",
    whole=lambda tokens, counts: spoken(WORD * tokens, **ollama_end(tokens if counts else None)),
)


WIRES = {
    "/v1/chat/completions": CHAT,
    "/v1/completions": COMPLETION,
    "/v1/messages": MESSAGES,
    "/api/chat": OLLAMA,
}


# -- moods -------------------------------------------------------------------------------------------------------


def answers(moods: Sequence[Mood]) -> Callable[[Received], Script]:
    """An upstream that knows these moods, in every language."""

    def script(request: Received) -> Script:
        found = MOOD.search(request.body)
        return play(request, moods[int(found[1])]) if found else json_reply({"error": "whose mood?"}, status=500)

    return script


def play(request: Received, mood: Mood) -> list[Step]:
    path = request.target.partition("?")[0]
    before: list[Step] = [Pause(mood.head_after_s)] if mood.head_after_s else []
    if mood.fault in ("500", "429"):
        status = int(mood.fault)
        return [*before, *json_reply({"error": {"message": "no", "type": "x"}}, status=status)]
    if mood.fault == "reset":
        return [*before, Reset()]
    if mood.fault == "hang":
        return [*before, Hang()]
    if path in WIRES and json.loads(request.body).get("stream"):
        return [*before, *_stream(WIRES[path], mood)]
    if path == "/v1/audio/speech":
        return [*before, *_sound(mood)]
    return [*before, *_whole(path, mood)]


def _stream(wire: Wire, mood: Mood) -> list[Step]:
    events, is_cut = events_of(wire, mood)
    steps: list[Step] = [Head(200, [(b"content-type", wire.stream_type)])]
    for at in range(0, len(events), mood.block):
        steps += [Pause(mood.pause_s)] if mood.pause_s and at else []
        steps.append(Body(b"".join(events[at : at + mood.block])))
    return [*steps, Cut() if is_cut else End()]


def events_of(wire: Wire, mood: Mood) -> tuple[list[bytes], bool]:
    """The events of a reply, and whether the connection is cut behind them."""
    each = mood.counts == "on every chunk"
    pieces = [wire.piece(at + 1 if each else None) for at in range(mood.pieces)]
    finish = wire.finish(None if mood.counts == "never" else mood.pieces)
    if wire is OLLAMA:
        finish = [line(spoken("", **ollama_end(None if mood.counts == "never" else mood.pieces)))]
    if mood.fault == "cut":
        return [*wire.opening(), *pieces[: mood.fails_after]], True
    if mood.fault == "error":
        return [*wire.opening(), *pieces[: mood.fails_after], wire.error], False
    if mood.fault == "malformed":
        pieces.insert(mood.fails_after, b"data: {broken\n\n" if wire is not OLLAMA else b"{broken\n")
    if mood.fault == "cut after finish":
        return [*wire.opening(), *pieces, *finish], True
    return [*wire.opening(), *pieces, *finish, wire.terminator], False


def _sound(mood: Mood) -> list[Step]:
    steps: list[Step] = [Head(200, [(b"content-type", b"audio/mpeg")]), Body(SOUND)]
    for _ in range(min(3, mood.pieces)):
        steps += [Pause(mood.pause_s), Body(SOUND)]
    return [*steps, Cut() if mood.fault in ("cut", "cut after finish") else End()]


def _whole(path: str, mood: Mood) -> list[Step]:
    counts = mood.counts != "never"
    if path in WIRES:
        value = WIRES[path].whole(mood.pieces, counts)
    elif path in ("/v1/embeddings", "/api/embed"):
        value = _embedding(path, counts)
    elif path.startswith("/v1/audio/"):
        usage = {"usage": {"input_tokens": PROMPT_TOKENS, "output_tokens": mood.pieces}} if counts else {}
        value = {"text": WORD * mood.pieces, **usage}
    else:
        return json_reply({"error": {"message": "no such path"}}, status=404)
    body = json.dumps(value).encode()
    head = Head(200, [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))])
    if mood.fault in ("cut", "cut after finish"):
        return [head, Body(body[: len(body) // 2]), Cut()]
    if mood.fault == "malformed":
        return [Head(200, [(b"content-type", b"application/json")]), Body(body[: len(body) // 2]), End()]
    if mood.fault == "error":
        return json_reply({"error": {"message": "it broke", "type": "server_error"}})
    return [head, Body(body), End()]


def _embedding(path: str, counts: bool) -> object:
    if path == "/api/embed":
        usage = {"prompt_eval_count": PROMPT_TOKENS} if counts else {}
        return {"model": "m", "embeddings": [[0.5, 0.25]], **usage}
    usage = {"usage": {"prompt_tokens": PROMPT_TOKENS, "total_tokens": PROMPT_TOKENS}} if counts else {}
    return {"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": [0.5, 0.25]}], **usage}
