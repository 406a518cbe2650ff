"""Ollama's native language, in both roles."""

from hoosh.dialects.ollama.downstream import OllamaDownstream
from hoosh.dialects.ollama.models import read_show, show_request
from hoosh.dialects.ollama.upstream import OllamaUpstream
from hoosh.dialects.ollama.wire import ModelOptions, OllamaExtension

__all__ = [
    "ModelOptions",
    "OllamaDownstream",
    "OllamaExtension",
    "OllamaUpstream",
    "read_show",
    "show_request",
]
