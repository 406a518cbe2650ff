"""Anthropic's Messages language, in both roles."""

from hoosh.dialects.anthropic.extension import AnthropicExtension
from hoosh.dialects.anthropic.tap import AnthropicTap
from hoosh.dialects.anthropic.upstream import AnthropicUpstream

__all__ = ["AnthropicExtension", "AnthropicTap", "AnthropicUpstream"]
