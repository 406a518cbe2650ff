"""`hoosh-trio bench`: what it counts and what it calls a failure, against a tiny server and a real one."""

from __future__ import annotations

import json
import math
import os
import random
import signal
import socket
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hoosh.cli import main
from hoosh.cli.bench.answer import CUT, IN_STREAM, NOT_UNDERSTOOD, StreamAnswer, Usage, whole_answer
from hoosh.cli.bench.plan import Amount
from hoosh.cli.bench.report import Circumstances, as_json, lines, shown_s
from hoosh.cli.bench.spread import Spread
from hoosh.cli.bench.tally import KINDS_MAX, Tally
from hoosh.cli.progress import bar

CHAT = "/v1/chat/completions"
USAGE = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}


def delta(text: str | None, **more: object) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": text, **more}}]}


STREAM = (delta("", role="assistant"), delta("sal"), delta("am"), {"choices": [], "usage": USAGE}, "[DONE]")


def measured(capsys: pytest.CaptureFixture[str], *said: str, code: int = 0) -> dict[str, Any]:
    assert main(["bench", "--json", *said]) == code
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    return told


# -- spread ------------------------------------------------------------------------------------------


@given(st.lists(st.floats(1e-6, 1e4), min_size=1, max_size=200), st.sampled_from([1, 50, 90, 99, 100]))
def test_a_percentile_is_that_of_all_durations_to_a_percent(durations, percent):
    spread = Spread()
    for duration_s in durations:
        spread.add(duration_s)
    exact = sorted(durations)[max(0, math.ceil(len(durations) * percent / 100) - 1)]
    assert spread.percentile(percent) == pytest.approx(exact, rel=0.011)
    assert spread.percentile(100) == max(durations)
    bars = spread.bars(10)
    assert sum(each.count for each in bars) == len(durations)
    assert bars[-1].until_s == pytest.approx(max(durations))


def test_nothing_measured_has_no_percentiles():
    spread = Spread()
    assert spread.percentile(50) is None
    assert spread.bars(10) == ()
    spread.add(0.0)
    assert spread.percentile(50) == 0.0


def test_a_million_durations_need_few_buckets():
    spread, random_ = Spread(), random.Random(7)
    for _ in range(20_000):
        spread.add(random_.expovariate(10))
    assert len(spread._buckets) < 1500


# -- answers -----------------------------------------------------------------------------------------


def sse(*events: object) -> bytes:
    return "".join(f"data: {e if isinstance(e, str) else json.dumps(e)}\n\n" for e in events).encode()


def heard(*pieces: tuple[bytes, float]) -> StreamAnswer:
    answer = StreamAnswer()
    for data, now_s in pieces:
        answer.feed(data, now_s)
    answer.close()
    return answer


def test_first_content_and_gaps_are_taken_where_content_is():
    answer = heard(
        (b": hello\n\n" + sse(delta("")), 1.0),
        (sse(delta("a")), 2.0),
        (sse(delta("b"), delta(None, tool_calls=[{}])), 2.5),
        (sse(delta(None, reasoning_content="hm"))[:9], 3.0),
        (sse(delta(None, reasoning_content="hm"))[9:], 4.0),
        (sse({"choices": [], "usage": USAGE}, "[DONE]"), 9.0),
    )
    assert (answer.first_s, answer.gaps_s, answer.failure) == (2.0, [0.5, 0.0, 1.5], "")
    assert answer.usage == Usage(7, 2)


@pytest.mark.parametrize(
    ("wire", "kind"),
    [
        (b"", CUT),
        (sse(delta("a")), CUT),
        (sse({"choices": [{"delta": {}, "finish_reason": "stop"}]}), CUT),
        (sse(delta("a"), "[DONE]")[:-4], CUT),
        (sse(delta("a"), {"error": {"message": "broke"}}, "[DONE]"), IN_STREAM),
        (sse("{nonsense"), NOT_UNDERSTOOD),
        (sse([]), NOT_UNDERSTOOD),
        (sse({"choices": 5}), NOT_UNDERSTOOD),
        (b"data: " + b"x" * (17 << 20), NOT_UNDERSTOOD),
    ],
)
def test_a_stream_that_is_not_whole_failed(wire, kind):
    assert heard((wire, 1.0)).failure == kind


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"\xff", b'{"choices":[]}', b'{"choices":[{}]}'])
def test_a_body_without_a_message_failed(body):
    assert whole_answer(body).failure == NOT_UNDERSTOOD


