"""Structs as JSON Schema: what msgspec would decode or encode, in the words of JSON Schema 2020-12.

msgspec's own `schema_components` cannot write structs with raw defaults, which our bodies are full of, and calls two
structs of one name by their modules.  Here raw JSON is any JSON, and a name begins with its language: `OpenAIFunction`.

Pure.  Source: msgspec's `inspect`; OpenAPI 3.1.1, section 4.8.24.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import inspect

__all__ = ["Components", "Schema", "reference"]

Schema = dict[str, Any]

LANGUAGES = {"openai": "OpenAI", "responses": "Responses", "anthropic": "Anthropic", "ollama": "Ollama"}
"""Folders of `hoosh.dialects`, and what their structs are called by here."""


def reference(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


class Components:
    """The structs that a document names, each once."""

    def __init__(self) -> None:
        self.schemas: dict[str, Schema] = {}
        self._homes: dict[str, type] = {}

    def schema(self, kind: Any) -> Schema:
        """The schema of a type; its structs become components.  Raises ValueError where two have one name."""
        return self._of(inspect.type_info(kind))

    def _of(self, info: inspect.Type) -> Schema:
        if isinstance(info, inspect.StructType):
            return self._struct(info)
        return WRITERS.get(type(info), _anything)(self, info)

    def _struct(self, info: inspect.StructType) -> Schema:
        name = name_of(info.cls)
        known = self._homes.setdefault(name, info.cls)
        if known is not info.cls:
            raise ValueError(f"two structs are called {name}: {known.__module__} and {info.cls.__module__}")
        if name not in self.schemas:
            self.schemas[name] = {}  # it may hold itself
            self.schemas[name] = self._fields(info)
        return reference(name)

    def _fields(self, info: inspect.StructType) -> Schema:
        properties: dict[str, Schema] = {}
        required: list[str] = []
        if info.tag_field is not None:
            properties[info.tag_field] = {"const": info.tag}
            required.append(info.tag_field)
        for field in info.fields:
            properties[field.encode_name] = self._of(field.type)
            if field.required:
                required.append(field.encode_name)
        schema: Schema = {"type": "object", "properties": properties}
        if doc := info.cls.__dict__.get("__doc__"):
            schema["description"] = " ".join(doc.split("\n\n")[0].split())
        if required:
            schema["required"] = required
        if info.forbid_unknown_fields:
            schema["additionalProperties"] = False
        return schema


def name_of(kind: type) -> str:
    home = kind.__module__.split(".")
    language = LANGUAGES.get(home[2], "") if home[:2] == ["hoosh", "dialects"] else ""
    return language + kind.__name__.lstrip("_")


# -- what is no struct -------------------------------------------------------------------------------------------


def _anything(_: Components, info: Any) -> Schema:
    """Raw JSON, and `Any`."""
    return {}


def _number(_: Components, info: Any) -> Schema:
    schema: Schema = {"type": "integer" if isinstance(info, inspect.IntType) else "number"}
    bounds = {"minimum": info.ge, "maximum": info.le, "exclusiveMinimum": info.gt, "exclusiveMaximum": info.lt}
    return schema | {word: bound for word, bound in bounds.items() if bound is not None}


def _text(_: Components, info: Any) -> Schema:
    bounds = {"minLength": info.min_length, "maxLength": info.max_length, "pattern": info.pattern}
    return {"type": "string"} | {word: bound for word, bound in bounds.items() if bound is not None}


def _words(_: Components, info: Any) -> Schema:
    words = [member.value for member in info.cls] if isinstance(info, inspect.EnumType) else list(info.values)
    return {"type": "string", "enum": words}


def _list(components: Components, info: Any) -> Schema:
    return {"type": "array", "items": components._of(info.item_type)}


def _map(components: Components, info: Any) -> Schema:
    return {"type": "object", "additionalProperties": components._of(info.value_type)}


def _union(components: Components, info: Any) -> Schema:
    """Alternatives; those that are a bare type become one list of types, as people write it."""
    schemas = [components._of(kind) for kind in info.types]
    if any(not schema for schema in schemas):
        return {}
    bare = [schema["type"] for schema in schemas if set(schema) == {"type"}]
    others = [schema for schema in schemas if set(schema) != {"type"}]
    if not others:
        return {"type": bare}
    if len(others) == 1 and bare == ["null"] and isinstance(others[0].get("type"), str) and "enum" not in others[0]:
        return {**others[0], "type": [others[0]["type"], "null"]}
    return {"anyOf": [*others, *({"type": kind} for kind in bare)]}


WRITERS: dict[type, Callable[[Components, Any], Schema]] = {
    inspect.NoneType: lambda _, info: {"type": "null"},
    inspect.BoolType: lambda _, info: {"type": "boolean"},
    inspect.IntType: _number,
    inspect.FloatType: _number,
    inspect.StrType: _text,
    inspect.EnumType: _words,
    inspect.LiteralType: _words,
    inspect.UnionType: _union,
    **dict.fromkeys((inspect.ListType, inspect.VarTupleType, inspect.SetType, inspect.FrozenSetType), _list),
    inspect.DictType: _map,
}
