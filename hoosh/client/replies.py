"""Whole answers of a model, read.  A body that is no answer is a ProtocolViolation, never an empty answer.

Source: OpenAI's API reference, the objects "chat completion", "completion" and "list of embeddings".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from hoosh.client.errors import error_in_stream
from hoosh.client.inference import Embeddings, InferenceResponse, ToolCall
from hoosh.client.question import Answer, read_as
from hoosh.errors import ProtocolViolation
from hoosh.values.usage import Usage

__all__ = ["attempts_of", "cost_of", "read_chat", "read_completion", "read_embeddings", "read_nothing", "usage_of"]


class _Function(Struct):
    name: str
    arguments: str | None = None


class _Call(Struct):
    id: str
    function: _Function


class _Message(Struct):
    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[_Call] | None = None


class _Choice(Struct):
    message: _Message
    finish_reason: str | None = None


class _Chat(Struct):
    choices: list[_Choice]
    model: str = ""


class _Text(Struct):
    text: str
    finish_reason: str | None = None


class _Completion(Struct):
    choices: list[_Text]
    model: str = ""


class _Vector(Struct):
    embedding: tuple[float, ...]
    index: int


class _Vectors(Struct):
    data: list[_Vector]
    model: str = ""


_chat, _completion, _vectors, _any = read_as(_Chat), read_as(_Completion), read_as(_Vectors), read_as(dict[str, Any])


def read_chat(answer: Answer) -> InferenceResponse:
    """The first choice; the others are in `raw`."""
    raw = _whole(answer)
    told = _chat(answer)
    choice = _first(told.choices)
    message = choice.message
    return InferenceResponse(
        text=message.content or "",
        model=told.model,
        tool_calls=tuple(
            ToolCall(call.id, call.function.name, call.function.arguments or "") for call in message.tool_calls or ()
        ),
        finish_reason=choice.finish_reason,
        reasoning=message.reasoning_content or message.reasoning or "",
        refusal=message.refusal or "",
        **_facts(answer, raw),
    )


def read_completion(answer: Answer) -> InferenceResponse:
    raw = _whole(answer)
    told = _completion(answer)
    choice = _first(told.choices)
    return InferenceResponse(
        text=choice.text, model=told.model, finish_reason=choice.finish_reason, **_facts(answer, raw)
    )


def read_embeddings(answer: Answer) -> Embeddings:
    raw = _whole(answer)
    told = _vectors(answer)
    return Embeddings(
        vectors=tuple(each.embedding for each in sorted(told.data, key=lambda each: each.index)),
        model=told.model,
        usage=usage_of(raw.get("usage")) or Usage(),
        provider=answer.headers.get("x-hoosh-provider", ""),
        request_id=answer.headers.get("x-request-id", ""),
        cost_usd=cost_of(raw.get("usage")),
    )


def read_nothing(answer: Answer) -> None:
    """Of a stream, which is read as it comes."""


def usage_of(told: Any) -> Usage | None:
    """A usage object.  Counts that are missing, or no numbers, are 0."""
    if not isinstance(told, dict):
        return None
    prompt, completion = _part(told, "prompt_tokens_details"), _part(told, "completion_tokens_details")
    return Usage(
        prompt_tokens=_count(told, "prompt_tokens"),
        completion_tokens=_count(told, "completion_tokens"),
        cached_tokens=_count(prompt, "cached_tokens"),
        reasoning_tokens=_count(completion, "reasoning_tokens"),
        audio_prompt_tokens=_count(prompt, "audio_tokens"),
        audio_completion_tokens=_count(completion, "audio_tokens"),
    )


def cost_of(told: Any) -> float | None:
    cost = told.get("cost_usd") if isinstance(told, dict) else None
    return float(cost) if isinstance(cost, int | float) else None


def attempts_of(headers: Mapping[str, str]) -> int | None:
    text = headers.get("x-hoosh-attempts", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 6 else None


def _whole(answer: Answer) -> dict[str, Any]:
    """The body.  Raises GatewayError where it is an error for all its good status."""
    raw = _any(answer)
    error = error_in_stream(raw, answer.headers)
    if error is not None:
        raise error
    return raw


def _first(choices: list[Any]) -> Any:
    if not choices:
        raise ProtocolViolation("the answer holds no choice")
    return choices[0]


def _facts(answer: Answer, raw: Mapping[str, Any]) -> dict[str, Any]:
    headers = answer.headers
    return {
        "usage": usage_of(raw.get("usage")) or Usage(),
        "cost_usd": cost_of(raw.get("usage")),
        "provider": headers.get("x-hoosh-provider", ""),
        "request_id": headers.get("x-request-id", ""),
        "cache": headers.get("x-hoosh-cache", ""),
        "attempts": attempts_of(headers),
        "latency_ms": round(answer.took_s * 1000),
        "raw": raw,
    }


def _part(told: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = told.get(name)
    return part if isinstance(part, dict) else {}


def _count(told: Mapping[str, Any], name: str) -> int:
    count = told.get(name)
    return count if isinstance(count, int) and count > 0 else 0
