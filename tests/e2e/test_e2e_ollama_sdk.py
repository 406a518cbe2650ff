"""Ollama's own Python client through a real gateway: to a replayed Ollama, and to others it takes for one."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from e2e_house import CLIENT_KEY, PATIENCE_S, Gateway
from pydantic import BaseModel
from replay import Replay, breaks_late, made, recorded, some_model

ollama = pytest.importorskip("ollama")

ASK: Any = [{"role": "user", "content": "What's the weather in Berlin, and what's the best language to learn?"}]
QWEN = "ollama/qwen3:4b"
KEY = {"authorization": f"Bearer {CLIENT_KEY}"}

OLLAMA_SAYS = "ollama/chat-stream-rig-ollama-raw-stream-capture"
OLLAMA_THINKS = "ollama/chat-stream-rig-ollama-reasoning-tool-roundtrip"
OLLAMA_CALLS = "ollama/chat-stream-rig-ollama-streaming-grammar-same"
OLLAMA_WHOLE = "ollama/chat-rig-ollama-agent-max-tokens"
CLAUDE_TOOLS = "anthropic/messages-stream-otel-anthropic-messages-anthropic-tools-streaming"
CLAUDE_THINKS = "anthropic/messages-rubyllm-with-extended-thinking"
OPENAI_TOOLS = "openai/chat-stream-rig-openai-tool-lifecycle"
PIXEL = b64encode(b"\x89PNG\r\n\x1a\n" + b"\0" * 16).decode()


def weather(latitude: str, longitude: str = "0") -> str:
    """The weather at a place.

    Args:
      latitude: North.
      longitude: East.
    """
    return f"{latitude} {longitude}"


@pytest.fixture
def client(across: Gateway) -> Iterator[Any]:
    client = ollama.Client(host=across.url, headers=KEY, timeout=PATIENCE_S)
    yield client
    client._client.close()


@pytest.fixture
async def async_client(across: Gateway) -> AsyncIterator[Any]:
    client = ollama.AsyncClient(host=across.url, headers=KEY, timeout=PATIENCE_S)
    yield client
    await client._client.aclose()


def calls_of(message: Any) -> list[tuple[str, Any]]:
    return [(call.function.name, dict(call.function.arguments)) for call in message.tool_calls or ()]


# -- Ollama before Ollama ------------------------------------------------------------------------------------------


def test_a_whole_chat_is_the_recorded_one(client: Any, replay: Replay) -> None:
    recording = recorded(OLLAMA_WHOLE)
    replay.play(recording)
    options = {"temperature": 0.5, "num_ctx": 4096, "an_option_of_tomorrow": 1}
    answer = client.chat(model=QWEN, messages=ASK, options=options, keep_alive="5m", think=False)
    assert answer.message.content == recording.answer["message"]["content"]
    assert (answer.done_reason, answer.eval_count) == (recording.answer["done_reason"], recording.answer["eval_count"])
    assert answer.eval_duration == recording.answer["eval_duration"]
    asked = replay.asked.json
    assert (asked["options"], asked["keep_alive"], asked["think"]) == (options, "5m", False)
    assert asked["model"] == "qwen3:4b"


@pytest.mark.parametrize("name", [OLLAMA_SAYS, OLLAMA_THINKS, OLLAMA_CALLS])
def test_a_streamed_chat_has_the_recorded_lines(client: Any, replay: Replay, name: str) -> None:
    recording = recorded(name)
    replay.play(recording)
    parts = list(client.chat(model=QWEN, messages=ASK, stream=True, think=True, tools=[weather]))
    events = recording.events
    assert [part.message.content or "" for part in parts] == [event["message"]["content"] for event in events]
    assert [part.message.thinking or "" for part in parts] == [event["message"].get("thinking", "") for event in events]
    called = [call["function"] for event in events for call in event["message"].get("tool_calls", ())]
    assert [call for part in parts for call in calls_of(part.message)] == [
        (call["name"], call["arguments"]) for call in called
    ]
    assert parts[-1].eval_count == events[-1]["eval_count"]
    assert replay.asked.json["tools"][0]["function"]["name"] == "weather"


async def test_a_streamed_chat_under_trio(async_client: Any, replay: Replay) -> None:
    recording = recorded(OLLAMA_SAYS)
    replay.play(recording)
    stream = await async_client.chat(model=QWEN, messages=ASK, stream=True)
    said = "".join([part.message.content async for part in stream])
    assert said == "".join(event["message"]["content"] for event in recording.events) != ""


def test_texts_are_generated(client: Any, replay: Replay) -> None:
    recording = recorded("ollama/generate-stream-otel-ollama")
    replay.play(recording)
    parts = list(client.generate(model="ollama/llama3", prompt="Tell me a joke", system="Be kind.", stream=True))
    assert [part.response for part in parts] == [event["response"] for event in recording.events]
    assert parts[-1].done
    assert list(parts[-1].context or ()) == recording.events[-1].get("context", [])
    assert replay.asked.json["system"] == "Be kind."


def test_embeddings_of_ollama_and_of_others(client: Any, replay: Replay) -> None:
    mistral = recorded("mistral/embeddings-rubyllm")
    replay.play(made("ollama", "embed", {"model": "m", "embeddings": [[0.5, -0.25], [1.0, 2.0]]}), mistral)
    answer = client.embed(model="ollama/all-minilm", input=["a", "b"], truncate=True)
    assert [list(vector) for vector in answer.embeddings] == [[0.5, -0.25], [1.0, 2.0]]
    assert replay.asked.json["truncate"] is True
    answer = client.embed(model="mistral/mistral-embed", input=["a", "b"])
    assert [list(vector) for vector in answer.embeddings] == [item["embedding"] for item in mistral.answer["data"]]


# -- lists ---------------------------------------------------------------------------------------------------------


def test_the_models_of_all_providers_are_listed_and_shown(client: Any, replay: Replay) -> None:
    names = {model.model for model in client.list().models}
    own = {model["name"] for model in recorded("ollama/models-rig-").answer["models"]}
    assert own | {"claude-sonnet-4-5", "gemini-2.5-flash"} <= names
    shown = client.show("gemini-2.5-flash")
    assert {"completion", "tools", "vision"} <= set(shown.capabilities or ())
    assert list(client.ps().models) == []
    with pytest.raises(ollama.ResponseError) as caught:
        client.show("no-such-model")
    assert caught.value.status_code == 404


# -- others that are taken for an Ollama ---------------------------------------------------------------------------

OPENAI_CALLED = [("alpha", {"value": "red"}), ("beta", {"value": "blue"})]
CLAUDE_CALLED = [
    ("get_weather", {"location": "New York, NY", "unit": "fahrenheit"}),
    ("get_time", {"timezone": "America/New_York"}),
]


@pytest.mark.parametrize(("name", "called"), [(OPENAI_TOOLS, OPENAI_CALLED), (CLAUDE_TOOLS, CLAUDE_CALLED)])
def test_a_streamed_tool_loop_over_others(client: Any, replay: Replay, name: str, called: Any) -> None:
    recording = recorded(name)
    replay.play(recording, recording)
    model = some_model(recording.provider)
    parts = list(client.chat(model=model, messages=ASK, tools=[weather], stream=True))
    assert [call for part in parts for call in calls_of(part.message)] == called
    assert parts[-1].done
    assert parts[-1].eval_count
    text = "".join(part.message.content or "" for part in parts)
    calls = [call for part in parts for call in part.message.tool_calls or ()]
    turn = {"role": "assistant", "content": text, "tool_calls": [call.model_dump() for call in calls]}
    results = [{"role": "tool", "tool_name": call.function.name, "content": "fine"} for call in calls]
    list(client.chat(model=model, messages=[*ASK, turn, *results], tools=[weather], stream=True))
    asked = json.dumps(replay.asked.json["messages"])
    for function, _ in called:
        assert function in asked
    if recording.provider == "openai":
        _, assistant, *told = replay.asked.json["messages"]
        ids = [call["id"] for call in assistant["tool_calls"]]
        assert [turn["tool_call_id"] for turn in told] == ids
    else:
        _, assistant, told = replay.asked.json["messages"]
        ids = [block["id"] for block in assistant["content"] if block["type"] == "tool_use"]
        assert [block["tool_use_id"] for block in told["content"]] == ids
    assert len(set(ids)) == 2


def test_a_thinking_claude_thinks_in_ollamas_way(client: Any, replay: Replay) -> None:
    recording = recorded(CLAUDE_THINKS)
    replay.play(recording)
    answer = client.chat(model="anthropic/claude-sonnet-4-0", messages=ASK, think=True, options={"num_predict": 4096})
    thought, said = recording.answer["content"]
    assert (answer.message.thinking, answer.message.content) == (thought["thinking"], said["text"])
    assert (answer.done, answer.done_reason) == (True, "stop")
    assert answer.prompt_eval_count == recording.answer["usage"]["input_tokens"]
    assert replay.asked.json["thinking"]["type"] == "enabled"
    assert replay.asked.json["max_tokens"] == 4096


class City(BaseModel):
    name: str
    population: int


def test_images_and_schemas_reach_others_in_their_words(client: Any, replay: Replay) -> None:
    said = recorded("openai/chat-envoy-json-mode").answer
    said["choices"][0]["message"]["content"] = '{"name":"Tokyo","population":14000000}'
    replay.play(made("openai", "completions", said), recorded(CLAUDE_THINKS))
    look: Any = [{"role": "user", "content": "Which city?", "images": [PIXEL]}]
    answer = client.chat(model="openai/gpt-4o", messages=look, format=City.model_json_schema())
    assert City.model_validate_json(answer.message.content).population == 14000000
    text, image = replay.asked.json["messages"][0]["content"]
    assert text == {"type": "text", "text": "Which city?"}
    assert image["image_url"]["url"] == f"data:image/png;base64,{PIXEL}"
    assert replay.asked.json["response_format"]["json_schema"]["schema"]["properties"].keys() == {"name", "population"}
    client.chat(model="anthropic/claude-sonnet-4-5", messages=look, format=City.model_json_schema())
    parts = replay.asked.json["messages"][0]["content"]
    source = next(part["source"] for part in parts if part["type"] == "image")
    assert source == {"type": "base64", "media_type": "image/png", "data": PIXEL}
    schema = replay.asked.json["output_config"]["format"]["schema"]
    assert schema["properties"].keys() == {"name", "population"}


def test_texts_are_generated_by_others(client: Any, replay: Replay) -> None:
    recording = recorded(CLAUDE_THINKS)
    replay.play(recording)
    answer = client.generate(model="anthropic/claude-sonnet-4-5", prompt="5 + 3?", system="Be brief.")
    assert answer.response == recording.answer["content"][1]["text"]
    assert "Be brief." in json.dumps(replay.asked.json["system"])


# -- errors --------------------------------------------------------------------------------------------------------

FAILS = {
    "ollama/ollama_chat-doc-model-not-found-404": 404,
    "anthropic/messages-doc-rate-limit-429": 429,
    "anthropic/messages-rubyllm-real-error-scenarios": 400,
    "openai/chat-doc-server-error-500": 502,
}


@pytest.mark.parametrize("name", FAILS)
@pytest.mark.parametrize("stream", [False, True])
def test_errors_are_ollamas(client: Any, replay: Replay, name: str, stream: bool) -> None:
    recording = recorded(name)
    replay.play(recording)

    def ask() -> None:
        list(client.chat(model=some_model(recording.provider), messages=ASK, stream=stream))

    with pytest.raises(ollama.ResponseError) as caught:
        ask()
    assert caught.value.status_code == FAILS[name]
    inner = recording.answer["error"]
    assert (inner if isinstance(inner, str) else inner["message"]) in caught.value.error


def test_a_wrong_key_is_401(across: Gateway) -> None:
    client = ollama.Client(host=across.url, headers={"authorization": "Bearer sk-wrong"})
    with pytest.raises(ollama.ResponseError) as caught:
        client.list()
    client._client.close()
    assert caught.value.status_code == 401


def test_a_stream_that_breaks_after_many_words_raises_in_the_middle(client: Any, replay: Replay) -> None:
    replay.play(breaks_late(recorded("groq/chat-stream-pydai-groq-tool-use-failed-error-streaming-1of3")))
    thoughts: list[str] = []

    def ask() -> None:
        stream = client.chat(model="groq/openai/gpt-oss-120b", messages=ASK, stream=True)
        thoughts.extend(part.message.thinking or "" for part in stream)

    with pytest.raises(ollama.ResponseError, match="tool"):
        ask()
    assert "".join(thoughts)
