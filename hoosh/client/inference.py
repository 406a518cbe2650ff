"""What is asked of a model and what it answers, under the reference's names.

    InferenceRequest(model="echo", prompt="salam")  ──▶  InferenceResponse(text="salam", usage=…, provider="echo", …)

Sources: reference sections 13.1 and 19.1; OpenAI's API reference, "Create chat completion", for how they are written.
Where the reference is poor (tools are not sent, broken arguments become `{}`) OpenAI's shape wins: arguments that are
no JSON stay readable as the text that the model wrote.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import msgspec
from msgspec import Struct, field

from hoosh.values.usage import Usage

__all__ = [
    "Embeddings",
    "InferenceRequest",
    "InferenceResponse",
    "Message",
    "ModelInfo",
    "ToolCall",
    "ToolChoice",
    "ToolDefinition",
    "ToolResult",
    "choice_json",
    "message_json",
    "tool_json",
]

_tool_name = re.compile(r"[A-Za-z0-9_-]{1,64}")

Role = Literal["system", "developer", "user", "assistant", "tool"]


class ToolDefinition(Struct, frozen=True):
    """A function that the model may call.  `parameters` is a JSON schema.

    Raises ValueError for a name that no model takes.
    """

    name: str
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=lambda: {"type": "object", "properties": {}})

    def __post_init__(self) -> None:
        if not _tool_name.fullmatch(self.name):
            raise ValueError(f"a tool's name is 1 to 64 letters, digits, `_` and `-`, not {self.name[:80]!r}")


class ToolChoice(Struct, frozen=True):
    """`ToolChoice.AUTO`, `.NONE`, `.REQUIRED`, or `ToolChoice(name="…")` for one tool."""

    mode: Literal["auto", "none", "required"] = "required"
    name: str | None = None
    """The one tool that must be called."""

    AUTO: ClassVar[ToolChoice]
    NONE: ClassVar[ToolChoice]
    REQUIRED: ClassVar[ToolChoice]


ToolChoice.AUTO = ToolChoice("auto")
ToolChoice.NONE = ToolChoice("none")
ToolChoice.REQUIRED = ToolChoice("required")


class ToolCall(Struct, frozen=True):
    """What the model wants to be called."""

    id: str
    name: str
    arguments_json: str
    """As the model wrote it: a reply that was cut by its limit holds half of it."""

    @property
    def arguments(self) -> Any:
        """Decoded.  Raises ValueError where the model's text is no JSON."""
        return msgspec.json.decode(self.arguments_json or "{}")


class ToolResult(Struct, frozen=True):
    """What came of a call; it goes among the messages of the next request.

    OpenAI's language has no field for `is_error`: a failure is told in the content.
    """

    tool_call_id: str
    content: str
    is_error: bool = False


class Message(Struct, frozen=True):
    role: Role
    content: str | Sequence[Mapping[str, Any]] = ""
    """Text, or parts in OpenAI's shape (`{"type": "image_url", …}`)."""
    tool_calls: Sequence[ToolCall] = ()
    tool_call_id: str | None = None


class InferenceRequest(Struct, frozen=True, kw_only=True):
    """One question.  Without `messages` they are `system` and `prompt`."""

    model: str
    prompt: str = ""
    system: str | None = None
    messages: Sequence[Message | ToolResult | Mapping[str, Any]] = ()
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    tools: Sequence[ToolDefinition] = ()
    tool_choice: ToolChoice | None = None


class InferenceResponse(Struct, frozen=True, kw_only=True):
    """One whole answer."""

    text: str
    model: str
    """As who answered calls it."""
    usage: Usage
    tool_calls: tuple[ToolCall, ...] = ()
    provider: str
    """The gateway's name for who answered."""
    latency_ms: int
    """From the question to the last byte, attempts included; measured here."""
    finish_reason: str | None = None
    """`stop`, `length`, `tool_calls`, `content_filter`."""
    reasoning: str = ""
    refusal: str = ""
    cost_usd: float | None = None
    """None where the price is not known."""
    request_id: str = ""
    cache: str = ""
    """`hit`, `miss` or `bypass`."""
    attempts: int | None = None
    """How often upstreams were asked."""
    raw: Mapping[str, Any] = {}
    """The answer's JSON, with everything that is not told above (other choices, log probabilities)."""

    def as_message(self) -> Message:
        """The answer as a message for the next request."""
        return Message("assistant", self.text, self.tool_calls)


class Embeddings(Struct, frozen=True, kw_only=True):
    vectors: tuple[tuple[float, ...], ...]
    """One for each input, in its order."""
    model: str
    usage: Usage
    provider: str
    request_id: str = ""
    cost_usd: float | None = None


class ModelInfo(Struct, frozen=True, kw_only=True):
    """A model that can be asked for."""

    id: str
    name: str
    provider: str
    """Who owns it, as the list says."""
    parameters: int | None = None
    """None: no provider's list tells it."""
    context_length: int | None = None
    max_output_tokens: int | None = None
    capabilities: tuple[str, ...] = ()
    created: int = 0
    """Unix seconds; 0 where nobody says."""
    available: bool = True
    """What is listed can be asked for."""


# -- in OpenAI's words -------------------------------------------------------------------------------------------


def message_json(message: Message | ToolResult | Mapping[str, Any]) -> Mapping[str, Any]:
    """A message as the body holds it; a mapping is taken as it is."""
    match message:
        case ToolResult():
            return {"role": "tool", "tool_call_id": message.tool_call_id, "content": message.content}
        case Message():
            told: dict[str, Any] = {"role": message.role, "content": message.content}
            if message.tool_calls:
                told["tool_calls"] = [
                    {
                        "id": call.id,
                        "type": "function",
                        "function": {"name": call.name, "arguments": call.arguments_json},
                    }
                    for call in message.tool_calls
                ]
                told["content"] = message.content or None
            if message.tool_call_id is not None:
                told["tool_call_id"] = message.tool_call_id
            return told
        case _:
            return message


def tool_json(tool: ToolDefinition | Mapping[str, Any]) -> Mapping[str, Any]:
    if not isinstance(tool, ToolDefinition):
        return tool
    function = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return {"type": "function", "function": function}


def choice_json(choice: ToolChoice | str | Mapping[str, Any]) -> object:
    if not isinstance(choice, ToolChoice):
        return choice
    return choice.mode if choice.name is None else {"type": "function", "function": {"name": choice.name}}
