"""A client's body of `/v1/messages` and `/v1/messages/count_tokens`: read leanly, and in our own words.

`read` scans the body once into its top-level fields and leaves every value as the client wrote it; `chat_request` reads
all of it, for an upstream of another language.  Fields that nobody documents are left out there.

Source: wire notes 2.2.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Raw, Struct

from hoosh.dialects.anthropic.errors import THREAD_UNSUPPORTED
from hoosh.dialects.anthropic.extension import AnthropicExtension, ServerTool, ToolManners
from hoosh.dialects.anthropic.history import decode, mark_of, messages_of, system_of
from hoosh.dialects.anthropic.thinking import BUDGET_TOKENS_MIN
from hoosh.dialects.anthropic.wire import (
    ABSENT,
    Metadata,
    OutputConfig,
    OutputFormat,
    ThinkingConfig,
    ToolChoiceParam,
    ToolParam,
    given,
)
from hoosh.dialects.bodies import (
    Fields,
    flag_of,
    kind_of,
    limit_of,
    raw_of,
    read_fields,
    take_model,
    take_name,
)
from hoosh.dialects.loose_json import encode_safely
from hoosh.dialects.mistakes import missing, wrong_type
from hoosh.errors import InvalidRequest
from hoosh.values import (
    Call,
    CallKind,
    ChatRequest,
    Effort,
    Reasoning,
    Sampling,
    SchemaFormat,
    Tool,
    ToolChoice,
    ToolMode,
)

__all__ = ["limited", "read", "request_of"]

LANGUAGE = "anthropic"

MODES = {"auto": ToolMode.AUTO, "any": ToolMode.REQUIRED, "none": ToolMode.NONE, "tool": ToolMode.NAMED}

KEPT_RAW = frozenset(
    {
        *("cache_control", "container", "context_management", "mcp_servers", "service_tier", "inference_geo"),
        *("speed", "compaction", "fallbacks", "diagnostics"),
    }
)


class ToolKind(Struct):
    type: str | None = None


_empty_list = re.compile(rb"\[\s*\]")

DECODERS: Mapping[Any, Any] = {
    kind: msgspec.json.Decoder(kind).decode
    for kind in (
        *(float, int, ThinkingConfig, OutputConfig, OutputFormat, ToolChoiceParam, ToolKind, ToolParam, Metadata),
        *(list[str], list[Raw]),
    )
}


def read(kind: CallKind, body: bytes) -> Call:
    """Raises InvalidRequest."""
    fields = read_fields(body)
    model = take_model(fields)
    messages = raw_of(fields, "messages")
    if messages is None:
        raise missing("messages")
    if messages[:1] != b"[":
        raise wrong_type("messages", "an array", kind_of(messages))
    if _empty_list.fullmatch(messages):
        raise InvalidRequest("messages: at least one message is required", param="messages", code="empty_array")
    return Call(
        kind,
        model,
        fields,
        stream=flag_of(fields, "stream"),
        max_tokens=limit_of(fields, "max_tokens", 0),
        provider=take_name(fields, "provider"),
        pool=take_name(fields, "pool"),
        language=LANGUAGE,
    )


def limited(fields: Mapping[str, Raw], limit: int) -> dict[str, Raw]:
    """The fields, asking for `limit` tokens.  A budget for thinking has to stay below that."""
    fields = {**fields, "max_tokens": Raw(b"%d" % limit)}
    thinking = _field(fields, "thinking", ThinkingConfig)
    if thinking is not None and (thinking.budget_tokens or 0) >= limit:
        thinking.budget_tokens = max(BUDGET_TOKENS_MIN, limit // 2)
        fits = thinking.budget_tokens < limit
        fields["thinking"] = Raw(encode_safely(thinking if fits else ThinkingConfig("disabled")))
    return fields


def request_of(call: Call) -> ChatRequest:
    """Raises InvalidRequest."""
    fields = dict(call.fields)
    if _is_said(fields, "thread"):
        # To leave it out would be to forget the conversation; at this code the SDK sends all of it, without a thread.
        message = "thread: only Anthropic itself keeps threads; send the whole conversation in messages"
        raise InvalidRequest(message, param="thread", code=THREAD_UNSUPPORTED)
    thinking = _field(fields, "thinking", ThinkingConfig)
    config = _output_config(fields)
    tools, extension = _tools(fields, _extension(fields, thinking, config))
    choice = _field(fields, "tool_choice", ToolChoiceParam)
    metadata = _field(fields, "metadata", Metadata)
    system = fields.get("system")
    return ChatRequest(
        model=call.model,
        messages=(system_of(system) if _is_said(fields, "system") and system is not None else ())
        + messages_of(fields["messages"]),
        stream=call.stream,
        tools=tools,
        tool_choice=_tool_choice(choice),
        parallel_tool_calls=False if choice is not None and choice.disable_parallel_tool_use else None,
        reply_format=None if config.format is None else SchemaFormat(config.format.schema),
        reasoning=_reasoning(thinking, config.effort),
        sampling=_sampling(fields, call.max_tokens),
        user=metadata.user_id if metadata is not None else None,
        extensions=(extension,),
    )


def _is_said(fields: Fields, name: str) -> bool:
    return raw_of(fields, name) is not None


def _field(fields: Fields, name: str, kind: Any) -> Any:
    """A field as `kind`; None where it is missing or null."""
    return decode(DECODERS[kind], fields[name], name) if _is_said(fields, name) else None


def _sampling(fields: Fields, max_tokens: int | None) -> Sampling:
    return Sampling(
        temperature=_field(fields, "temperature", float),
        top_p=_field(fields, "top_p", float),
        top_k=_field(fields, "top_k", int),
        stop=tuple(_field(fields, "stop_sequences", list[str]) or ()),
        max_tokens=max_tokens,
    )


def _output_config(fields: Fields) -> OutputConfig:
    """`output_config`, and `output_format` as it was called before."""
    config: OutputConfig = _field(fields, "output_config", OutputConfig) or OutputConfig()
    if config.format is None:
        config.format = _field(fields, "output_format", OutputFormat)
    return config


def _reasoning(thinking: ThinkingConfig | None, word: str | None) -> Reasoning | None:
    if thinking is not None and not thinking.type:  # it says something else than whether to think
        thinking = None
    if thinking is None and word is None:
        return None
    effort = None
    if word is not None:
        if word not in Effort.__members__.values():
            message = f"output_config.effort: Input should be one of {', '.join(Effort)}"
            raise InvalidRequest(message, param="output_config.effort", code="invalid_value")
        effort = Effort(word)
    if thinking is None:
        return Reasoning(effort)
    if thinking.type == "disabled":
        return Reasoning(effort, enabled=False)
    summary = None if thinking.display == "omitted" else "auto"
    return Reasoning(effort, thinking.budget_tokens, enabled=True, summary=summary)


# -- tools -------------------------------------------------------------------------------------------------------


def _tools(fields: Fields, extension: AnthropicExtension) -> tuple[tuple[Tool, ...], AnthropicExtension]:
    tools, servers, manners = [], [], []
    for at, raw in enumerate(_field(fields, "tools", list[Raw]) or ()):
        kind = decode(DECODERS[ToolKind], raw, f"tools.{at}").type
        if kind not in (None, "custom"):
            servers.append(ServerTool(at, kind, raw))
            continue
        param: ToolParam = decode(DECODERS[ToolParam], raw, f"tools.{at}")
        schema = given(param.input_schema)
        parameters = None if schema is ABSENT else schema
        tools.append(Tool(param.name, param.description, parameters, param.strict, mark_of(param.cache_control)))
        own = {name: getattr(param, name) for name in ToolManners.__struct_fields__}
        if any(value is not None and value is not ABSENT for name, value in own.items() if name != "name"):
            manners.append(ToolManners(**own))
    if servers or manners:
        said = {name: getattr(extension, name) for name in extension.__struct_fields__}
        extension = AnthropicExtension(**{**said, "server_tools": tuple(servers), "tool_manners": tuple(manners)})
    return tuple(tools), extension


def _tool_choice(choice: ToolChoiceParam | None) -> ToolChoice | None:
    if choice is None:
        return None
    mode = MODES.get(choice.type)
    if mode is None or (mode is ToolMode.NAMED and not choice.name):
        message = "tool_choice: Input should be one of 'auto', 'any', 'none', or 'tool' with a name"
        raise InvalidRequest(message, param="tool_choice", code="invalid_value")
    return ToolChoice(mode, choice.name if mode is ToolMode.NAMED else None)


def _extension(fields: Fields, thinking: ThinkingConfig | None, config: OutputConfig) -> AnthropicExtension:
    kept: dict[str, Any] = {name: given(fields[name]) for name in KEPT_RAW if name in fields}
    return AnthropicExtension(
        thinking_type=thinking.type if thinking is not None else "",
        thinking_display=thinking.display if thinking is not None else None,
        thinking_binding=given(thinking.block_binding) if thinking is not None else ABSENT,
        task_budget=given(config.task_budget),
        betas=tuple(_field(fields, "betas", list[str]) or ()),
        **kept,
    )
