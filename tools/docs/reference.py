"""docs/reference_configuration.md, out of the schema: names, types, defaults, limits and docstrings of every key.

What a key is for is told by its attribute's docstring, which is read from the source.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from enum import StrEnum
from typing import Any, get_args

from msgspec import NODEFAULT, Struct
from msgspec import inspect as shape
from msgspec.structs import FieldInfo, fields

from hoosh.config import schema
from hoosh.config.schema import Config, Provider
from hoosh.routing import Strategy
from hoosh.values import Capability, Secret
from hoosh.values.caller import SCOPES
from tools.docs.pages import ROOT

__all__ = ["PAGE", "reference"]

PAGE = ROOT / "docs" / "reference_configuration.md"
HEAD = """\
# Configuration reference

Every table and key of `hoosh.toml`, made from the schema by `just docs --write`: do not edit it. What they are for,
with examples, is told in [configuration.md](configuration.md). A *secret* is a literal, `$NAME`, `${NAME}` or
`file:PATH`; a *path* that is relative starts at the file's directory.
"""
NO_KEYS = {(Provider, "origin")}
"""Fields that no file may set."""
WORDS: dict[tuple[type[Struct], str], str] = {
    **{(schema.Server, name): "path" for name in ("unix_socket", "tls_cert", "tls_key", "tls_client_ca")},
    (Provider, "type"): "a [provider type](configuration.md#providers)",
    (Provider, "verify"): "true, false, or path",
    (schema.Key, "expires"): "a date, or date and time",
    (schema.Key, "scopes"): "list of " + ", ".join(f'`"{scope}"`' for scope in sorted(SCOPES)),
    (schema.Alias, "capabilities"): "list of "
    + ", ".join(f'`"{each.value}"`' for each in Capability if each not in (Capability.CHAT, Capability.STREAMING)),
    (schema.Routing, "strategy"): "one of " + ", ".join(f'`"{word}"`' for word in get_args(Strategy)),
    (schema.Storage, "url"): "`sqlite:///PATH` or `memory:`",
}
DEFAULTS = {
    (schema.Key, "scopes"): "all of them",
    (Provider, "name"): "the type",
    (Provider, "base_url"): "the type's",
}


def reference() -> str:
    return "\n".join([HEAD, *_tables(Config, "", depth=0)])


def _tables(kind: type[Struct], path: str, *, depth: int) -> Iterator[str]:
    """The tables below `kind`, each before those inside it."""
    for field in _keys(kind):
        inner, is_list = _inner(field)
        if inner is None:
            continue
        name = f"{path}.{field.encode_name}" if path else field.encode_name
        yield f"{'#' * min(depth + 2, 4)} `{f'[[{name}]]' if is_list else f'[{name}]'}`\n"
        doc = _told_of(inner)
        if doc:
            yield f"{doc}\n"
        rows = [_row(inner, key) for key in _keys(inner) if _inner(key)[0] is None]
        yield "\n".join(["| key | type | default | |", "| --- | --- | --- | --- |", *rows]) + "\n"
        yield from _tables(inner, name, depth=depth + 1)


def _keys(kind: type[Struct]) -> list[FieldInfo]:
    return [field for field in fields(kind) if (kind, field.name) not in NO_KEYS]


def _inner(field: FieldInfo) -> tuple[type[Struct] | None, bool]:
    """The table that a key is, and whether it is a list of such."""
    if isinstance(field.type, type) and issubclass(field.type, Struct):
        return field.type, False
    item = (get_args(field.type) or (None,))[0]
    if isinstance(item, type) and issubclass(item, Struct):
        return item, True
    return None, False


def _row(kind: type[Struct], field: FieldInfo) -> str:
    name = field.encode_name
    word = WORDS.get((kind, name)) or _words(shape.type_info(field.type))
    told = _docstrings(kind).get(field.name, "").replace("|", "\\|")
    return f"| `{name}` | {word} | {DEFAULTS.get((kind, name)) or _default(field)} | {told} |"


def _default(field: FieldInfo) -> str:
    value: Any = field.default if field.default is not NODEFAULT else None
    if field.required:
        return "required"
    if field.default_factory is not NODEFAULT:
        value = field.default_factory()
    match value:
        case None | () | "":
            return ""
        case dict() if not value:
            return ""
        case bool():
            return f"`{str(value).lower()}`"
        case StrEnum() | str():
            return f'`"{value}"`'
        case int() | float():
            return f"{value:_.0f}".replace("_", "\u202f") if value >= 10_000 else f"{value:g}"
    return f"`{value}`"


def _words(info: Any) -> str:
    """A type, and what bounds it, in words."""
    match info:
        case shape.Metadata(type=inner):
            return _words(inner)
        case shape.BoolType():
            return "true or false"
        case shape.IntType() | shape.FloatType():
            return ("whole number" if isinstance(info, shape.IntType) else "number") + _bounds(info)
        case shape.StrType():
            return "text"
        case shape.LiteralType(values=values):
            return "one of " + ", ".join(f'`"{value}"`' for value in values) if len(values) > 1 else f'`"{values[0]}"`'
        case shape.EnumType(cls=cls):
            return "one of " + ", ".join(f'`"{word.value}"`' for word in cls)
        case shape.UnionType(types=types):
            return ", or ".join(_words(each) for each in types if not isinstance(each, shape.NoneType))
        case shape.VarTupleType(item_type=item):
            return f"list of {_words(item)}s"
        case shape.DictType(value_type=value):
            return f"table of {_words(value)}s"
        case shape.CustomType(cls=cls) if cls is Secret:
            return "secret"
    raise TypeError(f"no words for {info}")


def _bounds(info: shape.IntType | shape.FloatType) -> str:
    if info.gt is not None:
        low = f" above {info.gt:g}"
    elif info.ge is not None and info.le is not None:
        return f", {info.ge:g} to {info.le:g}"
    else:
        low = f", {info.ge:g} or more" if info.ge is not None else ""
    return low + (f", at most {info.le:g}" if info.le is not None else "")


def _told_of(kind: type[Struct]) -> str:
    doc = " ".join((inspect.getdoc(kind) or "").split())
    return "" if doc == "A table of the file." or doc.startswith(f"{kind.__name__}(") else doc


def _docstrings(kind: type[Struct]) -> dict[str, str]:
    """The string below each attribute: Python keeps none of them."""
    body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    assert isinstance(body, ast.ClassDef)
    told: dict[str, str] = {}
    for above, below in zip(body.body, body.body[1:], strict=False):
        if isinstance(above, ast.AnnAssign) and isinstance(above.target, ast.Name) and isinstance(below, ast.Expr):
            value = below.value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                told[above.target.id] = " ".join(value.value.split())
    return told
