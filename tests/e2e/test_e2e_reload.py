"""A real gateway reads its file again: at SIGHUP, when an administrator says so, when the file has been changed."""

from __future__ import annotations

import json
import signal
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from e2e_house import CLIENT_KEY, Gateway, OpenAIServer, StreamReader, config_text, free_port, wait_until

Start = Callable[..., Gateway]
MODELS = 'models = ["tiny-chat", "waits"]'
ALIAS = '\n[[models]]\nname = "best"\ntargets = ["tiny/tiny-chat"]\n'
either_server = pytest.mark.parametrize("flags", [(), ("--server", "hypercorn")], ids=["hoosh", "hypercorn"])


def ask(gateway: Gateway, path: str, body: Any = None) -> tuple[int, Any]:
    request = urllib.request.Request(
        gateway.url + path,
        data=b"" if body is None else json.dumps(body).encode(),
        headers={"authorization": f"Bearer {CLIENT_KEY}", "content-type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refused:
        return refused.code, json.load(refused)


def chat(gateway: Gateway, model: str) -> int:
    return ask(gateway, "/v1/chat/completions", {"model": model, "messages": [{"role": "user", "content": "hi"}]})[0]


def told(gateway: Gateway, message: str) -> int:
    return gateway.stderr.count(f'"message":"{message}"')


@either_server
def test_at_sighup_the_file_is_read_again_and_a_stream_goes_on(
    start_gateway: Start, upstream: OpenAIServer, flags: tuple[str, ...]
) -> None:
    port = free_port()
    text = config_text(upstream.url, port, more=MODELS, alias=False)
    gateway = start_gateway(text, port=port, flags=flags)
    assert chat(gateway, "best") == 404
    client = StreamReader(gateway, "waits", stream=True)
    client.read_until('"content": " said:"')
    gateway.config_path.write_text(text.replace('name = "tiny"', 'name = "small"') + ALIAS.replace("tiny/", "small/"))
    gateway.signal(signal.SIGHUP)
    wait_until(lambda: told(gateway, "configuration reloaded"), "it has been read again")
    assert chat(gateway, "best") == 200
    upstream.go()
    client.read_until("data: [DONE]")
    client.socket.close()
    gateway.config_path.write_text(text + "\n[server.nonsense]\n")
    gateway.signal(signal.SIGHUP)
    wait_until(lambda: told(gateway, "configuration not reloaded"), "it has been refused")
    assert "hoosh.toml:" in gateway.stderr
    assert "nonsense" in gateway.stderr
    assert chat(gateway, "best") == 200
    assert gateway.stop() == 0
    gateway.check_secrets()


def test_an_administrator_is_told_what_has_changed_or_every_mistake_with_its_line(
    start_gateway: Start, upstream: OpenAIServer
) -> None:
    port = free_port()
    text = config_text(upstream.url, port, more=MODELS, alias=False)
    gateway = start_gateway(text, port=port)
    gateway.config_path.write_text(text.replace(f"port = {port}", "port = 1") + ALIAS)
    status, body = ask(gateway, "/v1/admin/reload")
    assert status == 200, body
    assert (body["generation"], body["changed"], body["needs_restart"]) == (2, ["models"], ["server.port"])
    gateway.config_path.write_text("[server]\nprot = 1\n[[keys]]\nname = 3\n")
    status, body = ask(gateway, "/v1/admin/reload")
    assert status == 400
    mistakes = body["error"]["message"].splitlines()
    assert {"2", "4"} <= {line.partition("hoosh.toml:")[2][0] for line in mistakes}, mistakes
    assert chat(gateway, "best") == 200
    assert gateway.stop() == 0


APP = """
from pathlib import Path

import hoosh

app = hoosh.create_app(Path("hoosh.toml"))
"""


@pytest.mark.parametrize("server", ["hoosh", "hypercorn", "an app under hypercorn"])
def test_a_file_that_is_watched_is_read_again_when_another_takes_its_place(
    start_gateway: Start, upstream: OpenAIServer, server: str, tmp_path: Path
) -> None:
    port = free_port()
    if server == "an app under hypercorn":
        (tmp_path / "gateway0").mkdir()
        (tmp_path / "gateway0" / "house.py").write_text(APP)
        text = config_text(upstream.url, port, server="watch_config = true", more=MODELS, alias=False)
        how: dict[str, Any] = {
            "argv": [sys.executable, "-m", "hypercorn", "-k", "trio", "-b", f"127.0.0.1:{port}", "house:app"]
        }
    else:
        text = config_text(upstream.url, port, more=MODELS, alias=False)
        how = {"flags": ("--watch", "--server", server)}
    gateway = start_gateway(text, port=port, **how)
    assert chat(gateway, "best") == 404
    new = gateway.config_path.with_suffix(".new")
    new.write_text(text + ALIAS)
    new.replace(gateway.config_path)
    wait_until(lambda: told(gateway, "configuration reloaded"), "the change is noticed")
    assert chat(gateway, "best") == 200
    assert ask(gateway, "/v1/admin/reload")[1]["generation"] == 3
    assert gateway.stop() == 0
