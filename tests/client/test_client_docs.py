"""docs/client.md: its tables name what there is, and the code in it that needs no gateway runs."""

from __future__ import annotations

import re
from pathlib import Path

import hoosh
from hoosh.client import SyncHooshClient, errors
from hoosh.client.chats import ChatOptions
from hoosh.client.errors import FAMILY

DOCS = (Path(__file__).parents[2] / "docs" / "client.md").read_text()


def test_every_error_and_every_argument_is_named():
    for kind in {*FAMILY.values(), errors.StreamCut}:
        assert f"`{kind.__name__}`" in DOCS, kind.__name__
    for name in ChatOptions.__optional_keys__ - {"extra"}:
        assert f"`{name}`" in DOCS, name
    assert "`extra={…}`" in DOCS


def test_every_method_is_named():
    with SyncHooshClient("http://127.0.0.1:9") as client:
        for desk in (client, client.tokens, client.costs, client.requests, client.cache, client.audio):
            for name in dir(desk):
                if not name.startswith("_"):
                    assert re.search(rf"[`.]{name}\b", DOCS) or name in ("close", "base_url"), name


def test_the_code_about_pools_and_routes_runs():
    (code,) = (block for block in re.findall(r"```python\n(.*?)```", DOCS, re.DOTALL) if "TokenPool(" in block)
    exec(code, {"hoosh": hoosh})
