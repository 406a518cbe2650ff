"""Where OpenAI has said how its API goes, ours goes like that: its fields are ours, and our answers are its answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator
from openapi_house import ADMIN, PATIENCE_S, ServedHouse

from hoosh import __version__
from hoosh.api.openapi import document
from hoosh.api.openapi.examples import ANSWERS, BODIES

SPEC = Path(__file__).resolve().parents[2].parent / "shared" / "wire" / "openai-openapi.trimmed.json"
pytestmark = pytest.mark.skipif(not SPEC.exists(), reason="OpenAI's document is not here")

OURS = document(__version__)
REQUESTS = {  # their schema → ours
    "CreateChatCompletionRequest": "ChatRequest",
    "CreateCompletionRequest": "CompletionRequest",
    "CreateEmbeddingRequest": "EmbeddingsRequest",
    "CreateResponse": "ResponseRequest",
    "CreateSpeechRequest": "SpeechRequest",
    "CreateTranscriptionRequest": "TranscriptionForm",
    "CreateTranslationRequest": "TranslationForm",
}
ANSWERED = {  # our example → their schema
    "chat": "CreateChatCompletionResponse",
    "completion": "CreateCompletionResponse",
    "embeddings": "CreateEmbeddingResponse",
    "models": "ListModelsResponse",
    "model": "Model",
    "response": "Response",
    "transcription": "CreateTranscriptionResponseJson",
}
ASKED = {
    "/v1/chat/completions": ("chat", "CreateChatCompletionResponse"),
    "/v1/completions": ("completion", "CreateCompletionResponse"),
    "/v1/embeddings": ("embeddings", "CreateEmbeddingResponse"),
    "/v1/responses": ("response", "Response"),
}
DEPTH = 6


@cache
def theirs() -> dict[str, Any]:
    return dict(json.loads(SPEC.read_text()))


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        schema = theirs()["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


def fields_of(schema: dict[str, Any]) -> dict[str, dict[str, Any]]:
    schema = resolved(schema)
    found: dict[str, dict[str, Any]] = dict(schema.get("properties", {}))
    for part in schema.get("allOf", ()):
        found.update(fields_of(part))
    return found


def samples(schema: dict[str, Any], depth: int = DEPTH) -> Iterator[Any]:
    """A few values that their schema takes: one of each alternative, the words of an enumeration."""
    schema = resolved(schema)
    if not depth or not schema:
        return
    if "const" in schema:
        yield schema["const"]
    elif "enum" in schema:
        yield from schema["enum"]
    elif alternatives := schema.get("anyOf") or schema.get("oneOf"):
        for alternative in alternatives:
            yield from samples(alternative, depth)
    elif "allOf" in schema or "properties" in schema or schema.get("type") == "object":
        yield object_of(schema, depth)
    else:
        kinds = schema.get("type", ())
        for kind in [kinds] if isinstance(kinds, str) else kinds:
            if kind == "array":
                yield [value for value, _ in zip(samples(schema["items"], depth - 1), range(4), strict=False)]
            else:
                yield {"string": "x", "integer": 1, "number": 0.5, "boolean": True, "null": None, "object": {}}[kind]


def object_of(schema: dict[str, Any], depth: int) -> dict[str, Any]:
    """Only what it must have."""
    parts = [schema, *map(resolved, schema.get("allOf", ()))]
    required = {name for part in parts for name in part.get("required", ())}
    return {
        name: next(samples(field, depth - 1), None) for name, field in fields_of(schema).items() if name in required
    }


def validator(whole: dict[str, Any], name: str) -> Draft202012Validator:
    return Draft202012Validator({"$ref": f"#/components/schemas/{name}", "components": whole["components"]})


@pytest.mark.parametrize("name", REQUESTS)
def test_every_documented_field_is_in_ours_and_takes_what_theirs_takes(name: str) -> None:
    fields = fields_of({"$ref": f"#/components/schemas/{name}"})
    own = OURS["components"]["schemas"][REQUESTS[name]]["properties"]
    missing = {field.removesuffix("[]") for field in fields} - set(own) - {"file"}
    assert not missing
    count = 0
    for field, schema in fields.items():
        if field == "file":
            continue
        mine = Draft202012Validator({**own[field.removesuffix("[]")], "components": OURS["components"]})
        for value in samples(schema):
            count += 1
            faults = [fault.message for fault in mine.iter_errors(value)]
            assert not faults, (field, value)
    assert count > 5


@pytest.mark.parametrize("example", ANSWERED)
def test_our_examples_are_answers_of_theirs(example: str) -> None:
    validator(theirs(), ANSWERED[example]).validate(ANSWERS[example])


@pytest.mark.parametrize(("example", "name"), [("chat", "CreateChatCompletionRequest"), ("response", "CreateResponse")])
def test_our_examples_are_requests_of_theirs(example: str, name: str) -> None:
    validator(theirs(), name).validate(BODIES[example])


def test_what_a_running_gateway_answers_is_an_answer_of_theirs_and_of_ours() -> None:
    house = ServedHouse()
    try:
        with httpx.Client(
            base_url=house.url, headers={"authorization": f"Bearer {ADMIN}"}, timeout=PATIENCE_S
        ) as client:
            for path, (example, name) in ASKED.items():
                answer = client.post(path, json=BODIES[example]).json()
                if answer.get("user", "") is None:  # as OpenAI itself answers; its document says text
                    del answer["user"]
                validator(theirs(), name).validate(answer)
                schema = OURS["paths"][path]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
                Draft202012Validator({**schema, "components": OURS["components"]}).validate(answer)
            validator(theirs(), "ListModelsResponse").validate(client.get("/v1/models").json())
            validator(theirs(), "Model").validate(client.get("/v1/models/echo").json())
    finally:
        house.stop()
