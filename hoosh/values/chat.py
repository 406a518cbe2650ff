"""A chat request in our own words: what every dialect can say, whatever it calls it.

    ChatRequest ── messages ──▶ Message(role, parts) ──▶ TextPart | ImagePart | … | ToolCallPart | ToolResultPart
                ── tools, tool_choice, reply_format, reasoning, sampling
                ── extensions: what one dialect alone has, as that dialect's own struct

A downstream dialect reads its body into this, an upstream dialect writes its body from it.  Two rules keep round
trips whole.  Order: parts and messages stay as they were said.  Honesty: what a dialect cannot say is refused with
InvalidRequest naming it, or listed in the table of `docs/dialects.md`; it is never dropped in silence where the
answer would change.

Tool arguments are JSON text, as the model wrote it: a truncated call holds broken JSON, and is passed on broken.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from msgspec import Raw, Struct

__all__ = [
    "AUTO",
    "AudioPart",
    "CacheMark",
    "ChatRequest",
    "DataSource",
    "Effort",
    "Extension",
    "FilePart",
    "FileSource",
    "ImagePart",
    "JsonFormat",
    "Message",
    "OpaquePart",
    "Part",
    "Reasoning",
    "ReasoningPart",
    "RefusalPart",
    "Role",
    "Sampling",
    "SchemaFormat",
    "Source",
    "TextPart",
    "Tool",
    "ToolCallPart",
    "ToolChoice",
    "ToolMode",
    "ToolResultPart",
    "UrlSource",
]


class Role(StrEnum):
    SYSTEM = "system"
    DEVELOPER = "developer"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"
    """Holds ToolResultParts and nothing else."""


# -- where bytes come from ---------------------------------------------------------------------------------------


class UrlSource(Struct, frozen=True, tag="url"):
    """`http:` or `https:`; a `data:` URL is a DataSource."""

    url: str


class DataSource(Struct, frozen=True, tag="data"):
    media_type: str
    """Such as `image/png`; "" where the client did not say."""
    base64: str
    """Standard alphabet, padded, without line ends."""


class FileSource(Struct, frozen=True, tag="file"):
    """A file kept at one provider, by its id: means nothing elsewhere."""

    file_id: str


Source = UrlSource | DataSource | FileSource


class Extension(Struct, frozen=True):
    """Base of what one dialect alone has: each dialect folder defines its own, with a type for every field."""

    home: ClassVar[str] = ""
    """The upstream dialect that can say it."""

    @property
    def demands(self) -> tuple[str, ...]:
        """The fields without which the answer would be another: an upstream that is not of `home` must refuse them."""
        return ()


# -- parts -------------------------------------------------------------------------------------------------------


class CacheMark(Struct, frozen=True):
    """Anthropic's `cache_control` on the part that carries it: the prompt up to here may be kept."""

    ttl: str | None = None
    """`5m` or `1h`."""


class TextPart(Struct, frozen=True, tag="text"):
    text: str
    cache: CacheMark | None = None
    extension: Extension | None = None
    """What only the client's own dialect says of it (Anthropic's citations); others leave it out."""


class ImagePart(Struct, frozen=True, tag="image"):
    source: Source
    detail: str | None = None
    """OpenAI's `low`, `high`, `auto`."""
    cache: CacheMark | None = None


class AudioPart(Struct, frozen=True, tag="audio"):
    base64: str
    format: str
    """`wav`, `mp3`, …: OpenAI's word, without `audio/`."""


class FilePart(Struct, frozen=True, tag="file"):
    """A document: PDF or text."""

    source: Source
    filename: str | None = None
    cache: CacheMark | None = None
    extension: Extension | None = None


class RefusalPart(Struct, frozen=True, tag="refusal"):
    """What the assistant said instead of an answer."""

    text: str


class ReasoningPart(Struct, frozen=True, tag="reasoning"):
    """What the assistant thought.  A provider that signs it wants it back unchanged, byte for byte."""

    text: str = ""
    signature: str = ""
    data: str = ""
    """Encrypted or redacted reasoning: no text, only this."""
    origin: str = ""
    """The dialect that signed or encrypted it (`anthropic`, `gemini`, `openai`, …); "" where nobody did.
    An upstream of another dialect must not be sent `signature` or `data`."""
    id: str = ""
    """Of a reasoning item of OpenAI's Responses API."""


