"""A chat request as Gemini's body: contents, tools, settings put together.

Sources: ai.google.dev/api/generate-content, ai.google.dev/api/tokens.
"""

from __future__ import annotations

from typing import Any

import msgspec

from hoosh.dialects.contract import Outgoing
from hoosh.dialects.gemini.contents import contents_of
from hoosh.dialects.gemini.naming import method_path, resource
from hoosh.dialects.gemini.settings import generation_config, tool_config, tools
from hoosh.errors import InvalidRequest
from hoosh.values import ChatRequest

__all__ = ["encode_body", "encode_chat", "encode_token_count"]


def encode_chat(request: ChatRequest, *, model: str) -> Outgoing:
    """Raises InvalidRequest."""
    method = "streamGenerateContent?alt=sse" if request.stream else "generateContent"
    body = _prompt(request, model)
    config = tool_config(request, model=model)
    if config is not None:
        body["toolConfig"] = config
    settings = generation_config(request, model=model)
    if settings:
        body["generationConfig"] = settings
    return Outgoing(method_path(model, method), encode_body(body))


def encode_token_count(request: ChatRequest, *, model: str) -> Outgoing:
    """What is more than contents is counted inside a whole request.  Raises InvalidRequest."""
    body = _prompt(request, model)
    if len(body) > 1:
        body = {"generateContentRequest": {"model": resource(model), **body}}
    return Outgoing(method_path(model, "countTokens"), encode_body(body))


def encode_body(body: dict[str, Any]) -> bytes:
    try:
        return msgspec.json.encode(body)
    except UnicodeEncodeError:
        raise InvalidRequest("The request holds text that is not valid Unicode.", param="messages") from None


def _prompt(request: ChatRequest, model: str) -> dict[str, Any]:
    system, contents = contents_of(request.messages, model=model)
    body: dict[str, Any] = {"contents": contents}
    if system:
        body["systemInstruction"] = {"parts": system}
    declared = tools(request, model=model)
    if declared:
        body["tools"] = declared
    return body
