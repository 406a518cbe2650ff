"""What an upstream says, in three languages: one answer, whole or streamed, and its refusals.

    OPENAI      data: {chunk}⏎⏎ …  finish_reason, usage, [DONE]              wire notes 2.1
    ANTHROPIC   message_start, content_block_delta …, message_delta, message_stop    2.2
    OLLAMA      {line}⏎ …  done: true, with the counts                               2.3

A stream is `opening`, a `piece` a token, `finish`, `terminator`.  The last two are apart, since a stream may be whole
without its terminator; Ollama has none.  `noise` is what says nothing, `garbage` what nobody can read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct

__all__ = ["ANTHROPIC", "OLLAMA", "OPENAI", "PROMPT_TOKENS", "VOICES", "Refusal", "Voice"]

PROMPT_TOKENS = 7
"""Of every prompt, whatever it is."""

Refusal = Literal["busy", "broken", "overloaded", "too long", "policy", "prefill"]
STATUS: Mapping[Refusal, int] = {
    "busy": 429,
    "broken": 500,
    "overloaded": 503,
    "too long": 400,
    "policy": 400,
    "prefill": 400,
}


class Voice(Struct, frozen=True):
    """One language, as an upstream speaks it."""

    name: str
    path: str
    stream_type: bytes
    opening: Callable[[str], list[bytes]]
    """Of a model: the events before the first content."""
    piece: Callable[[str], bytes]
    finish: Callable[[int], list[bytes]]
    """Why it ends, and how many tokens it had."""
    terminator: bytes
    whole: Callable[[str, str, int], object]
    """An answer that is not streamed: of a model, its text, its tokens."""
    noise: bytes
    garbage: bytes
    words: Mapping[Refusal, str]
    """What it says when it refuses."""
    error: Callable[[Refusal, str], object]
    event: Callable[[object], bytes]
    """An error inside a stream."""
    streams_unasked: bool = False

    def refusal(self, kind: Refusal) -> tuple[int, object]:
        """Status and body."""
        return STATUS[kind], self.error(kind, self.words[kind])

    def is_stream(self, body: Mapping[str, Any]) -> bool:
        return bool(body.get("stream", self.streams_unasked))


WORDS: Mapping[Refusal, str] = {
    "busy": "You are asking too often.",
    "broken": "Something went wrong on our side.",
    "overloaded": "There is too much to do at the moment.",
    "too long": "This model's maximum context length is 8192 tokens, but you asked for 9000.",
    "policy": "Your prompt was rejected: it violates our content policy.",
    "prefill": "The conversation must end with a message of the user; there is no prefill here.",
}


def _sse(value: object, name: str = "") -> bytes:
    return (f"event: {name}\n" if name else "").encode() + b"data: %b\n\n" % json.dumps(value).encode()


# -- OpenAI ------------------------------------------------------------------------------------------------------


def _counted(tokens: int) -> dict[str, int]:
    return {"prompt_tokens": PROMPT_TOKENS, "completion_tokens": tokens, "total_tokens": PROMPT_TOKENS + tokens}


def _chunk(choices: Sequence[object], **more: object) -> bytes:
    return _sse({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "choices": choices, **more})


def _delta(delta: Mapping[str, str], finish: str | None = None, **more: object) -> bytes:
    return _chunk([{"index": 0, "delta": delta, "finish_reason": finish}], **more)


def _openai_whole(model: str, text: str, tokens: int) -> object:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    shell = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": model}
    return {**shell, "choices": [choice], "usage": _counted(tokens)}


OPENAI_CODES: Mapping[Refusal, str] = {"too long": "context_length_exceeded", "policy": "content_policy_violation"}

OPENAI = Voice(
    "openai",
    "/v1/chat/completions",
    b"text/event-stream",
    opening=lambda model: [_delta({"role": "assistant", "content": ""}, model=model)],
    piece=lambda text: _delta({"content": text}),
    finish=lambda tokens: [_delta({}, "stop"), _chunk([], usage=_counted(tokens))],
    terminator=b"data: [DONE]\n\n",
    whole=_openai_whole,
    noise=b": working\n\n",
    garbage=b'data: {"id":"chatcmpl-1","choices":[{"index":0,"delta":{"con\n\n',
    words=WORDS,
    error=lambda kind, words: {"error": {"message": words, "type": "error", "code": OPENAI_CODES.get(kind)}},
    event=_sse,
)


# -- Anthropic ---------------------------------------------------------------------------------------------------


def _named(kind: str, **fields: object) -> bytes:
    return _sse({"type": kind, **fields}, kind)


def _message(model: str, content: Sequence[object], stop: str | None, tokens: int) -> dict[str, object]:
    shell = {"id": "msg_1", "type": "message", "role": "assistant", "model": model, "stop_sequence": None}
    usage = {"input_tokens": PROMPT_TOKENS, "output_tokens": tokens}
    return {**shell, "content": content, "stop_reason": stop, "usage": usage}


def _anthropic_finish(tokens: int) -> list[bytes]:
    delta = {"stop_reason": "end_turn", "stop_sequence": None}
    usage = {"output_tokens": tokens}
    return [_named("content_block_stop", index=0), _named("message_delta", delta=delta, usage=usage)]


ANTHROPIC_KINDS: Mapping[Refusal, str] = {
    "busy": "rate_limit_error",
    "broken": "api_error",
    "overloaded": "overloaded_error",
}

ANTHROPIC = Voice(
    "anthropic",
    "/v1/messages",
    b"text/event-stream; charset=utf-8",
    opening=lambda model: [
        _named("message_start", message=_message(model, [], None, 1)),
        _named("content_block_start", index=0, content_block={"type": "text", "text": ""}),
    ],
    piece=lambda text: _named("content_block_delta", index=0, delta={"type": "text_delta", "text": text}),
    finish=_anthropic_finish,
    terminator=_named("message_stop"),
    whole=lambda model, text, tokens: _message(model, [{"type": "text", "text": text}], "end_turn", tokens),
    noise=_named("ping"),
    garbage=b'event: content_block_delta\ndata: {"type":"content_block_del\n\n',
    words={
        **WORDS,
        "too long": "prompt is too long: 210000 tokens > 200000 maximum",
        "policy": "Output blocked by content filtering policy",
    },
    error=lambda kind, words: {
        "type": "error",
        "error": {"type": ANTHROPIC_KINDS.get(kind, "invalid_request_error"), "message": words},
    },
    event=lambda error: _sse(error, "error"),
)


# -- Ollama ------------------------------------------------------------------------------------------------------


def _line(text: str, **more: object) -> dict[str, object]:
    message = {"role": "assistant", "content": text}
    return {"model": "m", "created_at": "2026-01-01T00:00:00Z", "message": message, "done": False, **more}


def _ended(tokens: int) -> dict[str, object]:
    return {"done": True, "done_reason": "stop", "prompt_eval_count": PROMPT_TOKENS, "eval_count": tokens}


def _ndjson(value: object) -> bytes:
    return json.dumps(value).encode() + b"\n"


OLLAMA = Voice(
    "ollama",
    "/api/chat",
    b"application/x-ndjson",
    opening=lambda model: [_ndjson(_line("", model=model))],
    piece=lambda text: _ndjson(_line(text)),
    finish=lambda tokens: [_ndjson(_line("", **_ended(tokens)))],
    terminator=b"",
    whole=lambda model, text, tokens: _line(text, model=model, **_ended(tokens)),
    noise=b"\n",
    garbage=b'{"model":"m","message":{"role":"assi\n',
    words={**WORDS, "too long": "the input length exceeds the context length"},
    error=lambda kind, words: {"error": words},
    event=_ndjson,
    streams_unasked=True,
)

VOICES = {voice.name: voice for voice in (OPENAI, ANTHROPIC, OLLAMA)}