class ToolCallPart(Struct, frozen=True, tag="tool_call"):
    """The assistant calls a tool."""

    id: str
    name: str
    arguments: str
    """JSON text; "" and "{}" both mean no arguments."""
    signature: str = ""
    """Gemini's `thoughtSignature` on this very call."""
    cache: CacheMark | None = None
    extension: Extension | None = None


class ToolResultPart(Struct, frozen=True, tag="tool_result"):
    call_id: str
    parts: tuple[TextPart | ImagePart | FilePart | OpaquePart, ...]
    """Text nearly always."""
    name: str = ""
    """Of the tool, where the dialect says it (Gemini, Ollama).  `""`: look for the call with this id."""
    is_error: bool = False
    cache: CacheMark | None = None


class OpaquePart(Struct, frozen=True, tag="opaque"):
    """A part that only `dialect` knows (a server tool's result, …), as raw JSON.  Others must refuse it or, where the
    table in docs/dialects.md says so, leave it out."""

    dialect: str
    kind: str
    raw: Raw


Part = (
    TextPart
    | ImagePart
    | AudioPart
    | FilePart
    | RefusalPart
    | ReasoningPart
    | ToolCallPart
    | ToolResultPart
    | OpaquePart
)


class Message(Struct, frozen=True):
    role: Role
    parts: tuple[Part, ...]
    name: str | None = None
    """OpenAI's `name` of a participant."""


# -- tools -------------------------------------------------------------------------------------------------------


class Tool(Struct, frozen=True):
    """A function that the model may call."""

    name: str
    description: str | None = None
    parameters: Raw | None = None
    """A JSON schema of an object, word for word; None where the tool takes nothing."""
    strict: bool | None = None
    cache: CacheMark | None = None


class ToolMode(StrEnum):
    AUTO = "auto"
    REQUIRED = "required"
    NONE = "none"
    NAMED = "named"


class ToolChoice(Struct, frozen=True):
    mode: ToolMode
    name: str | None = None
    """With NAMED only."""
    allowed: tuple[str, ...] = ()
    """With AUTO or REQUIRED: only these (OpenAI's `allowed_tools`, Gemini's `allowedFunctionNames`).  () is all."""


AUTO = ToolChoice(ToolMode.AUTO)


# -- settings ----------------------------------------------------------------------------------------------------


class JsonFormat(Struct, frozen=True, tag="json_object"):
    """Any JSON object."""


class SchemaFormat(Struct, frozen=True, tag="json_schema"):
    schema: Raw
    name: str = "response"
    description: str | None = None
    strict: bool | None = None


class Effort(StrEnum):
    """How hard to think, in OpenAI's words, weakest first."""

    NONE = "none"
    MINIMAL = "minimal"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    XHIGH = "xhigh"
    MAX = "max"


class Reasoning(Struct, frozen=True):
    """How to think.  Everything None: the client has not said."""

    effort: Effort | None = None
    budget_tokens: int | None = None
    """Anthropic's and Gemini's older way.  Whoever has both sends the one its target knows."""
    enabled: bool | None = None
    """A bare switch (Ollama's `think: true`, Anthropic's `adaptive`, `disabled`)."""
    summary: str | None = None
    """Show thoughts: OpenAI's `auto`, `concise`, `detailed`; any of them includes thoughts elsewhere."""


class Sampling(Struct, frozen=True):
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    max_tokens: int | None = None
    """Of the reply, reasoning included."""
    n: int = 1
    logprobs: bool = False
    top_logprobs: int | None = None


class ChatRequest(Struct, frozen=True):
    """One chat request.  `model` is the client's word; an upstream gets its own from the router."""

    model: str
    messages: tuple[Message, ...]
    """System and developer messages are among them, where they were said."""
    stream: bool = False
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    reply_format: JsonFormat | SchemaFormat | None = None
    reasoning: Reasoning | None = None
    sampling: Sampling = Sampling()
    user: str | None = None
    extensions: tuple[Extension, ...] = ()
