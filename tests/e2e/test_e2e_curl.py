"""curl and h2load, as people use them: HTTP/1.1, HTTP/2 with prior knowledge, a unix socket, TLS with ALPN."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme
from e2e_house import CLIENT_KEY, PATIENCE_S, Gateway, OpenAIServer, Process, config_text, environment, free_port
from e2e_house import ask as ask_for
from msgspec import Struct

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
H1, H2 = "--http1.1", "--http2-prior-knowledge"
both = pytest.mark.parametrize("version", [H1, H2])
JSON = ("-H", "content-type: application/json")
KEY = ("-H", f"authorization: Bearer {CLIENT_KEY}")


class Answer(Struct):
    version: str
    status: int
    body: str
    headers: dict[str, str]
    trace: str

    @property
    def error(self) -> Any:
        return json.loads(self.body)["error"]

    @property
    def data(self) -> list[str]:
        """What stands after `data: `, event by event."""
        return [line.removeprefix("data: ") for line in self.body.splitlines() if line.startswith("data: ")]


def curl(*arguments: str, given: str | None = None) -> Answer:
    """Run curl to its end, which must be a good one."""
    command = ["curl", "-sS", "-v", "-N", "--max-time", str(PATIENCE_S), *arguments]
    command += ["-w", "\n%{http_version} %{http_code}"]
    done = subprocess.run(
        command, input=given, capture_output=True, text=True, timeout=2 * PATIENCE_S, env=environment(), check=False
    )
    assert done.returncode == 0, done.stderr
    body, _, facts = done.stdout.rpartition("\n")
    version, status = facts.split()
    pairs = re.findall(r"^< ([\w-]+): (.*?)\r?$", done.stderr, re.MULTILINE)
    return Answer(version, int(status), body, {name.lower(): value for name, value in pairs}, done.stderr)


def chat(gateway: Gateway, model: str, *more: str, **fields: Any) -> Answer:
    url = f"{gateway.base_url}/chat/completions"
    return curl(url, *JSON, *KEY, *more, "-d", "@-", given=json.dumps(ask_for(model, **fields)))


def said(answer: Answer) -> str:
    assert answer.data[-1] == "[DONE]"
    chunks = [json.loads(data) for data in answer.data[:-1]]
    return "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)


# -- both versions of HTTP -----------------------------------------------------------------------------------------


@both
@pytest.mark.parametrize(("model", "words"), [("echo", "salam donya"), ("tiny-chat", "you said: salam donya")])
def test_a_chat_whole_and_as_a_stream(gateway: Gateway, version: str, model: str, words: str) -> None:
    whole = chat(gateway, model, version)
    assert (whole.status, whole.version) == (200, "1.1" if version == H1 else "2")
    assert json.loads(whole.body)["choices"][0]["message"]["content"] == words
    assert whole.headers["content-type"] == "application/json"
    stream = chat(gateway, model, version, stream=True)
    assert (stream.status, said(stream)) == (200, words)
    assert stream.headers["content-type"].startswith("text/event-stream")
    assert (stream.headers["cache-control"], stream.headers["x-accel-buffering"]) == ("no-cache", "no")
    assert {"x-request-id", "x-hoosh-provider", "x-hoosh-model", "x-hoosh-attempts"} <= stream.headers.keys()


@both
def test_the_first_words_are_there_while_the_upstream_still_thinks(
    gateway: Gateway, upstream: OpenAIServer, version: str, tmp_path: Path
) -> None:
    body = json.dumps(ask_for("waits", stream=True))
    argv = ["curl", "-sS", "-N", version, f"{gateway.base_url}/chat/completions", *JSON, *KEY, "-d", body]
    process = Process(argv, tmp_path, environment(), "curl")
    try:
        process.wait_for(lambda: '"content": " said:"' in process.stdout, "the first words")
        assert "donya" not in process.stdout
        upstream.go()
        assert process.wait() == 0
        assert process.stdout.endswith("data: [DONE]\n\n")
        assert "donya" in process.stdout
    finally:
        process.kill()


@both
def test_curl_stopped_in_the_middle_stops_the_upstream(
    gateway: Gateway, upstream: OpenAIServer, version: str, tmp_path: Path
) -> None:
    before = upstream.cancelled("waits")
    body = json.dumps(ask_for("waits", stream=True))
    argv = ["curl", "-sS", "-N", version, f"{gateway.base_url}/chat/completions", *JSON, *KEY, "-d", body]
    process = Process(argv, tmp_path, environment(), "curl")
    process.wait_for(lambda: '"content": " said:"' in process.stdout, "the first words")
    process.kill()
    upstream.wait_for(lambda: upstream.cancelled("waits") == before + 1, "the upstream sees the cancellation")


def check_errors(answers: list[tuple[int, Answer]]) -> None:
    for status, answer in answers:
        assert answer.status == status, answer.body
        assert answer.error.keys() == {"message", "type", "param", "code"}
        assert answer.error["message"]
        assert "sk-wrong" not in answer.body
        assert answer.headers["x-request-id"]


@both
def test_errors_have_their_status_openais_shape_and_a_request_id(gateway: Gateway, version: str) -> None:
    url = f"{gateway.base_url}/chat/completions"
    wrong = ("-H", "authorization: Bearer sk-wrong")
    answers = [
        (405, curl(url, version, *KEY)),
        (401, curl(f"{gateway.base_url}/models", version, *wrong)),
        (404, curl(f"{gateway.base_url}/nothing", version, *KEY)),
        (404, chat(gateway, "no-such-model", version)),
        (400, curl(url, version, *KEY, *JSON, "-d", "{not json")),
        (405, curl(url, version, *KEY, "-X", "DELETE")),
        (401, curl(f"{gateway.url}/metrics", version)),
    ]
    check_errors(answers)
    assert "POST" in answers[0][1].headers["allow"]
    assert answers[1][1].headers["www-authenticate"] == "Bearer"


def test_a_request_that_is_refused_by_its_head_alone_gets_its_error_while_it_sends_its_body(gateway: Gateway) -> None:
    """Over HTTP/1.1: over HTTP/2, curl 7.88 takes the RST_STREAM(NO_ERROR) that may follow for a failure."""
    url, body = f"{gateway.base_url}/chat/completions", json.dumps(ask_for("echo"))
    answers = [
        (401, curl(url, H1, *JSON, "-H", "authorization: Bearer sk-wrong", "-d", body)),
        (401, curl(url, H1, *JSON, "-d", body)),
        (415, curl(url, H1, *KEY, "-H", "content-type:", "-d", body)),
        (415, curl(url, H1, *KEY, "-d", body)),  # curl calls it a form
    ]
    check_errors(answers)
    assert answers[0][1].headers["www-authenticate"] == "Bearer"


@both
def test_cold_paths_are_answered_and_head_has_no_body(gateway: Gateway, version: str) -> None:
    for path in ("/livez", "/readyz", "/v1/health", "/openapi.json", "/v1/models", "/metrics", "/v1/health/providers"):
        assert curl(f"{gateway.url}{path}", version, *KEY).status == 200
    head = curl(f"{gateway.url}/livez", version, "-I")
    assert head.status == 200
    assert curl(f"{gateway.base_url}/chat/completions", version, *KEY, "-X", "OPTIONS").headers["allow"]


def test_a_big_body_waits_for_100_continue(gateway: Gateway) -> None:
    word = "x" * 800_000
    answer = curl(
        f"{gateway.base_url}/chat/completions", H1, *JSON, *KEY, "-H", "Expect: 100-continue", "-d", "@-",
        given=json.dumps(ask_for("echo", word)),
    )  # fmt: skip
    assert "< HTTP/1.1 100 Continue" in answer.trace
    assert json.loads(answer.body)["choices"][0]["message"]["content"] == word


@both
def test_a_chunked_body_is_as_good(gateway: Gateway, version: str) -> None:
    answer = chat(gateway, "echo", version, "-H", "Transfer-Encoding: chunked")
    assert json.loads(answer.body)["choices"][0]["message"]["content"] == "salam donya"


def test_a_body_over_the_limit_is_413(start_gateway: Callable[..., Gateway], tmp_path: Path) -> None:
    port = free_port()
    gateway = start_gateway(config_text("http://127.0.0.1:9", port, server="max_body_bytes = 20000"), port=port)
    answer = chat(gateway, "echo", H1, "-H", "Expect:", words="x" * 500_000)
    assert (answer.status, answer.error["code"]) == (413, "request_too_large")
    if shutil.which("nghttp"):  # curl 7.88 takes the RST_STREAM(NO_ERROR) after the answer for a failure
        body = tmp_path / "big.json"
        body.write_text(json.dumps(ask_for("echo", "x" * 500_000)))
        url = f"{gateway.base_url}/chat/completions"
        done = subprocess.run(
            ["nghttp", "-v", "-d", str(body), *JSON, *KEY, url],
            capture_output=True, text=True, timeout=PATIENCE_S, check=False,
        )  # fmt: skip
        assert ":status: 413" in done.stdout
        assert "request_too_large" in done.stdout
        assert "error_code=NO_ERROR(0x00)" in done.stdout
    assert chat(gateway, "echo", H2).status == 200


@pytest.mark.skipif(shutil.which("h2load") is None, reason="h2load is not installed")
@pytest.mark.parametrize("version", [[], ["--h1"]])
def test_h2load_gets_nothing_but_good_answers(gateway: Gateway, tmp_path: Path, version: list[str]) -> None:
    body = tmp_path / "body.json"
    for fields in ({}, {"stream": True}):
        body.write_text(json.dumps(ask_for("echo", **fields)))
        streams = ["-c", "8"] if version else ["-c", "1", "-m", "32"]
        done = subprocess.run(
            ["h2load", "-n", "200", *streams, *version, "-d", str(body), *JSON, *KEY,
             f"{gateway.base_url}/chat/completions"],
            capture_output=True, text=True, timeout=2 * PATIENCE_S, check=False,
        )  # fmt: skip
        assert "status codes: 200 2xx, 0 3xx, 0 4xx, 0 5xx" in done.stdout, done.stdout
        assert "200 succeeded, 0 failed, 0 errored, 0 timeout" in done.stdout


def test_an_upstream_over_http2_is_asked_on_one_connection(
    start_gateway: Callable[..., Gateway], gateway: Gateway
) -> None:
    """The upstream is the other gateway: it speaks HTTP/2 by prior knowledge."""
    port = free_port()
    provider = (
        f'[[providers]]\ntype = "openai-compatible"\nname = "next"\nbase_url = "{gateway.url}"\nhttp2 = "prior"\n'
    )
    front = start_gateway(
        config_text("http://127.0.0.1:9", port, more=provider + 'api_key = "$E2E_CLIENT_KEY"\n'), port=port
    )
    for _ in range(5):
        assert said(chat(front, "next/tiny-chat", H2, stream=True)) == "you said: salam donya"
        assert chat(front, "next/tiny-chat", H1).status == 200
    states = [front.metric(f'hoosh_upstream_connections{{provider="next",state="{s}"}}') for s in ("idle", "active")]
    assert sum(states) == 1


# -- a unix socket, and TLS ----------------------------------------------------------------------------------------


@both
def test_a_unix_socket_serves_the_same(start_gateway: Callable[..., Gateway], tmp_path: Path, version: str) -> None:
    path = tmp_path / "hoosh.sock"
    text = config_text("http://127.0.0.1:9", 0, server=f'unix_socket = "{path}"')
    gateway = start_gateway(text, port=0, unix_socket=path)
    url = "http://localhost/v1/chat/completions"
    unix = ["--unix-socket", str(path), version, *KEY, *JSON]
    assert said(curl(url, *unix, "-d", json.dumps(ask_for("echo", stream=True)))) == "salam donya"
    assert curl("http://localhost/livez", *unix).status == 200
    assert gateway.stop() == 0
    assert not path.exists()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A CA's certificate, and the server settings for a certificate it has given to localhost."""
    folder = tmp_path_factory.mktemp("tls")
    ca = trustme.CA()
    certificate = ca.issue_cert("localhost", "127.0.0.1")
    ca.cert_pem.write_to_path(str(folder / "ca.pem"))
    chain = b"".join(pem.bytes() for pem in certificate.cert_chain_pems)
    (folder / "cert.pem").write_bytes(chain)
    certificate.private_key_pem.write_to_path(str(folder / "key.pem"))
    return folder / "ca.pem", f'tls_cert = "{folder}/cert.pem"\ntls_key = "{folder}/key.pem"'


