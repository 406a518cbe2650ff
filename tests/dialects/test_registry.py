from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from hoosh.catalogue import PROVIDER_TYPES
from hoosh.dialects.openai import OpenAIUpstream
from hoosh.dialects.registry import GROUP, plugin_types, upstream_dialect
from hoosh.errors import ConfigError

GOOD = EntryPoint("mine", "hoosh.dialects.openai:OpenAIUpstream", GROUP)
BAD = EntryPoint("broken", "no_such_module:Dialect", GROUP)
SHADOW = EntryPoint("openai", "no_such_module:Dialect", GROUP)


@pytest.mark.parametrize("name", [name for name, kind in PROVIDER_TYPES.items() if kind.dialect == "openai"])
def test_every_type_of_the_catalogue_has_its_dialect(name: str):
    dialect = upstream_dialect(name)
    assert isinstance(dialect, OpenAIUpstream)


def test_a_plugin_is_loaded_when_its_type_is_named():
    assert isinstance(upstream_dialect("mine", plugins=[BAD, GOOD]), OpenAIUpstream)
    assert plugin_types([BAD, GOOD, SHADOW]) == ["broken", "mine"]


def test_a_plugin_that_cannot_be_loaded_is_a_mistake_in_the_configuration():
    with pytest.raises(ConfigError, match=r"broken.*no_such_module"):
        upstream_dialect("broken", plugins=[BAD, GOOD])


def test_a_plugin_cannot_take_the_place_of_a_built_in_type():
    assert isinstance(upstream_dialect("openai", plugins=[SHADOW]), OpenAIUpstream)


def test_an_unknown_type_has_no_dialect():
    with pytest.raises(ConfigError, match="nobody"):
        upstream_dialect("nobody", plugins=[])
