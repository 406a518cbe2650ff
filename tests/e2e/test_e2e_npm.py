"""OpenAI's SDK of the npm side, once, where node and npm are here and npm can install it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from e2e_house import CLIENT_KEY, Gateway
from replay import Replay, recorded

SCRIPT = Path(__file__).with_name("openai_across.mjs")
INSTALL_PATIENCE_S = 60
RUN_PATIENCE_S = 60


@pytest.fixture(scope="module")
def npm_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package `openai` in it."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("no node and npm here")
    folder = tmp_path_factory.mktemp("npm")
    (folder / "package.json").write_text('{"private": true, "type": "module"}')
    install = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error", "openai@7"]
    try:
        done = subprocess.run(install, cwd=folder, capture_output=True, timeout=INSTALL_PATIENCE_S, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip("npm is too slow here")
    if done.returncode != 0:
        pytest.skip(f"npm cannot install here: {done.stderr.decode(errors='replace')[-200:]}")
    shutil.copy(SCRIPT, folder)
    return folder


def test_the_npm_sdk_works_unchanged(npm_folder: Path, across: Gateway, replay: Replay) -> None:
    whole = recorded("gemini/generateContent-rubyllm-cachedcontent")
    streamed = recorded("mistral/chat-stream-rubyllm-mistral-hybrid-reasoning")
    calls = recorded("anthropic/messages-stream-otel-anthropic-messages-anthropic-tools-streaming")
    answer = recorded("anthropic/messages-rubyllm-with-extended-thinking")
    limited = recorded("groq/chat-doc-rate-limit-429")
    replay.play(whole, streamed, calls, answer, limited)
    environment = {"PATH": os.environ["PATH"], "E2E_CLIENT_KEY": CLIENT_KEY}
    command = ["node", SCRIPT.name, across.base_url]
    done = subprocess.run(
        command, cwd=npm_folder, env=environment, capture_output=True, timeout=RUN_PATIENCE_S, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    told = json.loads(done.stdout)
    assert told["whole"] == whole.answer["candidates"][0]["content"]["parts"][0]["text"]
    assert told["streamed"].strip() == "144"
    assert told["calls"] == [
        ["get_weather", {"location": "New York, NY", "unit": "fahrenheit"}],
        ["get_time", {"timezone": "America/New_York"}],
    ]
    assert told["answered"] == answer.answer["content"][1]["text"]
    assert told["failed"] == [True, 429, limited.headers["retry-after"]]
    asked = next(heard.json for heard in reversed(replay.heard) if "/anthropic/" in heard.target)
    assert [block["type"] for block in asked["messages"][-1]["content"]] == ["tool_result", "tool_result"]
