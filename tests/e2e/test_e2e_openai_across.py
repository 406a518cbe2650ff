"""OpenAI's own SDK against providers that are not OpenAI, each replayed from its recordings, through a real gateway."""

from __future__ import annotations

import gc
import json
import struct
from base64 import b64decode
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from e2e_house import CLIENT_KEY, PATIENCE_S, UPSTREAM_KEY, Gateway
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel
from replay import Recorded, Replay, breaks_late, made, recorded, some_model

pytestmark = pytest.mark.filterwarnings(r"ignore:Async generator .(openai|httpx|httpcore):ResourceWarning")

ASK: Any = [{"role": "user", "content": "What's the weather in Berlin, and what's the best language to learn?"}]


def function(name: str, **properties: str) -> Any:
    parameters = {
        "type": "object",
        "properties": {key: {"type": kind} for key, kind in properties.items()},
        "required": list(properties),
    }
    return {"type": "function", "function": {"name": name, "description": f"Does {name}.", "parameters": parameters}}


TOOLS = [function("weather", latitude="string", longitude="string"), function("best_language_to_learn")]
GEMINI_CALLS = "gemini/generateContent-rubyllm-function-calling-gemini-2-5-flash-can-use-parallel"
GEMINI_STREAM = "gemini/generateContent-stream-rubyllm-function-calling-gemini-2-5-flash--multi-turn"
GEMINI_TEXT = "gemini/generateContent-rubyllm-cachedcontent"
CLAUDE_TOOLS = "anthropic/messages-stream-otel-anthropic-messages-anthropic-tools-streaming"
CLAUDE_THINKS = "anthropic/messages-rubyllm-with-extended-thinking"
CLAUDE_FETCHES = "anthropic/messages-stream-pydai-anthropic-web-fetch-tool-stream"


@pytest.fixture
def client(across: Gateway) -> Iterator[OpenAI]:
    with OpenAI(base_url=across.base_url, api_key=CLIENT_KEY, max_retries=0, timeout=PATIENCE_S) as client:
        yield client


@pytest.fixture
async def async_client(across: Gateway) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=across.base_url, api_key=CLIENT_KEY, max_retries=0, timeout=PATIENCE_S) as client:
        yield client
    gc.collect()


class Heard:
    """A streamed chat, put together in the way the SDK's users do it."""

    def __init__(self) -> None:
        self.text, self.reasoning, self.finish = "", "", None
        self.calls: dict[int, dict[str, Any]] = {}
        self.details: list[dict[str, Any]] = []
        self.usage: Any = None

    def hear(self, chunk: Any) -> None:
        self.usage = chunk.usage or self.usage
        for choice in chunk.choices:
            delta = choice.delta
            self.text += delta.content or ""
            # Groq's own word comes through as it is: its bytes are not translated.
            self.reasoning += getattr(delta, "reasoning_content", None) or getattr(delta, "reasoning", None) or ""
            self.finish = choice.finish_reason or self.finish
            for detail in getattr(delta, "reasoning_details", None) or []:
                self._detail(detail)
            for part in delta.tool_calls or []:
                self._call(part.model_dump(exclude_none=True))

    def _call(self, part: dict[str, Any]) -> None:
        new = {"id": part.get("id"), "type": "function", "function": {"name": "", "arguments": ""}}
        call = self.calls.setdefault(part["index"], new)
        call.update({key: value for key, value in part.items() if key not in ("index", "id", "type", "function")})
        call["function"]["name"] += part.get("function", {}).get("name", "")
        call["function"]["arguments"] += part.get("function", {}).get("arguments", "")

    def _detail(self, detail: dict[str, Any]) -> None:
        for known in self.details:
            if known.get("index") == detail.get("index") and known["type"] == detail["type"]:
                known["text"] = known.get("text", "") + (detail.get("text") or "")
                known.update({k: v for k, v in detail.items() if k != "text" and v})
                return
        self.details.append(dict(detail))

    @property
    def message(self) -> dict[str, Any]:
        calls = {"tool_calls": list(self.calls.values())} if self.calls else {}
        details = {"reasoning_details": self.details} if self.details else {}
        return {"role": "assistant", "content": self.text or None, **calls, **details}


