"""Anthropic's own SDK through a real gateway: to Anthropic itself, byte for byte, and to everybody else, translated.

The upstreams are replayed from recordings; what they were asked is looked at as closely as what the SDK makes of it.
"""

from __future__ import annotations

import gc
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import msgspec
import pytest
from e2e_house import CLIENT_KEY, PATIENCE_S, UPSTREAM_KEY, Gateway, fetch
from replay import Recorded, Replay, breaks_late, made, recorded, some_model

anthropic = pytest.importorskip("anthropic")

pytestmark = pytest.mark.filterwarnings(r"ignore:Async generator .(anthropic|httpx|httpcore):ResourceWarning")

ASK: Any = [{"role": "user", "content": "What's the weather in Berlin, and what's the best language to learn?"}]
PLACE = {"type": "object", "properties": {"latitude": {"type": "string"}, "longitude": {"type": "string"}}}
TOOLS: Any = [
    {"name": "weather", "description": "The weather at a place.", "input_schema": PLACE},
    {"name": "best_language_to_learn", "input_schema": {"type": "object", "properties": {}}},
]
CLAUDE = "anthropic/claude-sonnet-4-5"
GEMINI = "google/gemini-2.5-flash"
THINKS: Any = {"type": "enabled", "budget_tokens": 1024}

CLAUDE_THINKS = "anthropic/messages-rubyllm-with-extended-thinking"
CLAUDE_FETCHES = "anthropic/messages-stream-pydai-anthropic-web-fetch-tool-stream"
CLAUDE_TOOLS = "anthropic/messages-stream-otel-anthropic-messages-anthropic-tools-streaming"
CLAUDE_SAYS = "anthropic/messages-stream-rig-anthropic-turn-termination"
GEMINI_CALLS = "gemini/generateContent-rubyllm-function-calling-gemini-2-5-flash-can-use-parallel"
GEMINI_CALLS_STREAMED = "gemini/generateContent-stream-rig-gemini-streaming-grammar-parallel"
GEMINI_SIGNS_STREAMED = "gemini/generateContent-stream-rubyllm-function-calling-gemini-2-5-flash--multi-turn"
GEMINI_SAYS_STREAMED = "gemini/generateContent-stream-pydai-google-model-thinking"
GEMINI_SAYS = "gemini/generateContent-rubyllm-cachedcontent"


@pytest.fixture
def client(across: Gateway) -> Iterator[Any]:
    with anthropic.Anthropic(base_url=across.url, api_key=CLIENT_KEY, max_retries=0, timeout=PATIENCE_S) as client:
        yield client


@pytest.fixture
async def async_client(across: Gateway) -> AsyncIterator[Any]:
    async with anthropic.AsyncAnthropic(
        base_url=across.url, api_key=CLIENT_KEY, max_retries=0, timeout=PATIENCE_S
    ) as client:
        yield client
    gc.collect()


def text_of(events: list[dict[str, Any]]) -> str:
    return "".join(event["delta"].get("text", "") for event in events if event["type"] == "content_block_delta")


# -- Anthropic before Anthropic ------------------------------------------------------------------------------------


def test_a_message_of_claude_is_what_claude_said(client: Any, replay: Replay) -> None:
    recording = recorded(CLAUDE_THINKS)
    replay.play(recording)
    message = client.messages.create(model=CLAUDE, max_tokens=2048, messages=ASK, thinking=THINKS)
    answer = recording.answer
    thought, said = message.content
    assert (thought.type, thought.thinking, thought.signature) == tuple(answer["content"][0].values())
    assert said.text == answer["content"][1]["text"]
    assert message.id == answer["id"]
    assert message.to_dict()["usage"] == {**answer["usage"], "cost_usd": 0}
    assert replay.asked.json["model"] == "claude-sonnet-4-5"
    assert replay.asked.headers["x-api-key"] == UPSTREAM_KEY
    assert "authorization" not in replay.asked.headers
    assert CLIENT_KEY not in str(replay.asked.headers)


def test_a_stream_of_claude_has_the_recorded_events(client: Any, replay: Replay) -> None:
    recording = recorded(CLAUDE_FETCHES)
    replay.play(recording, recording)
    raw = client.messages.create(model=CLAUDE, max_tokens=2048, messages=ASK, thinking=THINKS, stream=True)
    wanted = [event for event in recording.events if event["type"] != "ping"]
    assert [event.type for event in raw] == [event["type"] for event in wanted]
    with client.messages.stream(model=CLAUDE, max_tokens=2048, messages=ASK, thinking=THINKS) as stream:
        text = "".join(stream.text_stream)
        message = stream.get_final_message()
    assert text == text_of(recording.events) != ""
    signatures = [block.signature for block in message.content if block.type == "thinking"]
    assert signatures
    assert signatures == [
        event["delta"]["signature"]
        for event in recording.events
        if event.get("delta", {}).get("type") == "signature_delta"
    ]


