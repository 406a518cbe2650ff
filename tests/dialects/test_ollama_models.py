"""What is read of Ollama's model list and of one model, and what our own lists say."""

from __future__ import annotations

import json

from hoosh.dialects.ollama import OllamaUpstream, read_show, show_request
from hoosh.values import Capability

UPSTREAM = OllamaUpstream(now=lambda: 0.0)


def test_models_are_owned_by_their_namespace():
    names = ["qwen3:4b", "someone/model:latest", "hf.co/maker/model:Q4"]
    models = [{"name": name, "modified_at": "2026-06-19T17:15:40.188240254-07:00"} for name in names]
    body = json.dumps({"models": [*models, {"model": "only-model", "modified_at": "never"}, {}, 7]}).encode()
    cards = UPSTREAM.read_models(body, default_owner="x")
    assert [card.id for card in cards] == [*names, "only-model"]
    assert [card.owned_by for card in cards] == ["library", "someone", "maker", "library"]
    assert [card.created for card in cards] == [1_781_914_540] * 3 + [0]
    assert UPSTREAM.read_models(b"nonsense", default_owner="x") == []


def test_what_show_tells_of_a_model():
    assert json.loads(show_request("m").body) == {"model": "m"}
    body = {
        "capabilities": ["completion", "tools", "insert"],
        "model_info": {"general.x": 1, "qwen3.context_length": 40960},
    }
    facts = read_show(json.dumps(body).encode())
    assert facts.can == {Capability.CHAT, Capability.STREAMING, Capability.TOOLS}
    assert facts.cannot == {Capability.VISION, Capability.REASONING}
    assert (facts.context_tokens, facts.source) == (40960, "provider")
    assert read_show(b"nonsense").source == read_show(b"{}").source == ""
