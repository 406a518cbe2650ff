"""`hoosh-trio top` in a real terminal, a pty, before a real gateway: keys work, requests are cancelled, and whatever
ends it, the terminal is as it was.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from e2e_house import (
    CLIENT_KEY,
    LIMITED_KEY,
    PATIENCE_S,
    UPSTREAM_KEY,
    Gateway,
    OpenAIServer,
    StreamReader,
    config_text,
    environment,
    free_port,
    wait_until,
)
from terminal_screen import Screen

from hoosh.cli import main


@pytest.fixture
def start() -> Iterator[Callable[..., Screen]]:
    screens: list[Screen] = []

    def start(*argv: str, **how: object) -> Screen:
        screens.append(Screen(*argv, **how))  # type: ignore[arg-type]
        return screens[-1]

    yield start
    for screen in screens:
        screen.close()


def test_a_request_is_found_and_cancelled_with_keys(
    start: Callable[..., Screen], gateway: Gateway, upstream: OpenAIServer
) -> None:
    cancelled = upstream.cancelled("waits")
    with StreamReader(gateway, "waits", stream=True) as client:
        client.read_until("you")
        screen = start("--server", gateway.url)
        frame = screen.wait_words("waits", "streaming", "1 in flight")
        row = next(line for line in frame if line.startswith(">"))
        identity = row.split()[1]
        screen.type("/nobody")
        screen.wait_words("show only: nobody_", "no request contains that")
        screen.type("\x1b")
        screen.wait_words(identity, "s sort: age")
        screen.type("s?")
        screen.wait_words("any key goes back")
        screen.type("xc")  # the first only leaves the help
        screen.wait_words(f"cancel {identity} of team (waits)?")
        screen.type("y")
        screen.wait_words(f"{identity} is cancelled", "nothing runs")
        assert "request_cancelled" in client.read_to_the_end()
    wait_until(lambda: upstream.cancelled("waits") == cancelled + 1, "the upstream is left")
    screen.type("q")
    assert screen.wait_end() == 0
    assert screen.is_restored()


@pytest.mark.parametrize(("how", "code"), [("\x03", 130), (signal.SIGTERM, 143)])
def test_the_terminal_is_restored_whatever_ends_it(
    how: str | signal.Signals, code: int, start: Callable[..., Screen], gateway: Gateway
) -> None:
    screen = start("--server", gateway.url)
    screen.wait_words("q quit")
    assert not termios.tcgetattr(screen.slave)[3] & termios.ECHO
    if isinstance(how, signal.Signals):
        screen.process.send_signal(how)
    else:
        screen.type(how)
    assert screen.wait_end() == code
    assert screen.is_restored()
    assert "Traceback" not in screen.written


def test_it_survives_that_the_gateway_is_started_anew(start: Callable[..., Screen], tmp_path: Path) -> None:
    port = free_port()
    text = config_text("http://127.0.0.1:9", port)
    first = Gateway(tmp_path / "first", text, port=port)
    second = None
    try:
        screen = start("--server", first.url, size=(30, 160))
        screen.wait_words(" ok ")
        first.stop()
        screen.wait_words("not reachable")
        second = Gateway(tmp_path / "second", text, port=port)
        screen.wait_for(lambda frame: "not reachable" not in frame[0] and " ok " in frame[0], "it comes back")
        screen.type("p")
        screen.wait_words("paused")
        screen.type("q")
        assert screen.wait_end() == 0
    finally:
        first.kill()
        if second is not None:
            second.kill()


def test_it_is_drawn_anew_when_the_terminal_changes_its_size(start: Callable[..., Screen], gateway: Gateway) -> None:
    screen = start("--server", gateway.url, "--every", "60")
    assert len(screen.wait_words("q quit")) == 24
    screen.resize(12, 40)
    frame = screen.wait_for(lambda frame: len(frame) == 12, "twelve lines")
    assert max(map(len, frame)) <= 40


def test_no_color_and_other_encodings_are_heeded(start: Callable[..., Screen], gateway: Gateway) -> None:
    screen = start("--server", gateway.url, LANG="C", PYTHONIOENCODING="ascii", NO_COLOR="1", PYTHONUTF8="0")
    screen.wait_words("q quit")
    assert screen.written.isascii()
    codes = {code for found in re.findall(r"\x1b\[([0-9;]*)m", screen.written) for code in found.split(";")}
    assert codes <= {"", "0", "1", "7"}


def test_one_frame_where_there_is_no_terminal(gateway: Gateway) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hoosh", "top", "--every", "0.05", "--server", gateway.url],
        capture_output=True, text=True, env=environment(HOOSH_API_KEY=CLIENT_KEY, COLUMNS="100"), check=False,
        timeout=PATIENCE_S, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    assert re.search(r"^tiny +\w+ ", done.stdout, re.MULTILINE)


def test_json_knows_all_that_a_frame_shows(gateway: Gateway, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["top", "--json", "--every", "0.05", "--server", gateway.url, "--key", CLIENT_KEY]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["status"], told["missing"]) == ("ok", {})
    assert told["requests_per_s"] >= 0
    assert {provider["provider"] for provider in told["providers"]} >= {"tiny", "echo"}


def test_a_key_that_may_not_see_everything_sees_the_rest(
    gateway: Gateway, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    assert main(["top", "--once", "--every", "0.05", "--server", gateway.url, "--key", LIMITED_KEY]) == 0
    out = capsys.readouterr().out
    assert "requests not known: " in out
    assert re.search(r"^tiny +\w+ ", out, re.MULTILINE)


@pytest.mark.parametrize("said", [[], ["--no-stream"], ["--http2", "--seconds", "0.05"]])
def test_bench_measures_a_real_gateway_and_its_model_echo(
    said: list[str], gateway: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", gateway.url, "-c", "4", "--key", CLIENT_KEY, "--json", *said]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["requests"]["good"] >= 4
    assert told["failures"] == []
    assert told["completion_tokens_per_s"] > 0
    assert told["whole_answer_s"]["p50"] <= told["whole_answer_s"]["max"]
    assert sum(bar["count"] for bar in told["histogram"]) == told["requests"]["good"]


def test_bench_calls_a_stream_without_its_end_a_failure(
    upstream: OpenAIServer, capsys: pytest.CaptureFixture[str]
) -> None:
    said = ["-m", "no-done", "-n", "2", "--warm-up", "0", "--key", UPSTREAM_KEY, "--json"]
    assert main(["bench", upstream.url, *said]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["requests"] == {"good": 0, "failed": 2}
    assert [each["kind"] for each in told["failures"]] == ["cut short"]
