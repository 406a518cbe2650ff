"""The vendors who speak OpenAI's language, as data: each row says only where it differs.

Where they live and whose key they want is the catalogue's; this is about what goes over the wire.
Source: wire notes 2.4 to 2.14, and the vendors' API references.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from hoosh.dialects.openai_extension import OpenAIExtension
from hoosh.values import Capability, Effort

__all__ = ["FAMILY", "Quirks", "in_their_words"]

_LOW_TO_HIGH = (Effort.LOW, Effort.MEDIUM, Effort.HIGH)
_HEARING = frozenset({Capability.AUDIO_INPUT, Capability.FILES})
_SIGHTLESS = _HEARING | {Capability.VISION}
_ONE_LIMIT = (("max_completion_tokens", "max_tokens"),)
_NO_SPEECH = frozenset({Capability.TRANSCRIPTION, Capability.SPEECH})


_OPENAIS = frozenset(OpenAIExtension.__struct_fields__)


class Quirks(Struct, frozen=True):
    """How one vendor departs from what most of them do."""

    # -- what it cannot do
    cannot: frozenset[Capability] = frozenset()
    """No model of this vendor can."""
    schemas: bool = True
    """`response_format` may be a schema."""
    drops: frozenset[str] = frozenset()
    """Fields that it refuses, and that change nothing about the answer: left out."""
    only: frozenset[str] | None = None
    """The fields it knows at all: others that change the answer are refused.  Its content is text, never parts."""

    # -- how it is asked
    asks_usage: bool = True
    """`stream_options.include_usage` is understood.  False: the field is refused, and usage comes unasked."""
    renames: tuple[tuple[str, str], ...] = ()
    """OpenAI's name of a field, and the vendor's."""
    limit_field: str = "max_tokens"
    developer: bool = False
    """Knows the role `developer`."""
    is_anybody: bool = False
    """Nobody knows who answers: a client's own bytes go to it as they are."""
    knows: frozenset[str] = frozenset()
    """Of OpenAI's own fields that change no more than manner or price (`OpenAIExtension`), those that it takes."""
    extras: frozenset[str] = frozenset()
    """Sampling beyond OpenAI's: `top_k`, `min_p`."""
    efforts: tuple[Effort, ...] = ()
    """Those it takes, weakest first; () leaves the effort out."""
    effort_object: bool = False
    """`reasoning: {effort | max_tokens | enabled}` instead of `reasoning_effort`."""
    thinking_switch: str = ""
    """The field that turns thinking on and off: `thinking` (`{"type": …}`) or `chat_template_kwargs`."""
    allowed_tools: bool = False
    """`tool_choice` may name several.  False: the others are not offered instead."""
    cache_marks: bool = False
    """`cache_control` on parts."""

    # -- history
    short_ids: bool = False
    """Ids of tool calls are nine letters and digits: foreign ones are replaced."""
    thoughts: tuple[str, ...] = ()
    """The fields of an assistant message in which its text of thought goes back."""
    thoughts_in_loops_only: bool = False
    """Only those since the last user message."""
    thought_chunks: bool = False
    """Thoughts are chunks of the content, both ways."""
    thought_details: bool = False
    """Signed thoughts go back as `reasoning_details`."""
    signs_calls: bool = False
    """Perhaps Gemini behind an OpenAI surface: a call's signature goes back in `extra_content`."""
    refusals: bool = False
    """Knows `refusal` in an assistant message; elsewhere it is text."""
    prefix: bool = False
    """A trailing assistant message must say that it is a beginning."""
    bare_audio: bool = False
    """`input_audio` is the base64 itself."""
    document_urls: bool = False
    """Documents are `document_url` parts."""
    file_urls: bool = False
    """A file may be named by URL."""

    # -- its answers
    silent_errors: bool = False
    """A terminator without a finish reason hides an error."""
    responses: bool = False
    """Serves the Responses API too."""
    memory_path: str | None = None
    """Where it tells, in LM Studio's words, which models are in memory."""


def in_their_words(body: Mapping[str, Any], quirks: Quirks) -> dict[str, Any]:
    """`body` with the vendor's own names, and without what it refuses.  Where both names are there, OpenAI's counts."""
    theirs = {name: value for name, value in body.items() if name not in quirks.drops}
    for name, their_name in quirks.renames:
        if name in theirs:
            theirs[their_name] = theirs.pop(name)
    return theirs


