"""docs/tutorial_team_gateway.md, step by step: its certificate, its keys, its configuration and its questions."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tools.docs.pages import ROOT, read_page
from tools.docs.running import environment

PATIENCE_S = 60.0
BLOCKS = read_page(ROOT / "docs" / "tutorial_team_gateway.md").blocks


def text(language: str, begins: str) -> list[str]:
    return [block.text for block in BLOCKS if block.language == language and block.text.startswith(begins)]


@pytest.mark.skipif(not (shutil.which("openssl") and shutil.which("curl")), reason="no openssl or no curl here")
def test_the_team_gateway_works_as_told(tmp_path: Path):
    env = environment(tmp_path)
    exports = "".join(text("sh", "export"))
    shell(exports + "".join(text("sh", "openssl")), tmp_path, env)
    (config,) = text("toml", "[server]")
    (tmp_path / "hoosh.toml").write_text(config.replace("[server]", "[server]\nport = 0"))
    out = tmp_path / "out"
    with out.open("wb") as stdout:
        process = subprocess.Popen(
            ["bash", "-c", f'{exports}exec "{sys.executable}" -m hoosh serve'],
            cwd=tmp_path, env=env, stdout=stdout, stderr=subprocess.DEVNULL,
        )  # fmt: skip
    try:
        port = port_in(process, out)
        chat, pools, costs = [
            json.loads(shell(exports + ask.replace(":8088", f":{port}"), tmp_path, env)) for ask in text("sh", "curl")
        ]
        assert chat["choices"][0]["message"]["content"] == "salam donya"
        team = next(pool for pool in pools["pools"] if pool["name"] == "team")
        assert team["used"] == chat["usage"]["total_tokens"]
        assert team["capacity"] == 2_000_000
        assert "echo" in json.dumps(costs)
    finally:
        process.terminate()
        assert process.wait(PATIENCE_S) == 0


def shell(script: str, folder: Path, env: dict[str, str]) -> str:
    done = subprocess.run(
        ["bash", "-euc", script],
        cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=PATIENCE_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def port_in(process: subprocess.Popen[bytes], out: Path) -> str:
    give_up = time.monotonic() + PATIENCE_S
    while time.monotonic() < give_up and process.poll() is None:
        found = re.search(r"https://127\.0\.0\.1:(\d+)", out.read_text())
        if found:
            return found[1]
        time.sleep(0.01)
    pytest.fail(f"the gateway does not start: {out.read_text()}")
