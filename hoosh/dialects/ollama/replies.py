"""Whole replies for Ollama's clients: chat, completion, embeddings in the new and the old form, and a loaded model."""

from __future__ import annotations

from typing import Any

import msgspec

from hoosh.dialects.contract import Stamp
from hoosh.dialects.loose_json import quote
from hoosh.dialects.ollama.lines import Content, Lines
from hoosh.dialects.ollama.request import asks_nothing, is_unload
from hoosh.dialects.ollama.wire import is_legacy_embedding, timestamp
from hoosh.values import (
    Call,
    CallKind,
    CallSaid,
    ChatReply,
    Embeddings,
    MediaOutput,
    ReasoningSaid,
    RefusalSaid,
    TextSaid,
)

__all__ = ["encode_embeddings", "encode_reply", "immediate"]


def encode_reply(call: Call, reply: ChatReply, stamp: Stamp) -> bytes:
    texts: list[str] = []
    thoughts: list[str] = []
    images: list[str] = []
    calls: list[CallSaid] = []
    for part in reply.parts:
        match part:
            case TextSaid() | RefusalSaid():
                texts.append(part.text)
            case ReasoningSaid():
                thoughts.append(part.text)
            case CallSaid():
                calls.append(part)
            case MediaOutput() if part.media_type.startswith("image/"):
                images.append(part.base64)
    content = Content("".join(texts), "".join(thoughts), images, calls)
    return Lines(call.kind, reply.model, stamp).end(reply.finish, reply.usage, content)


def encode_embeddings(call: Call, embeddings: Embeddings, stamp: Stamp) -> bytes:
    if is_legacy_embedding(call.fields):
        return msgspec.json.encode({"embedding": embeddings.vectors[0] if embeddings.vectors else ()})
    answer: dict[str, Any] = {"model": embeddings.model or stamp.model, "embeddings": embeddings.vectors}
    answer |= {"total_duration": 0, "load_duration": 0}
    if embeddings.usage is not None:
        answer["prompt_eval_count"] = embeddings.usage.prompt_tokens
    return msgspec.json.encode(answer)


def immediate(call: Call, created_s: int) -> bytes | None:
    """What a request to load (or unload) a model is answered; None for a call that asks the model something."""
    if not asks_nothing(call):
        return None
    model = quote(call.model)
    if call.kind is CallKind.EMBEDDING:
        if is_legacy_embedding(call.fields):
            return b'{"embedding":[]}'
        return b'{"model":%b,"embeddings":[]}' % model
    said = b'"message":{"role":"assistant","content":""}' if call.kind is CallKind.CHAT else b'"response":""'
    reason = b"unload" if is_unload(call) else b"load"
    head = b'{"model":%b,"created_at":"%b",' % (model, timestamp(created_s).encode())
    return b'%b%b,"done":true,"done_reason":"%b"}' % (head, said, reason)
