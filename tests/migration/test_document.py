"""YAML as plain values: lines, anchors, merges, and what is refused."""

from __future__ import annotations

import sys

import pytest

from hoosh.migration.document import MAX_NODES, NotReadable, read_yaml


def test_every_key_has_its_line():
    document = read_yaml("a: 1\nb:\n  c: [x,\n    y]\n")
    assert document.root == {"a": 1, "b": {"c": ["x", "y"]}}
    assert [document.line(path) for path in (("a",), ("b",), ("b", "c"), ("b", "c", 1), ("b", "d"))] == [1, 2, 3, 4, 2]


def test_scalars_are_what_yaml_says_and_dates_are_text():
    text = "a: 0.5\nb: yes\nc: ~\nd: '1'\ne: 2024-10-21\nf: 6e-7\ng: 0x10\n"
    assert read_yaml(text).root == {
        "a": 0.5,
        "b": True,
        "c": None,
        "d": "1",
        "e": "2024-10-21",
        "f": "6e-7",
        "g": 16,  # YAML 1.1 wants a dot in a float
    }


def test_a_merge_gives_way_to_what_the_table_says_itself():
    text = "x: &x {a: 1, b: 1}\ny: &y {b: 2, c: 2}\nz: {<<: [*x, *y], a: 0}\n"
    assert read_yaml(text).root["z"] == {"a": 0, "b": 1, "c": 2}


def test_an_alias_is_the_same_value_again():
    assert read_yaml("a: &a [1, 2]\nb: *a\n").root["b"] == [1, 2]


def test_a_few_aliases_cannot_make_billions():
    levels = "".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]\n" for n in range(1, 12))
    with pytest.raises(NotReadable, match=str(MAX_NODES)):
        read_yaml(f"l0: &l0 [x]\n{levels}")


def test_merges_cannot_make_billions_either():
    levels = "".join(f"l{n}: &l{n} {{<<: [{', '.join([f'*l{n - 1}'] * 10)}]}}\n" for n in range(1, 12))
    with pytest.raises(NotReadable, match=str(MAX_NODES)):
        read_yaml(f"l0: &l0 {{a: 1}}\n{levels}")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a: [1", "line 1"),
        ("a: b: c", "line 1: not YAML"),
        ("- 1\n- 2\n", "not a table"),
        ("just text", "not a table"),
        ("a: !!python/object/apply:os.system [x]", "tag"),
        ("a: !!python/name:os.system ''", "tag"),
        ("a: !!binary aGk=", "tag"),
        ("a: *nowhere", "line 1"),
        ("? [1, 2]\n: x", "a key that is not text"),
        ("a: {<<: 5}", "merges tables"),
        ("a: 1\n---\nb: 2\n", "not YAML"),
        ("a: \x00", "not YAML"),
        ("a: !!int nonsense", "not YAML"),
        ("[" * 5000, "too deeply"),
        ("a: &a {b: *a}", "too deeply"),
    ],
)
def test_what_is_no_configuration_is_refused_in_a_line(text: str, why: str):
    with pytest.raises(NotReadable, match=why) as refused:
        read_yaml(text)
    assert "\n" not in str(refused.value)


def test_without_a_parser_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(NotReadable, match=r"pip install 'hoosh-trio\[migrate\]'"):
        read_yaml("a: 1")
