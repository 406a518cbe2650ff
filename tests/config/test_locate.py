"""Documents are written at random, in every style TOML has, and each key is looked for where it was put."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hoosh.config.locate import KeyPath, Lines, spell


def line_of(source: str, *path: str | int) -> int:
    return Lines(source).of(path)


def test_a_key_in_a_table_has_its_line():
    source = "[server]\n\n# comment\nport = 1 # port\n  bind='x'\n"
    assert line_of(source, "server") == 1
    assert line_of(source, "server", "port") == 4
    assert line_of(source, "server", "bind") == 5


def test_items_of_arrays_of_tables_are_counted():
    source = "[[p]]\na = 1\n[p.t]\nx = 1\n[[p]]\na = 2\n[[p.q]]\nb=1\n[[p.q]]\nb=2\n"
    assert line_of(source, "p", 0, "a") == 2
    assert line_of(source, "p", 0, "t", "x") == 4
    assert line_of(source, "p", 1) == 5
    assert line_of(source, "p", 1, "a") == 6
    assert line_of(source, "p", 1, "q", 1, "b") == 10


def test_arrays_and_inline_tables_are_looked_into():
    source = "p = [\n  { a = 1, t = { x = 2 } }, # one\n\n  {\ta.b = 'x'},\n]\nq = [[1],\n[2, 3]]"
    assert line_of(source, "p", 0, "t", "x") == 2
    assert line_of(source, "p", 1, "a", "b") == 4
    assert line_of(source, "q", 1, 1) == 7


@pytest.mark.parametrize(
    "text", ['"""\n[no]\nkey = 1\n"""', "'''\n[[no]]\n\n'''", '"""a\\"""\n\n b"""""', "'''\n'\n'''''"]
)
def test_text_over_several_lines_holds_no_keys(text):
    source = f"a = {text}\nb = 1\n"
    assert set(tomllib.loads(source)) == {"a", "b"}
    assert line_of(source, "b") == source.count("\n")
    assert set(Lines(source).known) == {("a",), ("b",)}


def test_quoted_and_dotted_keys_are_understood():
    source = '"a.b" . \'c d\' = 1\n["x \\u00e9" . y]\nz . "" = 2\r\nend = 3'
    assert line_of(source, "a.b", "c d") == 1
    assert line_of(source, "x é", "y") == 2
    assert line_of(source, "x é", "y", "z", "") == 3
    assert line_of(source, "x é", "y", "end") == 4


def test_a_path_that_is_not_written_has_the_line_of_what_is_around_it():
    source = "\n[[p]]\n\nt.x = 1\n"
    assert line_of(source, "p", 0, "name") == 2
    assert line_of(source, "p", 0, "t", "y") == 4
    assert line_of(source, "other") == 1
    assert line_of(source) == 1


@pytest.mark.parametrize("source", ["[", "[[a]", "a", "a =", "a = [", "a = {", "= 1", 'a = "', "]", "a = [" * 5000])
def test_a_broken_document_does_no_harm(source):
    assert Lines(source).of(("zzz",)) == 1


def test_a_path_is_spelt_as_one_would_write_it():
    assert spell(("providers", 1, "timeouts", "idle_s")) == "providers[1].timeouts.idle_s"
    assert spell(("a b",)) == "'a b'"


# -- documents at random -----------------------------------------------------------------------------

names = st.one_of(st.sampled_from(["a", "b", "c-1", "_x", "0"]), st.text("ab .=[]#\"'\\é", max_size=4))
texts = st.text("ab [[]]{}#=,.\"'\\\né", max_size=8)
leaves = st.one_of(st.integers(-9, 9), st.booleans(), st.floats(allow_nan=False, allow_infinity=False, width=16), texts)
values = st.recursive(
    leaves,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(names, inner, max_size=3)),
    max_leaves=8,
)
documents = st.dictionaries(names, values, max_size=4)


class Writer:
    """Writes a document in a style of its own choosing and notes the line of each path."""

    def __init__(self, data: st.DataObject) -> None:
        self.choose = lambda *of: data.draw(st.sampled_from(of))
        self.out = ""
        self.lines: dict[KeyPath, int] = {}

    def note(self, path: KeyPath) -> None:
        self.lines.setdefault(path, self.out.count("\n") + 1)

    def blank(self, *, lines: bool) -> None:
        self.out += self.choose("", "", " ", "\t", *(["\n", " # [x] y = 1, }\n"] if lines else []))

    def name(self, name: str) -> str:
        if name and name.isascii() and name.replace("-", "").replace("_", "").isalnum() and self.choose(True, False):
            return name
        if "'" not in name and self.choose(True, False):
            return f"'{name}'"
        return basic(name)

    def text(self, text: str) -> str:
        style = self.choose("basic", "literal", "long", "long literal")
        if style == "literal" and "'" not in text and "\n" not in text:
            return f"'{text}'"
        if style == "long":
            return '"""\n' + text.replace("\\", "\\\\").replace('""', '"\\"').replace('"\\""', '"\\"\\"') + '"""'
        if style == "long literal" and "''" not in text:
            return f"'''\n{text}'''"
        return basic(text)

    def value(self, path: KeyPath, value: Any) -> None:
        match value:
            case bool():
                self.out += str(value).lower()
            case str():
                self.out += self.text(value)
            case dict():
                self.out += "{"
                for number, (name, item) in enumerate(value.items()):
                    self.out += "," if number else ""
                    self.blank(lines=False)
                    self.pair(path, name, item)
                self.out += "}"
            case list():
                self.out += "["
                for number, item in enumerate(value):
                    self.out += "," if number else ""
                    self.blank(lines=True)
                    self.note((*path, number))
                    self.value((*path, number), item)
                self.blank(lines=True)
                self.out += self.choose(",", "") if value else ""
                self.blank(lines=True)
                self.out += "]"
            case _:
                self.out += repr(value)

    def pair(self, table: KeyPath, name: str, value: Any) -> None:
        path = (*table, name)
        self.note(path)
        self.out += self.name(name)
        while isinstance(value, dict) and len(value) == 1 and self.choose(True, False):
            [(name, value)] = value.items()
            path = (*path, name)
            self.note(path)
            self.out += self.choose(".", " . ") + self.name(name)
        self.out += self.choose("=", " = ")
        self.value(path, value)
        self.blank(lines=False)

    def table(self, path: KeyPath, header: list[str], table: dict[str, Any]) -> None:
        """Plain keys first, then what is written below headers of its own."""
        below = []
        for name, value in table.items():
            is_tables = isinstance(value, list) and value and all(isinstance(item, dict) for item in value)
            if (isinstance(value, dict) or is_tables) and self.choose(True, False):
                below.append((name, value))
                continue
            self.pair(path, name, value)
            self.out += self.choose("\n", " # x = [\n", "\n\n")
        for name, value in below:
            names = [*header, name]
            if isinstance(value, dict):
                self.note((*path, name))
                self.out += f"[{'.'.join(map(self.name, names))}]\n"
                self.table((*path, name), names, value)
                continue
            for number, item in enumerate(value):
                self.note((*path, name))
                self.note((*path, name, number))
                self.out += f"[[ {' . '.join(map(self.name, names))}]] # x\n"
                self.table((*path, name, number), names, item)


def basic(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def paths_of(value: Any, path: KeyPath = ()) -> set[KeyPath]:
    found: set[KeyPath] = {path} if path else set()
    if isinstance(value, dict):
        for name, item in value.items():
            found |= paths_of(item, (*path, name))
    if isinstance(value, list):
        for number, item in enumerate(value):
            found |= paths_of(item, (*path, number))
    return found


@settings(deadline=None)
@given(documents, st.data())
def test_every_key_of_any_document_is_found_on_its_line(document, data):
    writer = Writer(data)
    writer.table((), [], document)
    parsed = tomllib.loads(writer.out)
    assert parsed == document
    lines = Lines(writer.out)
    assert set(lines.known) == paths_of(parsed)
    assert lines.known == writer.lines


@settings(deadline=None)
@given(st.text("[]{}=\"'#.,\n a1\\", max_size=40))
def test_any_text_at_all_is_read_without_harm(source):
    known = Lines(source).known
    try:
        parsed = tomllib.loads(source)
    except ValueError:
        return
    assert set(known) == paths_of(parsed)
