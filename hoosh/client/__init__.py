"""A client of a hoosh gateway, on Trio, on asyncio, and without either.  See docs/client.md."""

from hoosh.client import errors
from hoosh.client.client import HooshClient, SyncHooshClient
from hoosh.client.errors import GatewayError, StreamCut
from hoosh.client.inference import (
    Embeddings,
    InferenceRequest,
    InferenceResponse,
    Message,
    ModelInfo,
    ToolCall,
    ToolChoice,
    ToolDefinition,
    ToolResult,
)
from hoosh.client.retry import Retries
from hoosh.client.streams import ChatStream, SyncChatStream
from hoosh.client.telling import Piece, ToolCallPiece

__all__ = [
    "ChatStream",
    "Embeddings",
    "GatewayError",
    "HooshClient",
    "InferenceRequest",
    "InferenceResponse",
    "Message",
    "ModelInfo",
    "Piece",
    "Retries",
    "StreamCut",
    "SyncChatStream",
    "SyncHooshClient",
    "ToolCall",
    "ToolCallPiece",
    "ToolChoice",
    "ToolDefinition",
    "ToolResult",
    "errors",
]
