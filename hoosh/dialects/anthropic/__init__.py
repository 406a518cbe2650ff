"""Anthropic's Messages language, in both roles."""

from hoosh.dialects.anthropic.downstream import AnthropicDownstream
from hoosh.dialects.anthropic.extension import AnthropicExtension, AnthropicPart
from hoosh.dialects.anthropic.tap import AnthropicTap
from hoosh.dialects.anthropic.upstream import AnthropicUpstream

__all__ = ["AnthropicDownstream", "AnthropicExtension", "AnthropicPart", "AnthropicTap", "AnthropicUpstream"]
