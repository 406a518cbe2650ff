"""The same house on Hypercorn: by our own command, and by Hypercorn's with `hoosh.create_app()`."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import openai
import pytest
from e2e_house import (
    CLIENT_KEY,
    PATIENCE_S,
    Gateway,
    OpenAIServer,
    accepts,
    ask,
    config_text,
    environment,
    fetch,
    free_port,
    wait_until,
)
from openai import OpenAI

SALAM = [{"role": "user", "content": "salam donya"}]
APP = """
import os
from pathlib import Path

import hoosh
from hoosh.config import load

app = hoosh.create_app(load(Path("hoosh.toml"), os.environ))
"""


@pytest.fixture(scope="module", params=["serve --server hypercorn", "hypercorn module:app"])
def hosted(
    request: pytest.FixtureRequest, upstream: OpenAIServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    folder, port = tmp_path_factory.mktemp("hypercorn"), free_port()
    text = config_text(upstream.url, port, server="drain_s = 5")
    if request.param.startswith("serve"):
        process = Gateway(folder, text, port=port, flags=["--server", "hypercorn"])
    else:
        (folder / "house.py").write_text(APP)
        command = [sys.executable, "-m", "hypercorn", "-k", "trio", "-b", f"127.0.0.1:{port}", "house:app"]
        process = Gateway(folder, text, port=port, argv=command)
    try:
        yield process
        assert process.stop() == 0
        process.check_secrets()
        assert not accepts(process.address)
    finally:
        process.kill()


@pytest.fixture(params=["HTTP/1.1", "HTTP/2"])
def client(request: pytest.FixtureRequest, hosted: Gateway) -> Iterator[OpenAI]:
    is_h2 = request.param == "HTTP/2"
    with (
        httpx.Client(http1=not is_h2, http2=is_h2, timeout=PATIENCE_S) as http,
        OpenAI(base_url=hosted.base_url, api_key=CLIENT_KEY, max_retries=0, http_client=http) as client,
    ):
        yield client


@pytest.mark.parametrize(("model", "words"), [("echo", "salam donya"), ("best", "you said: salam donya")])
def test_the_sdk_chats_and_streams(client: OpenAI, model: str, words: str) -> None:
    reply = client.chat.completions.create(model=model, messages=SALAM)
    assert reply.choices[0].message.content == words
    stream = client.chat.completions.create(
        model=model, messages=SALAM, stream=True, stream_options={"include_usage": True}
    )
    *chunks, last = stream
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == words
    assert last.usage is not None


def test_the_sdk_gets_models_embeddings_and_errors(client: OpenAI, hosted: Gateway) -> None:
    assert client.models.retrieve("org/tiny-chat").id == "org/tiny-chat"
    assert client.embeddings.create(model="tiny-embed", input="one").data[0].embedding == [3.0, 1.0, 0.5, -0.25]
    for model, kind in (("fail-429", openai.RateLimitError), ("no-such", openai.NotFoundError)):
        with pytest.raises(kind) as caught:
            client.chat.completions.create(model=model, messages=SALAM)
        assert caught.value.request_id
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="sk-wrong").chat.completions.create(model="echo", messages=SALAM)
    assert b"hoosh_requests_total" in fetch(f"{hosted.url}/metrics", key=CLIENT_KEY)


def test_leaving_a_stream_stops_the_upstream(client: OpenAI, upstream: OpenAIServer) -> None:
    before = upstream.cancelled("waits")
    with client.chat.completions.create(model="waits", messages=SALAM, stream=True) as stream:
        next(iter(stream))
    client.close()  # over HTTP/2 httpx resets no stream: it leaves with its connection
    wait_until(lambda: upstream.cancelled("waits") == before + 1, "the upstream sees the cancellation")


def test_a_stream_that_breaks_is_never_taken_for_whole(client: OpenAI, upstream: OpenAIServer) -> None:
    def read() -> None:
        with client.chat.completions.create(model="cuts", messages=SALAM, stream=True) as stream:
            for chunk in stream:
                if chunk.choices[0].delta.content == " said:":
                    upstream.go()

    with pytest.raises(openai.APIError):
        read()


def test_long_uploads_that_are_refused_harm_nobody(hosted: Gateway) -> None:
    """Without a key, and too long: the client is told before it has sent all."""
    with httpx.Client(http1=False, http2=True, timeout=PATIENCE_S) as client:
        kind = {"content-type": "application/json"}
        keyed = {**kind, "authorization": f"Bearer {CLIENT_KEY}"}
        for headers, size, status in ((kind, 2_000_000, 401), (keyed, 12_000_000, 413)):
            answer = client.post(f"{hosted.base_url}/chat/completions", content=b"x" * size, headers=headers)
            assert (answer.status_code, answer.http_version) == (status, "HTTP/2")
        assert client.get(f"{hosted.url}/livez").status_code == 200


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("stream", [False, True])
def test_curl_speaks_http2_with_prior_knowledge(hosted: Gateway, stream: bool, tmp_path: Path) -> None:
    body = tmp_path / "body.json"
    body.write_text(json.dumps(ask("tiny-chat", stream=stream)))
    done = subprocess.run(
        ["curl", "-sS", "-N", "--http2-prior-knowledge", f"{hosted.base_url}/chat/completions", "-d", f"@{body}",
         "-H", "content-type: application/json", "-H", f"authorization: Bearer {CLIENT_KEY}",
         "-w", "\n%{http_version} %{http_code}"],
        capture_output=True, text=True, timeout=PATIENCE_S, env=environment(), check=True,
    )  # fmt: skip
    assert done.stdout.endswith("\n2 200")
    assert ("data: [DONE]" in done.stdout) is stream
    assert "donya" in done.stdout


def test_an_interrupt_ends_it_with_exit_code_0_too(upstream: OpenAIServer, tmp_path: Path) -> None:
    port = free_port()
    process = Gateway(tmp_path, config_text(upstream.url, port), port=port, flags=["--server", "hypercorn"])
    try:
        process.signal(signal.SIGINT)
        assert process.wait() == 0
    finally:
        process.kill()


def test_a_start_that_fails_says_why_in_one_line(tmp_path: Path) -> None:
    books = tmp_path / "books.db"
    books.write_text("no books at all")
    (tmp_path / "hoosh.toml").write_text(
        f'[server]\nport = {free_port()}\n[storage]\nurl = "sqlite:///{books}"\n'
        "[discovery]\nlocal = false\nenvironment = false\n"
    )
    command = [sys.executable, "-m", "hoosh", "serve", "--server", "hypercorn", "--config", "hoosh.toml"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=PATIENCE_S, env=environment(), cwd=tmp_path, check=False
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "is not an SQLite database" in done.stderr.splitlines()[-1]
