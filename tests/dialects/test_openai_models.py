from __future__ import annotations

import base64
import json
import struct
from typing import Any

import pytest

from hoosh.dialects.openai import OpenAIUpstream
from hoosh.errors import UpstreamBroke, UpstreamError
from hoosh.values import Capability, ModelCard, ModelFacts, Usage

C = Capability


def read(body: Any) -> list[ModelCard]:
    return OpenAIUpstream().read_models(json.dumps(body).encode(), default_owner="somebody")


def card(**entry: Any) -> ModelCard:
    (found,) = read({"object": "list", "data": [{"id": "m", **entry}]})
    return found


@pytest.mark.parametrize(
    "body",
    [{}, [], None, {"data": {}}, {"data": [1, {}, {"id": 3}, {"id": ""}, {"id": "a\n"}, {"id": "x" * 300}]}, "x"],
)
def test_what_is_no_list_of_models_is_an_empty_one(body: Any):
    assert read(body) == []


def test_a_card_says_no_more_than_the_list():
    assert card(object="model") == ModelCard("m", "somebody")
    assert card(owned_by="google", created=5) == ModelCard("m", "google", 5)
    assert card(created="today", owned_by=None) == ModelCard("m", "somebody")


def test_a_model_listed_twice_is_one_and_a_bare_list_is_a_list():
    assert [each.id for each in read([{"id": "a"}, {"id": "b"}, {"id": "a", "owned_by": "x"}])] == ["a", "b"]


def test_openrouters_models_belong_to_whoever_their_id_names():
    assert card(id="~x-ai/grok", canonical_slug="x-ai/grok-1").owned_by == "x-ai"
    assert card(id="qwen/qwen3").owned_by == "somebody"


@pytest.mark.parametrize(
    ("entry", "context", "output"),
    [
        ({"context_length": 10, "top_provider": {"context_length": 9, "max_completion_tokens": 3}}, 10, 3),
        ({"context_window": 10, "max_completion_tokens": 5}, 10, 5),
        ({"max_context_length": 10}, 10, None),
        ({"max_model_len": 10}, 10, None),
        ({"meta": {"n_ctx_train": 10}}, 10, None),
        ({"meta": {"n_ctx_train": 10, "n_ctx": 4}}, 4, None),
        ({"max_context_length": 10, "loaded_context_length": 6}, 6, None),
    ],
)
def test_each_vendors_number_for_the_context_is_found(entry: dict[str, Any], context: int, output: int | None):
    assert card(**entry).facts == ModelFacts(context_tokens=context, max_output_tokens=output, source="provider")


@pytest.mark.parametrize("number", [0, -1, "10", 1.5, True, 10**30])
def test_a_number_that_makes_no_sense_is_none(number: Any):
    assert card(context_length=number).facts == ModelFacts()


@pytest.mark.parametrize(
    ("entry", "can", "cannot"),
    [
        (  # OpenRouter
            {
                "architecture": {"input_modalities": ["text", "image"], "output_modalities": ["text"]},
                "supported_parameters": ["tools", "temperature"],
            },
            {C.CHAT, C.STREAMING, C.VISION, C.TOOLS},
            {C.AUDIO_INPUT, C.REASONING, C.STRUCTURED_OUTPUT, C.EMBEDDINGS, C.TRANSCRIPTION, C.SPEECH},
        ),
        (  # Groq
            {"input_modalities": ["audio"], "output_modalities": ["transcription"]},
            {C.AUDIO_INPUT, C.TRANSCRIPTION},
            {C.CHAT, C.STREAMING, C.VISION, C.EMBEDDINGS, C.SPEECH},
        ),
        (  # Mistral
            {"capabilities": {"completion_chat": True, "function_calling": True, "vision": False, "ocr": True}},
            {C.CHAT, C.STREAMING, C.TOOLS},
            {C.VISION},
        ),
        ({"type": "vlm"}, {C.CHAT, C.STREAMING, C.VISION}, set()),  # LM Studio
        ({"type": "embeddings"}, {C.EMBEDDINGS}, {C.CHAT, C.STREAMING}),
    ],
)
def test_what_a_model_can_is_read_as_the_vendor_tells(entry: dict[str, Any], can: set[Any], cannot: set[Any]):
    facts = card(**entry).facts
    assert (facts.can, facts.cannot) == (can, cannot)


def test_llamacpp_tells_beside_its_list():
    beside = [{"model": "m", "capabilities": ["completion", "multimodal"]}, 3]
    (found,) = read({"data": [{"id": "m", "meta": None}], "models": beside})
    assert found.facts.can == {C.CHAT, C.STREAMING, C.VISION}


# -- vectors -------------------------------------------------------------------------------------------------------


def vectors(*data: Any, **more: Any) -> Any:
    return OpenAIUpstream().decode_embeddings(json.dumps({"data": data, **more}).encode(), provider="p")


def test_vectors_come_in_the_order_of_their_inputs():
    read = vectors(
        {"index": 1, "embedding": [3, 4.5]}, {"index": 0, "embedding": [1, 2]}, model="e", usage={"prompt_tokens": 5}
    )
    assert (read.vectors, read.model, read.usage) == (((1.0, 2.0), (3.0, 4.5)), "e", Usage(5))
    same = vectors({"index": 0, "embedding": [1]}, {"index": 0, "embedding": [2]})
    assert same.vectors == ((1.0,), (2.0,))
    assert vectors({"embedding": [1]}).vectors == ((1.0,),)


def test_base64_is_read_as_floats_and_older_vllms_as_doubles():
    floats, doubles = struct.pack("<2f", 0.5, -2), struct.pack("<2d", 0.5, -2)
    for packed in (floats, doubles):
        assert vectors({"embedding": base64.b64encode(packed).decode()}).vectors == ((0.5, -2.0),)


@pytest.mark.parametrize(
    "data", [[], [1], [{"embedding": "!"}], [{"embedding": "AAA="}], [{"embedding": ["a"]}], [{"embedding": {}}]]
)
def test_what_are_no_vectors_is_a_broken_upstream(data: list[Any]):
    with pytest.raises(UpstreamBroke):
        vectors(*data)


def test_an_error_instead_of_vectors_is_an_error():
    with pytest.raises(UpstreamError, match="no"):
        OpenAIUpstream().decode_embeddings(b'{"error":{"message":"no"}}', provider="p")
