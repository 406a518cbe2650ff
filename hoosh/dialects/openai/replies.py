"""Whole replies in OpenAI's language, `chat.completion` and `text_completion`, and the shapes that streams share.

`content` is null where the model said nothing but called a tool, refused or drew.  What OpenAI has no word for keeps
OpenRouter's: `reasoning_details`, `images`, `content` of a citation; DeepSeek's `reasoning_content`; Google's
`extra_content` on a tool call.

Source: CreateChatCompletionResponse and CreateCompletionResponse in `openai-openapi.trimmed.json`; wire notes 2.1, 2.8.
"""

from __future__ import annotations

from typing import Any

from hoosh.dialects.contract import Stamp
from hoosh.dialects.costs import cost_fields
from hoosh.dialects.loose_json import encode_safely
from hoosh.dialects.openai.thoughts import details_of
from hoosh.values import (
    Annotation,
    CallSaid,
    ChatReply,
    Finished,
    FinishReason,
    MediaOutput,
    ReasoningSaid,
    TextSaid,
    Usage,
)

__all__ = [
    "annotation_json",
    "counts_json",
    "encode_completion",
    "encode_reply",
    "finish_reason",
    "image_json",
    "usage_json",
]


def encode_reply(reply: ChatReply, stamp: Stamp, *, show_reasoning: bool = True) -> bytes:
    choice = {
        "index": 0,
        "message": _message(reply, show_reasoning=show_reasoning),
        "logprobs": None,
        "finish_reason": finish_reason(reply.finish, has_calls=bool(reply.calls)),
    }
    return encode_safely(_whole("chat.completion", "chatcmpl-", choice, reply, stamp))


def encode_completion(reply: ChatReply, stamp: Stamp) -> bytes:
    """A refusal is told as text: this language has no other place for it."""
    reason = finish_reason(reply.finish, has_calls=False)
    choice = {"text": reply.text + reply.refusal, "index": 0, "logprobs": None, "finish_reason": reason}
    return encode_safely(_whole("text_completion", "cmpl-", choice, reply, stamp))


def finish_reason(finish: Finished, *, has_calls: bool) -> str:
    """Whoever called a tool waits for its result, whatever word the provider had for that."""
    reason = finish.reason
    if has_calls and reason is FinishReason.STOP:
        reason = FinishReason.TOOL_CALLS
    elif not has_calls and reason is FinishReason.TOOL_CALLS:
        reason = FinishReason.STOP
    return reason.value


def usage_json(usage: Usage, stamp: Stamp) -> dict[str, Any]:
    return counts_json(usage) | cost_fields(stamp, usage)


def counts_json(usage: Usage, *, is_embedding: bool = False) -> dict[str, Any]:
    if is_embedding:
        return {"prompt_tokens": usage.prompt_tokens, "total_tokens": usage.total_tokens}
    prompt = {"cached_tokens": usage.cached_tokens, "audio_tokens": usage.audio_prompt_tokens}
    if usage.cache_write_tokens:
        prompt["cache_write_tokens"] = usage.cache_write_tokens
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": prompt,
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens,
            "audio_tokens": usage.audio_completion_tokens,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def annotation_json(annotation: Annotation) -> dict[str, Any]:
    """Offsets are not optional here: 0 and 0 is how OpenRouter says that nobody knows them."""
    citation: dict[str, Any] = {
        "url": annotation.url,
        "title": annotation.title,
        "start_index": annotation.start or 0,
        "end_index": annotation.end or 0,
    }
    if annotation.cited:
        citation["content"] = annotation.cited
    return {"type": "url_citation", "url_citation": citation}


def image_json(media: MediaOutput) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": f"data:{media.media_type};base64,{media.base64}"}}


def _whole(kind: str, id_prefix: str, choice: dict[str, Any], reply: ChatReply, stamp: Stamp) -> dict[str, Any]:
    whole = {
        "id": id_prefix + stamp.reply_id,
        "object": kind,
        "created": stamp.created_s,
        "model": reply.model or stamp.model,
        "choices": [choice],
    }
    if reply.usage is not None:
        whole["usage"] = usage_json(reply.usage, stamp)
    return whole


def _message(reply: ChatReply, *, show_reasoning: bool) -> dict[str, Any]:
    images = [part for part in reply.parts if isinstance(part, MediaOutput)]
    refusal = reply.refusal or None
    speaks = bool(reply.text) or not (reply.calls or refusal or images)
    notes = [note for part in reply.parts if isinstance(part, TextSaid) for note in part.annotations]
    message: dict[str, Any] = {
        "role": "assistant",
        "content": reply.text if speaks else None,
        "refusal": refusal,
        "annotations": [annotation_json(note) for note in notes],
    }
    if show_reasoning:
        message |= _reasoning([part for part in reply.parts if isinstance(part, ReasoningSaid)])
    if reply.calls:
        message["tool_calls"] = [_call(call) for call in reply.calls]
    if images:
        message["images"] = [image_json(image) for image in images]
    return message


def _reasoning(thoughts: list[ReasoningSaid]) -> dict[str, Any]:
    text, details = "".join([thought.text for thought in thoughts]), details_of(thoughts)
    fields: dict[str, Any] = {}
    if text:
        fields["reasoning_content"] = text
    if details:
        fields["reasoning_details"] = details
    return fields


def _call(call: CallSaid) -> dict[str, Any]:
    told: dict[str, Any] = {"id": call.id, "type": "function"}
    told["function"] = {"name": call.name, "arguments": call.arguments or "{}"}
    if call.signature:
        told["extra_content"] = {"google": {"thought_signature": call.signature}}
    return told