def hear(stream: Any, heard: Heard | None = None) -> Heard:
    heard = heard or Heard()
    for chunk in stream:
        heard.hear(chunk)
    return heard


def said(calls: Any) -> list[tuple[str, Any]]:
    return [(call.function.name, json.loads(call.function.arguments)) for call in calls or []]


# -- whole and streamed --------------------------------------------------------------------------------------------


def words_of(recording: Recorded) -> str:
    """The text of a recorded answer, read naively."""
    answer = recording.answer
    match recording.provider:
        case "anthropic":
            return "".join(block.get("text", "") for block in answer["content"])
        case "google":
            return "".join(part.get("text", "") for part in answer["candidates"][0]["content"]["parts"])
        case "ollama":
            return str(answer["message"]["content"])
    content = answer["choices"][0]["message"]["content"]
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


WHOLE = [
    "openai/chat-envoy-json-mode",
    CLAUDE_THINKS,
    GEMINI_TEXT,
    "ollama/chat-rig-ollama-agent-max-tokens",
    "mistral/chat-rubyllm-mistral-hybrid-reasoning-replays-thinking-chunks-across-turns-1of2",
    "groq/chat-rig-groq-agent-tool-sessions-json-object",
    "deepseek/chat-rubyllm-basic-functionality-deepseek",
]


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_chat_says_what_was_recorded(client: OpenAI, replay: Replay, name: str) -> None:
    recording = recorded(name)
    replay.play(recording)
    reply = client.chat.completions.create(model=some_model(recording.provider), messages=ASK)
    assert reply.choices[0].message.content == words_of(recording)
    assert reply.choices[0].finish_reason in ("stop", "length")
    assert reply.usage is not None
    assert reply.usage.total_tokens >= reply.usage.prompt_tokens > 0
    assert "some-model" in replay.asked.target + replay.asked.body.decode()


def words_in(event: dict[str, Any]) -> str:
    """The text of one recorded event, read naively."""
    if "candidates" in event:
        parts = event["candidates"][0]["content"].get("parts", [])
        return "".join(part.get("text", "") for part in parts if not part.get("thought"))
    if "choices" in event:
        content = next((choice["delta"].get("content") for choice in event["choices"]), None) or ""
        return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)
    said = event.get("message", {}) if "done" in event else event.get("delta", {})
    return str(said.get("content") or said.get("text") or "")


STREAMED = [
    "openai/chat-stream-envoy-streaming",
    "anthropic/messages-stream-rig-anthropic-turn-termination",
    "gemini/generateContent-stream-pydai-google-model-thinking",
    "ollama/chat-stream-rig-ollama-reasoning-tool-roundtrip",
    "mistral/chat-stream-rubyllm-mistral-hybrid-reasoning",
    "groq/chat-stream-otel-groq-tracing",
    "deepseek/chat-stream-rig-deepseek-streaming-logprobs",
]


@pytest.mark.parametrize("name", STREAMED)
async def test_a_streamed_chat_arrives_whole_under_trio(async_client: AsyncOpenAI, replay: Replay, name: str) -> None:
    recording = recorded(name)
    replay.play(recording)
    stream = await async_client.chat.completions.create(
        model=some_model(recording.provider), messages=ASK, stream=True, stream_options={"include_usage": True}
    )
    heard = Heard()
    async for chunk in stream:
        heard.hear(chunk)
    assert heard.text == "".join(map(words_in, recording.events)) != ""
    assert heard.finish in ("stop", "length")


# -- tools ---------------------------------------------------------------------------------------------------------

CALLED = {
    "openai/chat-stream-rig-openai-tool-lifecycle": [("alpha", {"value": "red"}), ("beta", {"value": "blue"})],
    CLAUDE_TOOLS: [
        ("get_weather", {"location": "New York, NY", "unit": "fahrenheit"}),
        ("get_time", {"timezone": "America/New_York"}),
    ],
    GEMINI_STREAM: [("best_language_to_learn", {})],
    "ollama/chat-stream-rig-ollama-streaming-grammar-same": [("add", {"x": 2, "y": 3}), ("add", {"x": 10, "y": 20})]
    * 2,
    "mistral/chat-stream-rig-mistral-tool-lifecycle-matrix-streaming-ministral-3b-parallel": [
        ("alpha", {"value": "red"}),
        ("beta", {"value": "blue"}),
    ],
    "groq/chat-stream-rig-groq-agent-tool-sessions-parallel": [
        ("lookup_harbor_label", None),
        ("lookup_orchard_label", None),
    ],
    "deepseek/chat-stream-rubyllm-function-calling": [("best_language_to_learn", {})],
}


