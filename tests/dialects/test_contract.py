"""Every built-in dialect keeps the contract that a plugin has to keep."""

from __future__ import annotations

import pytest

from hoosh.dialects.registry import built_in_types, upstream_dialect
from hoosh.testing.contracts import check_dialect


@pytest.mark.parametrize("provider_type", built_in_types())
@pytest.mark.parametrize("seed", [1, 2])
def test_a_built_in_dialect_keeps_the_contract(provider_type: str, seed: int):
    check_dialect(lambda: upstream_dialect(provider_type, plugins=()), seed=seed)
