"""The response object around its output: what a response says of itself and of its request.

Settings are told back as the client wrote them, byte for byte, and with OpenAI's defaults where it wrote none.  What
only the provider knows (`temperature` when nobody set it) is null.

Source: `openai-openapi.trimmed.json`, schema Response.
"""

from __future__ import annotations

from typing import Any

from msgspec import Raw

from hoosh.dialects.contract import Stamp
from hoosh.dialects.responses.wire import response_id
from hoosh.values import Call

__all__ = ["ExpandedCall", "shell_of"]


class ExpandedCall(Call, frozen=True):
    """A call whose input holds what an earlier response of ours was about; `previous` is that response's id."""

    previous: str | None = None


DEFAULTS: dict[str, Any] = {
    "background": False,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "service_tier": "default",
    "store": True,
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": None,
    "truncation": "disabled",
    "user": None,
}
NOT_ECHOED = frozenset({"background", "service_tier"})
"""What was asked for, but not what was done."""


def shell_of(call: Call, stamp: Stamp) -> dict[str, Any]:
    """Every documented field, with no output yet."""
    shell: dict[str, Any] = {
        "id": response_id(stamp.reply_id),
        "object": "response",
        "created_at": stamp.created_s,
        "status": "in_progress",
        "completed_at": None,
        "error": None,
        "incomplete_details": None,
        "model": stamp.model,
        "output": [],
        "previous_response_id": call.previous if isinstance(call, ExpandedCall) else None,
        "usage": None,
    }
    for name, default in DEFAULTS.items():
        shell[name] = default if name in NOT_ECHOED else _echo(call.fields.get(name), default)
    return shell


def _echo(raw: Raw | None, default: Any) -> Any:
    """Null stands for the default, as it does in the request."""
    return default if raw is None or bytes(raw) == b"null" else raw
