"""Which answers may be kept at all."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from hoosh.cache import Cache, calls_tools, is_cacheable, may_call_tools
from hoosh.dialects.bodies import read_fields
from hoosh.values import Call, CallKind

PLAIN, EAGER = Cache(), Cache(nondeterministic=True)


def call_of(kind: CallKind = CallKind.CHAT, language: str = "openai", **fields: Any) -> Call:
    return Call(kind, "m", read_fields(msgspec.json.encode(fields)), language=language)


YES = [
    call_of(temperature=0),
    call_of(temperature=0.0),
    call_of(temperature=1, seed=7),
    call_of(seed=0),
    call_of(temperature=0, store=False),
    call_of(CallKind.COMPLETION, temperature=0),
    call_of(CallKind.EMBEDDING),
    call_of(CallKind.EMBEDDING, "ollama"),
    call_of(language="anthropic", temperature=0),
    call_of(language="ollama", options={"temperature": 0}),
    call_of(language="ollama", options={"seed": 1}),
    call_of(language="responses", temperature=0, store=False, previous_response_id=None),
]
NEVER = [
    call_of(CallKind.SPEECH, temperature=0),
    call_of(CallKind.TRANSCRIPTION, temperature=0),
    call_of(CallKind.TOKEN_COUNT, temperature=0),
    call_of(temperature=0, store=True),
    call_of(language="responses", temperature=0),
    call_of(language="responses", temperature=0, store=None),
    call_of(language="responses", temperature=0, store=False, background=True),
    call_of(language="responses", temperature=0, store=False, previous_response_id="resp_1"),
    call_of(language="responses", temperature=0, store=False, conversation="c"),
]
NONDETERMINISTIC = [
    call_of(),
    call_of(temperature=0.1),
    call_of(temperature="0"),
    call_of(temperature=None, seed=None),
    call_of(temperature=[0]),
    call_of(language="ollama", temperature=0),
    call_of(language="ollama", options=[1]),
    call_of(language="ollama", options={"temperature": 0.7}),
]


def _fields_of(call: Call) -> str:
    return " ".join(
        [call.language, call.kind.value, *(f"{name}={bytes(raw).decode()}" for name, raw in call.fields.items())]
    )


@pytest.mark.parametrize("call", YES, ids=_fields_of)
def test_what_gives_the_same_answer_again_may_be_kept(call):
    assert is_cacheable(call, PLAIN)


@pytest.mark.parametrize("call", NEVER, ids=_fields_of)
def test_what_is_asked_for_its_effect_or_remembered_elsewhere_is_never_kept(call):
    assert not is_cacheable(call, PLAIN)
    assert not is_cacheable(call, EAGER)


@pytest.mark.parametrize("call", NONDETERMINISTIC, ids=_fields_of)
def test_what_may_be_answered_otherwise_is_kept_only_where_the_owner_says_so(call):
    assert not is_cacheable(call, PLAIN)
    assert is_cacheable(call, EAGER)


@pytest.mark.parametrize(
    ("body", "calls"),
    [
        (b'{"message":{"tool_calls":[{"id":"c"}]}}', True),
        (b'{"message":{"tool_calls" : [ {"id":"c"}]}}', True),
        (b'{"delta":{"tool_calls":[{"index":0}]}}', True),
        (b'{"message":{"tool_calls":[]},"finish_reason":"stop"}', False),
        (b'{"message":{"tool_calls":null,"function_call":null}}', False),
        (b'{"message":{"function_call":{"name":"f"}}}', True),
        (b'{"finish_reason":"tool_calls"}', True),
        (b'{"finish_reason": "function_call"}', True),
        (b'{"content":[{"type":"tool_use","id":"t"}]}', True),
        (b'{"content":[{"type": "server_tool_use"}]}', True),
        (b'{"stop_reason":"tool_use"}', True),
        (b'{"output":[{"type":"function_call"}]}', True),
        (b'{"output":[{"type":"web_search_call"}]}', True),
        (b'{"output":[{"type":"mcp_call"}]}', True),
        (msgspec.json.encode({"content": 'say {"type":"tool_use"} or "tool_calls": [{"id"'}), False),
        (b'{"content":"call me","type":"text"}', False),
    ],
)
def test_a_tool_call_is_seen_in_every_language(body, calls):
    assert calls_tools(body) is calls


def test_only_who_offers_tools_can_get_a_call():
    assert may_call_tools(call_of(tools=[]))
    assert may_call_tools(call_of(functions=[]))
    assert not may_call_tools(call_of(tool_choice="none"))
