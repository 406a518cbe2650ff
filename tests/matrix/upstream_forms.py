"""What five upstreams send, in their own words, for the same few answers.

Written by hand from the wire notes (2.1 to 2.4, 2.9), quirks included: CRLF and cumulative usage at Gemini, padding and
pings at Anthropic, whole calls and content lists at Mistral, `done_reason: stop` for tool calls at Ollama.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

TEXT = ("Sal", "am, dün", "ya")
THOUGHT = ("Hm", ", well.")
CALLS = (("weather", {"city": "Rasht"}), ("time", {}))
PROMPT_TOKENS, REPLY_TOKENS = 9, 7


class Answer(Struct, frozen=True):
    """What the model says."""

    text: tuple[str, ...] = TEXT
    thought: tuple[str, ...] = ()
    calls: tuple[tuple[str, dict[str, Any]], ...] = ()
    finish: str = "stop"
    fails: bool = False
    """In a stream: an error in its midst.  Else: an error status before it."""
    cut: bool = False
    """The stream ends after its first text."""


class Forms(Struct, frozen=True):
    """How one upstream is configured and what it sends."""

    type: str
    model: str
    stream_type: bytes
    whole: Callable[[Answer], dict[str, Any]]
    stream: Callable[[Answer], bytes]
    error: Callable[[], tuple[int, dict[str, Any]]]
    tools_asked: Callable[[Mapping[str, Any]], list[str]]
    """The names of the tools in a request body."""
    images_asked: Callable[[Mapping[str, Any]], list[str]]
    """The base64 of the images in a request body."""
    thinks: Callable[[Mapping[str, Any]], bool]
    """The request asks for reasoning."""


def dumps(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def sse(*events: object, end: str = "\n\n") -> bytes:
    return "".join(f"data: {event if isinstance(event, str) else dumps(event)}{end}" for event in events).encode()


def images_in_openai(body: Mapping[str, Any]) -> list[str]:
    parts = [part for message in body["messages"] for part in message.get("content") or () if isinstance(part, dict)]
    urls = [part["image_url"] for part in parts if part["type"] == "image_url"]
    return [(url if isinstance(url, str) else url["url"]).partition("base64,")[2] for url in urls]


# -- OpenAI ------------------------------------------------------------------------------------------------------

USAGE = {
    "prompt_tokens": PROMPT_TOKENS,
    "completion_tokens": REPLY_TOKENS,
    "total_tokens": PROMPT_TOKENS + REPLY_TOKENS,
}
OPENAI_HEAD = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m-1"}


def openai_calls(answer: Answer, *, indexed: bool = False) -> list[dict[str, Any]]:
    return [
        {
            **({"index": at} if indexed else {}),
            "id": f"call_{at}",
            "type": "function",
            "function": {"name": name, "arguments": dumps(arguments)},
        }
        for at, (name, arguments) in enumerate(answer.calls)
    ]


def openai_finish(answer: Answer) -> str:
    return "tool_calls" if answer.calls else answer.finish


def openai_whole(answer: Answer) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": "".join(answer.text) or None, "refusal": None}
    if answer.thought:
        message["reasoning_content"] = "".join(answer.thought)
    if answer.calls:
        message["tool_calls"] = openai_calls(answer)
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": openai_finish(answer)}
    return {**OPENAI_HEAD, "object": "chat.completion", "choices": [choice], "usage": USAGE}


def openai_stream(answer: Answer) -> bytes:
    def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        return {**OPENAI_HEAD, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], "usage": None}

    events: list[object] = [chunk({"role": "assistant", "content": ""})]
    events += [chunk({"reasoning_content": piece}) for piece in answer.thought]
    events += [chunk({"content": piece}) for piece in (answer.text[:1] if answer.cut or answer.fails else answer.text)]
    if answer.cut:
        return sse(*events)
    if answer.fails:
        return sse(*events, {"error": {"message": "it broke", "type": "server_error", "param": None, "code": None}})
    for call in openai_calls(answer, indexed=True):
        arguments = call["function"]["arguments"]
        events.append(
            chunk({"tool_calls": [{**call, "function": {"name": call["function"]["name"], "arguments": ""}}]})
        )
        for piece in (arguments[:3], arguments[3:]):
            events.append(chunk({"tool_calls": [{"index": call["index"], "function": {"arguments": piece}}]}))
    events += [chunk({}, openai_finish(answer)), {**OPENAI_HEAD, "choices": [], "usage": USAGE}, "[DONE]"]
    return sse(*events)


def openai_error() -> tuple[int, dict[str, Any]]:
    return 429, {"error": {"message": "slow down", "type": "requests", "param": None, "code": "rate_limit_exceeded"}}


def openai_tools(body: Mapping[str, Any]) -> list[str]:
    return [tool["function"]["name"] for tool in body.get("tools") or ()]


# -- Mistral -----------------------------------------------------------------------------------------------------


def mistral_content(text: str, thought: str) -> object:
    if not thought:
        return text
    blocks: list[dict[str, Any]] = [{"type": "thinking", "thinking": [{"type": "text", "text": thought}]}]
    return blocks + ([{"type": "text", "text": text}] if text else [])


def mistral_calls(answer: Answer) -> list[dict[str, Any]]:
    return [{**call, "id": f"Callnr{at:03d}"} for at, call in enumerate(openai_calls(answer))]


def mistral_whole(answer: Answer) -> dict[str, Any]:
    content = mistral_content("".join(answer.text), "".join(answer.thought))
    message = {"role": "assistant", "content": content, "tool_calls": mistral_calls(answer) or None}
    choice = {"index": 0, "message": message, "finish_reason": openai_finish(answer)}
    return {**OPENAI_HEAD, "object": "chat.completion", "choices": [choice], "usage": USAGE}


def mistral_stream(answer: Answer) -> bytes:
    def chunk(delta: dict[str, Any], finish: str | None = None, **more: object) -> dict[str, Any]:
        return {**OPENAI_HEAD, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}

    events: list[object] = [chunk({"role": "assistant", "content": ""})]
    events += [chunk({"content": mistral_content("", piece)}) for piece in answer.thought]
    events += [chunk({"content": piece}) for piece in (answer.text[:1] if answer.cut or answer.fails else answer.text)]
    if answer.cut:
        return sse(*events)
    if answer.fails:
        return sse(*events, {"object": "error", "message": "it broke", "type": "internal_error", "code": "3000"})
    calls = {"tool_calls": [{**call, "index": at} for at, call in enumerate(mistral_calls(answer))]}
    last = {"content": "", **(calls if answer.calls else {})}
    return sse(*events, chunk(last, openai_finish(answer), usage=USAGE), "[DONE]")


def mistral_error() -> tuple[int, dict[str, Any]]:
    return 429, {"object": "error", "message": "slow down", "type": "rate_limited", "param": None, "code": "1300"}


# -- Anthropic ---------------------------------------------------------------------------------------------------

ANTHROPIC_FINISH = {"stop": "end_turn", "length": "max_tokens", "content_filter": "refusal"}


def anthropic_finish(answer: Answer) -> str:
    return "tool_use" if answer.calls else ANTHROPIC_FINISH[answer.finish]


def anthropic_blocks(answer: Answer) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    if answer.thought:
        blocks.append({"type": "thinking", "thinking": "".join(answer.thought), "signature": "c2lnbmVk+/="})
    if answer.text:
        blocks.append({"type": "text", "text": "".join(answer.text)})
    for at, (name, arguments) in enumerate(answer.calls):
        blocks.append({"type": "tool_use", "id": f"toolu_{at}", "name": name, "input": arguments})
    return blocks


def anthropic_shell(answer: Answer, **more: object) -> dict[str, Any]:
    return {"id": "msg_1", "type": "message", "role": "assistant", "model": "m-1", "stop_sequence": None, **more}


def anthropic_whole(answer: Answer) -> dict[str, Any]:
    usage = {"input_tokens": PROMPT_TOKENS, "output_tokens": REPLY_TOKENS}
    return anthropic_shell(answer, content=anthropic_blocks(answer), stop_reason=anthropic_finish(answer), usage=usage)


def anthropic_deltas(block: dict[str, Any], answer: Answer) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A block as it starts, and its deltas."""
    if block["type"] == "thinking":
        deltas = [{"type": "thinking_delta", "thinking": piece} for piece in answer.thought]
        signed = {"type": "signature_delta", "signature": block["signature"]}
        return {"type": "thinking", "thinking": "", "signature": ""}, [*deltas, signed]
    if block["type"] == "text":
        return {"type": "text", "text": ""}, [{"type": "text_delta", "text": piece} for piece in answer.text]
    arguments = dumps(block["input"]) if block["input"] else ""
    pieces = ["", arguments[:4], arguments[4:]] if arguments else [""]
    return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]


