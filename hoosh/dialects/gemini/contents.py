"""Who said what, in Gemini's words: `systemInstruction` and `contents` of alternating `user` and `model`.

    system, developer   before anyone has spoken → systemInstruction; later → a user's text, where it was said
    user, tool          role `user`; messages of one role in a row become one content, parts in their order
    assistant           role `model`

    ToolCallPart        functionCall{id, name, args}      arguments that are no object: {"arguments": what there was}
    ToolResultPart      functionResponse{id, name, response}     an object as it is, else {"result"}; {"error"}
    its images          inside functionResponse from Gemini 3 on, behind it before
    ReasoningPart       of Gemini's own and signed: a thought; a signature alone closes the text it came with

Gemini 3 refuses a turn whose first call of a step has lost its signature: a call that another model made, or that a
client did not keep.  Google's documented stand-in says so.

Left out: reasoning unsigned or of others, `name`, `cache`, `detail`, and what an assistant's foreign server tools did.
Source: ai.google.dev/api/caching#Content, /gemini-api/docs/function-calling, /gemini-api/docs/thought-signatures.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Raw

from hoosh.dialects.gemini.media import audio_part, media_part
from hoosh.dialects.gemini.naming import generation
from hoosh.dialects.gemini.wire import loads
from hoosh.errors import InvalidRequest
from hoosh.values import (
    AudioPart,
    FilePart,
    ImagePart,
    Message,
    OpaquePart,
    Part,
    ReasoningPart,
    RefusalPart,
    Role,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)

__all__ = ["NO_SIGNATURE", "contents_of"]

NO_SIGNATURE = "skip_thought_signature_validator"

Content = dict[str, Any]


def contents_of(messages: Sequence[Message], *, model: str) -> tuple[list[dict[str, Any]], list[Content]]:
    """Parts of the system instruction, and the contents.  Raises InvalidRequest."""
    age = generation(model)
    writer = _Contents(nested_media=age >= 3)
    for message in messages:
        writer.take(message)
    if not writer.contents and writer.system:  # a system prompt alone is answered too, but not by Google
        writer.contents.append({"role": "user", "parts": writer.system})
        writer.system = []
    if not writer.contents:
        raise InvalidRequest("There is nothing to answer: every message is empty.", param="messages")
    if age >= 3:
        _stand_in_for_signatures(writer.contents)
    return writer.system, writer.contents


class _Contents:
    def __init__(self, *, nested_media: bool) -> None:
        self.system: list[dict[str, Any]] = []
        self.contents: list[Content] = []
        self._nested_media = nested_media
        self._names: dict[str, str] = {}
        """The tools of the calls so far, by their ids."""

    def take(self, message: Message) -> None:
        match message.role:
            case Role.SYSTEM | Role.DEVELOPER if not self.contents:
                self.system += _texts(message)
            case Role.SYSTEM | Role.DEVELOPER:
                self._add("user", _texts(message))
            case Role.ASSISTANT:
                self._add("model", self._said(message.parts))
            case _:
                self._add("user", [written for part in message.parts for written in self._heard(part)])

    def _add(self, role: str, parts: list[dict[str, Any]]) -> None:
        if not parts:
            return
        if self.contents and self.contents[-1]["role"] == role:
            self.contents[-1]["parts"] += parts
        else:
            self.contents.append({"role": role, "parts": parts})

    # -- what the user and the tools say -----------------------------------------------------------------------------

    def _heard(self, part: Part) -> list[dict[str, Any]]:
        if isinstance(part, ToolResultPart):
            return self._result(part)
        return [written] if (written := _plain(part)) is not None else []

    def _result(self, result: ToolResultPart) -> list[dict[str, Any]]:
        name = result.name or self._names.get(result.call_id)
        if not name:
            raise InvalidRequest(f"No tool call with the id `{result.call_id}` precedes its result.", param="messages")
        answer: dict[str, Any] = {"id": result.call_id} if result.call_id else {}
        answer |= {"name": name, "response": _response(result)}
        media = [
            written for part in result.parts if not isinstance(part, TextPart) and (written := _plain(part)) is not None
        ]
        if media and self._nested_media:
            answer["parts"] = media
            media = []
        return [{"functionResponse": answer}, *media]

    # -- what the model has said -------------------------------------------------------------------------------------

    def _said(self, parts: Sequence[Part]) -> list[dict[str, Any]]:
        written: list[dict[str, Any]] = []
        waiting = ""  # a signature whose text is still to come: OpenAI's clients send reasoning first
        for part in parts:
            if isinstance(part, ReasoningPart):
                waiting = _think(part, written, waiting)
                continue
            if isinstance(part, ToolCallPart):
                one: dict[str, Any] | None = self._call(part)
            else:
                one = _spoken(part)
            if one is None:
                continue
            if waiting and "text" in one:
                one["thoughtSignature"] = waiting
            elif waiting:
                written.append({"text": "", "thoughtSignature": waiting})
            waiting = ""
            written.append(one)
        if waiting:
            written.append({"text": "", "thoughtSignature": waiting})
        return written

    def _call(self, call: ToolCallPart) -> dict[str, Any]:
        self._names[call.id] = call.name
        function: dict[str, Any] = {"id": call.id} if call.id else {}
        function |= {"name": call.name, "args": _arguments(call.arguments)}
        part: dict[str, Any] = {"functionCall": function}
        if call.signature:
            part["thoughtSignature"] = call.signature
        return part


def _think(part: ReasoningPart, written: list[dict[str, Any]], waiting: str) -> str:
    """Write a thought, or put a signature where it belongs.  The signature that waits for a text."""
    signature = part.signature or part.data
    if part.origin != "gemini" or not signature:
        return waiting
    if part.text:
        written.append({"text": part.text, "thought": True, "thoughtSignature": signature})
        return waiting
    if written and "text" in (last := written[-1]) and "thoughtSignature" not in last:
        last["thoughtSignature"] = signature
        return waiting
    if waiting:
        written.append({"text": "", "thoughtSignature": waiting})
    return signature


def _spoken(part: Part) -> dict[str, Any] | None:
    if isinstance(part, OpaquePart) and part.dialect != "gemini":
        return None
    return _plain(part)


def _texts(message: Message) -> list[dict[str, Any]]:
    parts = [_plain(part) for part in message.parts]
    if any(part is not None and "text" not in part for part in parts):
        raise InvalidRequest(f"A {message.role.value} message can hold text only.", param="messages")
    return [part for part in parts if part is not None]


def _plain(part: Part) -> dict[str, Any] | None:
    """A part that looks the same whoever says it; None for an empty text, which Google refuses."""
    match part:
        case TextPart() | RefusalPart():
            return {"text": part.text} if part.text else None
        case ImagePart() | FilePart():
            return media_part(part.source)
        case AudioPart():
            return audio_part(part)
        case OpaquePart() if part.dialect == "gemini":
            opaque = loads(part.raw)
            if isinstance(opaque, dict):
                return opaque
    raise InvalidRequest(
        "A message holds a part that this provider cannot read.", param="messages", code="unsupported_parameter"
    )


def _response(result: ToolResultPart) -> object:
    text = "\n".join([part.text for part in result.parts if isinstance(part, TextPart)])
    is_object = text.lstrip()[:1] == "{" and isinstance(loads(_encoded(text)), dict)
    value: object = Raw(_encoded(text)) if is_object else text
    if result.is_error:
        return {"error": value}
    return value if is_object else {"result": value}


def _arguments(text: str) -> object:
    """The object the model wrote, number for number.  A call that was cut off holds broken JSON: kept as text, so that
    the model sees what it wrote."""
    if text.strip() in ("", "null"):
        return {}
    encoded = _encoded(text)
    return Raw(encoded) if isinstance(loads(encoded), dict) else {"arguments": text}


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _stand_in_for_signatures(contents: list[Content]) -> None:
    """In the current turn, which began with the last words of the user's own."""
    begins = max(
        (at for at, content in enumerate(contents) if content["role"] == "user" and not _answers(content)), default=0
    )
    for content in contents[begins:]:
        if content["role"] == "model":
            calls = [part for part in content["parts"] if "functionCall" in part]
            if calls and not any("thoughtSignature" in call for call in calls):
                calls[0]["thoughtSignature"] = NO_SIGNATURE


def _answers(content: Content) -> bool:
    return any("functionResponse" in part for part in content["parts"])
