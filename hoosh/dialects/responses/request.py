"""A Responses request's fields as a `ChatRequest`: the settings; items.py reads the input.

What a translated call cannot have is refused by its name: hosted tools, conversations, background, prompt templates,
log probabilities.  What changes nothing about an answer goes to those who know it (`OpenAIExtension`: `metadata`,
`service_tier`, `text.verbosity`, `prompt_cache_key`, `prompt_cache_retention`, `safety_identifier`) or is left out:
`store` (the encoder keeps), `include`, `truncation`, `reasoning.context`, `max_tool_calls` (it counts hosted tools
only), `stream_options`.

Source: `openai-openapi.trimmed.json`, schema CreateResponse.
"""

from __future__ import annotations

import msgspec
from msgspec import Raw, Struct

from hoosh.dialects.bodies import decode_fields, kind_of
from hoosh.dialects.mistakes import empty_array, invalid_value, missing, wrong_type
from hoosh.dialects.openai_extension import OpenAIExtension
from hoosh.dialects.responses.items import Item, read_items
from hoosh.errors import InvalidRequest
from hoosh.values import (
    Call,
    ChatRequest,
    Effort,
    JsonFormat,
    Message,
    Reasoning,
    Role,
    Sampling,
    SchemaFormat,
    TextPart,
    Tool,
    ToolChoice,
    ToolMode,
)

__all__ = ["read_chat_request"]


NULL = Raw(b"null")


class ToolSpec(Struct):
    type: str | None = None
    name: str | None = None
    description: str | None = None
    parameters: Raw = NULL
    strict: bool | None = None


class ChoiceSpec(Struct):
    type: str | None = None
    name: str | None = None
    mode: str | None = None
    tools: list[ChoiceSpec] | None = None


class FormatSpec(Struct):
    type: str | None = None
    name: str | None = None
    schema: Raw = NULL
    description: str | None = None
    strict: bool | None = None


class TextSpec(Struct):
    format: FormatSpec | None = None
    verbosity: str | None = None


class ReasoningSpec(Struct):
    effort: str | None = None
    summary: str | None = None
    generate_summary: str | None = None


class Settings(Struct):
    """The fields of a request that we read.  A type that is not the documented one is the client's mistake."""

    input: str | list[Item] | None = None
    instructions: str | None = None
    tools: list[ToolSpec] | None = None
    tool_choice: str | ChoiceSpec | None = None
    parallel_tool_calls: bool | None = None
    text: TextSpec | None = None
    reasoning: ReasoningSpec | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_logprobs: int | None = None
    include: list[str] | None = None
    user: str | None = None
    safety_identifier: str | None = None
    store: bool | None = None
    background: bool | None = None
    metadata: dict[str, str] | None = None
    service_tier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None


HOSTED = ("conversation", "prompt", "context_management", "moderation")
"""Fields that only OpenAI's own service can honour."""
NOTHING_OF_ITS_OWN = OpenAIExtension()
NOTHING = (b"null", b"[]", b"{}")
MODES = {"auto": ToolMode.AUTO, "required": ToolMode.REQUIRED, "none": ToolMode.NONE}
EFFORTS = {effort.value: effort for effort in Effort}
SUMMARIES = frozenset({"auto", "concise", "detailed"})

_decode_settings = msgspec.json.Decoder(Settings).decode


def read_chat_request(call: Call) -> ChatRequest:
    """Raises InvalidRequest."""
    _refuse_hosted(call)
    settings = decode_fields(call.fields, _decode_settings)
    if settings.background:
        raise _unsupported("background")
    if settings.input is None:
        raise missing("input")
    if settings.top_logprobs:
        raise _unsupported("top_logprobs")
    if "message.output_text.logprobs" in (settings.include or ()):
        raise _unsupported("include")
    tools = tuple(_tool(spec, f"tools[{at}]") for at, spec in enumerate(settings.tools or ()))
    return ChatRequest(
        call.model,
        _messages(settings),
        stream=call.stream,
        tools=tools,
        tool_choice=_tool_choice(settings.tool_choice),
        parallel_tool_calls=settings.parallel_tool_calls,
        reply_format=_reply_format(settings.text),
        reasoning=_reasoning(settings.reasoning),
        sampling=Sampling(temperature=settings.temperature, top_p=settings.top_p, max_tokens=call.max_tokens),
        user=settings.user or settings.safety_identifier,
        extensions=_extensions(settings),
    )


