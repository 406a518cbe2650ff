"""The examples of embedding are what people will copy: each runs, and says what it says it does."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
import trio
from hypercorn.config import Config as HypercornConfig
from hypercorn.trio import serve as hypercorn_serve

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60.0
CHAT = {"model": "echo", "messages": [{"role": "user", "content": "salam donya"}]}


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def said_by(name: str) -> list[str]:
    """What a program prints, less the gateway's log."""
    kept = {key: os.environ[key] for key in ("PATH", "LANG", "TMPDIR") if key in os.environ}
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / f"{name}.py")],
        capture_output=True, text=True, timeout=PATIENCE_S, env={**kept, "PYTHONPATH": str(ROOT)}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [line for line in done.stdout.splitlines() if not line.startswith("{")]


def test_beside_asyncio():
    assert said_by("embed_asyncio") == ["salam", "donya"]


async def served(nursery: trio.Nursery, app: Any) -> str:
    settings = HypercornConfig()
    settings.bind = ["127.0.0.1:0"]
    settings.accesslog = settings.errorlog = None

    async def run(task_status: trio.TaskStatus[list[str]]) -> None:
        await hypercorn_serve(app, settings, mode="asgi", task_status=task_status)

    return (await nursery.start(run))[0]


@pytest.fixture
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("_no_proxy")
async def test_inside_a_quart_app():
    app = load("embed_quart").app
    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            address = await served(nursery, app)
            async with httpx.AsyncClient(base_url=address) as client:
                answer = await client.post("/summary", content="a long text")
                assert answer.json() == {"summary": "In one word: a long text"}
                assert (await client.get("/nowhere")).status_code == 404
            nursery.cancel_scope.cancel()


@pytest.mark.usefixtures("_no_proxy")
async def test_under_hypercorn():
    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            addresses = await nursery.start(load("embed_hypercorn").main, 0)
            async with httpx.AsyncClient(base_url=addresses[0]) as client:
                answer = await client.post("/v1/chat/completions", json=CHAT)
                assert answer.json()["choices"][0]["message"]["content"] == "salam donya"
            nursery.cancel_scope.cancel()
