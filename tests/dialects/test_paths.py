from __future__ import annotations

import pytest

from hoosh.dialects.paths import join_base


@pytest.mark.parametrize(
    ("base", "path", "joined"),
    [
        ("", "/v1/chat/completions", "/v1/chat/completions"),
        ("/", "/v1/chat/completions", "/v1/chat/completions"),
        ("/v1", "/v1/chat/completions", "/v1/chat/completions"),
        ("/v1/", "/v1/chat/completions", "/v1/chat/completions"),
        ("/openai", "/v1/chat/completions", "/openai/v1/chat/completions"),
        ("/api/v1", "/v1/chat/completions", "/api/v1/chat/completions"),
        ("/v1beta/openai/", "/v1/chat/completions", "/v1beta/openai/chat/completions"),
        ("/api/paas/v4", "/v1/models", "/api/paas/v4/models"),
        ("/v1", "/api/chat", "/api/chat"),
        ("/ollama/v1/", "/api/chat", "/ollama/api/chat"),
        ("/ollama", "/api/chat", "/ollama/api/chat"),
        ("/vault", "/v1/models", "/vault/v1/models"),
    ],
)
def test_a_base_may_hold_the_version_or_not(base: str, path: str, joined: str):
    assert join_base(base, path) == joined
