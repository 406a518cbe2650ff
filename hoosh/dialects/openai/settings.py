"""Tools, tool choice, reply format, reasoning and sampling of a chat body, in our own words.

Raises InvalidRequest with the path of the mistake.  Ranges are left to the upstream, which knows its own.

Source: CreateChatCompletionRequest in `openai-openapi.trimmed.json`; wire notes 2.1, 2.4 and 2.8; OpenRouter's
"Reasoning Tokens" for `reasoning`, LiteLLM's and DeepSeek's documentation for `thinking`.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Raw

from hoosh.dialects.mistakes import below_minimum, invalid_value, missing, only_openai, wrong_type
from hoosh.dialects.openai.body import ChatBody, Choice, Function, ReplyFormat, Settings, ToolBody
from hoosh.errors import InvalidRequest
from hoosh.values import (
    CacheMark,
    Effort,
    JsonFormat,
    Reasoning,
    Sampling,
    SchemaFormat,
    Tool,
    ToolChoice,
    ToolMode,
)

__all__ = ["read_choice", "read_format", "read_reasoning", "read_sampling", "read_tools"]

MODES = {"auto": ToolMode.AUTO, "required": ToolMode.REQUIRED, "any": ToolMode.REQUIRED, "none": ToolMode.NONE}
"""`any` is Mistral's word for `required`."""
EFFORTS = tuple(effort.value for effort in Effort)


# -- tools -------------------------------------------------------------------------------------------------------


def read_tools(body: ChatBody) -> tuple[Tool, ...]:
    """Tools, or the older functions where there are none."""
    if body.tools:
        return tuple([_tool(tool, f"tools[{n}]") for n, tool in enumerate(body.tools)])
    return tuple([_function(function, f"functions[{n}]") for n, function in enumerate(body.functions or ())])


def read_choice(body: ChatBody, tools: Sequence[Tool]) -> ToolChoice | None:
    """None where the client has not said, or has nothing to choose from."""
    field = "tool_choice" if body.tool_choice is not None else "function_call"
    given = body.tool_choice if body.tool_choice is not None else body.function_call
    choice = None if given is None else _choice(given, field)
    if choice is None or tools:
        return None if choice is None else _known(choice, tools, field)
    if choice.mode in (ToolMode.AUTO, ToolMode.NONE):
        return None
    raise InvalidRequest(f"'{field}' is only allowed when 'tools' are specified.", param=field)


def _tool(tool: ToolBody, path: str) -> Tool:
    if tool.type not in (None, "function"):
        raise only_openai(f"{path}.type", "Tools of another type than 'function'")
    if tool.function is None:
        raise missing(f"{path}.function")
    control = tool.cache_control or tool.function.cache_control
    return _function(tool.function, f"{path}.function", None if control is None else CacheMark(control.ttl))


def _function(function: Function, path: str, cache: CacheMark | None = None) -> Tool:
    if not function.name:
        raise InvalidRequest(f"Invalid '{path}.name': empty string.", param=f"{path}.name", code="invalid_value")
    parameters = _schema(function.parameters, f"{path}.parameters")
    return Tool(function.name, function.description, parameters, function.strict, cache)


def _choice(given: str | Choice, field: str) -> ToolChoice:
    word = given if isinstance(given, str) else given.type
    if isinstance(given, Choice):
        if word == "allowed_tools":
            return _allowed(given, field)
        if word == "custom":
            raise only_openai(f"{field}.type", "Tools of another type than 'function'")
        name = given.function.name if given.function is not None else given.name
        if name is not None and word in (None, "function", "tool"):
            return ToolChoice(ToolMode.NAMED, name)
        if word in (None, "function"):
            raise missing(f"{field}.function")
    mode = MODES.get(word or "")
    if mode is None:
        raise invalid_value(field, word or "", ("none", "auto", "required"))
    return ToolChoice(mode)