# -- what it asks ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "path"),
    [
        ("{url}", CHAT),
        ("{url}/", CHAT),
        ("{url}/v1/", CHAT),
        ("{url}/api/v4", "/api/v4/chat/completions"),
        ("{url}/openai", "/openai/v1/chat/completions"),
        ("{url}/x/chat/completions", "/x/chat/completions"),
    ],
)
def test_a_server_may_be_written_in_several_ways(form, path, gateway, capsys):
    gateway.events(path, *STREAM)
    told = measured(capsys, form.format(url=gateway.url), "-n", "2", "--server", "http://127.0.0.1:9")
    assert told["url"] == gateway.url + path
    assert told["requests"] == {"good": 2, "failed": 0}


def test_a_stream_is_asked_for_with_its_usage_and_a_number_that_no_cache_knows(gateway, capsys):
    gateway.events(CHAT, *STREAM)
    told = measured(capsys, "-n", "3", "-c", "2", "-m", "m", "--prompt", 'say "é"', "--max-tokens", "5")
    bodies = [body for _, _, _, body in gateway.asked]
    assert sorted(body["messages"][0]["content"] for body in bodies) == [f'{n} say "é"' for n in (1, 2, 3, 4)]
    del bodies[0]["messages"]
    assert bodies[0] == {"model": "m", "max_tokens": 5, "stream": True, "stream_options": {"include_usage": True}}
    assert told["concurrency"] == 2
    assert told["between_chunks_s"]["max"] >= 0
    assert told["completion_tokens_per_s"] == pytest.approx(3 * 2 / told["elapsed_s"])


def test_whole_answers_the_same_prompt_and_no_warm_up(gateway, capsys):
    gateway.json(CHAT, {"choices": [{"message": {"content": "x"}}], "usage": USAGE})
    said = ["--no-stream", "--same", "--warm-up", "0", "-n", "4", "-c", "9", "--prompt-words", "3", "--key", "hunter2"]
    told = measured(capsys, *said)
    assert [body for _, _, _, body in gateway.asked] == [
        {"model": "echo", "messages": [{"role": "user", "content": "0 the quick gateway"}], "max_tokens": 64}
    ] * 4
    assert {headers["authorization"] for _, _, headers, _ in gateway.asked} == {"Bearer hunter2"}
    assert told["stream"] is False
    assert told["first_content_s"]["p50"] is None


def test_a_user_in_the_url_is_sent_and_not_shown(gateway, capsys):
    gateway.events(CHAT, *STREAM)
    told = measured(capsys, gateway.url.replace("//", "//ada:hunter2@"), "-n", "1", "--no-usage")
    assert told["url"] == gateway.url + CHAT
    assert gateway.asked[0][2]["authorization"] == "Basic YWRhOmh1bnRlcjI="
    assert "stream_options" not in gateway.asked[0][3]


# -- what it says ------------------------------------------------------------------------------------


def test_failures_are_counted_by_kind_and_fail(gateway, capsys):
    gateway.json(CHAT, {"error": {"message": "slow\ndown"}}, 429)
    told = measured(capsys, "-n", "5", "--warm-up", "0", code=1)
    assert told["failures"] == [{"kind": "status 429", "count": 5, "example": "slow down"}]
    assert told["whole_answer_s"]["p50"] is None


@pytest.mark.parametrize("cut", [False, True])
def test_a_cut_stream_is_a_failure(cut, gateway, capsys):
    gateway.events(CHAT, *STREAM[:-1], cut=cut)
    told = measured(capsys, "-n", "2", "--warm-up", "0", code=1)
    assert [(each["kind"], each["count"]) for each in told["failures"]] == [(CUT, 2)]


