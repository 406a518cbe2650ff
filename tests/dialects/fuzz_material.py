"""What the fuzzers make hostile things of, besides the matrix's forms: written by hand from the wire notes.

Streams with what only one vendor has in them, lists of models, embeddings, counts, and requests with a history.
"""

from __future__ import annotations

import json
from typing import Any

from client_forms import PNG

__all__ = ["COUNTS", "EMBEDDINGS", "HISTORIES", "LISTS", "STREAMS", "WHOLES"]


# -- streams ---------------------------------------------------------------------------------------------------------


def _chunk(delta: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"id": "c", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": None, **more}]}


CITED = {"type": "url_citation", "url_citation": {"url": "https://a.b", "title": "t", "start_index": 0, "end_index": 1}}
OPENAI = (
    _chunk({"role": "assistant", "reasoning": "Hm", "reasoning_details": [{"type": "reasoning.text", "text": "Hm"}]}),
    _chunk({"reasoning_details": [{"type": "reasoning.text", "signature": "AA", "format": "anthropic-claude-v1"}]}),
    _chunk({"content": "Salam", "annotations": [CITED]}),
    _chunk({"refusal": "No."}),
    _chunk({"function_call": {"name": "f", "arguments": "{"}}),
    _chunk({"images": [{"image_url": {"url": "data:image/png;base64,AAAA"}}]}),
    _chunk(
        {"tool_calls": [{"index": 3, "function": {"name": "g", "arguments": "{}"}, "extra_content": {"google": {}}}]}
    ),
    _chunk({}, finish_reason="stop", stop_reason=7),
    _chunk({}, finish_reason="stop") | {"usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}},
    {"choices": [], "x_groq": {"usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}}},
)
SEARCH = {"type": "server_tool_use", "id": "srv_1", "name": "web_search", "input": {}}
ANTHROPIC = (
    {"type": "message_start", "message": {"id": "m", "model": "m", "content": [], "usage": {"input_tokens": 3}}},
    {"type": "content_block_start", "index": 0, "content_block": SEARCH},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": '{"q":'}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": "1}"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "content_block_start", "index": 1, "content_block": {"type": "web_search_tool_result", "content": []}},
    {"type": "content_block_stop", "index": 1},
    {"type": "content_block_start", "index": 2, "content_block": {"type": "redacted_thinking", "data": "AA"}},
    {"type": "content_block_stop", "index": 2},
    {"type": "content_block_start", "index": 3, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 3, "delta": {"type": "text_delta", "text": "Salam"}},
    {
        "type": "content_block_delta",
        "index": 3,
        "delta": {"type": "citations_delta", "citation": {"url": "https://a.b"}},
    },
    {"type": "content_block_stop", "index": 3},
    {"type": "message_delta", "delta": {"stop_reason": "refusal", "stop_details": {"explanation": "No."}}, "usage": {}},
    {"type": "message_stop"},
)
GROUNDED = {
    "groundingChunks": [{"web": {"uri": "https://a.b", "title": "t"}}],
    "groundingSupports": [{"segment": {"startIndex": 0, "endIndex": 3, "text": "Sal"}, "groundingChunkIndices": [0]}],
}


def _candidate(*parts: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"candidates": [{"content": {"parts": list(parts)}, "index": 0, **more}], "responseId": "r"}


GEMINI = (
    _candidate({"executableCode": {"language": "PYTHON", "code": "1"}, "thoughtSignature": "AA"}),
    _candidate({"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1"}}),
    _candidate({"inlineData": {"mimeType": "image/png", "data": "AAAA"}}),
    _candidate({"text": "Salam"}, {"text": "", "thoughtSignature": "AA"}, groundingMetadata=GROUNDED),
    _candidate(citationMetadata={"citationSources": [{"startIndex": 0, "endIndex": 1, "uri": "https://a.b"}]}),
    _candidate({"text": "."}, finishReason="STOP") | {"promptFeedback": {"blockReason": "OTHER"}},
)
OLLAMA = (
    {"model": "m", "response": "Sal", "thinking": "Hm", "done": False},
    {"model": "m", "message": {"content": "am", "images": ["AAAA"]}, "done": False},
    {"model": "m", "message": {"tool_calls": [{"id": "x__sig_AA", "function": {"name": "f", "arguments": {}}}]}},
    {"model": "m", "response": "", "done": True, "done_reason": "load", "prompt_eval_count": 1, "eval_count": 2},
)


def _sse(events: tuple[Any, ...], end: str = "\n\n", *, named: bool = False) -> bytes:
    heads = [f"event: {event['type']}\n" if named else "" for event in events]
    return "".join(f"{head}data: {json.dumps(event)}{end}" for head, event in zip(heads, events, strict=True)).encode()


STREAMS = {
    "openai": _sse(OPENAI) + b"data: [DONE]\n\n",
    "mistral": _sse(OPENAI) + b"data: [DONE]\n\n",
    "anthropic": _sse(ANTHROPIC, named=True),
    "gemini": _sse(GEMINI, "\r\n\r\n"),
    "ollama": "".join(json.dumps(line) + "\n" for line in OLLAMA).encode(),
}

# -- whole bodies ----------------------------------------------------------------------------------------------------

OPENAI_MESSAGE = {
    "role": "assistant",
    "content": "Salam",
    "annotations": [CITED],
    "images": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}],
    "reasoning_details": [{"type": "reasoning.encrypted", "data": "AA", "format": "openai-responses-v1", "index": 0}],
    "audio": {"id": "a", "transcript": "Salam", "data": "AA"},
    "function_call": {"name": "f", "arguments": "{}"},
}
ANTHROPIC_BLOCKS = [
    SEARCH,
    {
        "type": "web_search_tool_result",
        "tool_use_id": "srv_1",
        "content": [{"type": "web_search_result", "url": "https://a.b"}],
    },
    {"type": "redacted_thinking", "data": "AA"},
    {
        "type": "text",
        "text": "Salam",
        "citations": [{"type": "web_search_result_location", "url": "https://a.b", "title": None}],
    },
]
RESPONSE_ITEMS = [
    {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm"}], "encrypted_content": "AA"},
    {
        "type": "message",
        "id": "msg_1",
        "content": [
            {"type": "output_text", "text": "a", "annotations": [{"type": "url_citation", "url": "https://a.b"}]}
        ],
    },
    {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "q"}},
]
WHOLES: dict[str, dict[str, Any]] = {
    "openai": {"id": "c", "model": "m", "choices": [{"index": 0, "message": OPENAI_MESSAGE, "finish_reason": "stop"}]},
    "anthropic": {"id": "m", "model": "m", "content": ANTHROPIC_BLOCKS, "stop_reason": "pause_turn", "usage": {}},
    "gemini": GEMINI[3]
    | _candidate(*[part for one in GEMINI[:3] for part in one["candidates"][0]["content"]["parts"]]),
    "ollama": OLLAMA[2] | {"done": True, "done_reason": "stop"},
    "responses": {"id": "resp_1", "status": "completed", "model": "m", "output": RESPONSE_ITEMS, "usage": {}},
}
"""With what the matrix's answers lack."""