def _allowed(given: Choice, field: str) -> ToolChoice:
    allowed = given.allowed_tools
    if allowed is None:
        raise missing(f"{field}.allowed_tools")
    mode = MODES.get(allowed.mode)
    if mode not in (ToolMode.AUTO, ToolMode.REQUIRED):
        raise invalid_value(f"{field}.allowed_tools.mode", allowed.mode, ("auto", "required"))
    names = tuple([tool.function.name for tool in allowed.tools if tool.function is not None])
    if not names or len(names) != len(allowed.tools):
        raise missing(f"{field}.allowed_tools.tools[{len(names)}].function")
    return ToolChoice(mode, allowed=names)


def _known(choice: ToolChoice, tools: Sequence[Tool], field: str) -> ToolChoice:
    known = {tool.name for tool in tools}
    for name in choice.allowed if choice.name is None else (choice.name,):
        if name not in known:
            raise invalid_value(field, name, sorted(known)[:20])
    return choice


def _schema(raw: Raw, path: str) -> Raw | None:
    first = bytes(raw)[:1]
    if first in (b"", b"n"):
        return None
    if first != b"{":
        raise wrong_type(path, "an object", "another value")
    return raw


# -- format, reasoning, sampling ---------------------------------------------------------------------------------


def read_format(given: ReplyFormat | None) -> JsonFormat | SchemaFormat | None:
    if given is None or given.type == "text":
        return None
    if given.type == "json_object":
        return JsonFormat()
    if given.type != "json_schema":
        raise invalid_value("response_format.type", given.type, ("text", "json_object", "json_schema"))
    if given.json_schema is None:
        raise missing("response_format.json_schema")
    asked = given.json_schema
    schema = _schema(asked.schema, "response_format.json_schema.schema")
    return SchemaFormat(schema or Raw(b"{}"), asked.name, asked.description, asked.strict)


def read_reasoning(body: ChatBody) -> Reasoning | None:
    """OpenRouter's `reasoning` before `thinking` before `enable_thinking`; `reasoning_effort` beside any of them."""
    effort = body.reasoning_effort
    asked, thinking = body.reasoning, body.thinking
    if asked is not None:
        level = _effort(asked.effort or effort, "reasoning.effort" if asked.effort else "reasoning_effort")
        budget = asked.max_tokens
        shows = asked.exclude is not True and asked.enabled is not False and level is not Effort.NONE
        said = Reasoning(level, budget, asked.enabled, asked.summary or ("auto" if shows else None))
        return _thrifty(said, "reasoning.max_tokens")
    level = _effort(effort, "reasoning_effort")
    if thinking is not None:
        if thinking.type == "disabled":
            return Reasoning(level, enabled=False)
        if thinking.type not in ("enabled", "adaptive", "auto"):
            raise invalid_value("thinking.type", thinking.type, ("enabled", "disabled", "adaptive"))
        said = Reasoning(level, thinking.budget_tokens, True, "auto")
        return _thrifty(said, "thinking.budget_tokens")
    if body.enable_thinking is not None or effort == "default":
        return Reasoning(level, enabled=body.enable_thinking is not False)
    return None if level is None else Reasoning(level)


def read_sampling(body: Settings, max_tokens: int | None, *, logprobs: bool, top_logprobs: int | None) -> Sampling:
    n = 1 if body.n is None else body.n
    if n < 1:
        raise below_minimum("n", n, 1)
    stop = body.stop
    return Sampling(
        temperature=body.temperature,
        top_p=body.top_p,
        # 0 and -1 are how users of local servers write "all of them"
        top_k=body.top_k if body.top_k is not None and body.top_k > 0 else None,
        min_p=body.min_p,
        seed=body.seed,
        stop=() if stop is None else (stop,) if isinstance(stop, str) else tuple(stop),
        presence_penalty=body.presence_penalty,
        frequency_penalty=body.frequency_penalty,
        max_tokens=max_tokens,
        n=n,
        logprobs=logprobs,
        top_logprobs=top_logprobs,
    )


def _effort(word: str | None, path: str) -> Effort | None:
    if word is None or word in ("default", "auto"):  # Groq's word for a model's own
        return None
    try:
        return Effort(word)
    except ValueError:
        raise invalid_value(path, word, EFFORTS) from None


def _thrifty(reasoning: Reasoning, path: str) -> Reasoning:
    budget = reasoning.budget_tokens
    if budget is not None and budget < 0:
        raise below_minimum(path, budget, 0)
    return reasoning
