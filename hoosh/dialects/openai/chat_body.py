"""A chat request in our own words as the body of `POST /v1/chat/completions`, in a vendor's own variety.

Refused (InvalidRequest, `param` in OpenAI's words): several choices and logprobs, which our replies cannot carry; what
the vendor lacks by its `Quirks`.  Left out where a vendor does not know it: `top_k`, `min_p`, `user`, `seed`, cache
marks, the effort of thinking, and what of OpenAI's own fields is not in its `knows`.

Source: wire notes 2.1 and 2.4 to 2.14; the vendors' API references for their fields.
"""

from __future__ import annotations

from typing import Any

from msgspec import Raw
from msgspec.structs import asdict

from hoosh.dialects.openai.family import Quirks, in_their_words
from hoosh.dialects.openai.history import lacking, marked, unsupported, write_history
from hoosh.values import (
    Capability,
    ChatRequest,
    Effort,
    JsonFormat,
    Reasoning,
    Sampling,
    SchemaFormat,
    Tool,
    ToolChoice,
    ToolMode,
)

__all__ = ["chat_body"]

NO_PARAMETERS = Raw(b'{"type":"object","properties":{}}')

EFFORTS = tuple(Effort)
"""Weakest first."""

Body = dict[str, Any]


def chat_body(request: ChatRequest, *, model: str, quirks: Quirks) -> Body:
    """The body, to be encoded as JSON.  Raises InvalidRequest."""
    body: Body = {"model": model, "messages": write_history(request.messages, quirks)}
    _write_tools(body, request, quirks)
    _write_format(body, request, quirks)
    if request.reasoning is not None:
        _write_reasoning(body, request.reasoning, quirks)
    _write_sampling(body, request.sampling, quirks)
    if request.user is not None:
        body["user"] = request.user
    _write_extensions(body, request, quirks)
    if request.stream:
        body["stream"] = True
        if quirks.asks_usage:
            body["stream_options"] = {"include_usage": True}
    if quirks.only is None:
        return in_their_words(body, quirks)
    if "stop" in body:
        raise unsupported("`stop`", "stop")
    return {name: value for name, value in body.items() if name in quirks.only}


# -- tools -------------------------------------------------------------------------------------------------------


def _write_tools(body: Body, request: ChatRequest, quirks: Quirks) -> None:
    if not request.tools:
        return
    if Capability.TOOLS in quirks.cannot:
        raise lacking(Capability.TOOLS, "tools", "tools")
    choice = request.tool_choice
    narrowed = choice is not None and choice.allowed and not quirks.allowed_tools
    body["tools"] = [
        _tool(tool, quirks)
        for tool in request.tools
        if not narrowed or (choice is not None and tool.name in choice.allowed)
    ]
    if choice is not None:
        body["tool_choice"] = _tool_choice(choice, quirks)
    if request.parallel_tool_calls is not None:
        body["parallel_tool_calls"] = request.parallel_tool_calls