@pytest.fixture(scope="module")
def tls_gateway(authority: tuple[Path, str], upstream: OpenAIServer, tmp_path_factory: pytest.TempPathFactory) -> Any:
    port = free_port()
    text = config_text(upstream.url, port, server=authority[1])
    process = Gateway(tmp_path_factory.mktemp("tls-gateway"), text, port=port, scheme="https")
    try:
        yield process
        assert process.stop() == 0
        process.check_secrets()
    finally:
        process.kill()


@pytest.mark.parametrize(("flag", "version"), [("--http1.1", "1.1"), ("--http2", "2")])
def test_tls_serves_http1_and_http2_by_alpn(
    tls_gateway: Gateway, authority: tuple[Path, str], flag: str, version: str
) -> None:
    trust = ["--cacert", str(authority[0]), flag]
    whole = chat(tls_gateway, "tiny-chat", *trust)
    assert (whole.status, whole.version) == (200, version)
    assert said(chat(tls_gateway, "echo", *trust, stream=True)) == "salam donya"
    assert curl(f"{tls_gateway.url}/livez", *trust).status == 200
    assert chat(tls_gateway, "no-such-model", *trust).status == 404
    urls = [f"{tls_gateway.url}/livez", f"{tls_gateway.base_url}/models", f"{tls_gateway.base_url}/models/echo"]
    assert curl(*urls, *KEY, *trust).trace.count("Re-using existing connection") == 2
    big = chat(tls_gateway, "big", *trust, stream=True)
    assert len(big.data) > 1200
    assert big.data[-1] == "[DONE]"


