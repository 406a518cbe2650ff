"""A YAML file as plain values, every key with its line.

PyYAML builds the graph of nodes; the values are made here, with a count: an alias is a node that is visited again,
and a few nested ones would make billions (`&a [*b, *b]`).  Tags other than YAML's own are refused.  `<<` merges as
YAML 1.1 has it (yaml.org/type/merge.html): what a table says itself wins, then the first of those merged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

from hoosh.config.locate import KeyPath
from hoosh.migration.remarks import harmless

__all__ = ["MAX_FILE_BYTES", "Document", "NotReadable", "read_yaml"]

MAX_FILE_BYTES = 1024 * 1024
MAX_NODES = 100_000
TAG = "tag:yaml.org,2002:"
MERGE = f"{TAG}merge"
TEXTS = ("str", "timestamp", "value")
KINDS = frozenset({"map", "seq", "null", "bool", "int", "float", *TEXTS})

Value = Any
"""None, bool, int, float, str, a list or a dict of these; dates stay as they are written."""


class NotReadable(Exception):
    """The text is why, for a person; it never repeats a value."""


class Document(Struct, frozen=True):
    root: Mapping[str, Value]
    lines: Mapping[KeyPath, int]

    def line(self, path: KeyPath) -> int:
        """Of the nearest thing around `path` that is written down."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.lines:
                return self.lines[path[:length]]
        return 1


def read_yaml(text: str) -> Document:
    """Raises NotReadable: also where PyYAML is not installed."""
    try:
        import yaml
    except ImportError:
        raise NotReadable("reading YAML needs PyYAML; install it with: pip install 'hoosh-trio[migrate]'") from None
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        builder = _Builder(yaml.constructor.SafeConstructor())
        root = {} if node is None else builder.value(node, ())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}: " if mark else ""
        raise NotReadable(f"{where}not YAML ({harmless(error.problem or 'a mistake')})") from None
    except (yaml.YAMLError, ValueError, OverflowError):
        raise NotReadable("not YAML: it holds signs or values that YAML does not have") from None
    except RecursionError:
        raise NotReadable("nested too deeply; this is not a configuration") from None
    if not isinstance(root, dict):
        raise NotReadable("not a table of settings; is this the right file?")
    return Document(root, builder.lines)


class _Builder:
    def __init__(self, scalars: Any) -> None:
        self._scalars = scalars
        self._visited = 0
        self.lines: dict[KeyPath, int] = {}

    def value(self, node: Any, path: KeyPath) -> Value:
        self._visited += 1
        if self._visited > MAX_NODES:
            raise NotReadable(f"more than {MAX_NODES} values; this is not a configuration")
        line = node.start_mark.line + 1
        if node.tag.removeprefix(TAG) not in KINDS:
            raise NotReadable(f"line {line}: a tag that no LiteLLM configuration has")
        self.lines.setdefault(path, line)
        if node.id == "mapping":
            return self._table(node, path)
        if node.id == "sequence":
            return [self.value(item, (*path, number)) for number, item in enumerate(node.value)]
        return self._scalar(node)

    def _table(self, node: Any, path: KeyPath) -> dict[str, Value]:
        table: dict[str, Value] = {}
        for key, item in node.value:
            if key.tag != MERGE:
                name = self._name(key)
                self.lines[(*path, name)] = key.start_mark.line + 1
                table[name] = self.value(item, (*path, name))
        for other in self._merged(node, path):
            for name, value in other.items():
                table.setdefault(name, value)
        return table

    def _merged(self, node: Any, path: KeyPath) -> Iterator[dict[str, Value]]:
        for key, item in node.value:
            if key.tag == MERGE:
                for each in item.value if item.id == "sequence" else [item]:
                    value = self.value(each, path)
                    if not isinstance(value, dict):
                        raise NotReadable(f"line {key.start_mark.line + 1}: `<<` merges tables only")
                    yield value

    def _name(self, key: Any) -> str:
        if key.id != "scalar":
            raise NotReadable(f"line {key.start_mark.line + 1}: a key that is not text")
        return str(key.value)

    def _scalar(self, node: Any) -> Value:
        if node.tag.removeprefix(TAG) in TEXTS:
            return str(node.value)
        return self._scalars.construct_object(node)