@pytest.mark.parametrize("name", CALLED)
def test_streamed_parallel_calls_add_up(client: OpenAI, replay: Replay, name: str) -> None:
    recording = recorded(name)
    replay.play(recording)
    heard = hear(
        client.chat.completions.create(model=some_model(recording.provider), messages=ASK, tools=TOOLS, stream=True)
    )
    assert heard.finish == "tool_calls"
    calls = [(c["function"]["name"], json.loads(c["function"]["arguments"])) for c in heard.calls.values()]
    assert list(heard.calls) == list(range(len(calls)))
    assert len({call["id"] for call in heard.calls.values()}) == len(calls) > 0
    assert calls == CALLED[name]


def test_geminis_thought_signature_goes_there_and_back(client: OpenAI, replay: Replay) -> None:
    """Gemini 3 refuses a history of calls without the signatures it has put on them."""
    recording = recorded(GEMINI_CALLS)
    replay.play(recording, recorded(GEMINI_TEXT))
    reply = client.chat.completions.create(model="google/gemini-2.5-flash", messages=ASK, tools=TOOLS)
    message = reply.choices[0].message
    first, second = message.tool_calls or []
    assert said([first, second]) == [
        ("weather", {"latitude": "52.5200", "longitude": "13.4050"}),
        ("best_language_to_learn", {}),
    ]
    results = [
        {"role": "tool", "tool_call_id": first.id, "content": "15 degrees"},
        {"role": "tool", "tool_call_id": second.id, "content": "Ruby"},
    ]
    answer = client.chat.completions.create(
        model="google/gemini-2.5-flash", messages=[*ASK, message, *results], tools=TOOLS
    )
    assert answer.choices[0].message.content
    turns = replay.asked.json["contents"]
    parts = recording.answer["candidates"][0]["content"]["parts"]
    called = next(turn["parts"] for turn in turns if turn["role"] == "model")
    assert [part["functionCall"]["args"] for part in called] == [part["functionCall"]["args"] for part in parts]
    assert called[0]["thoughtSignature"] == parts[0]["thoughtSignature"]
    assert [part["functionResponse"]["name"] for part in turns[-1]["parts"]] == ["weather", "best_language_to_learn"]


# -- thinking, with calls ------------------------------------------------------------------------------------------


def thinking_then_calls() -> Recorded:
    """The thinking block of one recorded stream before the text and the two calls of another.

    No recording has both; each event is as it was, but for the numbers of the blocks.
    """
    thoughts = [event for event in recorded(CLAUDE_FETCHES).events if event.get("index") == 0]
    start, *rest = recorded(CLAUDE_TOOLS).events
    moved = [{**event, "index": event["index"] + 1} if "index" in event else event for event in rest]
    events = [start, *thoughts, *moved]
    wire = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
    return made("anthropic", "messages", wire.encode(), streamed=True)


def thinking_block(recording: Recorded) -> dict[str, Any]:
    deltas = [event["delta"] for event in recording.events if event.get("index") == 0 and "delta" in event]
    return {
        "type": "thinking",
        "thinking": "".join(delta.get("thinking", "") for delta in deltas),
        "signature": "".join(delta.get("signature", "") for delta in deltas),
    }


