"""What does a request need of a model?  Read from the raw call, so that a plain chat is not decoded to find out.

    top-level fields         tools, functions · reasoning_effort, reasoning, thinking, think · response_format, …
    parts in the messages    the part's type as a word in quotes, looked for in the raw bytes; only where it stands
                             there is anything decoded

A word in quotes cannot stand unescaped inside a JSON string, so the search finds every part there is; whether what it
found is a part (and not a text that says nothing but `image_url`) is then decided properly.  Whoever writes the word
with `\\u` escapes goes unnoticed and is answered by the upstream.

What counts as a need: what the answer cannot do without.  `json_object` is asked of every model; Anthropic's
`adaptive` thinking leaves it to the model; an effort of `none` asks for nothing.  OpenRouter's `reasoning` object is
no need: it is documented to be ignored where there is none.

Nothing here raises: what is malformed needs nothing, and is explained by whoever reads it.
Source: wire notes 2.1, 2.2, 2.9; OpenAI's API reference for the Responses API.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec
from msgspec import Raw, Struct

from hoosh.values import Call, CallKind, Capability

__all__ = ["field_of", "needs_of"]

Needs = frozenset[Capability]
Found = set[Capability]
Fields = Mapping[str, Raw]

NOTHING: Needs = frozenset()
_CHATTING = CallKind.CHAT
_CHAT: Needs = frozenset({Capability.CHAT})
_STREAMED: Needs = frozenset({Capability.STREAMING})
_CHAT_STREAMED: Needs = _CHAT | _STREAMED
_OF_KIND: Mapping[CallKind, Needs] = {
    CallKind.EMBEDDING: frozenset({Capability.EMBEDDINGS}),
    CallKind.TRANSCRIPTION: frozenset({Capability.TRANSCRIPTION}),
    CallKind.TRANSLATION: frozenset({Capability.TRANSCRIPTION}),
    CallKind.SPEECH: frozenset({Capability.SPEECH}),
    CallKind.TOKEN_COUNT: NOTHING,
}

_decode_list = msgspec.json.Decoder(list[Raw]).decode
_decode_object = msgspec.json.Decoder(dict[str, Raw]).decode
_EMPTY = frozenset({b"", b"null", b"[]", b"{}"})
_NO_EFFORT = frozenset({b"null", b'"none"', b'""'})
DEPTH_MAX = 3
"""Parts inside parts: Anthropic's tool results hold images."""


def needs_of(call: Call) -> Needs:
    """The capabilities without which `call` cannot be answered as it asks to be."""
    if call.kind is _CHATTING:
        plain = _CHAT_STREAMED if call.stream else _CHAT
    else:
        of_kind = _OF_KIND.get(call.kind)
        if of_kind is not None:
            return of_kind
        plain = _STREAMED if call.stream else NOTHING
    tongue = _TONGUES.get(call.language)
    if tongue is None:
        return plain
    fields = call.fields
    needs = None if tongue.asking.isdisjoint(fields) else tongue.read(fields)
    said = fields.get(tongue.said)
    if said is not None and tongue.sign in (raw := bytes(said)):
        parts = tongue.look(raw)
        needs = parts if needs is None else needs | parts
    return plain | needs if needs else plain


class _Tongue(Struct, frozen=True):
    """How one language says what it needs."""

    asking: frozenset[str]
    """The fields that may ask for something; without any of them `read` need not be called."""
    read: Callable[[Fields], Found]
    said: str
    """The field that holds the conversation."""
    sign: bytes
    """Without this in it, the conversation has no parts that matter."""
    look: Callable[[bytes], Found]


def field_of(need: Capability, language: str) -> str:
    """Which field of a request in `language` says that `need` is needed."""
    return _FIELDS.get(language, _FIELDS["openai"]).get(need, "model")


# -- OpenAI's chat ---------------------------------------------------------------------------------------------------


def _openai(fields: Fields) -> Found:
    needs: Found = set()
    if _is_given(fields.get("tools")) or _is_given(fields.get("functions")):
        needs.add(Capability.TOOLS)
    effort = fields.get("reasoning_effort")
    if effort is not None and bytes(effort) not in _NO_EFFORT:
        needs.add(Capability.REASONING)
    if _has_type(fields.get("response_format"), b'"json_schema"'):
        needs.add(Capability.STRUCTURED_OUTPUT)
    return needs


_OPENAI_PARTS = {
    b'"image_url"': Capability.VISION,
    b'"input_audio"': Capability.AUDIO_INPUT,
    b'"file"': Capability.FILES,
}


# -- OpenAI's Responses ----------------------------------------------------------------------------------------------


def _responses(fields: Fields) -> Found:
    needs: Found = set()
    if _is_given(fields.get("tools")):
        needs.add(Capability.TOOLS)
    effort = _member(fields.get("reasoning"), "effort")
    if effort is not None and effort not in _NO_EFFORT:
        needs.add(Capability.REASONING)
    form = _member(fields.get("text"), "format")
    if form is not None and _has_type(Raw(form), b'"json_schema"'):
        needs.add(Capability.STRUCTURED_OUTPUT)
    return needs


