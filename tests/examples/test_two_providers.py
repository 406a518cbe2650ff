"""examples/two_providers.toml is what people will copy: it has no mistake, nor have its lines to try, and it works."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from msgspec.structs import replace

from hoosh.config import Config, Logging
from hoosh.config.load import loads
from hoosh.testing.faults import WORDS, FaultyUpstream
from hoosh.testing.house import memory_house

TEXT = (Path(__file__).parents[2] / "examples" / "two_providers.toml").read_text()
TO_TRY = re.compile(r"^#: ", re.MULTILINE)
KEYS = {name: f"sk-{name.lower()}" for name in ("OPENAI_API_KEY", "OPENAI_API_KEY_2", "ANTHROPIC_API_KEY")}
ANSWER = "".join(WORDS)


def read(text: str) -> Config:
    return loads(text, "two_providers.toml", KEYS)


def test_it_says_who_stands_in_for_whom():
    config = read(TEXT)
    assert [provider.name for provider in config.providers] == ["openai", "anthropic"]
    assert [(alias.name, alias.strategy) for alias in config.models] == [("best", None)]


def test_each_line_to_try_is_right_alone_and_changes_something():
    lines = TEXT.splitlines(keepends=True)
    at = [number for number, line in enumerate(lines) if TO_TRY.match(line)]
    assert len(at) == 9
    for number in at:
        tried = [TO_TRY.sub("", line) if position == number else line for position, line in enumerate(lines)]
        assert read("".join(tried)) != read(TEXT), lines[number]


def test_all_lines_to_try_are_right_together():
    config = read(TO_TRY.sub("", TEXT))
    assert config.models[0].strategy == "least_loaded"
    assert config.routing.hedge_after_ms == "p95"


@pytest.mark.parametrize("text", [TEXT, TO_TRY.sub("", TEXT)], ids=["as it is", "all lines to try"])
async def test_one_stands_in_for_the_other(text: str, autojump_clock: object):
    config = read(text)
    providers = tuple(replace(each, base_url=f"http://{each.name}:80") for each in config.providers)
    config = replace(config, providers=providers, logging=Logging(level="error"))
    openai, anthropic = FaultyUpstream("openai"), FaultyUpstream("anthropic")
    openai.faults["gpt-4.1"] = openai.faults["s08"]  # its streams die after 40 words
    async with memory_house(config) as house:
        house.network.listen("openai:80", openai.serve_wire)
        house.network.listen("anthropic:80", anthropic.serve_wire)
        for _ in range(4):
            asked = {"model": "best", "stream": True, "messages": [{"role": "user", "content": "salam"}]}
            status, _, body = await house.post("/v1/chat/completions", asked)
            assert status == 200
            assert "".join(re.findall(r'"content": ?"(.*?)"', body.decode())) == ANSWER
            assert body.endswith(b"data: [DONE]\n\n")
    assert anthropic.asked