@pytest.mark.parametrize("flag", ["--http1.1", "--http2"])
def test_leaving_a_stream_over_tls_stops_the_upstream(
    tls_gateway: Gateway, authority: tuple[Path, str], upstream: OpenAIServer, flag: str, tmp_path: Path
) -> None:
    before, url = upstream.cancelled("waits"), f"{tls_gateway.base_url}/chat/completions"
    body = json.dumps(ask_for("waits", stream=True))
    argv = ["curl", "-sS", "-N", flag, "--cacert", str(authority[0]), url, *JSON, *KEY, "-d", body]
    process = Process(argv, tmp_path, environment(), "curl")
    process.wait_for(lambda: '"content": " said:"' in process.stdout, "the first words")
    process.kill()
    upstream.wait_for(lambda: upstream.cancelled("waits") == before + 1, "the upstream sees the cancellation")


def test_a_client_that_does_not_know_the_authority_stays_away(tls_gateway: Gateway) -> None:
    done = subprocess.run(["curl", "-sS", f"{tls_gateway.url}/livez"], capture_output=True, text=True, check=False)
    assert done.returncode == 60  # CURLE_PEER_FAILED_VERIFICATION
    plain = subprocess.run(
        ["curl", "-sS", "-o", "-", "--max-time", "10", f"http://127.0.0.1:{tls_gateway.port}/livez"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert plain.returncode != 0