def anthropic_stream(answer: Answer) -> bytes:
    events: list[dict[str, Any]] = []
    usage = {"input_tokens": PROMPT_TOKENS, "output_tokens": 1}
    events.append(
        {"type": "message_start", "message": anthropic_shell(answer, content=[], stop_reason=None, usage=usage)}
    )
    for index, block in enumerate(anthropic_blocks(answer)):
        start, deltas = anthropic_deltas(block, answer)
        events.append({"type": "content_block_start", "index": index, "content_block": start})
        if index == 0:
            events.append({"type": "ping"})
        if block["type"] == "text" and (answer.cut or answer.fails):
            events.append({"type": "content_block_delta", "index": index, "delta": deltas[0]})
            break
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": index})
    if answer.fails:
        events.append({"type": "error", "error": {"type": "overloaded_error", "message": "it broke"}})
    elif not answer.cut:
        stop = {"stop_reason": anthropic_finish(answer), "stop_sequence": None}
        events.append({"type": "message_delta", "delta": stop, "usage": {"output_tokens": REPLY_TOKENS}})
        events.append({"type": "message_stop"})
    return "".join(f"event: {event['type']}\ndata: {dumps(event)[:-1]}     }}\n\n" for event in events).encode()


def anthropic_error() -> tuple[int, dict[str, Any]]:
    return 429, {"type": "error", "error": {"type": "rate_limit_error", "message": "slow down"}, "request_id": "r"}


