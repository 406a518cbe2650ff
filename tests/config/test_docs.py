"""docs/configuration.md names every key there is, and no other section."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from hoosh.access import Key
from hoosh.admission import Limits, ModelLimits
from hoosh.catalogue import PROVIDER_TYPES, ProviderType
from hoosh.config import schema
from hoosh.routing import Strategy
from hoosh.values import Capability

PAGE = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text()
SECTIONS = [
    *(schema.Server, Key, schema.Provider, schema.Timeouts, schema.Alias, schema.Discovery, schema.Logging),
    *(schema.Routing, schema.Retry, schema.Health, schema.Hardware),
    *(schema.Budget, Limits, ModelLimits, schema.PriceOverride, schema.Cache, schema.Audit, schema.Storage),
    *(schema.Events, schema.Webhook),
]


@pytest.mark.parametrize("section", SECTIONS, ids=lambda s: s.__name__)
def test_every_key_is_documented(section: type[msgspec.Struct]):
    for field in msgspec.structs.fields(section):
        if field.encode_name != "origin":  # not a key: where a provider was learnt of
            assert f"`{field.encode_name}`" in PAGE, f"{section.__name__}.{field.encode_name} is not documented"


@pytest.mark.parametrize("kind", PROVIDER_TYPES.values(), ids=lambda kind: kind.wire)
def test_every_provider_type_is_documented(kind: ProviderType):
    row = next(line for line in PAGE.splitlines() if line.startswith("| `") and f"`{kind.wire}`" in line)
    for said in (kind.base_url if not kind.local else None, *kind.key_variables, *map(str, kind.ports)):
        assert said is None or said in row


def test_every_capability_that_an_alias_may_have_is_documented():
    for capability in set(Capability) - {Capability.CHAT, Capability.STREAMING}:
        assert f"`{capability.value}`" in PAGE


@pytest.mark.parametrize("strategy", get_args(Strategy))
def test_every_strategy_is_documented(strategy: str):
    assert f'`"{strategy}"`' in PAGE


def test_every_section_that_is_documented_exists():
    named = set(re.findall(r"^## `\[+(\w+)\]+`", PAGE, re.MULTILINE))
    there = {field.encode_name for field in msgspec.structs.fields(schema.Config)}
    assert named == there - {"auth"}, "[auth] is told of below [[keys]]"
