"""Examples of bodies and answers, for readers and for tools.  Tests hold them against OpenAI's own document."""

from __future__ import annotations

from typing import Any

__all__ = ["ANSWERS", "BODIES"]

SALAM = {"role": "user", "content": "salam donya"}
CHAT_USAGE = {"prompt_tokens": 2, "completion_tokens": 2, "total_tokens": 4}

BODIES: dict[str, Any] = {
    "chat": {"model": "echo", "messages": [SALAM]},
    "completion": {"model": "echo", "prompt": "salam donya"},
    "embeddings": {"model": "echo", "input": ["salam", "donya"]},
    "response": {"model": "echo", "input": "salam donya"},
    "speech": {"model": "tts-1", "input": "salam donya", "voice": "alloy"},
    "messages": {"model": "echo", "max_tokens": 100, "messages": [SALAM]},
    "ollama_chat": {"model": "echo", "messages": [SALAM], "stream": False},
    "ollama_generate": {"model": "echo", "prompt": "salam donya", "stream": False},
    "ollama_embed": {"model": "echo", "input": ["salam", "donya"]},
    "ollama_embeddings": {"model": "echo", "prompt": "salam donya"},
    "show": {"model": "echo"},
    "check": {"pool": "default", "tokens": 1000},
    "reserve": {"pool": "default", "tokens": 1000, "ttl_s": 60},
    "report": {"pool": "default", "actual": 400},
    "release": {"id": "rsv_8f2e3c4b5a6978d0e1f2a3b4"},
    "estimate": {"model": "echo", "input_tokens": 1000, "output_tokens": 200},
    "recommend": {"input_tokens": 1000, "max_output_tokens": 200, "uses_tools": True},
    "reset": {"reason": "a new month"},
    "clear": {"model": "echo"},
    "match": {"requirement": "gpu", "min_chips": 1},
}

ANSWERS: dict[str, Any] = {
    "chat": {
        "id": "chatcmpl-18f2c09a77d1",
        "object": "chat.completion",
        "created": 1767225600,
        "model": "echo",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "salam donya", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": CHAT_USAGE,
    },
    "completion": {
        "id": "cmpl-18f2c09a77d1",
        "object": "text_completion",
        "created": 1767225600,
        "model": "echo",
        "choices": [{"index": 0, "text": "salam donya", "logprobs": None, "finish_reason": "stop"}],
        "usage": CHAT_USAGE,
    },
    "embeddings": {
        "object": "list",
        "data": [
            {"object": "embedding", "index": 0, "embedding": [0.6, 0.8]},
            {"object": "embedding", "index": 1, "embedding": [0.8, -0.6]},
        ],
        "model": "echo",
        "usage": {"prompt_tokens": 2, "total_tokens": 2},
    },
    "models": {
        "object": "list",
        "data": [{"id": "echo", "object": "model", "created": 1767225600, "owned_by": "hoosh"}],
    },
    "model": {"id": "echo", "object": "model", "created": 1767225600, "owned_by": "hoosh"},
    "transcription": {"text": "salam donya"},
    "response": {
        "id": "resp_18f2c09a77d1",
        "object": "response",
        "created_at": 1767225600,
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "model": "echo",
        "output": [
            {
                "id": "msg_18f2c09a77d1",
                "type": "message",
                "role": "assistant",
                "status": "completed",
                "content": [{"type": "output_text", "text": "salam donya", "annotations": [], "logprobs": []}],
            }
        ],
        "parallel_tool_calls": True,
        "temperature": None,
        "tool_choice": "auto",
        "tools": [],
        "top_p": None,
        "usage": {
            "input_tokens": 2,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": 2,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 4,
        },
    },
}
