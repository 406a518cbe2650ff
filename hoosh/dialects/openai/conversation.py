"""The `messages` of a chat body in our own words, in their order.

Older words for the same are read too: a `function_call` is a tool call without an id, a `function` message its result,
and an id is made up for the two.  A `tool` message is one Message with one result, however many follow each other.

Lenient where clients are known to be sloppy (no content, no `type`, no id of a call, arguments parsed already), strict
where the meaning would be a guess.  Raises InvalidRequest with the path of the mistake.

Source: ChatCompletionRequestMessage in `openai-openapi.trimmed.json`; wire notes 2.1 and 2.17.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from hoosh.dialects.mistakes import empty_array, invalid_value, missing, only_openai, wrong_type
from hoosh.dialects.openai.body import CacheControl, FunctionCall, Piece, Said, SaidCall
from hoosh.dialects.openai.thoughts import thought_of, thoughts_of
from hoosh.dialects.sniffing import media_type_in
from hoosh.dialects.sources import base64_of, document_source, url_source
from hoosh.values import (
    AudioPart,
    CacheMark,
    FilePart,
    FileSource,
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

__all__ = ["read_conversation"]

ROLES = ("system", "developer", "user", "assistant", "tool", "function")
PLAIN_ROLES = {role.value: role for role in (Role.SYSTEM, Role.DEVELOPER, Role.USER)}
SOUNDS = {"audio/wav": "wav", "audio/ogg": "ogg", "audio/flac": "flac"}
"""OpenAI's words for a sound whose format nobody has named.  What shows none is most likely MP3."""
Content = str | list[Piece | str] | None


def read_conversation(messages: Sequence[Said]) -> tuple[Message, ...]:
    if not messages:
        raise empty_array("messages")
    called: dict[str, str] = {}  # name of a function -> id of its latest call
    return tuple([_message(said, at, called) for at, said in enumerate(messages)])


def _message(said: Said, at: int, called: dict[str, str]) -> Message:
    role, content = PLAIN_ROLES.get(said.role), said.content
    if role is not None and type(content) is str and said.cache_control is None:
        return Message(role, (TextPart(content),), said.name)  # nearly always
    path = f"messages[{at}]"
    if role is not None:
        return Message(role, _marked(_spoken(role, content, path), said.cache_control), said.name)
    if said.role == "assistant":
        return Message(Role.ASSISTANT, _assistant(said, at, path, called), said.name)
    if said.role in ("tool", "function"):
        return Message(Role.TOOL, (_result(said, at, path, called),))
    raise invalid_value(f"{path}.role", said.role, ROLES)


def _spoken(role: Role, content: Content, path: str) -> list[Part]:
    if content is None:
        if role is Role.USER:
            raise wrong_type(f"{path}.content", "a string or an array", "null")
        return [TextPart("")]
    parts = _parts(content, path)
    if not parts:
        raise empty_array(f"{path}.content")
    return parts


# -- what the assistant said -------------------------------------------------------------------------------------


def _assistant(said: Said, at: int, path: str, called: dict[str, str]) -> tuple[Part, ...]:
    calls = [_call(call, f"call_{at}_{n}", f"{path}.tool_calls[{n}]") for n, call in enumerate(said.tool_calls or ())]
    if said.function_call is not None:
        calls.append(_called(said.function_call, f"call_{at}"))
    called.update((call.name, call.id) for call in calls)
    thoughts, calls = _hand_signatures(thoughts_of(said), calls)
    parts: list[Part] = [*thoughts, *_parts("" if said.content is None else said.content, path)]
    if said.refusal:
        parts.append(RefusalPart(said.refusal))
    parts += [_image(piece, f"{path}.images[{n}]") for n, piece in enumerate(said.images or ())]
    if said.audio is not None:
        parts.append(OpaquePart("openai", "audio", Raw(msgspec.json.encode(said.audio))))
    parts += calls
    told = [part for part in parts if not isinstance(part, TextPart) or part.text]
    return _marked(told or parts, said.cache_control)


def _call(call: SaidCall, made_up: str, path: str) -> ToolCallPart:
    if call.type not in (None, "", "function"):
        raise only_openai(f"{path}.type", "Calls of custom tools")
    if call.function is None:
        raise missing(f"{path}.function")
    google = None if call.extra_content is None else call.extra_content.google
    signature = "" if google is None else google.thought_signature or ""
    return _called(call.function, call.id or made_up, signature)


def _called(function: FunctionCall, call_id: str, signature: str = "") -> ToolCallPart:
    given = function.arguments
    arguments = given if isinstance(given, str) else "" if given is None else msgspec.json.encode(given).decode()
    return ToolCallPart(call_id, function.name, arguments, signature)


def _hand_signatures(
    thoughts: list[ReasoningPart], calls: list[ToolCallPart]
) -> tuple[list[ReasoningPart], list[ToolCallPart]]:
    """OpenRouter tells Gemini's signature of a call as encrypted reasoning with the call's id."""
    by_id = {t.id: t.data for t in thoughts if t.origin == "gemini" and t.id and t.data and not t.text}
    signed = by_id.keys() & {call.id for call in calls}
    if not signed:
        return thoughts, calls
    kept = [thought for thought in thoughts if thought.id not in signed]
    return kept, [replace(c, signature=c.signature or by_id[c.id]) if c.id in signed else c for c in calls]


