"""What only Anthropic's language can say, of a request and of its parts."""

from __future__ import annotations

from typing import ClassVar

from msgspec import Raw

from hoosh.dialects.anthropic.wire import ABSENT
from hoosh.values import Extension

__all__ = ["AnthropicExtension", "AnthropicPart", "ServerTool", "ToolManners"]


class ServerTool(Extension, frozen=True):
    """A tool that Anthropic runs or defines (`web_search_20250305`, `bash_20250124`, …), word for word.

    `at` is its place among all tools of the request.
    """

    at: int = 0
    type: str = ""
    raw: Raw = ABSENT


class ToolManners(Extension, frozen=True):
    """How one tool of the client's may be used.  Others offer it as any other."""

    name: str = ""
    type: str | None = None
    defer_loading: bool | None = None
    eager_input_streaming: bool | None = None
    allowed_callers: Raw = ABSENT
    input_examples: Raw = ABSENT


class AnthropicPart(Extension, frozen=True):
    """Of a block: `citations` of text or the wish for them of a document, a document's context, a call's caller."""

    home: ClassVar[str] = "anthropic"

    citations: Raw = ABSENT
    context: str | None = None
    caller: Raw = ABSENT


class AnthropicExtension(Extension, frozen=True):
    """Fields by Anthropic's own names; raw ones are as the client wrote them, ABSENT where it did not."""

    home: ClassVar[str] = "anthropic"

    server_tools: tuple[ServerTool, ...] = ()
    tool_manners: tuple[ToolManners, ...] = ()
    thinking_type: str = ""
    """`enabled`, `adaptive`, `disabled`, …; "" where the client did not speak of thinking: an effort alone does not
    ask for it."""
    thinking_display: str | None = None
    thinking_binding: Raw = ABSENT
    """What becomes of earlier thoughts that do not fit any more; may be said without a type."""
    task_budget: Raw = ABSENT
    betas: tuple[str, ...] = ()
    cache_control: Raw = ABSENT
    container: Raw = ABSENT
    context_management: Raw = ABSENT
    mcp_servers: Raw = ABSENT
    service_tier: Raw = ABSENT
    inference_geo: Raw = ABSENT
    speed: Raw = ABSENT
    compaction: Raw = ABSENT
    fallbacks: Raw = ABSENT
    diagnostics: Raw = ABSENT

    @property
    def demands(self) -> tuple[str, ...]:
        tools = tuple(f"tools.{tool.at}.type: {tool.type}" for tool in self.server_tools)
        servers = ("mcp_servers",) if bytes(self.mcp_servers) not in (b"", b"[]") else ()
        return tools + servers + (("container",) if bytes(self.container) else ())