def _extensions(settings: Settings) -> tuple[OpenAIExtension, ...]:
    extension = OpenAIExtension(
        service_tier=settings.service_tier,
        metadata=settings.metadata or None,
        verbosity=None if settings.text is None else settings.text.verbosity,
        prompt_cache_key=settings.prompt_cache_key,
        prompt_cache_retention=settings.prompt_cache_retention,
        safety_identifier=settings.safety_identifier,
    )
    return () if extension == NOTHING_OF_ITS_OWN else (extension,)


def _refuse_hosted(call: Call) -> None:
    """A response that we have not kept can only be known to the provider that made it."""
    previous = call.fields.get("previous_response_id")
    if previous is not None and bytes(previous) != b"null":
        message = "Previous response not found: no provider of this model keeps one with that id."
        raise InvalidRequest(message, param="previous_response_id", code="previous_response_not_found")
    for name in HOSTED:
        value = call.fields.get(name)
        if value is not None and bytes(value) not in NOTHING:
            raise _unsupported(name)


def _messages(settings: Settings) -> tuple[Message, ...]:
    said = settings.input
    messages = (Message(Role.USER, (TextPart(said),)),) if isinstance(said, str) else read_items(said or [])
    if settings.instructions:
        return (Message(Role.SYSTEM, (TextPart(settings.instructions),)), *messages)
    if not messages:
        raise empty_array("input")
    return messages


def _tool(spec: ToolSpec, param: str) -> Tool:
    if spec.type != "function":
        if not spec.type:
            raise missing(f"{param}.type")
        message = f"Tools of type '{spec.type[:64]}' are not available with this model: only functions are."
        raise InvalidRequest(message, param=f"{param}.type", code="unsupported_parameter")
    if not spec.name:
        raise missing(f"{param}.name")
    return Tool(spec.name, spec.description, _object(spec.parameters, f"{param}.parameters"), spec.strict)


def _object(raw: Raw, param: str) -> Raw | None:
    value = bytes(raw)
    if value == b"null":
        return None
    if value[:1] != b"{":
        raise wrong_type(param, "an object", kind_of(value))
    return Raw(value)


def _tool_choice(spec: str | ChoiceSpec | None) -> ToolChoice | None:
    if spec is None:
        return None
    if isinstance(spec, str):
        return ToolChoice(_mode(spec, "tool_choice"))
    if spec.type == "allowed_tools":
        mode = _mode(spec.mode or "auto", "tool_choice.mode")
        return ToolChoice(mode, allowed=tuple(_function_name(tool) for tool in spec.tools or ()))
    return ToolChoice(ToolMode.NAMED, _function_name(spec))


def _mode(word: str, param: str) -> ToolMode:
    mode = MODES.get(word)
    if mode is None:
        raise invalid_value(param, word, MODES)
    return mode


def _function_name(spec: ChoiceSpec) -> str:
    if spec.type != "function":
        raise _unsupported("tool_choice")
    if not spec.name:
        raise missing("tool_choice.name")
    return spec.name


def _reply_format(text: TextSpec | None) -> JsonFormat | SchemaFormat | None:
    spec = None if text is None else text.format
    if spec is None or spec.type == "text":
        return None
    if spec.type == "json_object":
        return JsonFormat()
    if spec.type != "json_schema":
        raise invalid_value("text.format.type", spec.type or "", ("text", "json_object", "json_schema"))
    schema = _object(spec.schema, "text.format.schema")
    if schema is None:
        raise missing("text.format.schema")
    if not spec.name:
        raise missing("text.format.name")
    return SchemaFormat(schema, spec.name, spec.description, spec.strict)


def _reasoning(spec: ReasoningSpec | None) -> Reasoning | None:
    if spec is None:
        return None
    if spec.effort is not None and spec.effort not in EFFORTS:
        raise invalid_value("reasoning.effort", spec.effort, EFFORTS)
    summary = spec.summary or spec.generate_summary
    if summary is not None and summary not in SUMMARIES:
        raise invalid_value("reasoning.summary", summary, sorted(SUMMARIES))
    effort = EFFORTS.get(spec.effort or "")
    return Reasoning(effort, summary=summary) if effort or summary else None


def _unsupported(name: str) -> InvalidRequest:
    message = f"Unsupported parameter: '{name}' is not available with this model."
    return InvalidRequest(message, param=name, code="unsupported_parameter")
