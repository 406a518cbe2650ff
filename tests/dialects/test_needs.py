"""What a raw call needs of a model, in each language that clients speak."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import Raw

from hoosh.dialects.bodies import read_fields
from hoosh.dialects.needs import field_of, needs_of
from hoosh.values import Call, CallKind, Capability

IMAGE = {"type": "image_url", "image_url": {"url": "https://x.example/a.png"}}
SAID = {"type": "text", "text": "what is this?"}


def call(language: str, kind: CallKind = CallKind.CHAT, **fields: Any) -> Call:
    return Call(
        kind, "m", read_fields(json.dumps(fields).encode()), stream=fields.get("stream", False), language=language
    )


def user(*content: Any, name: str = "messages") -> dict[str, Any]:
    return {name: [{"role": "user", "content": list(content)}]}


def tool_result(*blocks: Any) -> dict[str, Any]:
    return user({"type": "tool_result", "tool_use_id": "t", "content": list(blocks)})


HI = {"messages": [{"role": "user", "content": "hi"}]}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}}
TOOLS = {"tools": [{"type": "function", "function": {"name": "f"}}]}
ANTHROPIC_IMAGE = {"type": "image", "source": {"type": "url", "url": "x"}}


@pytest.mark.parametrize(
    ("language", "fields", "needs"),
    [
        ("openai", HI, "chat"),
        ("openai", {**HI, "stream": True}, "chat streaming"),
        ("openai", {**HI, **TOOLS}, "chat tools"),
        ("openai", {**HI, "tools": []}, "chat"),
        ("openai", {**HI, "tools": None, "functions": None}, "chat"),
        ("openai", {**HI, "functions": [{"name": "f"}]}, "chat tools"),
        ("openai", {**HI, "reasoning_effort": "low"}, "chat reasoning"),
        ("openai", {**HI, "reasoning_effort": "none"}, "chat"),
        ("openai", {**HI, "reasoning_effort": None}, "chat"),
        ("openai", {**HI, "reasoning": {"effort": "high"}}, "chat"),
        ("openai", {**HI, "response_format": SCHEMA}, "chat structured_output"),
        ("openai", {**HI, "response_format": {"type": "json_object"}}, "chat"),
        ("openai", {**HI, "response_format": {"type": "text", "note": "json_schema"}}, "chat"),
        ("openai", user(SAID), "chat"),
        ("openai", user(SAID, IMAGE), "chat vision"),
        ("openai", user({"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}), "chat audio_input"),
        ("openai", user({"type": "file", "file": {"file_id": "f"}}), "chat files"),
        ("openai", {"messages": [{"role": "user", "content": "image_url"}]}, "chat"),
        ("openai", {"messages": [{"role": "user", "content": 'say "image_url" and "type"'}]}, "chat"),
        ("openai", user({"type": "text", "text": "file"}), "chat"),
        ("openai", {"messages": [{"role": "tool", "tool_call_id": "x", "content": [SAID, IMAGE]}]}, "chat vision"),
        ("responses", {"input": "hi"}, "chat"),
        ("responses", {"input": "input_image"}, "chat"),
        ("responses", user({"type": "input_text", "text": "hi"}, name="input"), "chat"),
        ("responses", user({"type": "input_image", "image_url": "x"}, name="input"), "chat vision"),
        ("responses", user({"type": "input_file", "file_id": "x"}, name="input"), "chat files"),
        ("responses", {"input": "hi", "tools": [{"type": "web_search"}]}, "chat tools"),
        ("responses", {"input": "hi", "reasoning": {"effort": "high"}}, "chat reasoning"),
        ("responses", {"input": "hi", "reasoning": {"effort": None, "summary": "auto"}}, "chat"),
        ("responses", {"input": "hi", "text": {"format": {"type": "json_schema"}}}, "chat structured_output"),
        ("responses", {"input": "hi", "text": {"format": {"type": "json_object"}}}, "chat"),
        ("responses", {"input": "hi", "text": {"verbosity": "low"}}, "chat"),
        (
            "responses",
            {"input": [{"type": "function_call_output", "call_id": "c", "output": [{"type": "input_image"}]}]},
            "chat vision",
        ),
        ("anthropic", {**HI, "system": "image"}, "chat"),
        ("anthropic", user(SAID, ANTHROPIC_IMAGE), "chat vision"),
        ("anthropic", user({"type": "document", "source": {}}), "chat files"),
        ("anthropic", tool_result(ANTHROPIC_IMAGE), "chat vision"),
        ("anthropic", tool_result({"type": "text", "text": "image"}), "chat"),
        ("anthropic", {**HI, "tools": [{"name": "f", "input_schema": {}}]}, "chat tools"),
        ("anthropic", {**HI, "thinking": {"type": "enabled", "budget_tokens": 2000}}, "chat reasoning"),
        ("anthropic", {**HI, "thinking": {"type": "adaptive"}}, "chat"),
        ("anthropic", {**HI, "thinking": {"type": "disabled"}}, "chat"),
        ("anthropic", {**HI, "output_config": {"format": {"type": "json_schema"}}}, "chat structured_output"),
        ("anthropic", {**HI, "output_config": {"effort": "low"}}, "chat"),
        ("anthropic", {**HI, "output_format": {"type": "json_schema"}}, "chat structured_output"),
        ("ollama", HI, "chat"),
        ("ollama", {"messages": [{"role": "user", "content": "", "images": ["aGk="]}]}, "chat vision"),
        ("ollama", {"messages": [{"role": "user", "content": "images", "images": []}]}, "chat"),
        ("ollama", {**HI, "think": True}, "chat reasoning"),
        ("ollama", {**HI, "think": "low"}, "chat reasoning"),
        ("ollama", {**HI, "think": False}, "chat"),
        ("ollama", {**HI, "format": "json"}, "chat"),
        ("ollama", {**HI, "format": {"type": "object"}}, "chat structured_output"),
        ("ollama", {**HI, **TOOLS}, "chat tools"),
        ("esperanto", {**HI, **TOOLS}, "chat"),
    ],
)
def test_a_chat_needs_what_its_answer_cannot_do_without(language, fields, needs):
    assert needs_of(call(language, **fields)) == set(needs.split())


@pytest.mark.parametrize(
    ("kind", "needs"),
    [
        (CallKind.EMBEDDING, {"embeddings"}),
        (CallKind.TRANSCRIPTION, {"transcription"}),
        (CallKind.TRANSLATION, {"transcription"}),
        (CallKind.SPEECH, {"speech"}),
        (CallKind.TOKEN_COUNT, set()),
        (CallKind.COMPLETION, set()),
    ],
)
def test_other_operations_need_what_they_are_called(kind, needs):
    assert needs_of(call("openai", kind, input="x")) == needs


def test_a_generate_of_ollama_may_hold_images():
    asked = call("ollama", CallKind.COMPLETION, prompt="x", images=["aGk="], stream=True)
    assert needs_of(asked) == {"vision", "streaming"}


@pytest.mark.parametrize(
    "messages",
    [
        b'{"type": "image_url"}',
        b'"\\"type\\" image_url"',
        b'["type", "image_url"]',
        b'[{"type": "image_url"',
        b'[{"content": [{"type": ["image_url"]}]}]',
        b'[{"content": {"type": "image_url"}}]',
        b"[" * 5000 + b'"type" "image_url"',
        b'[{"content":' * 5000 + b'[{"type":"image_url"}]',
        b'[{"type": "\xff", "x": "image_url"}]',
        b"[null, 3, {}]",
    ],
)
@pytest.mark.parametrize("language", ["openai", "responses", "anthropic", "ollama"])
def test_what_is_malformed_needs_nothing_and_does_no_harm(language, messages):
    fields = {"messages": Raw(messages), "input": Raw(messages), "tools": Raw(b""), "thinking": Raw(b"{")}
    fields |= {"response_format": Raw(b'{"json_schema'), "reasoning": Raw(b"{]"), "text": Raw(b'["json_schema"]')}
    needs_of(Call(CallKind.CHAT, "m", fields, language=language))


def test_the_field_that_asks_is_named_in_the_clients_language():
    assert field_of(Capability.VISION, "openai") == "messages"
    assert field_of(Capability.VISION, "responses") == "input"
    assert field_of(Capability.REASONING, "anthropic") == "thinking"
    assert field_of(Capability.STRUCTURED_OUTPUT, "ollama") == "format"
    assert field_of(Capability.EMBEDDINGS, "openai") == "model"
