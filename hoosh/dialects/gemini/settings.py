"""How to answer, in Gemini's words: `tools`, `toolConfig`, `generationConfig`.

Reasoning is a level from Gemini 3 on and a budget before; neither can be switched off everywhere:

                     none       minimal   low     medium   high, xhigh, max       least ... most
    3.x Flash        minimal    minimal   low     medium   high
    3.x Pro          low        low       low     medium   high                   (3.0 Pro: no medium, high)
    2.5 Flash        0          1024      1024    8192     24576                  0     24576
    2.5 Flash-Lite   0          1024      1024    8192     24576                  512   24576
    2.5 Pro          128        1024      1024    8192     24576, 32768, 32768    128   32768
    older            nothing: they do not think

Who asks for thinking is shown the thoughts.
Refused: n > 1, logprobs, more than five stop sequences.
Left out: min_p, user, and `parallel_tool_calls: false`, which agents send to everybody; they read several calls all the
same.
Source: ai.google.dev/api/generate-content#GenerationConfig, /gemini-api/docs/thinking, /gemini-api/docs/openai (the
numbers for an effort), /gemini-api/docs/function-calling (modes).
"""

from __future__ import annotations

from typing import Any

from hoosh.dialects.gemini.naming import generation, is_pro
from hoosh.dialects.gemini.schema import json_schema, openapi_subset
from hoosh.errors import InvalidRequest
from hoosh.values import ChatRequest, Effort, JsonFormat, Reasoning, SchemaFormat, Tool, ToolMode

__all__ = ["generation_config", "tool_config", "tools"]

STOPS_MAX = 5
DYNAMIC = -1
"""A budget that the model chooses."""

LEVELS = {
    Effort.NONE: "minimal",
    Effort.MINIMAL: "minimal",
    Effort.LOW: "low",
    Effort.MEDIUM: "medium",
    Effort.HIGH: "high",
    Effort.XHIGH: "high",
    Effort.MAX: "high",
}
BUDGETS = {
    Effort.NONE: 0,
    Effort.MINIMAL: 1024,
    Effort.LOW: 1024,
    Effort.MEDIUM: 8192,
    Effort.HIGH: 24576,
    Effort.XHIGH: 32768,
    Effort.MAX: 32768,
}


# -- tools -------------------------------------------------------------------------------------------------------


def tools(request: ChatRequest, *, model: str) -> list[dict[str, Any]]:
    """Raises InvalidRequest."""
    if not request.tools:
        return []
    return [{"functionDeclarations": [_declaration(tool, model) for tool in request.tools]}]


def _declaration(tool: Tool, model: str) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    if tool.parameters is not None and generation(model) >= 2:
        function["parametersJsonSchema"] = json_schema(tool.parameters, param="tools")
    elif tool.parameters is not None:
        function["parameters"] = openapi_subset(tool.parameters, param="tools")
    return function


def tool_config(request: ChatRequest, *, model: str) -> dict[str, Any] | None:
    """Strict tools, or a selection among them, are VALIDATED: calls or text, and calls that keep to their schemas."""
    choice = request.tool_choice
    mode = choice.mode if choice is not None else ToolMode.AUTO
    names = choice.allowed if choice is not None else ()
    match mode:
        case ToolMode.NONE:
            config: dict[str, Any] = {"mode": "NONE"} if request.tools else {}
        case ToolMode.NAMED:
            config = {"mode": "ANY", "allowedFunctionNames": [choice.name if choice is not None else None]}
        case ToolMode.REQUIRED:
            config = {"mode": "ANY"}
        case ToolMode.AUTO:
            strict = generation(model) >= 2.5 and any(tool.strict for tool in request.tools)
            config = {"mode": "VALIDATED" if strict or names else "AUTO"} if request.tools else {}
            if choice is None and not strict:
                config = {}
    if names and config and mode is not ToolMode.NONE and mode is not ToolMode.NAMED:
        config["allowedFunctionNames"] = list(names)
    return {"functionCallingConfig": config} if config else None


# -- generationConfig --------------------------------------------------------------------------------------------


def generation_config(request: ChatRequest, *, model: str) -> dict[str, Any]:
    """Raises InvalidRequest."""
    _check_sampling(request)
    sampling = request.sampling
    config: dict[str, Any] = {
        "temperature": sampling.temperature,
        "topP": sampling.top_p,
        "topK": sampling.top_k,
        "maxOutputTokens": sampling.max_tokens,
        "stopSequences": [word for word in sampling.stop if word] or None,
        "seed": sampling.seed,
        "presencePenalty": sampling.presence_penalty,
        "frequencyPenalty": sampling.frequency_penalty,
        "thinkingConfig": _thinking(request.reasoning, model) if request.reasoning is not None else None,
    }
    match request.reply_format:
        case JsonFormat():
            config["responseMimeType"] = "application/json"
        case SchemaFormat(schema=schema):
            config["responseMimeType"] = "application/json"
            if generation(model) >= 2:
                config["responseJsonSchema"] = json_schema(schema, param="response_format")
            else:
                config["responseSchema"] = openapi_subset(schema, param="response_format")
    return {name: value for name, value in config.items() if value is not None}


def _check_sampling(request: ChatRequest) -> None:
    sampling = request.sampling
    if sampling.n > 1:
        raise _unsupported("This provider gives one answer to a request.", "n")
    if sampling.logprobs or sampling.top_logprobs:
        raise _unsupported("This provider's log probabilities are not translated.", "logprobs")
    if len(sampling.stop) > STOPS_MAX:
        raise _unsupported(f"This provider takes {STOPS_MAX} stop sequences at most.", "stop")


def _unsupported(message: str, param: str) -> InvalidRequest:
    return InvalidRequest(message, param=param, code="unsupported_parameter")


# -- reasoning ---------------------------------------------------------------------------------------------------


def _thinking(reasoning: Reasoning, model: str) -> dict[str, Any] | None:
    """thinkingConfig; None where there is nothing to say, or to a model that does not think."""
    age = generation(model)
    if age < 2.5:
        return None
    effort = reasoning.effort
    off = effort is Effort.NONE or (effort is None and (reasoning.enabled is False or reasoning.budget_tokens == 0))
    if off:
        return _level(Effort.NONE, model) if age >= 3 else _budget(0, model)
    config: dict[str, Any] = {}
    if age >= 3 and effort is not None:
        config = _level(effort, model)
    elif reasoning.budget_tokens is not None:
        config = _budget(reasoning.budget_tokens, model) if age < 3 else {"thinkingBudget": reasoning.budget_tokens}
    elif effort is not None:
        config = _budget(BUDGETS[effort], model)
    elif reasoning.enabled and age < 3:
        config = {"thinkingBudget": DYNAMIC}
    if config or reasoning.enabled or reasoning.summary is not None:
        config["includeThoughts"] = True
    return config or None


def _level(effort: Effort, model: str) -> dict[str, Any]:
    level = LEVELS[effort]
    if is_pro(model):
        if level == "minimal":
            level = "low"
        elif level == "medium" and "gemini-3-pro" in model:
            level = "high"
    return {"thinkingLevel": level}


def _budget(tokens: int, model: str) -> dict[str, Any]:
    """`tokens` within what the 2.5 models take."""
    if tokens < 0:
        return {"thinkingBudget": DYNAMIC}
    if is_pro(model):
        return {"thinkingBudget": min(max(tokens, 128), 32768)}
    if tokens and "flash-lite" in model:
        tokens = max(tokens, 512)
    return {"thinkingBudget": min(tokens, 24576)}