@pytest.mark.parametrize(
    ("status", "says"), [(400, "--no-usage"), (403, "may do this"), (404, "--model"), (500, "failed, status 500: no")]
)
def test_when_the_first_request_fails_the_others_are_not_sent(status, says, gateway, capsys):
    gateway.json(CHAT, {"error": {"message": "no"}}, status)
    assert main(["bench"]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert says in told.err
    assert told.err.count("\n") == 1
    assert len(gateway.asked) == 1


def test_so_many_seconds_begin_until_then():
    amount = Amount(None, 10.0)
    assert [amount.next(now_s) for now_s in (0.0, 9.9, 10.0, 11.0)] == [True, True, False, False]
    assert amount.begun == 2
    few = Amount(2, None)
    assert [few.next(0.0) for _ in range(3)] == [True, True, False]


def test_the_report_is_what_a_person_wants_to_read():
    tally = Tally()
    for number in range(1, 101):
        gaps_s = [0.0001, 0.002]
        tally.succeed(number / 100, usage=Usage(10, 20), first_s=number / 1000, gaps_s=gaps_s)
    tally.fail("status 429", "slow\x1b[2J down")
    facts = Circumstances("http://x/v1/chat/completions", "m\n", 4, True, 2.0, 0.95, is_interrupted=True)
    told = list(lines(tally, facts, unicode=False))
    assert told[:10] == [
        "http://x/v1/chat/completions, model m?, 4 at once, streaming",
        "ended early: this is what there is",
        "",
        "requests    100 good, 1 failed, in 2.00 s",
        "throughput  50.0 requests/s, 1 000.0 tokens/s out, 500.0 tokens/s in, 150.0 chunks/s",
        "",
        "                     p50       p90       p99       max",
        "first content    49.8 ms   90.4 ms   98.9 ms  100.0 ms",
        "between chunks    100 us    2.0 ms    2.0 ms    2.0 ms",
        "whole answer    500.8 ms  900.8 ms  985.2 ms    1.00 s",
    ]
    assert told[-4:-1] == ["failures", "  1  status 429: slow [2J down", ""]
    assert told[-1].startswith("measuring took 95% of a processor")
    assert "\n".join(told).isascii()
    assert any("█" in line for line in lines(tally, facts, unicode=True))
    assert as_json(tally, facts)["client_busy"] == 0.95


def test_a_server_that_does_not_count_tokens_is_told_so():
    tally = Tally()
    tally.succeed(0.1, usage=None)
    facts = Circumstances("http://x", "m", 1, False, 1.0, 0.0)
    assert "throughput  1.0 requests/s, 1 answer did not say how many tokens they had" in list(
        lines(tally, facts, unicode=True)
    )
    assert as_json(tally, facts)["completion_tokens_per_s"] is None


def test_kinds_of_failures_are_bounded():
    tally = Tally()
    for number in range(KINDS_MAX + 20):
        tally.fail(f"status {number}")
    assert len(tally.failures) == KINDS_MAX + 1
    assert tally.failed == KINDS_MAX + 20


@pytest.mark.parametrize(("value", "text"), [(None, "-"), (0.0, "0 us"), (0.00025, "250 us"), (1.5, "1.50 s")])
def test_a_duration_has_the_unit_that_fits(value, text):
    assert shown_s(value) == text


def test_a_bar_is_never_longer_than_its_line():
    assert bar(0.5, "x", width=4) == "[##..] x"
    assert bar(7.0, "x", width=4) == "[####] x"
    assert bar(-1.0, "x", width=4) == "[....] x"


# -- Ctrl-C, and progress ----------------------------------------------------------------------------


def test_ctrl_c_ends_it_and_prints_what_there_is():
    """The server answers the first request that counts, and lets the second wait for ever."""
    answer = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: %d\r\n\r\n%b"
    body = sse(*STREAM)
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        argv = [sys.executable, "-m", "hoosh", "bench", url, "-c", "1", "-n", "3", "--warm-up", "0", "--json"]
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ})
        connection, _ = server.accept()
        with connection:
            assert connection.recv(65536)
            connection.sendall(answer % (len(body), body))
            assert connection.recv(65536)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate()
    told = json.loads(out)
    assert (process.returncode, err) == (130, b""), "no progress on a pipe"
    assert told["interrupted"] is True
    assert told["requests"] == {"good": 1, "failed": 0}


def test_progress_is_shown_on_a_terminal_only(gateway, capsys, monkeypatch):
    gateway.events(CHAT, *STREAM)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    assert main(["bench", "-n", "2"]) == 0
    err = capsys.readouterr().err
    assert err.startswith("\r[")
    assert err.endswith("\r\033[K")