EMBEDDINGS = {
    "openai": {
        "object": "list",
        "model": "m",
        "data": [{"index": 0, "embedding": [0.5]}],
        "usage": {"prompt_tokens": 1},
    },
    "gemini": {"embeddings": [{"values": [0.5, 1]}, {"values": [1]}]},
    "ollama": {"model": "m", "embeddings": [[0.5], [1]], "prompt_eval_count": 1},
}
LISTS = (
    {"object": "list", "data": [{"id": "m", "object": "model", "created": 1, "owned_by": "o", "context_length": 9}]},
    {"data": [{"type": "model", "id": "m", "display_name": "M", "created_at": "2026-01-01T00:00:00Z"}]},
    {"models": [{"name": "models/m", "inputTokenLimit": 1, "supportedGenerationMethods": ["generateContent"]}]},
    {"models": [{"name": "m", "modified_at": "2026-01-01T00:00:00Z", "details": {"family": "f", "families": ["f"]}}]},
    {"capabilities": ["tools"], "model_info": {"general.architecture": "f", "f.context_length": 9}, "details": {}},
)
COUNTS = ({"input_tokens": 3}, {"totalTokens": 3})

# -- requests ---------------------------------------------------------------------------------------------------------

CALLED = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Rasht"}'}}
HISTORIES: dict[str, list[dict[str, Any]]] = {
    "chat": [
        {
            "model": "m",
            "messages": [
                {"role": "developer", "content": "Be brief."},
                {"role": "user", "content": [{"type": "text", "text": "How warm?"}], "name": "ann"},
                {"role": "assistant", "content": None, "tool_calls": [CALLED], "reasoning_content": "Hm"},
                {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "21"}]},
            ],
            "stop": ["\n"],
            "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}},
            "tool_choice": {"type": "function", "function": {"name": "weather"}},
            "logit_bias": {"1": 2},
            "reasoning": {"effort": "low", "exclude": True},
            "temperature": 0.5,
        },
        {"model": "m", "input": ["a", "b"], "dimensions": 3, "encoding_format": "base64", "prompt": "Once"},
    ],
    "responses": [
        {
            "model": "m",
            "instructions": "Be brief.",
            "input": [
                {"role": "user", "content": [{"type": "input_text", "text": "How warm?"}]},
                {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "AA"},
                {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c1", "output": "21"},
            ],
            "text": {"format": {"type": "json_schema", "name": "a", "schema": {"type": "object"}}},
            "tool_choice": {"type": "function", "name": "weather"},
        }
    ],
    "messages": [
        {
            "model": "m",
            "max_tokens": 99,
            "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
            "messages": [
                {"role": "user", "content": "How warm?"},
                {
                    "role": "assistant",
                    "content": [
                        {"type": "thinking", "thinking": "Hm", "signature": "hoosh:gemini:AA"},
                        {"type": "redacted_thinking", "data": "AA"},
                        {"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "Rasht"}},
                    ],
                },
                {
                    "role": "user",
                    "content": [{"type": "tool_result", "tool_use_id": "c1", "content": [], "is_error": True}],
                },
            ],
            "stop_sequences": ["\n"],
            "tool_choice": {"type": "tool", "name": "weather", "disable_parallel_tool_use": True},
            "metadata": {"user_id": "u"},
        }
    ],
    "ollama": [
        {
            "model": "m",
            "messages": [
                {"role": "user", "content": "How warm?", "images": [PNG]},
                {
                    "role": "assistant",
                    "thinking": "Hm",
                    "tool_calls": [{"function": {"name": "weather", "arguments": {}}}],
                },
                {"role": "tool", "content": "21", "tool_name": "weather"},
            ],
            "format": {"type": "object"},
            "options": {"num_ctx": 1, "stop": ["\n"], "temperature": 0.5},
            "keep_alive": "5m",
            "think": True,
        },
        {"model": "m", "prompt": "Once", "system": "Be brief.", "input": ["a"], "suffix": "", "images": [PNG]},
    ],
}