def anthropic_images(body: Mapping[str, Any]) -> list[str]:
    blocks = [block for message in body["messages"] for block in message["content"] if isinstance(block, dict)]
    return [block["source"]["data"] for block in blocks if block["type"] == "image"]


# -- Gemini ------------------------------------------------------------------------------------------------------

GEMINI_FINISH = {"stop": "STOP", "length": "MAX_TOKENS", "content_filter": "SAFETY"}


def gemini_usage(answer: Answer) -> dict[str, int]:
    thoughts = 3 if answer.thought else 0
    counts = {"promptTokenCount": PROMPT_TOKENS, "candidatesTokenCount": REPLY_TOKENS - thoughts}
    return {**counts, **({"thoughtsTokenCount": thoughts} if thoughts else {}), "totalTokenCount": 16}


def gemini_answer(answer: Answer, parts: list[dict[str, Any]], *, last: bool) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": parts}, "index": 0}
    if last:
        candidate["finishReason"] = "STOP" if answer.calls else GEMINI_FINISH[answer.finish]
    return {"candidates": [candidate], "usageMetadata": gemini_usage(answer), "modelVersion": "m-1", "responseId": "r"}


def gemini_calls(answer: Answer) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = []
    for at, (name, arguments) in enumerate(answer.calls):
        signature = {"thoughtSignature": "Z2VtaW5p+/="} if at == 0 else {}
        parts.append({"functionCall": {"name": name, "args": arguments}, **signature})
    return parts


def gemini_whole(answer: Answer) -> dict[str, Any]:
    parts: list[dict[str, Any]] = [{"text": "".join(answer.thought), "thought": True}] if answer.thought else []
    parts += [{"text": "".join(answer.text)}] if answer.text else []
    return gemini_answer(answer, parts + gemini_calls(answer), last=True)


def gemini_stream(answer: Answer) -> bytes:
    events = [gemini_answer(answer, [{"text": piece, "thought": True}], last=False) for piece in answer.thought]
    text = answer.text[:1] if answer.cut or answer.fails else answer.text
    events += [gemini_answer(answer, [{"text": piece}], last=False) for piece in text]
    if answer.fails:
        events.append({"error": {"code": 503, "message": "it broke", "status": "UNAVAILABLE"}})
    elif not answer.cut:
        events.append(gemini_answer(answer, gemini_calls(answer) or [{"text": ""}], last=True))
    return sse(*events, end="\r\n\r\n")


