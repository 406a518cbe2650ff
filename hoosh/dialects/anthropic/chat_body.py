"""A chat request as the body of `POST /v1/messages`, or of the question how many tokens it has.

Refused: more than one answer, log probabilities, free-form JSON, a temperature above 1, audio and foreign files (see
blocks.py).  Left out: seed, penalties, min_p, names of participants, `strict` and `name` of a reply schema, and

* temperature, top_p and top_k for a model that takes none, or while it thinks (the API refuses them then);
* top_p beside temperature for a model that takes one of them;
* thinking where a tool is forced (unless the client spoke of thinking in Anthropic's own words), or where the calls it
  would go on from were thought by another model: the API refuses both.  The effort stays where the model has a word.

Source: wire notes 2.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Raw
from msgspec.structs import replace

from hoosh.dialects.anthropic.blocks import unsupported
from hoosh.dialects.anthropic.extension import AnthropicExtension, ToolManners
from hoosh.dialects.anthropic.generations import Generation, generation_of
from hoosh.dialects.anthropic.schemas import closed
from hoosh.dialects.anthropic.thinking import Thinking, thinking_of
from hoosh.dialects.anthropic.turns import breaks_thought, turns_of
from hoosh.dialects.anthropic.wire import (
    COUNT_PATH,
    MESSAGES_PATH,
    VERSION,
    Body,
    CacheControl,
    Metadata,
    OutputConfig,
    OutputFormat,
    ToolChoiceParam,
    ToolParam,
)
from hoosh.dialects.contract import HeaderList, Outgoing
from hoosh.dialects.loose_json import encode_safely
from hoosh.errors import InvalidRequest
from hoosh.values import ChatRequest, JsonFormat, Sampling, SchemaFormat, Tool, ToolChoice, ToolMode

__all__ = ["chat_body", "count_body"]

NO_PARAMETERS = Raw(b'{"type":"object","properties":{}}')
FILES_BETA = "files-api-2025-04-14"

CHOICES = {ToolMode.AUTO: "auto", ToolMode.REQUIRED: "any", ToolMode.NONE: "none", ToolMode.NAMED: "tool"}
FORCED = (ToolMode.REQUIRED, ToolMode.NAMED)

UNTOUCHED = frozenset(
    {
        *("cache_control", "container", "context_management", "mcp_servers", "service_tier", "inference_geo"),
        *("speed", "compaction", "fallbacks", "diagnostics"),
    }
)
"""Fields that go from the extension into the body as they are."""
NOT_COUNTED = frozenset(
    {
        *("max_tokens", "stop_sequences", "temperature", "top_p", "top_k", "metadata", "stream", "container"),
        *("service_tier", "inference_geo", "fallbacks", "diagnostics"),
    }
)


def chat_body(request: ChatRequest, *, model: str) -> Outgoing:
    """Raises InvalidRequest."""
    body, headers = _written(request, model)
    return Outgoing(MESSAGES_PATH, encode_safely(body), headers=headers)


def count_body(request: ChatRequest, *, model: str) -> Outgoing:
    """Raises InvalidRequest."""
    body, headers = _written(request, model)
    defaults = dict(zip(Body.__struct_fields__[2:], Body.__struct_defaults__, strict=True))
    counted = replace(body, **{name: defaults[name] for name in NOT_COUNTED})
    return Outgoing(COUNT_PATH, encode_safely(counted), headers=headers)


def _written(request: ChatRequest, model: str) -> tuple[Body, HeaderList]:
    _refuse(request)
    generation = generation_of(model)
    extension = _extension(request)
    system, turns = turns_of(request.messages, system_anywhere=generation.system_anywhere)
    limit = request.sampling.max_tokens or generation.usual_max_tokens
    thinking = thinking_of(request.reasoning, extension, model, generation, limit)
    broken = generation.takes_budget and not generation.is_adaptive and breaks_thought(turns)
    if thinking.is_on and (broken or (extension is None and _is_forced(request))):
        thinking = Thinking(effort=thinking.effort)
    body = Body(model, turns, thinking.max_tokens or limit, system or None, thinking=thinking.config)
    body.output_config = _output_config(request, extension, thinking)
    body.stop_sequences = [stop for stop in request.sampling.stop if stop.strip()] or None
    body.metadata = Metadata(request.user) if request.user else None
    body.stream = request.stream or None
    _add_tools(body, request, extension)
    _add_sampling(body, request.sampling, generation, thinks=thinking.is_on)
    if extension is not None:
        for name in UNTOUCHED:
            setattr(body, name, getattr(extension, name))
    return body, _headers(turns, extension)


def _refuse(request: ChatRequest) -> None:
    sampling = request.sampling
    if sampling.n > 1:
        raise unsupported("A request for more than one answer", "n")
    if sampling.logprobs or sampling.top_logprobs:
        raise unsupported("A request for log probabilities", "logprobs")
    if isinstance(request.reply_format, JsonFormat):
        message = "Anthropic writes JSON by a schema only: use `json_schema`."
        raise InvalidRequest(message, param="response_format", code="unsupported_value")
    for extension in request.extensions:
        if not isinstance(extension, AnthropicExtension) and extension.demands:
            raise unsupported(f"`{extension.demands[0]}`", extension.demands[0])


def _extension(request: ChatRequest) -> AnthropicExtension | None:
    return next((extension for extension in request.extensions if isinstance(extension, AnthropicExtension)), None)


def _headers(turns: Sequence[dict[str, Any]], extension: AnthropicExtension | None) -> HeaderList:
    betas = list(extension.betas) if extension is not None else []
    if FILES_BETA not in betas and any(_is_kept_file(block) for turn in turns for block in turn["content"]):
        betas.append(FILES_BETA)
    headers = [(b"anthropic-version", VERSION)]
    return [*headers, (b"anthropic-beta", ",".join(betas).encode())] if betas else headers


def _is_kept_file(block: object) -> bool:
    return hasattr(getattr(block, "source", None), "file_id")


# -- tools -------------------------------------------------------------------------------------------------------


def _is_forced(request: ChatRequest) -> bool:
    return bool(request.tools) and request.tool_choice is not None and request.tool_choice.mode in FORCED


def _add_tools(body: Body, request: ChatRequest, extension: AnthropicExtension | None) -> None:
    choice = request.tool_choice
    allowed = choice.allowed if choice is not None else ()
    manners = {} if extension is None else {manner.name: manner for manner in extension.tool_manners}
    tools: list[Any] = [
        _tool(tool, manners.get(tool.name)) for tool in request.tools if not allowed or tool.name in allowed
    ]
    for server_tool in () if extension is None else extension.server_tools:
        tools.insert(server_tool.at, server_tool.raw)
    if tools:  # a choice without tools is refused
        body.tools = tools
        body.tool_choice = _tool_choice(choice, parallel=request.parallel_tool_calls)


def _tool(tool: Tool, manner: ToolManners | None) -> ToolParam:
    schema = tool.parameters or NO_PARAMETERS
    if tool.strict:
        schema = closed(schema, param="tools")
    cache = None if tool.cache is None else CacheControl(tool.cache.ttl)
    param = ToolParam(tool.name, tool.description, schema, tool.strict, cache)
    if manner is not None:
        for name in ToolManners.__struct_fields__[1:]:
            setattr(param, name, getattr(manner, name))
    return param


def _tool_choice(choice: ToolChoice | None, *, parallel: bool | None) -> ToolChoiceParam | None:
    one_at_a_time = True if parallel is False else None
    if choice is None:
        return ToolChoiceParam("auto", None, one_at_a_time) if one_at_a_time else None
    if choice.mode is ToolMode.NONE:
        return ToolChoiceParam("none")
    return ToolChoiceParam(CHOICES[choice.mode], choice.name, one_at_a_time)


# -- settings ----------------------------------------------------------------------------------------------------


def _add_sampling(body: Body, sampling: Sampling, generation: Generation, *, thinks: bool) -> None:
    if thinks or generation.samplers == 0:
        return
    temperature, top_p = sampling.temperature, sampling.top_p
    if temperature is not None and temperature > 1:
        message = "Anthropic takes temperatures from 0 to 1."
        raise InvalidRequest(message, param="temperature", code="unsupported_value")
    if generation.samplers == 1 and temperature is not None:
        top_p = None
    body.temperature, body.top_p, body.top_k = temperature, top_p, sampling.top_k


def _output_config(
    request: ChatRequest, extension: AnthropicExtension | None, thinking: Thinking
) -> OutputConfig | None:
    config = OutputConfig(thinking.effort)
    if isinstance(request.reply_format, SchemaFormat):
        config.format = OutputFormat(closed(request.reply_format.schema, param="response_format"))
    if extension is not None:
        config.task_budget = extension.task_budget
    return config if config != OutputConfig() else None
