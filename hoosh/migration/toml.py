"""Writing TOML: tables of plain values, in the order they are given.  Source: TOML v1.0.0."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping

__all__ = ["Table", "Value", "comment", "table_text", "text_of"]

Value = str | bool | int | float | list[str] | dict[str, "str | int | float"]
Table = Mapping[str, Value]

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def table_text(header: str, table: Table) -> str:
    """`header` is written as it is: `[server]`, `[[providers]]`."""
    lines = [f"{_key(name)} = {text_of(value)}" for name, value in table.items()]
    return "\n".join([header, *lines])


def comment(lines: Iterable[str]) -> str:
    """Each in one line, whatever is in it."""
    return "\n".join(f"# {' '.join(line.split())}".rstrip() for line in lines)


def text_of(value: Value) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            # JSON's strings are TOML's basic strings; DEL is the one sign that JSON leaves as it is.
            sound = value.encode("utf-8", "replace").decode()
            return json.dumps(sound, ensure_ascii=False).replace("\x7f", "\\u007f")
        case int():
            return str(value)
        case float():
            return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
        case list():
            return f"[{', '.join(text_of(item) for item in value)}]"
        case dict():
            return f"{{ {', '.join(f'{_key(name)} = {text_of(item)}' for name, item in value.items())} }}"


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else text_of(name)