def test_a_request_in_anthropics_words_arrives_byte_for_byte(across: Gateway, replay: Replay) -> None:
    """System blocks, cache marks, numbers' spelling, unknown fields: of all values only the model's name is touched."""
    replay.play(recorded(CLAUDE_THINKS))
    body = (
        '{"model" : "anthropic/claude-sonnet-4-5",\n  "max_tokens":64, "temperature": 1.0, "top_p":1e0,'
        '"system":[{"type":"text","text":"Be kind \\u00e9 é.","cache_control":{"type":"ephemeral","ttl":"1h"}}],'
        '"metadata":{"user_id":"u"}, "a_field_of_tomorrow" : {"b":[1,2.50,null]},\t"context_management":{"edits":[]},'
        '"messages":[{"role":"user","content":[{"type":"text","text":"hi","cache_control":{"type":"ephemeral"}}]}]}'
    ).encode()
    answer = fetch(f"{across.url}/v1/messages", body, key=CLIENT_KEY)
    assert answer == recorded(CLAUDE_THINKS).response.replace(b'"usage":{', b'"usage":{"cost_usd":0,')
    sent, arrived = (msgspec.json.decode(text, type=dict[str, msgspec.Raw]) for text in (body, replay.asked.body))
    assert bytes(arrived.pop("model")) == b'"claude-sonnet-4-5"'
    del sent["model"]
    assert {name: bytes(value) for name, value in arrived.items()} == {name: bytes(raw) for name, raw in sent.items()}


def test_beta_calls_keep_their_betas(client: Any, replay: Replay) -> None:
    replay.play(recorded(CLAUDE_THINKS), recorded(CLAUDE_TOOLS), made("anthropic", "count_tokens", {"input_tokens": 9}))
    betas = ["context-1m-2025-08-07", "interleaved-thinking-2025-05-14"]
    message = client.beta.messages.create(
        model=CLAUDE,
        max_tokens=2048,
        messages=ASK,
        betas=betas,
        extra_headers={"anthropic-version": "2023-06-01"},
        system=[{"type": "text", "text": "Be kind.", "cache_control": {"type": "ephemeral"}}],
        context_management={"edits": [{"type": "clear_tool_uses_20250919"}]},
    )
    assert message.content[0].type == "thinking"
    assert replay.asked.headers["anthropic-beta"].split(",") == betas
    assert replay.asked.headers["anthropic-version"] == "2023-06-01"
    assert replay.asked.json["system"][0]["cache_control"] == {"type": "ephemeral"}
    assert replay.asked.json["context_management"] == {"edits": [{"type": "clear_tool_uses_20250919"}]}
    with client.beta.messages.stream(model=CLAUDE, max_tokens=2048, messages=ASK, tools=TOOLS, betas=betas) as stream:
        assert [block.type for block in stream.get_final_message().content] == ["text", "tool_use", "tool_use"]
    assert replay.asked.headers["anthropic-beta"].split(",") == betas
    counted = client.beta.messages.count_tokens(model=CLAUDE, messages=ASK, betas=betas)
    assert counted.input_tokens == 9
    assert set(betas) <= set(replay.asked.headers["anthropic-beta"].split(","))


def test_a_thinking_block_goes_back_to_claude_as_it_came(client: Any, replay: Replay) -> None:
    recording = recorded(CLAUDE_THINKS)
    replay.play(recording, recording)
    message = client.messages.create(model=CLAUDE, max_tokens=2048, messages=ASK, thinking=THINKS)
    history = [*ASK, {"role": "assistant", "content": message.content}, {"role": "user", "content": "And then?"}]
    client.messages.create(model=CLAUDE, max_tokens=2048, messages=history, thinking=THINKS)
    assert replay.asked.json["messages"][1]["content"] == recording.answer["content"]


async def test_a_stream_of_claude_under_trio(async_client: Any, replay: Replay) -> None:
    recording = recorded(CLAUDE_SAYS)
    replay.play(recording)
    async with async_client.messages.stream(model=CLAUDE, max_tokens=64, messages=ASK) as stream:
        said = "".join([text async for text in stream.text_stream])
    assert said == text_of(recording.events) != ""


# -- Anthropic before Gemini: the whole loop of tools --------------------------------------------------------------


def results_for(message: Any) -> Any:
    return [
        {"type": "tool_result", "tool_use_id": block.id, "content": f"result of {block.name}"}
        for block in message.content
        if block.type == "tool_use"
    ]


