"""Four clients: how each asks for the same things in its own language, and what it reads in the answer.

The readers are naive and know nothing of hoosh: they follow the public documentation of each language, and complain
(AssertionError) about a stream that a client's SDK would choke on.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from msgspec import Struct

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
NO_PARAMETERS: dict[str, Any] = {"type": "object", "properties": {}}


class Wish(Struct, frozen=True):
    """What a client asks for."""

    stream: bool = False
    tools: bool = False
    image: bool = False
    thinks: bool = False
    max_tokens: int = 4096


class Seen(Struct):
    """What a client has understood."""

    text: str = ""
    thought: str = ""
    refusal: str = ""
    """Where a language has a place of its own for it; else it is text."""
    calls: list[tuple[str, Any]] = []
    ids: list[str] = []
    finish: str | None = None
    tokens: tuple[int, int] | None = None
    error: str | None = None
    is_ended: bool = False
    """The stream has the end that its language wants."""


class ClientForms(Struct, frozen=True):
    path: str
    ask: Callable[[str, Wish], dict[str, Any]]
    read: Callable[[dict[str, Any]], Seen]
    read_stream: Callable[[bytes], Seen]
    read_error: Callable[[dict[str, Any]], str]


def events_of(stream: bytes) -> list[tuple[str, str]]:
    """(event name, data) of a stream with LF ends; comments are skipped."""
    events = []
    blocks = stream.decode().split("\n\n")
    assert blocks.pop() == "", f"the stream ends in the middle of an event: {stream!r}"
    for block in blocks:
        fields = [line.partition(": ") for line in block.split("\n") if not line.startswith(":")]
        name = "".join(value for field, _, value in fields if field == "event")
        data = "\n".join(value for field, _, value in fields if field == "data")
        assert all(field in ("event", "data") for field, _, _ in fields), block
        if fields:
            assert data, f"an event without data makes OpenAI's SDK crash: {block!r}"
            events.append((name, data))
    return events


def arguments_of(text: str) -> Any:
    """What a model has cut off is no JSON: it stays text."""
    try:
        return json.loads(text or "{}")
    except ValueError:
        return text


def tokens_in(body: dict[str, Any], asked: str, answered: str) -> tuple[int, int] | None:
    """None where the upstream has not said."""
    usage = body.get("usage")
    return None if usage is None else (usage[asked], usage[answered])


# -- OpenAI chat -------------------------------------------------------------------------------------------------


def ask_chat(model: str, wish: Wish) -> dict[str, Any]:
    content: Any = "Salam"
    if wish.image:
        image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
        content = [{"type": "text", "text": "Salam"}, image]
    body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": content}], "stream": wish.stream}
    body["max_completion_tokens"] = wish.max_tokens
    if wish.stream:
        body["stream_options"] = {"include_usage": True}
    if wish.tools:
        functions = [{"name": "weather", "parameters": SCHEMA}, {"name": "time"}]
        body["tools"] = [{"type": "function", "function": function} for function in functions]
    if wish.thinks:
        body["reasoning_effort"] = "high"
    return body


def read_chat(body: dict[str, Any]) -> Seen:
    message = body["choices"][0]["message"]
    calls = message.get("tool_calls") or []
    assert body["object"] == "chat.completion"
    return Seen(
        text=message["content"] or "",
        thought=message.get("reasoning_content") or "",
        calls=[(call["function"]["name"], arguments_of(call["function"]["arguments"])) for call in calls],
        ids=[call["id"] for call in calls],
        refusal=message.get("refusal") or "",
        finish=body["choices"][0]["finish_reason"],
        tokens=tokens_in(body, "prompt_tokens", "completion_tokens"),
        is_ended=True,
    )


def read_chat_stream(stream: bytes) -> Seen:
    seen = Seen()
    arguments: list[tuple[str, list[str]]] = []
    for name, data in events_of(stream):
        assert not name
        assert not seen.is_ended, "something follows the terminator"
        if data == "[DONE]":
            seen.is_ended = True
            continue
        chunk = json.loads(data)
        if chunk.get("error"):
            seen.error = chunk["error"]["message"]
            continue
        if chunk.get("usage"):
            seen.tokens = (chunk["usage"]["prompt_tokens"], chunk["usage"]["completion_tokens"])
        for choice in chunk["choices"]:
            seen.finish = choice["finish_reason"] or seen.finish
            _take_chat_delta(choice["delta"], seen, arguments)
    seen.calls = [(name, arguments_of("".join(pieces))) for name, pieces in arguments]
    return seen


def _take_chat_delta(delta: dict[str, Any], seen: Seen, arguments: list[tuple[str, list[str]]]) -> None:
    seen.text += delta.get("content") or ""
    seen.refusal += delta.get("refusal") or ""
    seen.thought += delta.get("reasoning_content") or ""
    for call in delta.get("tool_calls") or ():
        if call.get("id"):
            assert call["index"] == len(arguments)
            seen.ids.append(call["id"])
            arguments.append((call["function"]["name"], []))
        arguments[call["index"]][1].append(call["function"].get("arguments") or "")


# -- Responses ---------------------------------------------------------------------------------------------------


def ask_responses(model: str, wish: Wish) -> dict[str, Any]:
    given: Any = "Salam"
    if wish.image:
        parts = [
            {"type": "input_text", "text": "Salam"},
            {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}", "detail": "auto"},
        ]
        given = [{"role": "user", "content": parts}]
    body: dict[str, Any] = {"model": model, "input": given, "stream": wish.stream, "store": False}
    body["max_output_tokens"] = wish.max_tokens
    if wish.tools:
        functions = [{"name": "weather", "parameters": SCHEMA}, {"name": "time", "parameters": NO_PARAMETERS}]
        body["tools"] = [{"type": "function", "strict": False, **function} for function in functions]
    if wish.thinks:
        body["reasoning"] = {"effort": "high", "summary": "auto"}
    return body


def read_responses(body: dict[str, Any]) -> Seen:
    seen = Seen(is_ended=True)
    for item in body["output"]:
        if item["type"] == "message":
            seen.text += "".join(part.get("text", "") for part in item["content"])
            seen.refusal += "".join(part.get("refusal", "") for part in item["content"])
        elif item["type"] == "reasoning":
            parts = [*item.get("summary", []), *(item.get("content") or [])]
            seen.thought += "".join(part["text"] for part in parts)
        elif item["type"] == "function_call":
            seen.calls.append((item["name"], arguments_of(item["arguments"])))
            seen.ids.append(item["call_id"])
    reason = (body.get("incomplete_details") or {}).get("reason")
    finish = {"max_output_tokens": "length"}.get(reason, reason)
    seen.finish = finish or ("tool_calls" if seen.calls else "stop")
    assert (body["status"] == "completed") is (reason is None)
    seen.tokens = tokens_in(body, "input_tokens", "output_tokens")
    return seen


def read_responses_stream(stream: bytes) -> Seen:
    seen = Seen()
    text, numbers = "", []
    for name, data in events_of(stream):
        event = json.loads(data)
        assert event["type"] == name
        assert not seen.is_ended
        numbers.append(event.get("sequence_number"))
        if name == "response.output_text.delta":
            text += event["delta"]
        elif name == "error":
            seen.error = event["message"]
        elif name == "response.failed":
            seen.error = event["response"]["error"]["message"]
        elif name in ("response.completed", "response.incomplete"):
            seen = read_responses(event["response"])
    if seen.is_ended:
        assert numbers == list(range(len(numbers))), "sequence numbers count from 0"
        assert seen.text == text
    seen.text = text
    return seen


# -- Anthropic ---------------------------------------------------------------------------------------------------

STOP_REASONS = {"end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "tool_use": "tool_calls"}
STOP_REASONS |= {"refusal": "content_filter", "model_context_window_exceeded": "length"}
STOP_REASONS |= {"pause_turn": "stop", "compaction": "stop"}


def ask_messages(model: str, wish: Wish) -> dict[str, Any]:
    content: Any = "Salam"
    if wish.image:
        source = {"type": "base64", "media_type": "image/png", "data": PNG}
        content = [{"type": "text", "text": "Salam"}, {"type": "image", "source": source}]
    body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": content}], "stream": wish.stream}
    body["max_tokens"] = wish.max_tokens
    if wish.tools:
        body["tools"] = [
            {"name": "weather", "input_schema": SCHEMA},
            {"name": "time", "input_schema": NO_PARAMETERS},
        ]
    if wish.thinks:
        body["thinking"] = {"type": "enabled", "budget_tokens": 2048}
        body["output_config"] = {"effort": "high"}
    return body


def read_messages(body: dict[str, Any]) -> Seen:
    assert (body["type"], body["role"]) == ("message", "assistant")
    seen = Seen(is_ended=True)
    for block in body["content"]:
        if block["type"] == "text":
            seen.text += block["text"]
        elif block["type"] == "thinking":
            assert isinstance(block["signature"], str)
            seen.thought += block["thinking"]
        elif block["type"] == "tool_use":
            seen.calls.append((block["name"], block["input"]))
            seen.ids.append(block["id"])
    seen.finish = STOP_REASONS.get(body["stop_reason"], body["stop_reason"])
    seen.tokens = (body["usage"]["input_tokens"], body["usage"]["output_tokens"])
    return seen


def read_messages_stream(stream: bytes) -> Seen:
    message: dict[str, Any] = {}
    blocks: list[dict[str, Any]] = []
    seen = Seen()
    for name, data in events_of(stream):
        event = json.loads(data)
        assert event["type"] == name, "the SDK goes by the event's name"
        assert not seen.is_ended
        if name == "message_start":
            message = event["message"]
            assert type(message["usage"]["input_tokens"]) is type(message["usage"]["output_tokens"]) is int
        elif name == "content_block_start":
            assert event["index"] == len(blocks)
            blocks.append({**event["content_block"], "json": ""})
        elif name == "content_block_delta":
            _take_block_delta(event["delta"], blocks[event["index"]])
        elif name == "message_delta":
            message.update(event["delta"])
            message["usage"].update({name: count for name, count in event["usage"].items() if count is not None})
        elif name == "error":
            seen.error = event["error"]["message"]
        elif name == "message_stop":
            seen.is_ended = True
    for block in blocks:
        if block["type"] == "tool_use":
            block["input"] = arguments_of(block["json"])
    if seen.is_ended:
        return read_messages({**message, "content": blocks})
    seen.text = "".join(block["text"] for block in blocks if block["type"] == "text")
    return seen


def _take_block_delta(delta: dict[str, Any], block: dict[str, Any]) -> None:
    kind = delta["type"]
    if kind == "input_json_delta":
        block["json"] += delta["partial_json"]
    elif kind == "signature_delta":
        block["signature"] = delta["signature"]
    elif kind in ("text_delta", "thinking_delta"):
        field = kind.removesuffix("_delta")
        block[field] += delta[field]


# -- Ollama ------------------------------------------------------------------------------------------------------


def ask_ollama(model: str, wish: Wish) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "user", "content": "Salam", **({"images": [PNG]} if wish.image else {})}
    options = {"num_predict": wish.max_tokens}
    body: dict[str, Any] = {"model": model, "messages": [message], "stream": wish.stream, "options": options}
    if wish.tools:
        functions = [{"name": "weather", "parameters": SCHEMA}, {"name": "time", "parameters": NO_PARAMETERS}]
        body["tools"] = [{"type": "function", "function": function} for function in functions]
    if wish.thinks:
        body["think"] = "high"
    return body


def read_ollama(body: dict[str, Any]) -> Seen:
    return _read_ollama_lines([body])


def read_ollama_stream(stream: bytes) -> Seen:
    assert stream.endswith(b"\n")
    return _read_ollama_lines([json.loads(line) for line in stream.splitlines()])


def _read_ollama_lines(lines: list[dict[str, Any]]) -> Seen:
    seen = Seen()
    for line in lines:
        assert not seen.is_ended
        if "error" in line:
            seen.error = line["error"]
            continue
        message = line["message"]
        seen.text += message["content"]
        seen.thought += message.get("thinking") or ""
        for call in message.get("tool_calls") or ():
            seen.calls.append((call["function"]["name"], call["function"]["arguments"]))
            seen.ids.append(call.get("id") or "")
        if line["done"]:
            seen.is_ended = True
            # Ollama itself says `stop` when a tool was called.
            seen.finish = "tool_calls" if seen.calls else line["done_reason"]
            if "eval_count" in line:
                seen.tokens = (line["prompt_eval_count"], line["eval_count"])
    return seen


CLIENTS = {
    "chat": ClientForms(
        "/v1/chat/completions", ask_chat, read_chat, read_chat_stream, lambda body: body["error"]["message"]
    ),
    "responses": ClientForms(
        "/v1/responses", ask_responses, read_responses, read_responses_stream, lambda body: body["error"]["message"]
    ),
    "messages": ClientForms(
        "/v1/messages", ask_messages, read_messages, read_messages_stream, lambda body: body["error"]["message"]
    ),
    "ollama": ClientForms("/api/chat", ask_ollama, read_ollama, read_ollama_stream, lambda body: body["error"]),
}