FAMILY: Mapping[str, Quirks] = {
    "openai": Quirks(
        limit_field="max_completion_tokens",
        knows=_OPENAIS,
        developer=True,
        efforts=(Effort.NONE, Effort.MINIMAL, Effort.LOW, Effort.MEDIUM, Effort.HIGH, Effort.XHIGH),
        allowed_tools=True,
        refusals=True,
        responses=True,
    ),
    "openai-compatible": Quirks(
        is_anybody=True,
        efforts=_LOW_TO_HIGH,
        thoughts=("reasoning_content",),
        signs_calls=True,
        file_urls=True,
    ),
    "llamacpp": Quirks(
        extras=frozenset({"top_k", "min_p"}),
        thinking_switch="chat_template_kwargs",
        thoughts=("reasoning_content",),
        cannot=frozenset({Capability.FILES, Capability.TRANSCRIPTION, Capability.SPEECH}),
    ),
    "lmstudio": Quirks(
        memory_path="/api/v0/models",
        renames=_ONE_LIMIT,
        extras=frozenset({"top_k", "min_p"}),
        efforts=_LOW_TO_HIGH,
        cannot=_HEARING | _NO_SPEECH,
    ),
    "localai": Quirks(
        renames=_ONE_LIMIT,
        extras=frozenset({"top_k"}),
        cannot=frozenset({Capability.FILES}),
    ),
    "vllm": Quirks(
        extras=frozenset({"top_k", "min_p"}),
        efforts=_LOW_TO_HIGH,
        thinking_switch="chat_template_kwargs",
        thoughts=("reasoning", "reasoning_content"),  # renamed on the way
        cannot=frozenset({Capability.FILES, Capability.SPEECH}),
    ),
    "tensorrt": Quirks(
        extras=frozenset({"top_k", "min_p"}),
        cannot=_HEARING | _NO_SPEECH,
    ),
    "onnx": Quirks(renames=_ONE_LIMIT, cannot=_SIGHTLESS | _NO_SPEECH),
    "synapse": Quirks(
        cannot=_SIGHTLESS
        | _NO_SPEECH
        | {Capability.TOOLS, Capability.STRUCTURED_OUTPUT, Capability.EMBEDDINGS, Capability.REASONING},
        schemas=False,
        asks_usage=False,
        only=frozenset({"model", "messages", "stream", "max_tokens", "temperature", "top_p"}),
        silent_errors=True,
    ),
    "ollama": Quirks(renames=_ONE_LIMIT, efforts=_LOW_TO_HIGH),  # its /v1 surface
    "deepseek": Quirks(
        renames=_ONE_LIMIT,
        efforts=(Effort.LOW, Effort.MEDIUM, Effort.HIGH, Effort.MAX),
        thinking_switch="thinking",
        thoughts=("reasoning_content",),
        thoughts_in_loops_only=True,
        schemas=False,
        drops=frozenset({"seed", "user"}),
        cannot=_SIGHTLESS | _NO_SPEECH | {Capability.EMBEDDINGS},
    ),
    "mistral": Quirks(
        asks_usage=False,
        knows=frozenset({"prediction"}),
        renames=(
            ("seed", "random_seed"),
            ("max_completion_tokens", "max_tokens"),
            ("dimensions", "output_dimension"),
        ),
        drops=frozenset({"stream_options", "user"}),
        efforts=(Effort.NONE, Effort.HIGH),
        short_ids=True,
        thought_chunks=True,
        prefix=True,
        bare_audio=True,
        document_urls=True,
    ),
    "groq": Quirks(
        efforts=(Effort.NONE, *_LOW_TO_HIGH),
        cannot=_HEARING | {Capability.EMBEDDINGS},
    ),
    "grok": Quirks(
        efforts=(Effort.NONE, *_LOW_TO_HIGH),
        cannot=_HEARING | {Capability.EMBEDDINGS},
        responses=True,
    ),
    "openrouter": Quirks(
        knows=frozenset({"metadata", "prediction", "service_tier", "verbosity"}),
        developer=True,
        extras=frozenset({"top_k", "min_p"}),
        efforts=(Effort.NONE, Effort.MINIMAL, Effort.LOW, Effort.MEDIUM, Effort.HIGH, Effort.XHIGH),
        effort_object=True,
        cache_marks=True,
        thought_details=True,
        file_urls=True,
    ),
    # Sound has dialects of its own (dialects/audio); what is left is OpenAI's: errors, keys, a list of models or none.
    "whisper": Quirks(cannot=frozenset(Capability) - {Capability.TRANSCRIPTION}),
    "piper": Quirks(cannot=frozenset(Capability) - {Capability.SPEECH}),
    "openedai": Quirks(cannot=frozenset(Capability) - {Capability.SPEECH}),
}
"""By wire name of the provider type."""
