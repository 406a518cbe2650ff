"""The command line as a shell sees it: output, one clear line on stderr, exit code."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from e2e_house import (
    CLIENT_KEY,
    PATIENCE_S,
    ROOT,
    SECRETS,
    UPSTREAM_KEY,
    Gateway,
    OpenAIServer,
    Process,
    accepts,
    config_text,
    environment,
    free_port,
)

import hoosh

Run = subprocess.CompletedProcess[str]


def hoosh_trio(*arguments: str, given: str | None = None, cwd: Path = ROOT, **env: str) -> Run:
    """Run a command to its end.  No traceback and no key may be in what it says."""
    done = subprocess.run(
        [sys.executable, "-m", "hoosh", *arguments],
        input=given, capture_output=True, text=True, timeout=PATIENCE_S, cwd=cwd, env=environment(**env), check=False,
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert "Traceback" not in said
    assert not any(secret in said for secret in SECRETS)
    return done


@pytest.fixture
def ask_gateway(gateway: Gateway) -> Callable[..., Run]:
    return lambda *words, **how: hoosh_trio(*words, HOOSH_SERVER=gateway.url, HOOSH_API_KEY=CLIENT_KEY, **how)


# -- against a running gateway -------------------------------------------------------------------------------------


def test_models_lists_names_and_owners(ask_gateway: Callable[..., Run]) -> None:
    done = ask_gateway("models")
    rows = [line.split() for line in done.stdout.splitlines()]
    assert (done.returncode, done.stderr) == (0, "")
    assert ["echo", "hoosh"] in rows
    assert ["org/tiny-chat", "tiny"] in rows
    listed = json.loads(ask_gateway("models", "--json").stdout)
    assert {card["id"] for card in listed["data"]} == {row[0] for row in rows}


def test_infer_prints_the_answer_whole_or_as_it_comes(ask_gateway: Callable[..., Run]) -> None:
    for flags in ([], ["--stream"]):
        done = ask_gateway("infer", *flags, "tiny-chat", "salam", "donya")
        assert (done.returncode, done.stdout, done.stderr) == (0, "you said: salam donya\n", "")
    assert ask_gateway("infer", "-m", "echo", "-", given="from stdin").stdout == "from stdin\n"
    assert json.loads(ask_gateway("infer", "--json", "echo", "hi").stdout)["usage"]["total_tokens"] == 2


def test_health_says_ok_and_names_the_providers(ask_gateway: Callable[..., Run]) -> None:
    done = ask_gateway("health")
    assert done.returncode == 0
    assert done.stdout.startswith(f"ok: hoosh {hoosh.__version__} at ")
    assert re.search(r"^tiny +\w+ ", done.stdout, re.MULTILINE)


@pytest.mark.parametrize("command", [["models"], ["infer", "echo", "hi"], ["infer", "--stream", "echo", "hi"]])
def test_a_wrong_key_is_one_line_that_says_what_to_do(gateway: Gateway, command: list[str]) -> None:
    for key in ({"HOOSH_API_KEY": "sk-wrong"}, {}):
        done = hoosh_trio(*command, "--server", gateway.url, **key)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.count("\n") == 1
        assert "answered 401" in done.stderr
        assert "--key or set HOOSH_API_KEY" in done.stderr
        assert "sk-wrong" not in done.stderr


@pytest.mark.parametrize("command", [["models"], ["infer", "echo", "hi"], ["health"]])
def test_a_server_that_is_down_is_one_line_that_says_what_to_do(command: list[str]) -> None:
    done = hoosh_trio(*command, "--server", f"http://127.0.0.1:{free_port()}")
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"hoosh-trio: no gateway answers at .*start it with `hoosh-trio serve`\n", done.stderr)


def test_a_model_nobody_has_is_exit_code_1(ask_gateway: Callable[..., Run]) -> None:
    done = ask_gateway("infer", "no-such-model", "hi")
    assert (done.returncode, done.stdout) == (1, "")
    assert "no-such-model" in done.stderr


def test_an_answer_that_breaks_off_is_exit_code_1_whatever_was_printed_before(
    gateway: Gateway, upstream: OpenAIServer, tmp_path: Path
) -> None:
    argv = [sys.executable, "-m", "hoosh", "infer", "--stream", "cuts", "hi"]
    env = environment(HOOSH_SERVER=gateway.url, HOOSH_API_KEY=CLIENT_KEY)
    process = Process(argv, tmp_path, env, "infer")
    try:
        process.wait_for(lambda: "you said:" in process.stdout, "the first words")
        upstream.go()
        assert process.wait() == 1
        assert process.stdout == "you said:\n"
        assert "broke off" in process.stderr
    finally:
        process.kill()


def test_the_client_commands_work_over_a_unix_socket(start_gateway: Callable[..., Gateway], tmp_path: Path) -> None:
    path = tmp_path / "hoosh.sock"
    text = config_text("http://127.0.0.1:9", 0, server=f'unix_socket = "{path}"')
    start_gateway(text, port=0, unix_socket=path)
    done = hoosh_trio("infer", "echo", "hi", "--server", f"unix:{path}", HOOSH_API_KEY=CLIENT_KEY)
    assert (done.returncode, done.stdout) == (0, "hi\n")


# -- serve and check -----------------------------------------------------------------------------------------------

BAD = """\
[server]
port = "eighty"
drain = 3