def test_claudes_thinking_and_parallel_calls_go_there_and_back(client: OpenAI, replay: Replay) -> None:
    recording = thinking_then_calls()
    thought = thinking_block(recording)
    assert len(thought["signature"]) > 100
    replay.play(recording, recorded(CLAUDE_THINKS))
    stream = client.chat.completions.create(
        model="anthropic/claude-sonnet-4-0", messages=ASK, tools=TOOLS, stream=True, reasoning_effort="high"
    )
    heard = hear(stream)
    assert replay.asked.json["thinking"]["type"] == "enabled"
    assert heard.reasoning == thought["thinking"]
    assert "".join(detail.get("text", "") for detail in heard.details) == thought["thinking"]
    assert [detail["signature"] for detail in heard.details if detail.get("signature")] == [thought["signature"]]
    assert {detail["format"] for detail in heard.details} == {"anthropic-claude-v1"}
    assert len(heard.calls) == 2
    results = [{"role": "tool", "tool_call_id": call["id"], "content": "fine"} for call in heard.calls.values()]
    reply = client.chat.completions.create(
        model="anthropic/claude-sonnet-4-0",
        messages=[*ASK, heard.message, *results],
        tools=TOOLS,
        reasoning_effort="high",
    )
    message: Any = reply.choices[0].message
    answered = recorded(CLAUDE_THINKS).answer["content"]
    assert message.content == answered[1]["text"]
    assert message.reasoning_content == answered[0]["thinking"]
    assert message.reasoning_details[0]["signature"] == answered[0]["signature"]
    _, assistant, tools = replay.asked.json["messages"]
    assert assistant["content"][0] == thought
    assert [block["type"] for block in assistant["content"]] == ["thinking", "text", "tool_use", "tool_use"]
    assert [block["input"] for block in assistant["content"][2:]] == [value for _, value in CALLED[CLAUDE_TOOLS]]
    assert [block["tool_use_id"] for block in tools["content"]] == [call["id"] for call in heard.calls.values()]


# -- structured output ---------------------------------------------------------------------------------------------


class City(BaseModel):
    city: str
    country: str
    population: int


TOKYO = '{"city":"Tokyo","country":"Japan","population":14000000}'


def test_parsed_output_of_foreign_upstreams(client: OpenAI, replay: Replay) -> None:
    claude = recorded("anthropic/messages-vercel-anthropic-json-output-format-1").answer
    claude["content"] = [{"type": "text", "text": TOKYO}]
    gemini = recorded(GEMINI_TEXT).answer
    gemini["candidates"][0]["content"]["parts"] = [{"text": TOKYO}]
    ollama = recorded("ollama/chat-rig-ollama-agent-max-tokens").answer
    ollama["message"]["content"], ollama["done_reason"] = TOKYO, "stop"
    replay.play(
        made("anthropic", "messages", claude),
        made("google", "generateContent", gemini),
        made("ollama", "chat", ollama),
    )
    schema = City.model_json_schema()["properties"].keys()
    for model in ("anthropic/claude-sonnet-4-5", "google/gemini-2.5-flash", "ollama/qwen3:4b"):
        reply = client.chat.completions.parse(model=model, messages=ASK, response_format=City)
        assert reply.choices[0].message.parsed == City(city="Tokyo", country="Japan", population=14000000)
    asked = [heard.json for heard in replay.heard]
    assert asked[0]["output_config"]["format"]["schema"]["properties"].keys() == schema
    generation = asked[1]["generationConfig"]
    assert (generation.get("responseJsonSchema") or generation["responseSchema"])["properties"].keys() == schema
    assert asked[2]["format"]["properties"].keys() == schema


def test_a_recorded_refusal_is_no_parsed_answer(client: OpenAI, replay: Replay) -> None:
    recording = recorded("openai/chat-otel-openai-parse-async-parsed-refused")
    replay.play(recording)
    message = (
        client.chat.completions.parse(model="openai/gpt-4o", messages=ASK, response_format=City).choices[0].message
    )
    assert message.parsed is None
    assert message.refusal == recording.answer["choices"][0]["message"]["refusal"]


# -- Responses over whoever ----------------------------------------------------------------------------------------

RESPONSE_TOOLS: Any = [
    {"type": "function", "strict": False, **{key: tool["function"][key] for key in ("name", "parameters")}}
    for tool in TOOLS
]


