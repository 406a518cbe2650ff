"""What clients send, whole: the fields that the dialects read one by one, and those that are hoosh's own.

The structs of the dialects are what decodes a request; these add what is taken out of a body before that (`model`,
`stream`, limits, `provider`, `pool`, `models`) and what goes on to an upstream of the same language unread.  Fields
that are not named here are welcome too: such an upstream gets them as they are.

Sources: as in `dialects/*/request.py`; OpenAI's OpenAPI document; Anthropic's and Ollama's API references.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Raw, Struct

from hoosh.dialects.anthropic.wire import (
    CacheControl,
    Metadata,
    OutputConfig,
    TextBlock,
    ThinkingConfig,
    ToolChoiceParam,
    ToolParam,
    Turn,
)
from hoosh.dialects.ollama.wire import ModelOptions
from hoosh.dialects.openai.body import ChatBody, CompletionBody
from hoosh.dialects.openai.request import EmbeddingBody
from hoosh.dialects.responses.request import Settings as ResponseSettings

__all__ = ["BareQuery", "ChatRequest", "CompletionRequest", "EmbeddingsRequest", "MessagesRequest", "OllamaChatRequest"]
__all__ += ["OllamaEmbedRequest", "OllamaGenerateRequest", "OllamaLegacyEmbeddingsRequest", "OllamaShowRequest"]
__all__ += ["CacheClearRequest", "CountTokensRequest", "ResponseRequest", "SpeechRequest", "TranscriptionForm"]
__all__ += ["TranslationForm"]


class StreamOptions(Struct):
    include_usage: bool | None = None
    include_obfuscation: bool | None = None


# -- OpenAI ------------------------------------------------------------------------------------------------------


class ChatRequest(ChatBody, kw_only=True):
    """`provider`, `pool` and `models` are hoosh's own: whom to ask, who pays, whom to ask next."""

    model: str
    models: list[str] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    include_reasoning: bool | None = None
    provider: str | dict[str, Any] | None = None
    pool: str | None = None


class CompletionRequest(CompletionBody, kw_only=True):
    """`provider`, `pool` and `models` are hoosh's own: whom to ask, who pays, whom to ask next."""

    model: str
    models: list[str] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = None
    provider: str | dict[str, Any] | None = None
    pool: str | None = None


class EmbeddingsRequest(EmbeddingBody, kw_only=True):
    """`input` is a text, several texts, a list of tokens, or several such lists."""

    model: str
    models: list[str] | None = None
    provider: str | dict[str, Any] | None = None
    pool: str | None = None


class ResponseRequest(ResponseSettings, kw_only=True):
    """What only the provider of a model can do (`conversation`, `prompt`, hosted tools) it must be able to do."""

    model: str
    models: list[str] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_output_tokens: int | None = None
    max_tool_calls: int | None = None
    previous_response_id: str | None = None
    truncation: str | None = None
    conversation: Raw = Raw(b"null")
    prompt: Raw = Raw(b"null")
    context_management: Raw = Raw(b"null")
    moderation: Raw = Raw(b"null")
    prompt_cache_options: Raw = Raw(b"null")
    provider: str | dict[str, Any] | None = None
    pool: str | None = None


class VoiceId(Struct):
    id: str


class SpeechRequest(Struct, kw_only=True):
    """`stream_format` is `audio` or `sse`."""

    model: str
    input: Annotated[str, Meta(min_length=1, max_length=4096)]
    voice: str | VoiceId | None = None
    instructions: str | None = None
    response_format: str | None = None
    speed: Annotated[float, Meta(ge=0.25, le=4)] | None = None
    stream_format: str | None = None
    provider: str | dict[str, Any] | None = None
    pool: str | None = None


class TranslationForm(Struct, kw_only=True):
    """A form of texts.  `model` is `whisper-1` where it is not said."""

    model: str | None = None
    prompt: str | None = None
    response_format: str | None = None
    temperature: float | None = None


class TranscriptionForm(TranslationForm, kw_only=True):
    """A form of texts; lists are sent as `name[]`.  `model` is `whisper-1` where it is not said."""

    language: str | None = None
    languages: list[str] | None = None
    keywords: list[str] | None = None
    include: list[str] | None = None
    timestamp_granularities: list[str] | None = None
    chunking_strategy: Any = None
    known_speaker_names: list[str] | None = None
    known_speaker_references: list[str] | None = None
    stream: bool | None = None


class BareQuery(Struct):
    """The fields of the form, where the sound itself is the body."""

    model: str | None = None
    language: str | None = None
    prompt: str | None = None
    response_format: str | None = None
    temperature: float | None = None


# -- Anthropic ---------------------------------------------------------------------------------------------------


class CountTokensRequest(Struct, kw_only=True):
    """The prompt of a message, to be counted."""

    model: str
    messages: list[Turn]
    system: str | list[TextBlock] | None = None
    tools: list[ToolParam] | None = None
    tool_choice: ToolChoiceParam | None = None
    thinking: ThinkingConfig | None = None
    output_config: OutputConfig | None = None
    cache_control: CacheControl | None = None
    mcp_servers: Raw = Raw()
    provider: str | None = None
    pool: str | None = None


class MessagesRequest(CountTokensRequest, kw_only=True):
    """`provider` and `pool` are hoosh's own: whom to ask, who pays."""

    max_tokens: int | None = None
    stream: bool | None = None
    stop_sequences: list[str] | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    metadata: Metadata | None = None
    container: Raw = Raw()
    context_management: Raw = Raw()
    service_tier: Raw = Raw()
    inference_geo: Raw = Raw()


# -- Ollama ------------------------------------------------------------------------------------------------------


class _OllamaRequest(Struct, kw_only=True):
    model: str
    options: ModelOptions | None = None
    keep_alive: str | float | None = None
    provider: str | None = None
    pool: str | None = None


class _OllamaReply(_OllamaRequest, kw_only=True):
    stream: bool | None = None
    format: str | dict[str, Any] | None = None
    think: bool | str | None = None


class OllamaMessage(Struct):
    role: str
    content: str | None = None
    thinking: str | None = None
    images: list[str] | None = None
    tool_calls: list[dict[str, Any]] | None = None
    tool_name: str | None = None


class OllamaChatRequest(_OllamaReply, kw_only=True):
    """Streams unless `stream` is false.  Without messages it asks for nothing but the model."""

    messages: list[OllamaMessage] | None = None
    tools: list[dict[str, Any]] | None = None


class OllamaGenerateRequest(_OllamaReply, kw_only=True):
    """Streams unless `stream` is false."""

    prompt: str | None = None
    suffix: str | None = None
    images: list[str] | None = None
    system: str | None = None
    template: str | None = None
    context: list[int] | None = None
    raw: bool | None = None


class OllamaEmbedRequest(_OllamaRequest, kw_only=True):
    """One text or several."""

    input: str | list[str] | None = None
    truncate: bool | None = None
    dimensions: int | None = None


class OllamaLegacyEmbeddingsRequest(_OllamaRequest, kw_only=True):
    """The older form: one text."""

    prompt: str | None = None


class OllamaShowRequest(Struct):
    """`name` is what `model` was called before."""

    model: str | None = None
    name: str | None = None


# -- our own -----------------------------------------------------------------------------------------------------


class CacheClearRequest(Struct, forbid_unknown_fields=True):
    """Which answers to forget: of a model, to the holder of a key (by its name), or all."""

    model: str | None = None
    key: str | None = None