def called_parts(recording: Recorded) -> list[dict[str, Any]]:
    """The parts of a recorded turn of Gemini's that call functions."""
    events = recording.events if recording.streamed else [recording.answer]
    parts = [part for event in events for part in event["candidates"][0].get("content", {}).get("parts", [])]
    return [part for part in parts if "functionCall" in part]


@pytest.mark.parametrize("name", [GEMINI_CALLS_STREAMED, GEMINI_SIGNS_STREAMED])
def test_a_streamed_tool_loop_over_gemini(client: Any, replay: Replay, name: str) -> None:
    recording = recorded(name)
    replay.play(recording, recorded(GEMINI_SAYS_STREAMED))
    with client.messages.stream(model=GEMINI, max_tokens=2048, messages=ASK, tools=TOOLS) as stream:
        kinds = [event.type for event in stream]
        message = stream.get_final_message()
    assert kinds[0] == "message_start"
    assert kinds[-1] == "message_stop"
    assert "input_json" in kinds or all(not block.input for block in message.content if block.type == "tool_use")
    assert message.stop_reason == "tool_use"
    called = called_parts(recording)
    uses = [block for block in message.content if block.type == "tool_use"]
    assert [(use.name, use.input) for use in uses] == [
        (part["functionCall"]["name"], part["functionCall"].get("args", {})) for part in called
    ]
    assert message.usage.input_tokens > 0
    turns = [{"role": "assistant", "content": message.content}, {"role": "user", "content": results_for(message)}]
    with client.messages.stream(model=GEMINI, max_tokens=2048, messages=[*ASK, *turns], tools=TOOLS) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert final.stop_reason == "end_turn"
    assert text == "".join(block.text for block in final.content if block.type == "text") != ""
    *_, calls, results = replay.asked.json["contents"]
    sent = [part for part in calls["parts"] if "functionCall" in part]
    assert [part.get("thoughtSignature") for part in sent if part.get("thoughtSignature")] == [
        part["thoughtSignature"] for part in called if "thoughtSignature" in part
    ]
    assert [part["functionCall"]["name"] for part in sent] == [part["functionCall"]["name"] for part in called]
    names = [part["functionResponse"]["name"] for part in results["parts"]]
    assert names == [part["functionCall"]["name"] for part in called]


def test_a_whole_tool_loop_over_gemini_with_everything_asked_for(client: Any, replay: Replay) -> None:
    recording = recorded(GEMINI_CALLS)
    replay.play(recording, recorded(GEMINI_SAYS))
    asked = {
        "model": GEMINI,
        "max_tokens": 2048,
        "tools": TOOLS,
        "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
        "tool_choice": {"type": "any"},
        "stop_sequences": ["END"],
        "thinking": THINKS,
    }
    message = client.messages.create(messages=ASK, **asked)
    said = replay.asked.json
    assert "Be brief." in json.dumps(said["systemInstruction"])
    assert said["toolConfig"]["functionCallingConfig"]["mode"] == "ANY"
    assert said["generationConfig"]["maxOutputTokens"] == 2048
    assert said["generationConfig"]["stopSequences"] == ["END"]
    assert said["generationConfig"]["thinkingConfig"]["thinkingBudget"] == 1024
    turns = [{"role": "assistant", "content": message.content}, {"role": "user", "content": results_for(message)}]
    answer = client.messages.create(messages=[*ASK, *turns], **asked)
    assert answer.content[-1].text
    calls = replay.asked.json["contents"][-2]["parts"]
    assert [part["functionCall"]["args"] for part in calls] == [
        part["functionCall"]["args"] for part in called_parts(recording)
    ]
    assert calls[0]["thoughtSignature"] == called_parts(recording)[0]["thoughtSignature"]


def test_the_tool_runner_of_the_sdk_over_gemini(client: Any, replay: Replay) -> None:
    """The SDK's own loop: it calls what Gemini wants called, and asks again.

    It would have the conversation kept by the server; told that this cannot be, it sends all of it.
    """
    replay.play(recorded(GEMINI_CALLS), recorded(GEMINI_SAYS))

    @anthropic.beta_tool
    def weather(latitude: str, longitude: str) -> str:
        """The weather at a place."""
        return f"15 degrees at {latitude}, {longitude}"

    @anthropic.beta_tool
    def best_language_to_learn() -> str:
        """The one to learn."""
        return "Ruby"

    runner = client.beta.messages.tool_runner(
        model=GEMINI, max_tokens=2048, messages=ASK, tools=[weather, best_language_to_learn]
    )
    assert runner.until_done().content[-1].text
    responses = [part["functionResponse"] for part in replay.asked.json["contents"][-1]["parts"]]
    assert [response["name"] for response in responses] == ["weather", "best_language_to_learn"]
    assert "15 degrees at 52.5200, 13.4050" in json.dumps(responses[0])


