"""What clients write to `/v1/chat/completions` and `/v1/completions`, field by field, as far as others can say it too.

The structs follow OpenAI's document, and beside it what users of OpenRouter, LiteLLM, DeepSeek and Google's compatible
surface write: reasoning in a history, `cache_control`, `extra_content`, `reasoning`, `thinking`.  Unknown fields are
skipped.  Fields are optional where clients are known to leave them out; what is missing is said by whoever needs it,
with the whole path.

Source: CreateChatCompletionRequest and CreateCompletionRequest in `openai-openapi.trimmed.json`; wire notes 2.1, 2.4,
2.8; OpenRouter's "Reasoning Tokens" and LiteLLM's "Prompt Caching" pages for the rest.
"""

from __future__ import annotations

from typing import Any

from msgspec import Raw, Struct

__all__ = ["CacheControl", "ChatBody", "Choice", "CompletionBody", "Detail", "FileBody", "Function", "FunctionCall"]
__all__ += ["Piece", "ReasoningBody", "ReplyFormat", "Said", "SaidCall", "Thinking", "ToolBody"]

ABSENT = Raw(b"")
"""Of a field kept as raw JSON."""


# -- messages ----------------------------------------------------------------------------------------------------


class CacheControl(Struct, gc=False):
    type: str | None = None
    ttl: str | None = None


class ImageUrl(Struct, gc=False):
    url: str
    detail: str | None = None


class InputAudio(Struct, gc=False):
    data: str
    format: str


class FileBody(Struct, gc=False):
    file_data: str | None = None
    file_id: str | None = None
    filename: str | None = None


class ThoughtText(Struct, gc=False):
    """Mistral writes a thought as a list of these."""

    text: str = ""


class Piece(Struct, gc=False):
    """A content part of any type: which fields count is for `type` to say."""

    type: str | None = None
    text: str | None = None
    image_url: ImageUrl | str | None = None
    input_audio: InputAudio | str | None = None
    """Mistral's users write the bare base64."""
    file: FileBody | None = None
    document_url: str | None = None
    document_name: str | None = None
    refusal: str | None = None
    thinking: str | list[ThoughtText] | None = None
    signature: str | None = None
    data: str | None = None
    cache_control: CacheControl | None = None
    prompt_cache_breakpoint: dict[str, Any] | None = None


class GoogleContent(Struct, gc=False):
    thought_signature: str | None = None


class ExtraContent(Struct, gc=False):
    google: GoogleContent | None = None


class FunctionCall(Struct, gc=False):
    name: str
    arguments: str | dict[str, Any] | None = None
    """Text; an object where a client has parsed it already."""


class SaidCall(Struct, gc=False):
    id: str | None = None
    type: str | None = None
    function: FunctionCall | None = None
    extra_content: ExtraContent | None = None


class Detail(Struct, gc=False):
    """One of OpenRouter's `reasoning_details`."""

    type: str | None = None
    text: str | None = None
    summary: str | None = None
    signature: str | None = None
    data: str | None = None
    format: str | None = None
    id: str | None = None
    index: int | None = None


class Said(Struct, gc=False):
    """A message of any role."""

    role: str
    content: str | list[Piece | str] | None = None
    name: str | None = None
    refusal: str | None = None
    tool_calls: list[SaidCall] | None = None
    tool_call_id: str | None = None
    function_call: FunctionCall | None = None
    reasoning_details: list[Detail] | None = None
    thinking_blocks: list[Piece] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    images: list[Piece] | None = None
    audio: dict[str, Any] | None = None
    cache_control: CacheControl | None = None


# -- tools and settings ------------------------------------------------------------------------------------------


class Function(Struct, gc=False):
    name: str
    description: str | None = None
    parameters: Raw = ABSENT
    strict: bool | None = None
    cache_control: CacheControl | None = None


class ToolBody(Struct, gc=False):
    type: str | None = None
    function: Function | None = None
    cache_control: CacheControl | None = None


class Named(Struct, gc=False):
    name: str


class AllowedTool(Struct, gc=False):
    function: Named | None = None


class AllowedTools(Struct, gc=False):
    tools: list[AllowedTool]
    mode: str = "auto"


class Choice(Struct, gc=False):
    """`tool_choice`, or the older `function_call`, where it is an object."""

    type: str | None = None
    function: Named | None = None
    name: str | None = None
    allowed_tools: AllowedTools | None = None


class JsonSchema(Struct, gc=False):
    name: str = "response"
    description: str | None = None
    schema: Raw = ABSENT
    strict: bool | None = None


class ReplyFormat(Struct, gc=False):
    type: str
    json_schema: JsonSchema | None = None


class ReasoningBody(Struct, gc=False):
    """OpenRouter's `reasoning`."""

    effort: str | None = None
    max_tokens: int | None = None
    exclude: bool | None = None
    enabled: bool | None = None
    summary: str | None = None


class Thinking(Struct, gc=False):
    """Anthropic's `thinking`, as users of LiteLLM and DeepSeek write it."""

    type: str
    budget_tokens: int | None = None


class Settings(Struct, gc=False):
    """What chat and the older completions have in common."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    n: int | None = None
    user: str | None = None
    logit_bias: dict[str, float] | None = None


class ChatBody(Settings, kw_only=True, gc=False):
    messages: list[Said]
    logprobs: bool | None = None
    top_logprobs: int | None = None
    tools: list[ToolBody] | None = None
    tool_choice: str | Choice | None = None
    functions: list[Function] | None = None
    function_call: str | Choice | None = None
    parallel_tool_calls: bool | None = None
    response_format: ReplyFormat | None = None
    reasoning_effort: str | None = None
    reasoning: ReasoningBody | None = None
    thinking: Thinking | None = None
    enable_thinking: bool | None = None
    safety_identifier: str | None = None
    service_tier: str | None = None
    store: bool | None = None
    metadata: dict[str, str] | None = None
    modalities: list[str] | None = None
    verbosity: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    audio: Raw = ABSENT
    prediction: Raw = ABSENT
    web_search_options: Raw = ABSENT
    prompt_cache_options: Raw = ABSENT
    moderation: Raw = ABSENT


class CompletionBody(Settings, kw_only=True, gc=False):
    prompt: str | list[str | int | list[int]] | None = None
    logprobs: int | bool | None = None
    suffix: str | None = None
    echo: bool | None = None
    best_of: int | None = None
