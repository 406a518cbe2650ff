"""No key ever leaves the house in words: every kind of trouble, and then a look at all that was written and said."""

from __future__ import annotations

import json
import socket
import urllib.error
from collections.abc import Callable
from pathlib import Path

from e2e_house import (
    CLIENT_KEY,
    LIMITED_KEY,
    PATIENCE_S,
    SECRETS,
    Gateway,
    OpenAIServer,
    ask,
    config_text,
    fetch,
    free_port,
    wait_until,
)

import hoosh

HEADER_KEY = "sk-e2e-header-09be44d1ac"
WRONG_UPSTREAM_KEY = "sk-e2e-wrong-53c1d7aa90"
ALL = (*SECRETS, HEADER_KEY, WRONG_UPSTREAM_KEY)


def answer_of(url: str, body: bytes | None, key: str | None) -> bytes:
    try:
        return fetch(url, body, key=key)
    except urllib.error.HTTPError as refusal:
        with refusal:
            data: bytes = refusal.read()
            return data + str(refusal.headers).encode()


def raw(port: int, data: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        said = b""
        while more := sock.recv(65536):
            said += more
        return said


def test_no_key_is_in_anything_that_is_written_or_answered(
    start_gateway: Callable[..., Gateway], upstream: OpenAIServer, tmp_path: Path
) -> None:
    key_file = tmp_path / "key"
    key_file.write_text(WRONG_UPSTREAM_KEY)
    more = f"""
[[providers]]
type = "openai-compatible"
name = "wrong-key"
base_url = "{upstream.url}"
api_key = "file:{key_file}"
models = ["other-*"]
headers = {{ x-extra-key = "{HEADER_KEY}" }}

[[providers]]
type = "openai-compatible"
name = "gone"
base_url = "http://127.0.0.1:{free_port()}"
api_key = "{WRONG_UPSTREAM_KEY}"
models = ["gone-*"]
"""
    port = free_port()
    gateway = start_gateway(config_text(upstream.url, port, more=more), port=port, flags=["--log-level", "debug"])
    heard = b""
    chat = f"{gateway.base_url}/chat/completions"
    models = ["echo", "tiny-chat", "fail-400", "fail-401", "fail-429", "fail-500", "other-model", "gone-model", "none"]
    for model in models:
        for stream in (False, True):
            heard += answer_of(chat, json.dumps(ask(model, stream=stream)).encode(), CLIENT_KEY)
    for body in (b"{", b"[]", b"\xff", b'{"model": 1}', b'{"model":"echo"}'):
        heard += answer_of(chat, body, CLIENT_KEY)
    heard += answer_of(chat, json.dumps(ask("tiny-chat")).encode(), LIMITED_KEY)
    heard += answer_of(chat, json.dumps(ask("echo")).encode(), CLIENT_KEY + "x")
    for path in ("/metrics", "/v1/health", "/v1/health/providers", "/v1/models", "/openapi.json", "/", "/nothing"):
        for key in (CLIENT_KEY, LIMITED_KEY, None):
            heard += answer_of(f"{gateway.url}{path}", None, key)
    for request in (  # a key in the wrong place: a URL, a header without a colon, a method
        b"GET /v1/models?api_key=%b HTTP/1.1\r\nhost: g\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\nhost: g\r\nauthorization Bearer %b\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\nhost: g\r\nauthorization: Basic %b\r\n\r\n",
        b"%b / HTTP/1.1\r\nhost: g\r\n\r\n",
    ):
        heard += raw(port, request % CLIENT_KEY.encode())
    wait_until(lambda: '"path":"/nothing"' in gateway.stderr, "the log is written")
    assert gateway.stop() == 0
    written = gateway.stdout + gateway.stderr + heard.decode("utf-8", "replace")
    assert {key for key in ALL if key in written} == set()
    assert {key for key in ALL if key[-10:] in written} == set()
    assert hoosh.__version__ in written
