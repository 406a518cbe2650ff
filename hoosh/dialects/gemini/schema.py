"""JSON Schema as Gemini takes it.

From 2.0 on (`parametersJsonSchema`, `responseJsonSchema`) it takes JSON Schema itself and reads what it knows of it;
only `const`, which it does not know, is said as an `enum` of one.  Before, it took a message of its own, a subset of
OpenAPI 3.0, and refuses every other key; `openapi_subset` says in it what can be said:

    $ref              what it refers to; inside itself: any object     allOf             merged
    oneOf             anyOf                                            type: [x, "null"] x, nullable
    anyOf with null   nullable                                         const             enum of one
    enum of numbers   words in the description                         format unknown    words in the description
    exclusiveMinimum  minimum (of integers: one more)                  everything else   left out: it forbade, no more

Source: ai.google.dev/api/caching#Schema; ai.google.dev/api/generate-content (responseJsonSchema: what is read).
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw

from hoosh.dialects.gemini.wire import loads
from hoosh.errors import InvalidRequest

__all__ = ["json_schema", "openapi_subset"]

NODES_MAX = 5_000
DEPTH_MAX = 60

KEPT = ("title", "description", "pattern")
COUNTS = ("minItems", "maxItems", "minProperties", "maxProperties", "minLength", "maxLength")
LIMITS = ("minimum", "maximum")
FORMATS = {
    "string": frozenset({"enum", "date-time"}),
    "number": frozenset({"float", "double"}),
    "integer": frozenset({"int32", "int64"}),
}
TYPES = frozenset({"string", "number", "integer", "boolean", "array", "object"})

Schema = dict[str, Any]


def json_schema(raw: Raw, *, param: str) -> Raw:
    """Word for word, but for `const`.  Raises InvalidRequest for what is no schema of an object's."""
    schema = _read(raw, param)
    if b'"const"' not in bytes(raw):
        return raw
    return Raw(msgspec.json.encode(_without_const(schema)))


def openapi_subset(raw: Raw, *, param: str) -> Schema:
    """Raises InvalidRequest for what is no schema, or one without end."""
    return _Subset(_read(raw, param), param).whole()


def _read(raw: Raw, param: str) -> Schema:
    schema = loads(raw)
    if not isinstance(schema, dict):
        raise InvalidRequest("A schema must be a JSON object.", param=param)
    return schema


def _without_const(value: Any, *, names: bool = False) -> Any:
    """`names`: the keys are a schema's own (`properties`), so a `const` among them is a name."""
    if isinstance(value, list):
        return [_without_const(item) for item in value]
    if not isinstance(value, dict):
        return value
    clean: Schema = {}
    for key, inner in value.items():
        if key == "const" and not names:
            clean.setdefault("enum", [inner])
        elif key in ("enum", "default", "example", "examples") and not names:
            clean[key] = inner
        else:
            inside = key in ("properties", "$defs", "definitions", "patternProperties") and not names
            clean[key] = _without_const(inner, names=inside)
    return clean


