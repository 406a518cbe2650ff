"""What `serve` says when it is up."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hoosh.api.screen import start_screen
from hoosh.config import Budget, Config, Key
from hoosh.values import Capability, ModelCard, ModelFacts, Secret


def screen(config: Config, *, models: Sequence[ModelCard] = (), **more: str) -> list[str]:
    text = start_screen(
        config,
        version="1",
        address="http://h:1",
        config_path=Path("/etc/hoosh.toml"),
        providers=(),
        models=models,
        **more,
    )
    assert "hunter2" not in text
    return text.splitlines()


def test_it_says_where_the_books_are_and_who_pays():
    budgets = tuple(Budget(name=name, capacity=5) for name in ("team", "money"))
    lines = screen(Config(keys=(Key(name="ada", key=Secret("hunter2")),), budgets=budgets), ledger="/var/lib/hoosh.db")
    assert "  keys       1" in lines
    assert "  budgets    team, money" in lines
    assert "  ledger     /var/lib/hoosh.db" in lines


def test_it_says_that_memory_forgets():
    lines = screen(Config())
    assert "  ledger     in memory: gone when this stops" in lines
    assert any(line.startswith("  budgets    none") for line in lines)


def test_it_shows_how_to_chat_with_a_model_that_chats():
    ears = ModelCard("base", "hoosh", facts=ModelFacts(can=frozenset({Capability.TRANSCRIPTION}), source="provider"))
    for models, tried in (((ears, ModelCard("gpt", "openai")), "gpt"), ((ears, ModelCard("echo", "echo")), "echo")):
        assert any(f'"model":"{tried}"' in line for line in screen(Config(), models=models))