_RESPONSES_PARTS = {
    b'"input_image"': Capability.VISION,
    b'"input_audio"': Capability.AUDIO_INPUT,
    b'"input_file"': Capability.FILES,
}


# -- Anthropic's Messages --------------------------------------------------------------------------------------------


def _anthropic(fields: Fields) -> Found:
    needs: Found = set()
    if _is_given(fields.get("tools")):
        needs.add(Capability.TOOLS)
    if _has_type(fields.get("thinking"), b'"enabled"'):
        needs.add(Capability.REASONING)
    form = _member(fields.get("output_config"), "format") or fields.get("output_format")
    if form is not None and _has_type(Raw(form), b'"json_schema"'):
        needs.add(Capability.STRUCTURED_OUTPUT)
    return needs


_ANTHROPIC_PARTS = {b'"image"': Capability.VISION, b'"document"': Capability.FILES}


# -- Ollama ----------------------------------------------------------------------------------------------------------


def _ollama(fields: Fields) -> Found:
    needs: Found = set()
    if _is_given(fields.get("tools")):
        needs.add(Capability.TOOLS)
    think = fields.get("think")
    if think is not None and bytes(think) not in (b"null", b"false", b'""', b'"none"'):
        needs.add(Capability.REASONING)
    form = fields.get("format")
    if form is not None and bytes(form)[:1] == b"{":
        needs.add(Capability.STRUCTURED_OUTPUT)
    if _is_given(fields.get("images")):
        needs.add(Capability.VISION)
    return needs


def _ollama_parts(messages: bytes) -> Found:
    has_images = any(_is_given(message.get("images")) for message in _objects(messages))
    return {Capability.VISION} if has_images else set()


# -- looking ---------------------------------------------------------------------------------------------------------


def _parts(words: Mapping[bytes, Capability]) -> Callable[[bytes], Found]:
    """A search for parts of certain types, which decodes only where one of their words stands."""

    def look(messages: bytes) -> Found:
        suspects = [word for word in words if word in messages]
        types = _types_in(messages, DEPTH_MAX) if suspects else ()
        return {words[word] for word in suspects if word in types}

    return look


def _types_in(raw: bytes, depth: int) -> set[bytes]:
    """The `type` of every object in a list, and of those in the lists that are their `content` or `output`."""
    types: set[bytes] = set()
    for item in _objects(raw):
        kind = item.get("type")
        if kind is not None:
            types.add(bytes(kind))
        inner = item.get("content") or item.get("output")
        if inner is not None and depth:
            types |= _types_in(bytes(inner), depth - 1)
    return types


def _objects(raw: bytes) -> list[dict[str, Raw]]:
    """The objects in a JSON list; none where it is not a list."""
    if raw[:1] != b"[":
        return []
    try:
        return [_decode_object(item) for item in _decode_list(raw) if bytes(item)[:1] == b"{"]
    except (ValueError, RecursionError):
        return []


def _is_given(value: Raw | None) -> bool:
    return value is not None and bytes(value) not in _EMPTY


def _has_type(value: Raw | None, word: bytes) -> bool:
    """`value` is an object whose `type` is `word`."""
    return value is not None and word in bytes(value) and _member(value, "type") == word


def _member(value: Raw | None, name: str) -> bytes | None:
    """The raw value of one member of an object; None where it is null, missing, or `value` no object."""
    if value is None or bytes(value)[:1] != b"{":
        return None
    try:
        member = _decode_object(value).get(name)
    except (ValueError, RecursionError):
        return None
    return None if member is None or bytes(member) == b"null" else bytes(member)


_TONGUES: Mapping[str, _Tongue] = {
    "openai": _Tongue(
        frozenset({"tools", "functions", "reasoning_effort", "response_format"}),
        _openai,
        "messages",
        b'"type"',
        _parts(_OPENAI_PARTS),
    ),
    "responses": _Tongue(
        frozenset({"tools", "reasoning", "text"}), _responses, "input", b'"type"', _parts(_RESPONSES_PARTS)
    ),
    "anthropic": _Tongue(
        frozenset({"tools", "thinking", "output_config", "output_format"}),
        _anthropic,
        "messages",
        b'"type"',
        _parts(_ANTHROPIC_PARTS),
    ),
    "ollama": _Tongue(
        frozenset({"tools", "think", "format", "images"}), _ollama, "messages", b'"images"', _ollama_parts
    ),
}
_FIELDS: Mapping[str, Mapping[Capability, str]] = {
    language: {
        Capability.STREAMING: "stream",
        Capability.TOOLS: "tools",
        Capability.VISION: messages,
        Capability.AUDIO_INPUT: messages,
        Capability.FILES: messages,
        Capability.REASONING: thinking,
        Capability.STRUCTURED_OUTPUT: form,
    }
    for language, messages, thinking, form in (
        ("openai", "messages", "reasoning_effort", "response_format"),
        ("responses", "input", "reasoning.effort", "text.format"),
        ("anthropic", "messages", "thinking", "output_config.format"),
        ("ollama", "messages", "think", "format"),
    )
}