class _Subset:
    def __init__(self, root: Schema, param: str) -> None:
        self._root = root
        self._param = param
        self._nodes = 0
        self._open: list[str] = []
        """The references that are being followed."""

    def whole(self) -> Schema:
        return self._convert(self._root, 0)

    def _convert(self, node: object, depth: int) -> Schema:
        self._nodes += 1
        if self._nodes > NODES_MAX or depth > DEPTH_MAX:
            raise InvalidRequest("The schema is too large for this provider.", param=self._param)
        if not isinstance(node, dict):
            return {}  # true: anything goes
        if isinstance(node.get("$ref"), str):
            return self._follow(node["$ref"], node, depth)
        node = self._merged(node, depth)
        kinds = _kinds(node)
        out: Schema = {key: node[key] for key in KEPT if isinstance(node.get(key), str)}
        if "null" in kinds or node.get("nullable") is True:
            out["nullable"] = True
        kinds = [kind for kind in kinds if kind != "null"]
        if len(kinds) > 1:
            out["anyOf"] = [self._convert({**_typed(node, kind)}, depth + 1) for kind in kinds]
            return out
        if kinds:
            self._fill(out, node, kinds[0], depth)
        self._choose(out, node, depth)
        return out

    def _follow(self, ref: str, node: Schema, depth: int) -> Schema:
        if ref in self._open:
            return {"type": "object", "description": "Nested further in the same way."}
        target = _resolve(self._root, ref)
        if target is None:
            raise InvalidRequest(f"The schema refers to `{ref[:100]}`, which it does not hold.", param=self._param)
        beside = {key: value for key, value in node.items() if key != "$ref"}
        self._open.append(ref)
        try:
            return self._convert({**target, **beside}, depth + 1)
        finally:
            self._open.pop()

    def _merged(self, node: Schema, depth: int) -> Schema:
        """`node` with the branches of its allOf laid into it."""
        branches = node.get("allOf")
        if not isinstance(branches, list):
            return node
        merged: Schema = {}
        for branch in (*branches, {key: value for key, value in node.items() if key != "allOf"}):
            self._nodes += 1
            if isinstance(branch, dict) and isinstance(ref := branch.get("$ref"), str) and ref not in self._open:
                branch = _resolve(self._root, ref) or {}
            if not isinstance(branch, dict) or self._nodes > NODES_MAX:
                continue
            if isinstance(branch.get("allOf"), list) and depth < DEPTH_MAX:
                branch = self._merged(branch, depth + 1)
            merged = _laid_over(merged, branch)
        return merged

    def _fill(self, out: Schema, node: Schema, kind: str, depth: int) -> None:
        out["type"] = kind
        out |= {key: node[key] for key in COUNTS if type(node.get(key)) is int and node[key] >= 0}
        out |= {key: node[key] for key in LIMITS if _is_number(node.get(key))}
        _exclusive(out, node, kind)
        if isinstance(word := node.get("format"), str):
            if word in FORMATS.get(kind, ()):
                out["format"] = word
            else:
                _remark(out, f"Format: {word}.")
        _enumerate(out, node, kind)
        if kind == "array":
            out["items"] = self._convert(node.get("items"), depth + 1)
        if kind == "object" and isinstance(properties := node.get("properties"), dict):
            out["properties"] = {name: self._convert(inner, depth + 1) for name, inner in properties.items()}
            if isinstance(required := node.get("required"), list):
                out["required"] = [name for name in required if isinstance(name, str) and name in properties]

    def _choose(self, out: Schema, node: Schema, depth: int) -> None:
        branches = node.get("anyOf") or node.get("oneOf")
        if not isinstance(branches, list):
            return
        real = [branch for branch in branches if not (isinstance(branch, dict) and _kinds(branch) == ["null"])]
        if len(real) < len(branches):
            out["nullable"] = True
        if len(real) == 1:
            for key, value in self._convert(real[0], depth + 1).items():
                out.setdefault(key, value)
        elif real:
            out["anyOf"] = [self._convert(branch, depth + 1) for branch in real]


def _typed(node: Schema, kind: str) -> Schema:
    """`node` as one of its types; what is said of the whole stays outside."""
    aside = ("title", "description", "default", "nullable")
    return {**{key: value for key, value in node.items() if key not in aside}, "type": kind}


def _kinds(node: Schema) -> list[str]:
    said = node.get("type")
    kinds = [kind.lower() for kind in (said if isinstance(said, list) else [said]) if isinstance(kind, str)]
    kinds = list(dict.fromkeys(kind for kind in kinds if kind in TYPES or kind == "null"))
    if kinds:
        return kinds
    if "properties" in node:
        return ["object"]
    if "items" in node:
        return ["array"]
    values = node["enum"] if isinstance(node.get("enum"), list) else [node["const"]] if "const" in node else []
    return ["string"] if values and all(isinstance(value, str) for value in values) else []


def _enumerate(out: Schema, node: Schema, kind: str) -> None:
    values = node.get("enum")
    values = values if isinstance(values, list) else [node["const"]] if "const" in node else []
    if None in values:
        out["nullable"] = True
        values = [value for value in values if value is not None]
    if not values:
        return
    if kind == "string" and all(isinstance(value, str) for value in values):
        out["enum"] = values
    else:
        _remark(out, f"One of: {', '.join(msgspec.json.encode(value).decode() for value in values)}.")


def _exclusive(out: Schema, node: Schema, kind: str) -> None:
    for key, limit, step in (("exclusiveMinimum", "minimum", 1), ("exclusiveMaximum", "maximum", -1)):
        value = node.get(key)
        if isinstance(value, int | float) and _is_number(value) and limit not in out:
            out[limit] = value + step if kind == "integer" else value


def _remark(out: Schema, words: str) -> None:
    out["description"] = f"{out['description']} {words}" if out.get("description") else words


def _is_number(value: object) -> bool:
    return type(value) is int or type(value) is float


def _laid_over(below: Schema, above: Schema) -> Schema:
    merged = {**below, **above}
    if isinstance(below.get("properties"), dict) and isinstance(above.get("properties"), dict):
        merged["properties"] = {**below["properties"], **above["properties"]}
    if isinstance(below.get("required"), list) and isinstance(above.get("required"), list):
        merged["required"] = [*below["required"], *above["required"]]
    return merged


def _resolve(root: Schema, ref: str) -> Schema | None:
    """What a local reference points to (`#/$defs/Cat`)."""
    if not ref.startswith("#"):
        return None
    node: object = root
    for step in ref[1:].split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        node = node.get(name) if isinstance(node, dict) else None
    return node if isinstance(node, dict) else None