def test_a_response_over_gemini_goes_on_from_the_one_before(client: OpenAI, replay: Replay) -> None:
    recording = recorded(GEMINI_CALLS)
    replay.play(recording, recorded(GEMINI_TEXT))
    first = client.responses.create(model="google/gemini-2.5-flash", input="Weather in Berlin?", tools=RESPONSE_TOOLS)
    calls = [item for item in first.output if item.type == "function_call"]
    assert [(call.name, json.loads(call.arguments)) for call in calls] == [
        ("weather", {"latitude": "52.5200", "longitude": "13.4050"}),
        ("best_language_to_learn", {}),
    ]
    results: Any = [{"type": "function_call_output", "call_id": call.call_id, "output": "fine"} for call in calls]
    second = client.responses.create(
        model="google/gemini-2.5-flash", input=results, tools=RESPONSE_TOOLS, previous_response_id=first.id
    )
    assert second.output_text == words_of(recorded(GEMINI_TEXT))
    assert second.previous_response_id == first.id
    asked, called, answered = replay.asked.json["contents"]
    assert asked["parts"] == [{"text": "Weather in Berlin?"}]
    signature = recording.answer["candidates"][0]["content"]["parts"][0]["thoughtSignature"]
    assert called["parts"][0]["thoughtSignature"] == signature
    assert [part["functionResponse"]["name"] for part in answered["parts"]] == ["weather", "best_language_to_learn"]


def test_a_streamed_response_over_claude_with_thinking_and_calls(client: OpenAI, replay: Replay) -> None:
    recording = thinking_then_calls()
    replay.play(recording, recorded(CLAUDE_THINKS))
    with client.responses.stream(
        model="anthropic/claude-sonnet-4-0", input="Weather?", tools=RESPONSE_TOOLS, reasoning={"effort": "high"}
    ) as stream:
        events = list(stream)
        first = stream.get_final_response()
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[0].type == "response.created"
    assert events[-1].type == "response.completed"
    assert [item.type for item in first.output] == ["reasoning", "message", "function_call", "function_call"]
    results: Any = [
        {"type": "function_call_output", "call_id": item.call_id, "output": "fine"}
        for item in first.output
        if item.type == "function_call"
    ]
    second = client.responses.create(
        model="anthropic/claude-sonnet-4-0",
        input=results,
        tools=RESPONSE_TOOLS,
        reasoning={"effort": "high"},
        previous_response_id=first.id,
    )
    assert second.output_text == recorded(CLAUDE_THINKS).answer["content"][1]["text"]
    _, assistant, tools = replay.asked.json["messages"]
    assert assistant["content"][0] == thinking_block(recording)
    assert [block["type"] for block in tools["content"]] == ["tool_result", "tool_result"]


async def test_a_streamed_response_over_openai_passes_through_under_trio(
    async_client: AsyncOpenAI, replay: Replay
) -> None:
    recording = recorded("openai/responses-stream-rubyllm-function-calling")
    replay.play(recording)
    stream = await async_client.responses.create(
        model="openai/gpt-5-nano", input="Weather?", tools=RESPONSE_TOOLS, stream=True
    )
    events = [event async for event in stream]
    assert [event.type for event in events] == [event["type"] for event in recording.events]


def test_a_response_over_a_chat_only_upstream(client: OpenAI, replay: Replay) -> None:
    replay.play(recorded("mistral/chat-rubyllm-function-calling-mistral-small-latest-can-use-parallel"))
    reply = client.responses.create(model="mistral/mistral-small-latest", input="Weather?", tools=RESPONSE_TOOLS)
    assert [item.type for item in reply.output] == ["function_call", "function_call"]


# -- embeddings ----------------------------------------------------------------------------------------------------


def floats(vector: str | list[float]) -> list[float]:
    if not isinstance(vector, str):
        return vector
    data = b64decode(vector)
    return list(struct.unpack(f"<{len(data) // 4}f", data))


@pytest.mark.parametrize("asked_as", [{}, {"encoding_format": "float"}, {"encoding_format": "base64"}], ids=str)
def test_embeddings_of_every_upstream(client: OpenAI, replay: Replay, asked_as: Any) -> None:
    """The SDK asks for base64 where its user asks for nothing, and unpacks it."""
    gemini, mistral = recorded("gemini/embeddings-rubyllm"), recorded("mistral/embeddings-otel")
    ollama = {"model": "m", "embeddings": [[0.5, -0.25]], "prompt_eval_count": 2}
    replay.play(gemini, mistral, made("ollama", "embed", ollama))
    expected = {
        "google/gemini-embedding-2": gemini.answer["embeddings"][0]["values"],
        "mistral/mistral-embed": mistral.answer["data"][0]["embedding"],
        "ollama/all-minilm": [0.5, -0.25],
    }
    for model, vector in expected.items():
        reply = client.embeddings.create(model=model, input="Ruby is a programmer's best friend", **asked_as)
        assert floats(reply.data[0].embedding) == pytest.approx(vector, rel=1e-6)
        assert reply.data[0].index == 0
    assert [heard.target.rpartition("/")[2] for heard in replay.heard][1:] == ["embeddings", "embed"]


