"""What Gemini answers, in forms that the recordings do not show, and in forms that nobody should send."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hoosh.codec.sse import EventTooLarge
from hoosh.dialects.contract import Ending
from hoosh.dialects.gemini import GeminiUpstream
from hoosh.dialects.gemini.decoder import GeminiDecoder
from hoosh.dialects.replies import fold
from hoosh.errors import UpstreamBroke, UpstreamError
from hoosh.testing.contracts import Sample, check_dialect
from hoosh.values import (
    Annotation,
    CallSaid,
    Capability,
    ChatReply,
    Finished,
    FinishReason,
    MediaOutput,
    OpaqueOutput,
    ReasoningSaid,
    ReplyEvent,
    TextSaid,
    Usage,
)

GEMINI = GeminiUpstream(now=lambda: 0.0)


def answer(*parts: Any, word: str | None = "STOP", **more: Any) -> dict[str, Any]:
    candidate = {"content": {"parts": list(parts), "role": "model"}, **more}
    return {"candidates": [candidate | ({"finishReason": word} if word else {})]}


def whole(value: Any) -> ChatReply:
    return GEMINI.decode_chat(json.dumps(value).encode(), provider="g")


def events(*values: Any, line_end: str = "\r\n") -> bytes:
    return "".join(f"data: {json.dumps(value)}{line_end * 2}" for value in values).encode()


def stream(*pieces: bytes) -> tuple[list[ReplyEvent], Ending, UpstreamError | None]:
    decoder = GEMINI.chat_decoder(provider="g")
    got = [event for piece in pieces for event in decoder.feed(piece)]
    rest, ending = decoder.close()
    return [*got, *rest], ending, decoder.error


CALL = {"functionCall": {"name": "f", "args": {"a": 1}, "id": "c1"}, "thoughtSignature": "S"}
COUNTED = {"usageMetadata": {"promptTokenCount": 7, "candidatesTokenCount": 5, "thoughtsTokenCount": 4}}
SAMPLES = [
    Sample(
        ChatReply(
            (
                ReasoningSaid("hm"),
                TextSaid("Salâm"),
                ReasoningSaid(signature="T", origin="gemini"),
                CallSaid("c1", "f", '{"a": 1}', "S"),
            ),
            Finished(FinishReason.TOOL_CALLS, "STOP"),
            Usage(7, 9, reasoning_tokens=4),
        ),
        stream=events(
            answer({"text": "hm", "thought": True}, word=None),
            answer({"text": "Sal"}, word=None) | {"usageMetadata": {"promptTokenCount": 7, "thoughtsTokenCount": 4}},
            answer({"text": "âm"}, {"text": "", "thoughtSignature": "T"}, word=None),
            answer(CALL) | COUNTED,
        ),
        whole=json.dumps(
            answer({"text": "hm", "thought": True}, {"text": "Salâm", "thoughtSignature": "T"}, CALL) | COUNTED
        ).encode(),
    )
]


def test_it_keeps_the_contract_with_what_google_sends() -> None:
    check_dialect(GeminiUpstream, SAMPLES)


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        *((word, "content_filter") for word in ("SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII")),
        ("LANGUAGE", "content_filter"),
        ("IMAGE_SAFETY", "content_filter"),
        ("OTHER", "stop"),
        ("SOMETHING_NEW", "stop"),
    ],
)
def test_a_finish_word_is_a_reason(word: str, reason: str) -> None:
    assert whole(answer({"text": "x"}, word=word)).finish == Finished(FinishReason(reason), word)


@pytest.mark.parametrize("word", ["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "MALFORMED_RESPONSE"])
def test_a_call_that_went_wrong_is_an_error_and_no_answer(word: str) -> None:
    value = answer(word=word, finishMessage="Malformed function call: print(")
    with pytest.raises(UpstreamBroke, match="Malformed function call") as error:
        whole(value)
    assert error.value.code == word.lower()
    got, ending, failed = stream(events(answer({"text": "x"}, word=None), value))
    assert ending is Ending.FAILED
    assert str(failed) == "Malformed function call: print("
    assert not [event for event in got if isinstance(event, Finished)]


def test_a_blocked_prompt_is_filtered() -> None:
    value = {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {"promptTokenCount": 3}}
    finished = Finished(FinishReason.CONTENT_FILTER, "PROHIBITED_CONTENT")
    assert (whole(value).parts, whole(value).finish, whole(value).usage) == ((), finished, Usage(3))
    got, ending, _ = stream(events(value))
    assert (got[-1], ending) == (finished, Ending.COMPLETE)


@pytest.mark.parametrize(
    "value", [{}, {"candidates": []}, {"candidates": None, "usageMetadata": {}}, {"promptFeedback": 1}]
)
def test_an_answer_without_candidates_is_broken(value: Any) -> None:
    with pytest.raises(UpstreamBroke):
        whole(value)
    assert stream(events(value))[1] is Ending.CUT


def test_a_finish_reason_in_every_event_ends_once() -> None:
    got, ending, _ = stream(events(answer({"text": "a"}), answer({"text": "b"}), answer({"text": "c"})))
    assert ending is Ending.COMPLETE
    assert [type(event) for event in got].count(Finished) == 1
    assert fold(got).text == "abc"


def test_a_stream_that_goes_on_after_its_finish_reason_is_not_whole_in_the_middle_of_an_event() -> None:
    wire = events(answer({"text": "a"}), answer({"text": "b"}, word=None), answer({"text": "c"}))
    got, ending, error = stream(wire[:-9])
    assert (ending, error) == (Ending.CUT, None)
    assert not [event for event in got if isinstance(event, Finished)]


def test_only_the_first_candidate_is_read() -> None:
    value = answer({"text": "a"})
    value["candidates"].append({"index": 1, "content": {"parts": [{"text": "b"}]}, "finishReason": "SAFETY"})
    assert (whole(value).text, whole(value).finish.native) == ("a", "STOP")


def test_calls_get_ids_of_their_own_where_google_gives_none() -> None:
    bare, empty = {"functionCall": {"name": "g"}}, {"functionCall": {"name": "g", "args": None, "id": "given"}}
    calls = whole(answer(bare, empty, bare)).calls
    assert [call.arguments for call in calls] == ["{}"] * 3
    assert calls[1].id == "given"
    assert len({call.id for call in calls}) == 3


def test_media_and_parts_of_googles_own_tools_are_kept() -> None:
    code, image = (
        {"executableCode": {"language": "PYTHON", "code": "1"}},
        {"inlineData": {"mimeType": "image/png", "data": "AA=="}},
    )
    reply = whole(answer(code | {"thoughtSignature": "S"}, image, image | {"thought": True}, {"somethingNew": {}}))
    opaque = reply.parts[0]
    assert isinstance(opaque, OpaqueOutput)
    assert (opaque.kind, json.loads(bytes(opaque.raw))) == ("executableCode", code | {"thoughtSignature": "S"})
    assert reply.parts[1:] == (MediaOutput("image/png", "AA=="),)


def test_what_googles_own_tools_did_while_thinking_stays_a_thought() -> None:
    result = {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1"}, "thought": True}
    (opaque,) = whole(answer(result)).parts
    assert isinstance(opaque, OpaqueOutput)
    assert json.loads(bytes(opaque.raw)) == result


def piece(name: str | None = None, *args: dict[str, Any], more: bool = True) -> dict[str, Any]:
    call: dict[str, Any] = {"name": name} if name else {}
    if args:
        call["partialArgs"] = list(args)
    return {"functionCall": call | ({"willContinue": True} if more else {})}


def arg(path: str, **value: Any) -> dict[str, Any]:
    return {"jsonPath": path, **value}


@pytest.mark.parametrize("last", [piece(more=False), {"text": ""}], ids=["with its end", "without"])
def test_a_call_that_comes_in_pieces_is_put_together(last: dict[str, Any]) -> None:
    pieces = [
        piece("f") | {"thoughtSignature": "S"},
        piece(None, arg("$.items[0].name", stringValue="Bos", willContinue=True)),
        piece(None, arg("$.items[0].name", stringValue="ton")),
        piece(),
        piece(None, arg("$.items[0].price", numberValue=0.5), arg("$.items[1]", boolValue=True)),
        piece(None, arg("$['a.b'].c", nullValue="NULL_VALUE"), arg("$.n", numberValue=3), more=False),
        piece("g", arg("$.x", stringValue="")),
    ]
    got, ending, error = stream(events(*[answer(one, word=None) for one in pieces], answer(last)))
    assert (ending, error) == (Ending.COMPLETE, None)
    reply = fold(got)
    assert [(call.name, json.loads(call.arguments), call.signature) for call in reply.calls] == [
        ("f", {"items": [{"name": "Boston", "price": 0.5}, True], "a.b": {"c": None}, "n": 3}, "S"),
        ("g", {"x": ""}, ""),
    ]
    assert reply.finish.reason is FinishReason.TOOL_CALLS
    assert len({call.id for call in reply.calls}) == 2


@pytest.mark.parametrize(
    "path", ["", "$", "x", "$.a[", "$.a[2]", "$.a.b.c", "$[0]", "$.a" + "[0]" * 99, "$.a[9999999]"]
)
def test_a_piece_that_fits_nowhere_breaks_the_answer(path: str) -> None:
    wire = events(answer(piece("f", arg("$.a.b", stringValue="x")), piece(None, arg(path, numberValue=1))))
    _, ending, error = stream(wire)
    assert ending is Ending.FAILED
    assert isinstance(error, UpstreamBroke)


def test_a_call_in_pieces_that_breaks_off_is_no_call() -> None:
    _, ending, _ = stream(events(answer(piece("f", arg("$.a", stringValue="x")), word=None)))
    assert ending is Ending.CUT


WEB = [{"web": {"uri": "https://a.example", "title": "A"}}, {"web": {"uri": "https://b.example"}}, {"web": {}}]
GROUNDED = {
    "groundingChunks": WEB,
    "groundingSupports": [{"segment": {"startIndex": 3, "endIndex": 8}, "groundingChunkIndices": [0, 2, 9]}],
}


def test_sources_are_annotations_in_characters_told_once() -> None:
    expected = (Annotation("https://a.example", "A", 2, 6), Annotation("https://b.example"))
    value = answer({"text": "é bünd"}, groundingMetadata=GROUNDED)
    assert whole(value).parts == (TextSaid("é bünd", expected),)
    last = answer({"text": "", "thoughtSignature": "S"}, groundingMetadata=GROUNDED)
    got, _, _ = stream(events(answer({"text": "é bünd"}, word=None, groundingMetadata=GROUNDED), last))
    assert fold(got).parts == (TextSaid("é bünd", expected), ReasoningSaid(signature="S", origin="gemini"))
    cited = {"citationSources": [{"startIndex": 0, "endIndex": 2, "uri": "https://c.example"}, {"license": "mit"}]}
    assert whole(answer({"text": "ab"}, citationMetadata=cited)).parts == (
        TextSaid("ab", (Annotation("https://c.example", "", 0, 2),)),
    )


def test_usage_is_cumulative_and_its_parts_are_ours() -> None:
    counts = {
        "promptTokenCount": 10,
        "cachedContentTokenCount": 4,
        "toolUsePromptTokenCount": 2,
        "candidatesTokenCount": 5,
        "thoughtsTokenCount": 3,
        "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 6}, {"modality": "TEXT", "tokenCount": 4}],
        "candidatesTokensDetails": [{"modality": "AUDIO", "tokenCount": 1}],
    }
    usage = Usage(12, 8, 4, 3, 0, 6, 1)
    got, _, _ = stream(events({"usageMetadata": {"promptTokenCount": 99}}, answer() | {"usageMetadata": counts}))
    assert fold(got).usage == usage
    total = counts | {"totalTokenCount": 17}  # 10 + 2 + 5: thoughts are among the candidates' tokens
    assert whole(answer() | {"usageMetadata": total}).usage == Usage(12, 5, 4, 3, 0, 6, 1)
    assert whole(answer() | {"usageMetadata": total | {"totalTokenCount": 20}}).usage == usage
    odd = counts | {"promptTokenCount": "10", "promptTokensDetails": "?"}
    assert whole(answer() | {"usageMetadata": odd}).usage == Usage(2, 8, 2, 3, 0, 0, 0)


# -- bytes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wire",
    [
        b": hi\n\nevent: x\nid: 1\ndata: %b\n\n",
        b"\xef\xbb\xbfdata:%b\r\n\r\n",
        b"data: %b",
        b"\r\n data: no\n\ndata: %b\r\r",
        b" [%b ]",
        b"[\n%b\n,\r\n{}]trailing",
        b"%b",
    ],
)
def test_odd_framing_is_read_wherever_it_is_cut(wire: bytes) -> None:
    wire = wire % json.dumps(answer({"text": 'é "}]{[\\'}), ensure_ascii=False).encode()
    for cut in range(len(wire) + 1):
        got, ending, error = stream(wire[:cut], wire[cut:])
        assert (ending, error) == (Ending.COMPLETE, None)
        assert fold(got).text == 'é "}]{[\\'


@pytest.mark.parametrize("wire", [b"data: %b", b"[{%b", b"data: x\n" * 200_000, b"data: %b\n\n"])
def test_an_event_over_the_limit_is_too_large(wire: bytes) -> None:
    wire = wire.replace(b"%b", b'"' + b"x" * 2_000)
    for size in (len(wire), 7):
        decoder = GeminiDecoder(provider="g", max_event_bytes=1_000)
        with pytest.raises(EventTooLarge):
            _ = [decoder.feed(wire[at : at + size]) for at in range(0, len(wire), size)]


@pytest.mark.parametrize(
    "frame",
    [
        b"[]",
        b"null",
        b"{",
        b"nothing",
        b'{"candidates": 3}',
        b'{"candidates": [{"content": {"parts": [{"text": 5}]}}]}',
        b'{"candidates": [{"content": {"parts": [{"functionCall": {"args": {}}}]}}]}',
        b'{"candidates": [{"content": {"parts": [{"functionCall": {"name": "f", "args": [1]}}]}}]}',
        b'{"candidates": [{"content": {"parts": [{"text": "\\ud800"}]}}]}',
        b'{"candidates": [{"finishReason": 1}]}',
        b'{"x": NaN}',
        b'{"x": ' + b"[" * 100_000,
    ],
)
def test_an_event_that_is_no_answer_ends_the_stream_as_broken(frame: bytes) -> None:
    good = events(answer({"text": "a"}))
    got, ending, error = stream(good + b"data: " + frame + b"\r\n\r\n" + good)
    assert ending is Ending.FAILED
    assert isinstance(error, UpstreamBroke)
    assert not [event for event in got if isinstance(event, Finished)]


@pytest.mark.parametrize(
    "odd", [{"index": None}, {"usageMetadata": 1}, {"modelVersion": 3, "responseId": []}, {"promptFeedback": []}]
)
def test_odd_company_does_not_spoil_an_answer(odd: Any) -> None:
    value = answer({"text": "a"}, safetyRatings=1, groundingMetadata=[1], citationMetadata="x", finishMessage=4) | odd
    assert whole(value).text == "a"


def test_an_error_in_a_stream_is_that_error() -> None:
    fault = {"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}}
    for wire in (events(answer({"text": "a"}, word=None), fault), json.dumps([answer(word=None), fault]).encode()):
        _, ending, error = stream(wire)
        assert ending is Ending.FAILED
        assert error is not None
        assert (error.status, str(error)) == (503, "The model is overloaded.")


def test_an_error_about_us_is_not_the_clients() -> None:
    located = b'[{"error":{"code":400,"message":"User location is not supported","status":"FAILED_PRECONDITION"}}]'
    assert GEMINI.decode_error(400, None, located, provider="g").status == 403
    wrong = b'{"error":{"code":400,"message":"Bad seed","status":"INVALID_ARGUMENT","details":[{"reason":1},3]}}'
    assert GEMINI.decode_error(400, None, wrong, provider="g").status == 400


WORDS = """
candidates content parts text thought thoughtSignature functionCall name args id inlineData data
index finishReason groundingMetadata groundingChunks groundingSupports groundingChunkIndices segment
endIndex web uri usageMetadata promptTokenCount promptTokensDetails modality promptFeedback
blockReason error toolCall embeddings values models totalTokens
""".split()  # noqa: SIM905
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["STOP", "AUDIO"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(WORDS),
            inner,
            max_size=4,
        )
    ),
    max_leaves=25,
)
FRAMES = JSON.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=30)


@settings(max_examples=100)
@given(st.lists(FRAMES, max_size=4), st.sampled_from([b"data: %b\r\n\r\n", b"data:%b\n\n", b"%b", b"[%b"]), st.data())
def test_hostile_bytes_never_raise_and_decode_the_same_wherever_cut(
    frames: list[bytes], lead: bytes, data: Any
) -> None:
    wire = b"".join([lead % frame for frame in frames])
    cut = data.draw(st.integers(0, len(wire)))
    one, other = stream(wire), stream(wire[:cut], wire[cut:])
    assert one[1] is other[1]
    assert type(one[2]) is type(other[2])
    for body in (wire, *frames):
        GEMINI.decode_error(400, None, body, provider="g")
        GEMINI.read_models(body, default_owner="o")
        for decode in (GEMINI.decode_chat, GEMINI.decode_embeddings, GEMINI.decode_token_count):
            try:
                decode(body, provider="g")
            except UpstreamError:
                continue


# -- other answers -----------------------------------------------------------------------------------------------


def test_both_forms_of_embeddings_are_read() -> None:
    assert GEMINI.decode_embeddings(b'{"embeddings":[{"values":[1,2.5]}]}', provider="g").vectors == ((1.0, 2.5),)
    assert GEMINI.decode_embeddings(b'{"embedding":{"values":[3]}}', provider="g").vectors == ((3.0,),)
    counted = b'{"embeddings":[{"values":[1]}],"usageMetadata":{"promptTokenCount":12}}'
    assert GEMINI.decode_embeddings(counted, provider="g").usage == Usage(12)
    for body in (b"{}", b'{"embeddings":[]}', b'{"embedding":{"values":"x"}}', b"?"):
        with pytest.raises(UpstreamBroke):
            GEMINI.decode_embeddings(body, provider="g")


def test_a_model_list_tells_what_google_says_of_its_models() -> None:
    assert GEMINI.models_request().path == "/v1beta/models?pageSize=1000"
    body = {
        "models": [
            {
                "name": "models/gemini-2.5-flash",
                "inputTokenLimit": 1048576,
                "outputTokenLimit": 65536,
                "supportedGenerationMethods": ["generateContent", "countTokens"],
                "thinking": True,
            },
            {"name": "models/gemini-embedding-001", "supportedGenerationMethods": ["embedContent"]},
            {"name": 3},
            "x",
        ]
    }
    chat, embed = GEMINI.read_models(json.dumps(body).encode(), default_owner="me")
    assert (chat.id, chat.owned_by, chat.facts.context_tokens, chat.facts.max_output_tokens) == (
        "gemini-2.5-flash",
        "google",
        1048576,
        65536,
    )
    assert {Capability.CHAT, Capability.STREAMING, Capability.REASONING} == chat.facts.can
    assert {Capability.EMBEDDINGS} == chat.facts.cannot
    assert {Capability.EMBEDDINGS} == embed.facts.can
    assert GEMINI.read_models(b"[", default_owner="me") == []