def _tool(tool: Tool, quirks: Quirks) -> Body:
    function: Body = {"name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    function["parameters"] = NO_PARAMETERS if tool.parameters is None else tool.parameters
    if tool.strict is not None:
        function["strict"] = tool.strict
    return marked({"type": "function", "function": function}, tool.cache, quirks)


def _tool_choice(choice: ToolChoice, quirks: Quirks) -> Any:
    if choice.mode is ToolMode.NAMED:
        return {"type": "function", "function": {"name": choice.name}}
    if choice.allowed and quirks.allowed_tools:
        tools = [{"type": "function", "function": {"name": name}} for name in choice.allowed]
        return {"type": "allowed_tools", "allowed_tools": {"mode": choice.mode.value, "tools": tools}}
    return choice.mode.value


# -- settings ----------------------------------------------------------------------------------------------------


def _write_format(body: Body, request: ChatRequest, quirks: Quirks) -> None:
    wanted = request.reply_format
    if wanted is None:
        return
    if Capability.STRUCTURED_OUTPUT in quirks.cannot:
        raise lacking(Capability.STRUCTURED_OUTPUT, "a reply format", "response_format")
    if isinstance(wanted, JsonFormat):
        body["response_format"] = {"type": "json_object"}
    elif not quirks.schemas:
        raise unsupported("a schema of the reply, only `json_object`", "response_format")
    else:
        body["response_format"] = {"type": "json_schema", "json_schema": _schema(wanted)}


def _schema(wanted: SchemaFormat) -> Body:
    schema: Body = {"name": wanted.name}
    if wanted.description is not None:
        schema["description"] = wanted.description
    schema["schema"] = wanted.schema
    if wanted.strict is not None:
        schema["strict"] = wanted.strict
    return schema


def _write_reasoning(body: Body, reasoning: Reasoning, quirks: Quirks) -> None:
    if quirks.effort_object:
        if told := _reasoning_object(reasoning, quirks):
            body["reasoning"] = told
        return
    wanted = _effort(reasoning)
    if quirks.thinking_switch and wanted is not None:
        _write_switch(body, quirks.thinking_switch, on=wanted is not Effort.NONE)
    elif quirks.thinking_switch and reasoning.enabled:
        _write_switch(body, quirks.thinking_switch, on=True)
    if wanted is not None and quirks.efforts:
        nearest = _nearest(wanted, quirks.efforts)
        if nearest is not None:
            body["reasoning_effort"] = nearest.value


def _write_switch(body: Body, field: str, *, on: bool) -> None:
    if field == "thinking":
        body[field] = {"type": "enabled" if on else "disabled"}
    else:
        body[field] = {"enable_thinking": on}


def _reasoning_object(reasoning: Reasoning, quirks: Quirks) -> Body:
    if reasoning.budget_tokens and reasoning.effort is None:
        return {"max_tokens": reasoning.budget_tokens}
    effort = _effort(reasoning)
    nearest = None if effort is None else _nearest(effort, quirks.efforts)
    if nearest is not None:
        return {"effort": nearest.value}
    return {"enabled": True} if reasoning.enabled else {}


def _effort(reasoning: Reasoning) -> Effort | None:
    """The effort meant; a budget of tokens stands for one where no effort is named."""
    if reasoning.effort is not None:
        return reasoning.effort
    if reasoning.enabled is False or reasoning.budget_tokens == 0:
        return Effort.NONE
    if reasoning.budget_tokens is None or reasoning.budget_tokens < 0:
        return None
    if reasoning.budget_tokens <= 2048:
        return Effort.LOW
    return Effort.MEDIUM if reasoning.budget_tokens <= 8192 else Effort.HIGH


def _nearest(wanted: Effort, known: tuple[Effort, ...]) -> Effort | None:
    """The nearest effort that the vendor knows.  "Do not think" is never turned into a little thinking."""
    if wanted is Effort.NONE:
        return wanted if wanted in known else None
    at = EFFORTS.index(wanted)
    return min((effort for effort in known if effort is not Effort.NONE), key=lambda e: abs(EFFORTS.index(e) - at))


def _write_sampling(body: Body, sampling: Sampling, quirks: Quirks) -> None:
    if sampling.n != 1:
        raise unsupported("more than one choice in a translated request", "n")
    if sampling.logprobs or sampling.top_logprobs:
        raise unsupported("logprobs in a translated request", "logprobs")
    if sampling.max_tokens is not None:
        body[quirks.limit_field] = sampling.max_tokens
    for name in ("temperature", "top_p", "seed", "presence_penalty", "frequency_penalty"):
        if (value := getattr(sampling, name)) is not None:
            body[name] = value
    for name in ("top_k", "min_p"):
        if name in quirks.extras and (value := getattr(sampling, name)) is not None:
            body[name] = value
    if sampling.stop:
        body["stop"] = list(sampling.stop)


def _write_extensions(body: Body, request: ChatRequest, quirks: Quirks) -> None:
    """What OpenAI's own clients ask beyond what all share; others' demands have been refused before."""
    for extension in request.extensions:
        if extension.home != "openai":
            continue
        demands = extension.demands
        if quirks.only is not None and demands:
            raise unsupported(f"`{demands[0]}`", demands[0])
        told = quirks.knows.union(demands, ("audio",) if "modalities" in demands else ())
        body.update({name: value for name, value in asdict(extension).items() if value is not None and name in told})
