"""OpenAI's language, both roles: request bodies as we serve them, upstreams as we call them."""

from hoosh.dialects.openai.downstream import OpenAIDownstream, read_chat, read_completion, read_embedding
from hoosh.dialects.openai.family import FAMILY, Quirks
from hoosh.dialects.openai.tap import OpenAITap
from hoosh.dialects.openai.upstream import OpenAIUpstream
from hoosh.dialects.openai.wire import CHAT_PATH, COMPLETION_PATH, DONE, EMBEDDING_PATH
from hoosh.dialects.openai_extension import OpenAIExtension

__all__ = [
    "CHAT_PATH",
    "COMPLETION_PATH",
    "DONE",
    "EMBEDDING_PATH",
    "FAMILY",
    "OpenAIDownstream",
    "OpenAIExtension",
    "OpenAITap",
    "OpenAIUpstream",
    "Quirks",
    "read_chat",
    "read_completion",
    "read_embedding",
]