def test_openais_base64_embeddings_pass_through(client: OpenAI, replay: Replay) -> None:
    recording = recorded("openai/embeddings-envoy-embeddings-dimensions")
    replay.play(recording)
    reply = client.embeddings.create(model="openai/text-embedding-3-small", input="Generate", dimensions=256)
    assert reply.data[0].embedding == floats(recording.answer["data"][0]["embedding"])


# -- sound ---------------------------------------------------------------------------------------------------------

WAV = b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0\x40\x1f\0\0\x80\x3e\0\0\2\0\x10\0data\0\0\0\0"


def test_transcriptions_of_openai_and_whisper_cpp(client: OpenAI, replay: Replay) -> None:
    openais = recorded("openai/transcriptions-rubyllm")
    whispers = recorded("whispercpp/transcriptions-doc-json")
    replay.play(openais, whispers)
    first = client.audio.transcriptions.create(model="openai/whisper-1", file=("a.wav", WAV, "audio/wav"))
    assert first.text == openais.answer["text"]
    assert WAV in replay.asked.body
    second = client.audio.transcriptions.create(model="whisper/whisper-1", file=("a.wav", WAV, "audio/wav"))
    assert second.text == whispers.answer["text"].replace("\n", "").strip()
    assert WAV in replay.asked.body


def test_a_verbose_transcription_of_whisper_cpp(client: OpenAI, replay: Replay) -> None:
    recording = recorded("whispercpp/transcriptions-doc-verbose-json")
    replay.play(recording)
    reply = client.audio.transcriptions.create(
        model="whisper/whisper-1", file=("a.wav", WAV, "audio/wav"), response_format="verbose_json"
    )
    assert reply.text == recording.answer["text"].replace("\n", "").strip()
    assert reply.segments


def test_a_streamed_transcription(client: OpenAI, replay: Replay) -> None:
    recording = recorded("openai/transcriptions-stream-rubyllm")
    replay.play(recording)
    stream = client.audio.transcriptions.create(
        model="openai/gpt-4o-transcribe", file=("a.wav", WAV, "audio/wav"), stream=True
    )
    assert [event.type for event in stream] == [event["type"] for event in recording.events]


def test_speech_is_sound_byte_for_byte(client: OpenAI, replay: Replay, tmp_path: Path) -> None:
    recording = recorded("openai/speech-rubyllm")
    replay.play(recording, recording)
    reply = client.audio.speech.create(model="openai/gpt-4o-mini-tts", voice="alloy", input="Salam.")
    assert reply.content == recording.response
    with client.audio.speech.with_streaming_response.create(
        model="openai/gpt-4o-mini-tts", voice="alloy", input="Salam."
    ) as streamed:
        streamed.stream_to_file(tmp_path / "said.mp3")
    assert (tmp_path / "said.mp3").read_bytes() == recording.response


# -- models --------------------------------------------------------------------------------------------------------


def test_the_models_of_all_providers_are_one_list(client: OpenAI, replay: Replay) -> None:
    models = {model.id: model for model in client.models.list()}
    assert {"gpt-5-nano", "claude-sonnet-4-5", "gemini-2.5-flash"} <= models.keys()
    assert len(models) > 20
    assert client.models.retrieve("claude-sonnet-4-5").owned_by == models["claude-sonnet-4-5"].owned_by == "anthropic"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("no/such-model")


# -- errors --------------------------------------------------------------------------------------------------------


def test_a_wrong_key_is_an_authentication_error(across: Gateway) -> None:
    with OpenAI(base_url=across.base_url, api_key="sk-wrong", max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError) as caught:
            client.chat.completions.create(model="openai/gpt-5-nano", messages=ASK)
        assert caught.value.code == "invalid_api_key"