[[providers]]
type = "openai-compatible"
name = "one"
base_url = "http://127.0.0.1:9"
api_key = "$NOT_SET_ANYWHERE"

[[providers]]
type = "opnai"
"""


@pytest.mark.parametrize("command", ["serve", "check"])
def test_every_mistake_is_shown_with_its_line(tmp_path: Path, command: str) -> None:
    path = tmp_path / "hoosh.toml"
    path.write_text(BAD)
    done = hoosh_trio(command, "--config", str(path))
    assert done.returncode == 1
    said = done.stderr if command == "serve" else done.stdout
    for line, words in ((2, "port"), (3, "drain_s"), (9, "NOT_SET_ANYWHERE"), (12, "openai")):
        assert re.search(rf"hoosh\.toml:{line}: .*{words}", said), said


def test_check_sums_up_a_good_file(tmp_path: Path) -> None:
    path = tmp_path / "hoosh.toml"
    path.write_text(config_text("http://127.0.0.1:9", 8088))
    keys = {"E2E_CLIENT_KEY": CLIENT_KEY, "E2E_UPSTREAM_KEY": UPSTREAM_KEY}
    done = hoosh_trio("check", "-c", str(path), **keys)
    assert (done.returncode, done.stderr) == (0, "")
    assert "no mistakes" in done.stdout
    assert "team, limited" in done.stdout
    assert json.loads(hoosh_trio("check", "--json", "-c", str(path), **keys).stdout)["ok"] is True


def test_check_without_a_file_says_that_none_is_needed(tmp_path: Path) -> None:
    done = hoosh_trio("check", cwd=tmp_path)
    assert done.returncode == 0
    assert "the defaults are fine" in done.stdout


@pytest.mark.parametrize("server", ["hoosh", "hypercorn"])
def test_a_port_that_is_taken_is_one_clear_line(tmp_path: Path, server: str) -> None:
    path = tmp_path / "hoosh.toml"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        path.write_text(f"[server]\nport = {port}\n[discovery]\nlocal = false\nenvironment = false\n")
        done = hoosh_trio("serve", "--config", str(path), "--server", server, HOOSH_STATE_DIR=str(tmp_path))
    assert done.returncode == 1
    assert re.fullmatch(rf"hoosh-trio: cannot listen on 127\.0\.0\.1:{port}: .*--port.*\n", done.stderr), done.stderr


def test_serve_shows_one_screen_with_a_command_that_works(gateway: Gateway) -> None:
    gateway.wait_for(lambda: "Try:" in gateway.stdout, "the screen")
    screen = gateway.stdout
    assert f"is listening on http://127.0.0.1:{gateway.port}" in screen
    assert "tiny (local), echo (local)" in screen
    command = screen.partition("Try:\n")[2].strip()
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, timeout=PATIENCE_S, check=False,
        env=environment(HOOSH_API_KEY=CLIENT_KEY),
    )  # fmt: skip
    assert "data: [DONE]" in done.stdout, done


def test_serve_without_any_configuration_answers(tmp_path: Path) -> None:
    port = free_port()
    argv = [sys.executable, "-m", "hoosh", "serve", "--port", str(port)]
    process = Process(argv, tmp_path, environment())
    try:
        process.wait_for(lambda: accepts(("127.0.0.1", port)), "it listens")
        done = hoosh_trio("infer", "echo", "salam", "--server", f"http://127.0.0.1:{port}")
        assert (done.returncode, done.stdout) == (0, "salam\n")
        process.wait_for(lambda: "none (defaults)" in process.stdout, "the screen")
        process.signal(signal.SIGTERM)
        assert process.wait() == 0
    finally:
        process.kill()


def test_flags_come_before_the_file(start_gateway: Callable[..., Gateway]) -> None:
    port = free_port()
    gateway = start_gateway(
        config_text("http://127.0.0.1:9", 1), port=port, flags=["--port", str(port), "--log-format", "text"]
    )
    hoosh_trio("infer", "echo", "hi", "--server", gateway.url, HOOSH_API_KEY=CLIENT_KEY)
    gateway.wait_for(lambda: "/v1/chat/completions" in gateway.stderr, "the log line")
    assert not gateway.stderr.lstrip().startswith("{")


def test_output_into_a_closed_pipe_ends_quietly(gateway: Gateway) -> None:
    env = environment(HOOSH_SERVER=gateway.url, HOOSH_API_KEY=CLIENT_KEY)
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as pipe:
        done = subprocess.run(
            [sys.executable, "-m", "hoosh", "models"],
            stdout=pipe, stderr=subprocess.PIPE, text=True, env=env, timeout=PATIENCE_S, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (1, "")
