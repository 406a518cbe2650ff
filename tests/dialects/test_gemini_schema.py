"""JSON Schema in the words of older Gemini models, and nearly untouched for newer ones."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from hoosh.dialects.gemini.schema import json_schema, openapi_subset
from hoosh.errors import InvalidRequest

KEYS = {"type", "format", "title", "description", "nullable", "enum", "items", "properties", "required", "anyOf"}
KEYS |= {"minItems", "maxItems", "minProperties", "maxProperties", "minLength", "maxLength", "minimum", "maximum"}
KEYS |= {"pattern"}


def raw(value: Any) -> Raw:
    return Raw(json.dumps(value).encode())


def subset(value: Any) -> Any:
    return openapi_subset(raw(value), param="tools")


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"type": "object", "additionalProperties": False, "$schema": "x"}, {"type": "object"}),
        ({"type": ["string", "null"]}, {"nullable": True, "type": "string"}),
        ({"type": ["string", "integer"]}, {"anyOf": [{"type": "string"}, {"type": "integer"}]}),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, {"nullable": True, "type": "string"}),
        (
            {"oneOf": [{"type": "string"}, {"type": "array"}]},
            {"anyOf": [{"type": "string"}, {"type": "array", "items": {}}]},
        ),
        ({"const": "a"}, {"type": "string", "enum": ["a"]}),
        ({"type": "integer", "enum": [1, 2]}, {"type": "integer", "description": "One of: 1, 2."}),
        ({"type": "string", "format": "date-time"}, {"type": "string", "format": "date-time"}),
        (
            {"type": "string", "format": "email", "description": "Yours."},
            {"type": "string", "description": "Yours. Format: email."},
        ),
        ({"type": "integer", "exclusiveMinimum": 0, "maximum": 9}, {"type": "integer", "minimum": 1, "maximum": 9}),
        (
            {"properties": {"a": True}, "required": ["a", "b"]},
            {"type": "object", "properties": {"a": {}}, "required": ["a"]},
        ),
        (
            {"allOf": [{"type": "object", "properties": {"a": {"type": "null"}}}, {"properties": {"b": {}}}]},
            {"type": "object", "properties": {"a": {"nullable": True}, "b": {}}},
        ),
        (
            {"$defs": {"C": {"type": "string"}}, "type": "array", "items": {"$ref": "#/$defs/C"}},
            {"type": "array", "items": {"type": "string"}},
        ),
    ],
)
def test_the_subset_says_what_it_can(schema: Any, said: Any) -> None:
    assert subset(schema) == said


def test_a_schema_inside_itself_ends() -> None:
    tree = {"$defs": {"T": {"type": "object", "properties": {"next": {"$ref": "#/$defs/T"}}}}, "$ref": "#/$defs/T"}
    inner = {"type": "object", "description": "Nested further in the same way."}
    assert subset(tree) == {"type": "object", "properties": {"next": inner}}


@pytest.mark.parametrize(
    "schema",
    [
        [],
        3,
        {"$ref": "#/$defs/none"},
        {"$ref": "https://example.com/x"},
        {"$defs": {str(n): {"anyOf": [{"$ref": f"#/$defs/{n + 1}"}] * 10} for n in range(20)}, "$ref": "#/$defs/0"},
    ],
)
def test_what_is_no_schema_or_has_no_end_is_refused(schema: Any) -> None:
    with pytest.raises(InvalidRequest):
        subset(schema)


def test_a_schema_for_newer_models_goes_word_for_word_but_for_const() -> None:
    word_for_word = Raw(b'{ "type":"object" , "additionalProperties":false}')
    assert json_schema(word_for_word, param="tools") is word_for_word
    schema = {"properties": {"const": {"const": 1}, "d": {"default": {"const": 2}}}, "anyOf": [{"const": "x"}]}
    said = {"properties": {"const": {"enum": [1]}, "d": {"default": {"const": 2}}}, "anyOf": [{"enum": ["x"]}]}
    assert json.loads(bytes(json_schema(raw(schema), param="tools"))) == said


WORDS = "type anyOf oneOf allOf $ref properties items enum const format required nullable a".split()  # noqa: SIM905
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from(["string", "object", "null", "#", "#/a", "date"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(WORDS),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


def keys_of(schema: Any) -> set[str]:
    inner = [schema["items"]] if "items" in schema else []
    inner += [*schema.get("anyOf", ()), *schema.get("properties", {}).values()]
    return set(schema).union(*(keys_of(one) for one in inner))


@given(VALUES)
def test_whatever_is_given_the_subset_holds_nothing_that_google_refuses(schema: Any) -> None:
    try:
        said = subset(schema)
    except InvalidRequest:
        return
    assert keys_of(said) <= KEYS


@given(st.binary(max_size=30))
def test_bytes_that_are_no_json_are_an_invalid_request(text: bytes) -> None:
    for read in (json_schema, openapi_subset):
        try:
            read(Raw(text), param="tools")
        except InvalidRequest:
            continue
        assert isinstance(json.loads(text), dict)