@pytest.mark.parametrize(
    "name",
    [
        "anthropic/messages-pydai-model-name-suggestions",
        "ollama/ollama_chat-doc-model-not-found-404",
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_model_that_the_upstream_lacks_is_not_found(client: OpenAI, replay: Replay, name: str, stream: bool) -> None:
    recording = recorded(name)
    replay.play(recording)
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model=f"{recording.provider}/no-such", messages=ASK, stream=stream)


def test_a_model_that_nobody_has_is_not_found(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="no-such-model", messages=ASK)
    assert caught.value.code == "model_not_found"


LIMITED = [
    "openai/chat-doc-rate-limit-429",
    "anthropic/messages-doc-rate-limit-429",
    "groq/chat-doc-rate-limit-429",
    "mistral/chat-doc-rate-limit-429",
    "gemini/generateContent-vercel-google-429-retry-info",
]


@pytest.mark.parametrize("name", LIMITED)
@pytest.mark.parametrize("stream", [False, True])
def test_too_many_requests_is_a_rate_limit_error_that_says_when(
    client: OpenAI, replay: Replay, name: str, stream: bool
) -> None:
    recording = recorded(name)
    if recording.action == "generateContent" and stream:
        recording = made("google", "streamGenerateContent", recording.response, status=429)
    replay.play(recording)
    with pytest.raises(openai.RateLimitError) as caught:
        client.chat.completions.create(model=some_model(recording.provider), messages=ASK, stream=stream)
    after = caught.value.response.headers.get("retry-after")
    if (told := recording.headers.get("retry-after")) is not None:
        assert after == told
    elif recording.provider == "google":
        assert int(after or 0) > 0  # it stands in the body only
    assert UPSTREAM_KEY not in str(caught.value)


@pytest.mark.parametrize("stream", [False, True])
def test_a_prompt_that_is_too_long_has_openais_code(client: OpenAI, replay: Replay, stream: bool) -> None:
    ollamas = recorded("ollama/chat-rubyllm-real-error-scenarios-ollama-cloud").response
    for recording in (
        recorded("anthropic/messages-rubyllm-real-error-scenarios"),
        made("ollama", "chat", {"error": json.loads(ollamas)["error"]["message"]}, status=400),
    ):
        replay.play(recording)
        with pytest.raises(openai.BadRequestError) as caught:
            client.chat.completions.create(model=some_model(recording.provider), messages=ASK, stream=stream)
        assert caught.value.code == "context_length_exceeded"


BREAKS = [
    "anthropic/messages-stream-doc-overloaded-mid-stream",
    "groq/chat-stream-pydai-groq-tool-use-failed-error-streaming-1of3",
    "ollama/ollama_chat-stream-doc-error-mid-stream",
]


@pytest.mark.parametrize("name", BREAKS)
def test_a_stream_that_breaks_raises(client: OpenAI, replay: Replay, name: str) -> None:
    """With a status where nothing has been sent on by then, else in the middle."""
    recording = recorded(name)
    replay.play(recording)
    heard = Heard()

    def ask() -> None:
        hear(client.chat.completions.create(model=f"{recording.provider}/m", messages=ASK, stream=True), heard)

    with pytest.raises(openai.APIError):
        ask()
    assert heard.finish is None


def test_a_stream_that_breaks_after_many_words_raises_in_the_middle(client: OpenAI, replay: Replay) -> None:
    replay.play(breaks_late(recorded(BREAKS[1])))
    stream = client.chat.completions.create(model="groq/openai/gpt-oss-120b", messages=ASK, stream=True)
    heard = Heard()
    with pytest.raises(openai.APIError, match="tool"):
        hear(stream, heard)
    assert heard.reasoning
    assert heard.finish is None


async def test_errors_are_the_same_asynchronously(async_client: AsyncOpenAI, replay: Replay) -> None:
    replay.play(recorded("anthropic/messages-doc-overloaded-529"))
    with pytest.raises(openai.InternalServerError) as caught:
        await async_client.chat.completions.create(model="anthropic/claude-sonnet-4-5", messages=ASK)
    assert caught.value.status_code in (503, 529)
