"""docs/configuration.md names every key there is, and no other section."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from hoosh.access import Key
from hoosh.config import schema

PAGE = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text()
SECTIONS = [schema.Server, Key, schema.Provider, schema.Timeouts, schema.Alias, schema.Discovery, schema.Logging]


@pytest.mark.parametrize("section", SECTIONS, ids=lambda s: s.__name__)
def test_every_key_is_documented(section: type[msgspec.Struct]):
    for field in msgspec.structs.fields(section):
        if field.encode_name != "origin":  # not a key: where a provider was learnt of
            assert f"`{field.encode_name}`" in PAGE, f"{section.__name__}.{field.encode_name} is not documented"


def test_every_section_that_is_documented_exists():
    named = set(re.findall(r"^## `\[+(\w+)\]+`", PAGE, re.MULTILINE))
    assert named <= {field.encode_name for field in msgspec.structs.fields(schema.Config)}