# -- Anthropic before everybody else -------------------------------------------------------------------------------

ELSEWHERE = {
    "openai/chat-stream-rig-openai-tool-lifecycle": [("alpha", {"value": "red"}), ("beta", {"value": "blue"})],
    "ollama/chat-stream-rig-ollama-streaming-grammar-same": [("add", {"x": 2, "y": 3}), ("add", {"x": 10, "y": 20})]
    * 2,
    "mistral/chat-stream-rig-mistral-tool-lifecycle-matrix-streaming-ministral-3b-parallel": [
        ("alpha", {"value": "red"}),
        ("beta", {"value": "blue"}),
    ],
    "groq/chat-stream-rig-groq-agent-tool-sessions-parallel": [
        ("lookup_harbor_label", {}),
        ("lookup_orchard_label", {}),
    ],
    "deepseek/chat-stream-rubyllm-function-calling": [("best_language_to_learn", {})],
}


@pytest.mark.parametrize("name", ELSEWHERE)
def test_streamed_calls_of_other_providers_and_their_results(client: Any, replay: Replay, name: str) -> None:
    recording = recorded(name)
    replay.play(recording, recording)
    asked = {"model": some_model(recording.provider), "max_tokens": 512, "tools": TOOLS}
    with client.messages.stream(messages=ASK, **asked) as stream:
        message = stream.get_final_message()
    assert message.stop_reason == "tool_use"
    uses = [block for block in message.content if block.type == "tool_use"]
    assert len({use.id for use in uses}) == len(uses) > 0
    assert [(use.name, use.input) for use in uses] == ELSEWHERE[name]
    turns = [{"role": "assistant", "content": message.content}, {"role": "user", "content": results_for(message)}]
    with client.messages.stream(messages=[*ASK, *turns], **asked) as stream:
        stream.until_done()
    messages = replay.asked.json["messages"]
    results = [turn for turn in messages if turn["role"] == "tool"]
    calls = next(turn["tool_calls"] for turn in messages if turn.get("tool_calls"))
    assert len(results) == len(calls) == len(uses)
    if recording.provider != "ollama":
        assert [result["tool_call_id"] for result in results] == [call["id"] for call in calls]


def test_foreign_thinking_comes_as_thinking_and_can_be_sent_back(client: Any, replay: Replay) -> None:
    """DeepSeek, Mistral and Ollama think without signatures; the SDK's users still send back what they got."""
    for name in (
        "deepseek/chat-rubyllm-with-extended-thinking",
        "mistral/chat-rubyllm-mistral-hybrid-reasoning-replays-thinking-chunks-across-turns-1of2",
        "ollama/chat-rig-ollama-agentic-structured-output-with-tools-2of2",
    ):
        recording = recorded(name)
        replay.play(recording, recording)
        model = some_model(recording.provider)
        message = client.messages.create(model=model, max_tokens=2048, messages=ASK)
        assert message.content[0].type == "thinking", name
        assert message.content[0].thinking
        history = [*ASK, {"role": "assistant", "content": message.content}, {"role": "user", "content": "Go on."}]
        client.messages.create(model=model, max_tokens=2048, messages=history)


# -- counting ------------------------------------------------------------------------------------------------------


def test_tokens_are_counted_by_whoever_can(client: Any, replay: Replay) -> None:
    claude = recorded("anthropic/count_tokens-pydai-anthropic-count-tokens-with")
    gemini = recorded("gemini/countTokens-rubyllm")
    replay.play(claude, gemini)
    asked = {"messages": ASK, "tools": TOOLS, "system": "Be terse."}
    assert client.messages.count_tokens(model=CLAUDE, **asked).input_tokens == claude.answer["input_tokens"]
    assert replay.asked.target.endswith("/v1/messages/count_tokens")
    assert client.messages.count_tokens(model=GEMINI, **asked).input_tokens == gemini.answer["totalTokens"]
    counted = client.messages.with_raw_response.count_tokens(model="mistral/mistral-small-latest", **asked)
    assert counted.parse().input_tokens > 10
    assert counted.headers["x-hoosh-estimated"] == "true"
    assert len(replay.heard) == 2  # an estimate asks nobody