# -- what a tool answered ----------------------------------------------------------------------------------------


def _result(said: Said, at: int, path: str, called: dict[str, str]) -> ToolResultPart:
    name = said.name or ""
    call_id = said.tool_call_id or called.get(name)
    if call_id is None:
        if not name:
            raise missing(f"{path}.name" if said.role == "function" else f"{path}.tool_call_id")
        call_id = f"call_{at}"
    parts = [] if said.content is None else _parts(said.content, path)
    told: list[TextPart | ImagePart | FilePart | OpaquePart] = []
    for n, part in enumerate(parts):
        if not isinstance(part, TextPart | ImagePart | FilePart):
            raise invalid_value(f"{path}.content[{n}].type", _type_at(said, n), ("text", "image_url", "file"))
        told.append(part)
    return ToolResultPart(call_id, tuple(told), name, cache=_mark(said.cache_control))


def _type_at(said: Said, n: int) -> str:
    piece = said.content[n] if isinstance(said.content, list) else None
    return (piece.type or "") if isinstance(piece, Piece) else "text"


# -- content -----------------------------------------------------------------------------------------------------


def _parts(content: str | list[Piece | str], path: str) -> list[Part]:
    if isinstance(content, str):
        return [TextPart(content)]
    return [_part(piece, f"{path}.content[{n}]") for n, piece in enumerate(content)]


def _part(piece: Piece | str, path: str) -> Part:
    if isinstance(piece, str):
        return TextPart(piece)
    if piece.type == "text" or (piece.type is None and piece.text is not None):
        if piece.text is None:
            raise missing(f"{path}.text")
        return TextPart(piece.text, _mark_of(piece))
    if piece.type is None:
        raise missing(f"{path}.type")
    read = READERS.get(piece.type)
    if read is None:
        raise invalid_value(f"{path}.type", piece.type, ("text", "image_url", "input_audio", "refusal", "file"))
    return read(piece, path)


def _image(piece: Piece, path: str) -> Part:
    image = piece.image_url
    if image is None:
        raise missing(f"{path}.image_url")
    if isinstance(image, str):
        return ImagePart(url_source(image, f"{path}.image_url"), None, _mark_of(piece))
    return ImagePart(url_source(image.url, f"{path}.image_url.url"), image.detail, _mark_of(piece))


def _audio(piece: Piece, path: str) -> Part:
    if piece.input_audio is None:
        raise missing(f"{path}.input_audio")
    audio = piece.input_audio
    if isinstance(audio, str):
        data = base64_of(audio, f"{path}.input_audio")
        return AudioPart(data, SOUNDS.get(media_type_in(data), "mp3"))
    return AudioPart(base64_of(audio.data, f"{path}.input_audio.data"), audio.format)


def _file(piece: Piece, path: str) -> Part:
    file = piece.file
    if file is None:
        raise missing(f"{path}.file")
    if not file.file_data and not file.file_id:
        raise missing(f"{path}.file.file_data")
    if file.file_data:
        source = document_source(file.file_data, file.filename, f"{path}.file.file_data")
    else:
        source = FileSource(file.file_id or "")
    return FilePart(source, file.filename, _mark_of(piece))


def _document(piece: Piece, path: str) -> Part:
    """Mistral's own form of a document."""
    if piece.document_url is None:
        raise missing(f"{path}.document_url")
    source = url_source(piece.document_url, f"{path}.document_url")
    return FilePart(source, piece.document_name, _mark_of(piece))


def _refusal(piece: Piece, path: str) -> Part:
    if piece.refusal is None:
        raise missing(f"{path}.refusal")
    return RefusalPart(piece.refusal)


def _thinking(piece: Piece, path: str) -> Part:
    return thought_of(piece)


READERS: dict[str, Callable[[Piece, str], Part]] = {
    "image_url": _image,
    "input_audio": _audio,
    "file": _file,
    "document_url": _document,
    "refusal": _refusal,
    "thinking": _thinking,
    "redacted_thinking": _thinking,
}


# -- cache marks -------------------------------------------------------------------------------------------------


def _mark(control: CacheControl | None) -> CacheMark | None:
    return None if control is None else CacheMark(control.ttl)


def _mark_of(piece: Piece) -> CacheMark | None:
    return CacheMark() if piece.prompt_cache_breakpoint is not None else _mark(piece.cache_control)


def _marked(parts: list[Part], control: CacheControl | None) -> tuple[Part, ...]:
    """LiteLLM's users mark a whole message: that is its last part."""
    if control is not None and parts:
        last = parts[-1]
        if not isinstance(last, AudioPart | RefusalPart | ReasoningPart | OpaquePart):
            parts[-1] = replace(last, cache=_mark(control))
    return tuple(parts)