def gemini_error() -> tuple[int, dict[str, Any]]:
    delay = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "7s"}
    return 429, {"error": {"code": 429, "message": "slow down", "status": "RESOURCE_EXHAUSTED", "details": [delay]}}


def gemini_tools(body: Mapping[str, Any]) -> list[str]:
    return [one["name"] for tool in body.get("tools") or () for one in tool["functionDeclarations"]]


def gemini_images(body: Mapping[str, Any]) -> list[str]:
    parts = [part for content in body["contents"] for part in content["parts"]]
    return [part["inlineData"]["data"] for part in parts if "inlineData" in part]


# -- Ollama ------------------------------------------------------------------------------------------------------


def ollama_line(message: dict[str, Any], **more: object) -> dict[str, Any]:
    told = {"role": "assistant", "content": "", **message}
    return {"model": "m-1", "created_at": "2026-01-01T00:00:00Z", "message": told, "done": False, **more}


def ollama_end(answer: Answer) -> dict[str, Any]:
    return {
        "done": True,
        "done_reason": answer.finish,
        "total_duration": 5_000,
        "prompt_eval_count": PROMPT_TOKENS,
        "eval_count": REPLY_TOKENS,
    }


def ollama_calls(answer: Answer) -> list[dict[str, Any]]:
    calls = enumerate(answer.calls)
    return [{"function": {"index": at, "name": name, "arguments": arguments}} for at, (name, arguments) in calls]


def ollama_whole(answer: Answer) -> dict[str, Any]:
    message: dict[str, Any] = {"content": "".join(answer.text)}
    if answer.thought:
        message["thinking"] = "".join(answer.thought)
    if answer.calls:
        message["tool_calls"] = ollama_calls(answer)
    return ollama_line(message, **ollama_end(answer))


def ollama_stream(answer: Answer) -> bytes:
    lines: list[dict[str, Any]] = [ollama_line({"thinking": piece}) for piece in answer.thought]
    text = answer.text[:1] if answer.cut or answer.fails else answer.text
    lines += [ollama_line({"content": piece}) for piece in text]
    if answer.fails:
        lines.append({"error": "it broke"})
    elif not answer.cut:
        lines += [ollama_line({"tool_calls": [call]}) for call in ollama_calls(answer)]
        lines.append(ollama_line({}, **ollama_end(answer)))
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


def ollama_error() -> tuple[int, dict[str, Any]]:
    return 429, {"error": "slow down"}


def ollama_images(body: Mapping[str, Any]) -> list[str]:
    return [image for message in body["messages"] for image in message.get("images") or ()]


# -- all ---------------------------------------------------------------------------------------------------------

SSE = b"text/event-stream"
UPSTREAMS = {
    "openai": Forms(
        "openai",
        "gpt-5",
        SSE,
        openai_whole,
        openai_stream,
        openai_error,
        openai_tools,
        images_in_openai,
        lambda body: body.get("reasoning_effort") == "high",
    ),
    "mistral": Forms(
        "mistral",
        "magistral-medium-latest",
        SSE,
        mistral_whole,
        mistral_stream,
        mistral_error,
        openai_tools,
        images_in_openai,
        lambda body: True,  # it always does
    ),
    "anthropic": Forms(
        "anthropic",
        "claude-sonnet-4-5",
        SSE,
        anthropic_whole,
        anthropic_stream,
        anthropic_error,
        lambda body: [tool["name"] for tool in body.get("tools") or ()],
        anthropic_images,
        lambda body: (body.get("thinking") or {}).get("type") in ("enabled", "adaptive"),
    ),
    "gemini": Forms(
        "google",
        "gemini-2.5-flash",
        SSE,
        gemini_whole,
        gemini_stream,
        gemini_error,
        gemini_tools,
        gemini_images,
        lambda body: "thinkingConfig" in (body.get("generationConfig") or {}),
    ),
    "ollama": Forms(
        "ollama",
        "qwen3-vl",
        b"application/x-ndjson",
        ollama_whole,
        ollama_stream,
        ollama_error,
        openai_tools,
        ollama_images,
        lambda body: bool(body.get("think")),
    ),
}