def test_counting_for_a_model_that_claude_lacks_is_not_found(client: Any, replay: Replay) -> None:
    replay.play(recorded("anthropic/count_tokens-pydai-anthropic-count-tokens-error"))
    with pytest.raises(anthropic.NotFoundError, match="claude-does-not-exist"):
        client.messages.count_tokens(model="anthropic/claude-does-not-exist", messages=ASK)


# -- models --------------------------------------------------------------------------------------------------------


def test_models_are_listed_in_pages_and_found(client: Any, replay: Replay) -> None:
    models = list(client.models.list(limit=5))
    assert len(models) == len({model.id for model in models}) > 20
    assert {"claude-sonnet-4-5", "gemini-2.5-flash", "gpt-5-nano"} <= {model.id for model in models}
    found = client.models.retrieve("claude-sonnet-4-5")
    assert (found.id, found.type) == ("claude-sonnet-4-5", "model")
    with pytest.raises(anthropic.NotFoundError):
        client.models.retrieve("no-such-model")


# -- errors --------------------------------------------------------------------------------------------------------


def test_a_wrong_key_is_an_authentication_error(across: Gateway) -> None:
    with anthropic.Anthropic(base_url=across.url, api_key="sk-wrong", max_retries=0) as client:
        with pytest.raises(anthropic.AuthenticationError) as caught:
            client.messages.create(model=CLAUDE, max_tokens=9, messages=ASK)
        assert caught.value.body["error"]["type"] == "authentication_error"
    with anthropic.Anthropic(base_url=across.url, auth_token=CLIENT_KEY, api_key=None, max_retries=0) as client:
        assert client.models.retrieve("claude-sonnet-4-5")


FAILS = {
    "anthropic/messages-doc-rate-limit-429": "RateLimitError",
    "anthropic/messages-doc-overloaded-529": "OverloadedError",
    "anthropic/messages-pydai-model-name-suggestions": "NotFoundError",
    "anthropic/messages-rubyllm-real-error-scenarios": "BadRequestError",
    "openai/chat-doc-rate-limit-429": "RateLimitError",
    "openai/chat-doc-insufficient-quota-429": "RateLimitError",
    "openai/chat-doc-server-error-500": "InternalServerError",
    "mistral/chat-doc-rate-limit-429": "RateLimitError",
    "groq/chat-doc-rate-limit-429": "RateLimitError",
    "ollama/ollama_chat-doc-model-not-found-404": "NotFoundError",
    "gemini/generateContent-vercel-google-429-retry-info": "RateLimitError",
    "gemini/generateContent-rubyllm-real-error-scenarios": "RateLimitError",
}


@pytest.mark.parametrize("name", FAILS)
@pytest.mark.parametrize("stream", [False, True])
def test_every_providers_errors_are_anthropics(client: Any, replay: Replay, name: str, stream: bool) -> None:
    recording = recorded(name)
    if recording.provider == "google" and stream:
        recording = made("google", "streamGenerateContent", recording.response, status=recording.status)
    replay.play(recording)
    with pytest.raises(anthropic.APIStatusError) as caught:
        client.messages.create(model=some_model(recording.provider), max_tokens=9, messages=ASK, stream=stream)
    error = caught.value
    assert type(error) is getattr(anthropic, FAILS[name], None) or type(error).__name__ == FAILS[name]
    assert error.body["type"] == "error"
    assert error.body["error"]["message"]
    assert error.body["error"]["type"].endswith("_error")
    if (told := recording.headers.get("retry-after")) is not None:
        assert error.response.headers["retry-after"] == told
    if recording.provider == "anthropic":
        assert error.body["error"] == recording.answer["error"]


@pytest.mark.parametrize(
    "name", ["anthropic/messages-stream-doc-overloaded-mid-stream", "ollama/ollama_chat-stream-doc-error-mid-stream"]
)
def test_a_stream_that_breaks_raises(client: Any, replay: Replay, name: str) -> None:
    recording = recorded(name)
    replay.play(recording)

    def ask() -> None:
        with client.messages.stream(model=f"{recording.provider}/m", max_tokens=9, messages=ASK, tools=TOOLS) as stream:
            stream.until_done()

    with pytest.raises(anthropic.APIStatusError):
        ask()


def test_a_stream_that_breaks_after_many_words_raises_in_the_middle(client: Any, replay: Replay) -> None:
    replay.play(breaks_late(recorded("groq/chat-stream-pydai-groq-tool-use-failed-error-streaming-1of3")))
    thoughts: list[str] = []

    def ask() -> None:
        with client.messages.stream(model="groq/m", max_tokens=9, messages=ASK, tools=TOOLS) as stream:
            thoughts.extend(event.thinking for event in stream if event.type == "thinking")

    with pytest.raises(anthropic.APIError):
        ask()
    assert thoughts
