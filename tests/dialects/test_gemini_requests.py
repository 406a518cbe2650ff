"""What Gemini is asked: paths, contents, tools, settings, and what is refused."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw
from msgspec.structs import replace

from hoosh.dialects.gemini import GeminiUpstream
from hoosh.dialects.gemini.contents import NO_SIGNATURE
from hoosh.errors import InvalidRequest
from hoosh.testing.chats import chat_requests
from hoosh.testing.contracts import REQUESTS, check_dialect
from hoosh.values import (
    AudioPart,
    ChatRequest,
    DataSource,
    Effort,
    EmbeddingRequest,
    FilePart,
    FileSource,
    ImagePart,
    JsonFormat,
    Message,
    OpaquePart,
    Part,
    Reasoning,
    ReasoningPart,
    RefusalPart,
    Role,
    Sampling,
    SchemaFormat,
    TextPart,
    Tool,
    ToolCallPart,
    ToolChoice,
    ToolMode,
    ToolResultPart,
    UrlSource,
)

GEMINI = GeminiUpstream(now=lambda: 0.0)
PNG = DataSource("image/png", "iVBORw0KGgo=")
SCHEMA = Raw(b'{"type":"object","properties":{"x":{"const":"a"}},"additionalProperties":false}')
TOOLS = (Tool("f", "does f", SCHEMA), Tool("g"))


def says(role: Role, *parts: Part | str) -> Message:
    return Message(role, tuple(TextPart(part) if isinstance(part, str) else part for part in parts))


def user(*parts: Part | str) -> Message:
    return says(Role.USER, *parts)


def model(*parts: Part | str) -> Message:
    return says(Role.ASSISTANT, *parts)


def answers(call_id: str, *parts: Any, **more: Any) -> Message:
    return Message(Role.TOOL, (ToolResultPart(call_id, parts, **more),))


def body(request: ChatRequest, name: str = "gemini-2.5-flash") -> Any:
    return json.loads(GEMINI.encode_chat(request, model=name).body)


def contents(*messages: Message, name: str = "gemini-2.5-flash") -> Any:
    return body(ChatRequest("m", messages), name)["contents"]


def test_it_keeps_the_contract_of_every_upstream() -> None:
    check_dialect(GeminiUpstream)


# -- paths -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("gemini-2.5-flash", "/v1beta/models/gemini-2.5-flash:generateContent"),
        ("models/gemini-2.5-flash", "/v1beta/models/gemini-2.5-flash:generateContent"),
        ("tunedModels/mine-1", "/v1beta/tunedModels/mine-1:generateContent"),
        ("../files/x?y#z", "/v1beta/models/..%2Ffiles%2Fx%3Fy%23z:generateContent"),
        ("a:countTokens", "/v1beta/models/a%3AcountTokens:generateContent"),
    ],
)
def test_a_models_name_is_one_segment_of_the_path(name: str, path: str) -> None:
    assert GEMINI.encode_chat(ChatRequest("m", (user("hi"),)), model=name).path == path


@given(st.text())
def test_no_name_leads_to_another_path(name: str) -> None:
    try:
        path = GEMINI.encode_chat(ChatRequest("m", (user("hi"),), stream=True), model=name).path
    except InvalidRequest:
        return
    parts = urlsplit(path)
    assert parts.path.count("/") == 3
    assert parts.path.endswith(":streamGenerateContent")
    assert (parts.query, parts.fragment) == ("alt=sse", "")
    assert path.isascii()
    assert path.isprintable()


def test_the_key_goes_into_a_header_and_nowhere_else() -> None:
    assert GEMINI.auth("secret") == [(b"x-goog-api-key", b"secret")]


# -- contents ----------------------------------------------------------------------------------------------------


def test_system_messages_come_first_or_stay_where_they_were_said() -> None:
    request = ChatRequest(
        "m",
        (says(Role.SYSTEM, "a"), says(Role.DEVELOPER, "b"), user("c"), model("d"), says(Role.SYSTEM, "e"), user("f")),
    )
    assert body(request) == {
        "systemInstruction": {"parts": [{"text": "a"}, {"text": "b"}]},
        "contents": [
            {"role": "user", "parts": [{"text": "c"}]},
            {"role": "model", "parts": [{"text": "d"}]},
            {"role": "user", "parts": [{"text": "e"}, {"text": "f"}]},
        ],
    }


def test_a_system_prompt_alone_is_asked_like_a_question() -> None:
    assert body(ChatRequest("m", (says(Role.SYSTEM, "a"),))) == {
        "contents": [{"role": "user", "parts": [{"text": "a"}]}]
    }


@pytest.mark.parametrize("messages", [(), (user(),), (user(""),)])
def test_nothing_to_answer_is_refused(messages: tuple[Message, ...]) -> None:
    with pytest.raises(InvalidRequest) as refused:
        body(ChatRequest("m", messages))
    assert refused.value.param == "messages"


@pytest.mark.parametrize(
    ("part", "written"),
    [
        (ImagePart(PNG), {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}}),
        (ImagePart(DataSource("", "/9j/4AAQ")), {"inlineData": {"mimeType": "image/jpeg", "data": "/9j/4AAQ"}}),
        (FilePart(DataSource("", "JVBERi0x")), {"inlineData": {"mimeType": "application/pdf", "data": "JVBERi0x"}}),
        (AudioPart("UklG", "wav"), {"inlineData": {"mimeType": "audio/wav", "data": "UklG"}}),
        (FilePart(FileSource("files/abc")), "https://generativelanguage.googleapis.com/v1beta/files/abc"),
        (FilePart(UrlSource("https://youtu.be/9hE5-98ZeCg")), "https://youtu.be/9hE5-98ZeCg"),
        (FilePart(UrlSource("gs://bucket/file")), "gs://bucket/file"),
        (
            FilePart(UrlSource("gs://bucket/file.PDF")),
            {"fileData": {"fileUri": "gs://bucket/file.PDF", "mimeType": "application/pdf"}},
        ),
        (RefusalPart("no"), {"text": "no"}),
        (OpaquePart("gemini", "toolCall", Raw(b'{"toolCall":{"id":"1"}}')), {"toolCall": {"id": "1"}}),
    ],
)
def test_a_part_is_written_as(part: Part, written: Any) -> None:
    expected = {"fileData": {"fileUri": written}} if isinstance(written, str) else written
    assert contents(user(part)) == [{"role": "user", "parts": [expected]}]


@pytest.mark.parametrize(
    "part",
    [
        ImagePart(UrlSource("https://example.com/a.png")),
        ImagePart(UrlSource("https://example.com/?https://youtu.be/x")),
        ImagePart(FileSource("file-abc123")),
        ImagePart(DataSource("", "AAAA")),
        OpaquePart("anthropic", "document", Raw(b"{}")),
        ToolResultPart("no such call", (TextPart("x"),)),
    ],
)
def test_a_part_that_google_cannot_read_is_refused(part: Part) -> None:
    with pytest.raises(InvalidRequest) as refused:
        contents(user(part))
    assert refused.value.param == "messages"


def test_calls_and_results_travel_with_names_ids_and_signatures() -> None:
    said = contents(
        user("go"),
        model(
            "sure",
            ToolCallPart("c1", "f", '{"n": 12345678901234567890}', signature="S1"),
            ToolCallPart("c2", "g", ""),
        ),
        answers("c1", TextPart('{"t": 1}')),
        answers("c2", TextPart("21"), TextPart("C"), is_error=True),
    )
    assert said[1:] == [
        {
            "role": "model",
            "parts": [
                {"text": "sure"},
                {
                    "functionCall": {"id": "c1", "name": "f", "args": {"n": 12345678901234567890}},
                    "thoughtSignature": "S1",
                },
                {"functionCall": {"id": "c2", "name": "g", "args": {}}},
            ],
        },
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"id": "c1", "name": "f", "response": {"t": 1}}},
                {"functionResponse": {"id": "c2", "name": "g", "response": {"error": "21\nC"}}},
            ],
        },
    ]


@pytest.mark.parametrize(("written", "args"), [('{"a": tr', {"arguments": '{"a": tr'}), ("[1]", {"arguments": "[1]"})])
def test_arguments_that_are_no_object_are_kept_as_text(written: str, args: Any) -> None:
    said = contents(user("x"), model(ToolCallPart("c", "f", written)))
    assert said[1]["parts"][0]["functionCall"]["args"] == args


@pytest.mark.parametrize("text", ["plain", "[1, 2]", '{"cut": ', "12"])
def test_a_result_that_is_no_object_is_wrapped(text: str) -> None:
    said = contents(answers("c", TextPart(text), name="f"))
    assert said[0]["parts"][0]["functionResponse"]["response"] == {"result": text}


def test_images_of_a_result_lie_inside_it_from_gemini_3_on_and_behind_it_before() -> None:
    message = answers("c", TextPart("ok"), ImagePart(PNG), name="f")
    image = {"inlineData": {"mimeType": "image/png", "data": PNG.base64}}
    response = {"id": "c", "name": "f", "response": {"result": "ok"}}
    assert contents(message)[0]["parts"] == [{"functionResponse": response}, image]
    assert contents(message, name="gemini-3-flash")[0]["parts"] == [
        {"functionResponse": {**response, "parts": [image]}}
    ]


SEAL = ReasoningPart(signature="S", origin="gemini")
THOUGHT = ReasoningPart("t", "S", origin="gemini")


@pytest.mark.parametrize(
    ("parts", "written"),
    [
        (("a", SEAL), [{"text": "a", "thoughtSignature": "S"}]),
        ((SEAL, "a"), [{"text": "a", "thoughtSignature": "S"}]),
        ((SEAL,), [{"text": "", "thoughtSignature": "S"}]),
        ((THOUGHT, "a"), [{"text": "t", "thought": True, "thoughtSignature": "S"}, {"text": "a"}]),
        ((ReasoningPart("t", origin="gemini"), "a"), [{"text": "a"}]),
        ((ReasoningPart("t", "S", origin="anthropic"), "a"), [{"text": "a"}]),
        ((OpaquePart("anthropic", "server_tool_use", Raw(b"{}")), "a"), [{"text": "a"}]),
        (("a", SEAL, "b"), [{"text": "a", "thoughtSignature": "S"}, {"text": "b"}]),
    ],
)  # fmt: skip
def test_signatures_return_to_their_part_and_foreign_thoughts_stay_out(parts: Any, written: Any) -> None:
    assert contents(user("x"), model(*parts))[1]["parts"] == written


def calls_signed(messages: list[Message], name: str) -> list[Any]:
    found = contents(*messages, name=name)
    return [part.get("thoughtSignature") for one in found for part in one["parts"] if "functionCall" in part]


def test_gemini_3_is_told_where_a_signature_of_the_current_turn_is_missing() -> None:
    def step(call_id: str, signature: str = "") -> list[Message]:
        calls = (ToolCallPart(call_id, "f", "{}", signature), ToolCallPart(call_id + "b", "f", "{}"))
        return [model(*calls), answers(call_id, TextPart("1")), answers(call_id + "b", TextPart("2"))]

    messages = [user("1"), *step("a"), model("done"), user("2"), *step("b"), *step("c", "S")]
    expected = [None, None, NO_SIGNATURE, None, "S", None]
    for name in ("gemini-3-pro-preview", "gemini-3.1-flash-lite", "models/gemini-flash-latest"):
        assert calls_signed(messages, name) == expected
    for name in ("gemini-2.5-pro", "gemini-2.0-flash", "gemma-3-27b-it", "tunedModels/x"):
        assert calls_signed(messages, name) == [None, None, None, None, "S", None]


# -- tools and settings ------------------------------------------------------------------------------------------


def test_schemas_go_as_they_are_to_models_that_read_them() -> None:
    schema = json.loads(bytes(SCHEMA))
    schema["properties"]["x"] = {"enum": ["a"]}
    request = ChatRequest("m", (user("x"),), tools=TOOLS, reply_format=SchemaFormat(SCHEMA))
    new, old = body(request, "gemini-2.0-flash"), body(request, "gemini-1.5-pro")
    subset = {"type": "object", "properties": {"x": {"type": "string", "enum": ["a"]}}}
    assert new["tools"] == [
        {
            "functionDeclarations": [
                {"name": "f", "description": "does f", "parametersJsonSchema": schema},
                {"name": "g"},
            ]
        }
    ]
    assert old["tools"][0]["functionDeclarations"][0]["parameters"] == subset
    assert new["generationConfig"] == {"responseMimeType": "application/json", "responseJsonSchema": schema}
    assert old["generationConfig"] == {"responseMimeType": "application/json", "responseSchema": subset}


def test_any_json_is_a_media_type() -> None:
    request = ChatRequest("m", (user("x"),), reply_format=JsonFormat())
    assert body(request)["generationConfig"] == {"responseMimeType": "application/json"}


@pytest.mark.parametrize(
    ("choice", "config"),
    [
        (None, None),
        (ToolChoice(ToolMode.AUTO), {"mode": "AUTO"}),
        (ToolChoice(ToolMode.NONE), {"mode": "NONE"}),
        (ToolChoice(ToolMode.REQUIRED), {"mode": "ANY"}),
        (ToolChoice(ToolMode.NAMED, "f"), {"mode": "ANY", "allowedFunctionNames": ["f"]}),
        (ToolChoice(ToolMode.REQUIRED, allowed=("f",)), {"mode": "ANY", "allowedFunctionNames": ["f"]}),
        (ToolChoice(ToolMode.AUTO, allowed=("f",)), {"mode": "VALIDATED", "allowedFunctionNames": ["f"]}),
    ],
)
def test_a_tool_choice_is_a_mode(choice: ToolChoice | None, config: Any) -> None:
    said = body(ChatRequest("m", (user("x"),), tools=TOOLS, tool_choice=choice))
    assert said.get("toolConfig") == (config and {"functionCallingConfig": config})


def test_strict_tools_are_validated() -> None:
    said = body(ChatRequest("m", (user("x"),), tools=(Tool("f", strict=True),)))
    assert said["toolConfig"] == {"functionCallingConfig": {"mode": "VALIDATED"}}


def test_sampling_is_told_in_googles_words() -> None:
    sampling = Sampling(0.5, 0.9, 40, 0.1, 7, ("a", "", "b"), 0.1, 0.2, 64)
    assert body(ChatRequest("m", (user("x"),), sampling=sampling, user="me")) == {
        "contents": [{"role": "user", "parts": [{"text": "x"}]}],
        "generationConfig": {
            "temperature": 0.5,
            "topP": 0.9,
            "topK": 40,
            "seed": 7,
            "stopSequences": ["a", "b"],
            "presencePenalty": 0.1,
            "frequencyPenalty": 0.2,
            "maxOutputTokens": 64,
        },
    }


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"sampling": Sampling(n=2)}, "n"),
        ({"sampling": Sampling(logprobs=True)}, "logprobs"),
        ({"sampling": Sampling(stop=tuple("abcdef"))}, "stop"),
        ({"tools": (Tool("f", parameters=Raw(b"[1]")),)}, "tools"),
        ({"reply_format": SchemaFormat(Raw(b"3"))}, "response_format"),
        ({"messages": (user("\ud800"),)}, "messages"),
    ],
)
def test_what_gemini_cannot_do_is_refused_by_name(change: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        body(replace(ChatRequest("m", (user("x"),)), **change))
    assert refused.value.param == param


LEVEL, BUDGET = "thinkingLevel", "thinkingBudget"


@pytest.mark.parametrize(
    ("name", "reasoning", "config"),
    [
        ("gemini-3-flash", Reasoning(Effort.NONE), {LEVEL: "minimal"}),
        ("gemini-3-flash", Reasoning(enabled=False), {LEVEL: "minimal"}),
        ("gemini-3.1-pro", Reasoning(Effort.MINIMAL), {LEVEL: "low", "includeThoughts": True}),
        ("gemini-3.1-pro", Reasoning(Effort.MEDIUM), {LEVEL: "medium", "includeThoughts": True}),
        ("gemini-3-pro-preview", Reasoning(Effort.MEDIUM), {LEVEL: "high", "includeThoughts": True}),
        ("gemini-flash-latest", Reasoning(Effort.XHIGH, 99), {LEVEL: "high", "includeThoughts": True}),
        ("gemini-3-flash", Reasoning(budget_tokens=99), {BUDGET: 99, "includeThoughts": True}),
        ("gemini-3-flash", Reasoning(enabled=True), {"includeThoughts": True}),
        ("gemini-2.5-flash", Reasoning(summary="auto"), {"includeThoughts": True}),
        ("gemini-2.5-flash", Reasoning(Effort.NONE), {BUDGET: 0}),
        ("gemini-2.5-flash", Reasoning(Effort.LOW), {BUDGET: 1024, "includeThoughts": True}),
        ("gemini-2.5-flash", Reasoning(Effort.MAX), {BUDGET: 24576, "includeThoughts": True}),
        ("gemini-2.5-flash", Reasoning(enabled=True), {BUDGET: -1, "includeThoughts": True}),
        ("gemini-2.5-flash-lite", Reasoning(budget_tokens=9), {BUDGET: 512, "includeThoughts": True}),
        ("gemini-2.5-pro", Reasoning(Effort.NONE), {BUDGET: 128}),
        ("gemini-2.5-pro", Reasoning(Effort.HIGH, 99999), {BUDGET: 32768, "includeThoughts": True}),
        ("gemini-2.5-pro", Reasoning(), None),
        ("gemini-2.0-flash", Reasoning(Effort.HIGH), None),
        ("gemma-3-27b-it", Reasoning(Effort.HIGH), None),
    ],
)
def test_reasoning_is_what_the_model_knows(name: str, reasoning: Reasoning, config: Any) -> None:
    said = body(ChatRequest("m", (user("x"),), reasoning=reasoning), name)
    assert said.get("generationConfig", {}).get("thinkingConfig") == config


# -- the other questions -----------------------------------------------------------------------------------------


def test_tokens_are_counted_of_the_whole_prompt() -> None:
    request = replace(REQUESTS["sampling"], tools=TOOLS)
    outgoing = GEMINI.encode_token_count(request, model="models/gemini-3-flash")
    counted = json.loads(outgoing.body)["generateContentRequest"]
    assert outgoing.path == "/v1beta/models/gemini-3-flash:countTokens"
    assert set(counted) == {"model", "contents", "tools"}
    assert counted["model"] == "models/gemini-3-flash"


def test_every_input_is_embedded_apart() -> None:
    outgoing = GEMINI.encode_embeddings(EmbeddingRequest("m", ("a", "b"), dimensions=8), model="e")
    one = {"model": "models/e", "content": {"parts": [{"text": "a"}]}, "outputDimensionality": 8}
    assert outgoing.path == "/v1beta/models/e:batchEmbedContents"
    assert json.loads(outgoing.body)["requests"] == [one, {**one, "content": {"parts": [{"text": "b"}]}}]
    with pytest.raises(InvalidRequest):
        GEMINI.encode_embeddings(EmbeddingRequest("m", ((1, 2),)), model="e")


TEXTS = st.text(max_size=20)
PARTS = st.one_of(
    st.builds(TextPart, TEXTS),
    st.builds(ReasoningPart, TEXTS, TEXTS, TEXTS, st.sampled_from(["", "gemini", "anthropic"])),
    st.builds(ToolCallPart, TEXTS, TEXTS, TEXTS | st.just('{"a":1}'), TEXTS),
    st.builds(ToolResultPart, TEXTS, st.tuples(st.builds(TextPart, TEXTS)), TEXTS, st.booleans()),
    st.builds(
        ImagePart, st.builds(DataSource, TEXTS, TEXTS) | st.builds(UrlSource, TEXTS) | st.builds(FileSource, TEXTS)
    ),
    st.builds(AudioPart, TEXTS, TEXTS),
    st.builds(OpaquePart, st.sampled_from(["gemini", "x"]), TEXTS, st.binary(max_size=9).map(Raw)),
)
CHATS = st.builds(
    ChatRequest,
    TEXTS,
    st.lists(st.builds(Message, st.sampled_from(Role), st.lists(PARTS, max_size=4).map(tuple)), max_size=5).map(tuple),
    stream=st.booleans(),
    tools=st.lists(st.builds(Tool, TEXTS, TEXTS, st.just(SCHEMA) | st.binary(max_size=9).map(Raw)), max_size=2).map(
        tuple
    ),
    reasoning=st.none() | st.builds(Reasoning, st.sampled_from(Effort) | st.none(), st.none() | st.integers(-1, 10**6)),
)


@given(CHATS, st.sampled_from(["gemini-1.5-pro", "gemini-2.5-flash", "gemini-3-pro", "x"]))
def test_any_chat_is_a_json_object_or_an_invalid_request(chat: ChatRequest, name: str) -> None:
    try:
        said = body(chat, name)
    except InvalidRequest:
        return
    roles = [content["role"] for content in said["contents"]]
    assert roles
    assert all(one != other for one, other in pairwise(roles))
    assert all(content["parts"] for content in said["contents"])


def told(request: ChatRequest) -> list[Any]:
    """Texts, calls and results of a chat, in their order."""
    found: list[Any] = []
    for part in [part for message in request.messages for part in message.parts]:
        match part:
            case TextPart(text=text) if text:
                found.append(text)
            case ToolCallPart():
                found.append((part.id, part.name, json.loads(part.arguments or "{}")))
            case ToolResultPart():
                found.append((part.call_id, part.is_error))
    return found


@given(chat_requests(images=False), st.sampled_from(["gemini-1.5-pro", "gemini-2.5-flash", "gemini-3-pro"]))
def test_a_sound_chat_keeps_its_words_calls_and_order(chat: ChatRequest, name: str) -> None:
    try:
        said = body(chat, name)
    except InvalidRequest as refused:
        if refused.param in ("n", "logprobs", "stop"):
            return
        raise
    heard: list[Any] = []
    for part in [
        *said.get("systemInstruction", {"parts": ()})["parts"],
        *(p for c in said["contents"] for p in c["parts"]),
    ]:
        if part.get("text") and not part.get("thought"):
            heard.append(part["text"])
        elif call := part.get("functionCall"):
            heard.append((call["id"], call["name"], call["args"]))
        elif result := part.get("functionResponse"):
            heard.append((result["id"], "error" in result["response"]))
    assert heard == told(chat)
