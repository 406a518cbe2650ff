"""JSON schemas as Anthropic's structured outputs want them: every object closed.

`additionalProperties: false` is added where an object says nothing of other properties.  Order and all else stay.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw

from hoosh.dialects.loose_json import UNREADABLE
from hoosh.errors import InvalidRequest

__all__ = ["closed"]

OF_SCHEMAS = frozenset({"properties", "$defs", "definitions", "patternProperties", "dependentSchemas"})
A_SCHEMA = frozenset({"items", "not", "if", "then", "else", "contains", "additionalProperties"})
LIST_OF_SCHEMAS = frozenset({"anyOf", "oneOf", "allOf", "prefixItems", "items"})


def closed(schema: Raw, *, param: str) -> Raw:
    """Raises InvalidRequest for what is no schema of JSON."""
    try:
        tree = msgspec.json.decode(schema)
        return Raw(msgspec.json.encode(tree)) if _close(tree) else schema
    except UNREADABLE as error:
        raise InvalidRequest(f"Invalid schema: {error}.", param=param, code="invalid_value") from error


def _close(schema: Any) -> bool:
    """Close the objects in `schema`; False where all of them were."""
    if not isinstance(schema, dict):
        return False
    changed = False
    for name, value in schema.items():
        if name in OF_SCHEMAS and isinstance(value, dict):
            for inner in value.values():
                changed |= _close(inner)
        elif name in LIST_OF_SCHEMAS and isinstance(value, list):
            for inner in value:
                changed |= _close(inner)
        elif name in A_SCHEMA:
            changed |= _close(value)
    kind = schema.get("type")
    is_object = kind == "object" or (isinstance(kind, list) and "object" in kind) or "properties" in schema
    if is_object and "additionalProperties" not in schema:
        schema["additionalProperties"] = False
        changed = True
    return changed
