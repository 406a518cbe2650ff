"""The log: one line a request, never waiting, never two lines."""

from __future__ import annotations

import io
import json
import re
import threading

import pytest
import trio
import trio.testing
from msgspec.structs import replace

from hoosh.observe import AccessLog, Logging
from hoosh.values import AttemptRecord, Outcome, Record, Secret, Usage

RECORD = Record(
    request_id="req_1",
    method="POST",
    path="/v1/chat/completions",
    http_version="1.1",
    outcome=Outcome.OK,
    status=200,
    started_at=1_700_000_000.0,
    duration_s=0.25,
    queue_s=0.001,
    first_token_s=0.1,
    kind="chat",
    caller="me",
    model="gpt",
    served_model="gpt-4o",
    provider="openai",
    stream=True,
    attempts=1,
    usage=Usage(10, 20),
    chunks=3,
    sent_bytes=99,
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


async def written(log: AccessLog, stream: io.StringIO) -> list[str]:
    """What the writer writes of what the log holds now."""
    async with trio.open_nursery() as nursery:
        await nursery.start(log.run)
        nursery.cancel_scope.cancel()
    return stream.getvalue().splitlines()


async def lines_of(*records: Record, format: str = "json", level: str = "info") -> list[str]:
    stream = io.StringIO()
    log = AccessLog(stream, Logging(format=format, level=level))  # type: ignore[arg-type]
    for record in records:
        log.write(record)
    return await written(log, stream)


async def test_a_request_is_one_json_line() -> None:
    (line,) = await lines_of(RECORD)
    assert json.loads(line) == {
        "time": "2023-11-14T22:13:20.250Z",
        "level": "info",
        "message": "request",
        "request_id": "req_1",
        "method": "POST",
        "path": "/v1/chat/completions",
        "http": "1.1",
        "status": 200,
        "outcome": "ok",
        "duration_ms": 250.0,
        "queue_ms": 1.0,
        "first_token_ms": 100.0,
        "kind": "chat",
        "caller": "me",
        "model": "gpt",
        "served_model": "gpt-4o",
        "provider": "openai",
        "stream": True,
        "attempts": 1,
        "prompt_tokens": 10,
        "completion_tokens": 20,
        "chunks": 3,
        "sent_bytes": 99,
    }


async def test_a_request_is_one_text_line() -> None:
    (line,) = await lines_of(replace(RECORD, error_message='said "no"'), format="text")
    assert line.startswith("2023-11-14T22:13:20.250Z INFO    request request_id=req_1 method=POST ")
    assert "model=gpt served_model=gpt-4o provider=openai" in line
    assert line.endswith('error="said \\"no\\""')


TRIED = (AttemptRecord("openai", "gpt-4o", 0.2104, "503"), AttemptRecord("azure", "gpt-4o", 12.0, "first_token"))


async def test_a_line_says_which_attempts_have_failed_and_why() -> None:
    record = replace(RECORD, attempts=3, tried=TRIED, rescued=True)
    said = json.loads((await lines_of(record))[0])
    assert said["tried"] == [
        {"provider": "openai", "model": "gpt-4o", "reason": "503", "duration_s": 0.21},
        {"provider": "azure", "model": "gpt-4o", "reason": "first_token", "duration_s": 12.0},
    ]
    assert said["rescued"] is True
    (line,) = await lines_of(record, format="text")
    assert " attempts=3 tried=openai/gpt-4o:503,azure/gpt-4o:first_token rescued=True " in line


@pytest.mark.parametrize("format", ["json", "text"])
async def test_of_too_many_attempts_a_line_says_the_last(format: str) -> None:
    tried = tuple(AttemptRecord("p", f"m{number}", 0.1, "503") for number in range(1000))
    (line,) = await lines_of(replace(RECORD, tried=tried), format=format)
    assert re.findall(r"\bm\d+", line) == [f"m{number}" for number in range(984, 1000)]


async def test_no_name_of_a_model_adds_an_attempt_to_a_line() -> None:
    hostile = AttemptRecord("p", "m:503,openai/gpt-4o", 0.1, "503")
    (line,) = await lines_of(replace(RECORD, tried=(hostile,)), format="text")
    assert " tried=p/m:503?openai/gpt-4o:503 " in line


@pytest.mark.parametrize(("stream", "is_json"), [(io.StringIO(), True), (Terminal(), False)], ids=["pipe", "terminal"])
async def test_terminals_get_text_and_pipes_json(stream: io.StringIO, is_json: bool) -> None:
    log = AccessLog(stream)
    log.info("hello", name="world")
    (line,) = await written(log, stream)
    assert line.startswith("{") == is_json
    assert "hello" in line


HOSTILE = 'a\r\nb\x1b[31m\x7f\x85\x9b\u2028\u202e\udcff\x00 "q" é'


@pytest.mark.parametrize("format", ["json", "text"])
async def test_whatever_a_client_sends_is_one_line_without_control_characters(format: str) -> None:
    stream = io.StringIO()
    log = AccessLog(stream, Logging(format=format))  # type: ignore[arg-type]
    tried = (AttemptRecord(HOSTILE, HOSTILE, 0.1, HOSTILE),)
    log.write(replace(RECORD, path=HOSTILE, model=HOSTILE, error_message=HOSTILE, tried=tried))
    log.error(HOSTILE, field=HOSTILE)
    await written(log, stream)
    text = stream.getvalue()
    assert text.count("\n") == 2
    assert all(line.isprintable() for line in text.split("\n"))
    if format == "json":
        request, error = (json.loads(line) for line in text.splitlines())
        assert request["path"] == error["field"] == request["tried"][0]["model"] == HOSTILE


async def test_a_secret_prints_as_stars() -> None:
    for format in ("json", "text"):
        stream = io.StringIO()
        log = AccessLog(stream, Logging(format=format))
        log.info("key", key=Secret("sk-abc"), keys=[Secret("sk-abc")])
        await written(log, stream)
        assert "sk-abc" not in stream.getvalue()
        assert "***" in stream.getvalue()


async def test_lines_below_the_level_are_not_written() -> None:
    stream = io.StringIO()
    log = AccessLog(stream, Logging(level="warning"))
    log.info("no")
    log.warning("yes")
    log.write(RECORD)
    log.write(replace(RECORD, outcome=Outcome.CUT))
    log.write(replace(RECORD, outcome=Outcome.ERROR, status=404))
    log.write(replace(RECORD, outcome=Outcome.ERROR, status=502))
    words = [json.loads(line) for line in await written(log, stream)]
    assert [(word["message"], word.get("outcome")) for word in words] == [
        ("yes", None),
        ("request", "cut"),
        ("request", "error"),
    ]


async def test_lines_are_written_together_while_it_runs(autojump_clock: trio.testing.MockClock) -> None:
    class Counting(io.StringIO):
        writes = 0

        def write(self, text: str, /) -> int:
            self.writes += 1
            return super().write(text)

    stream = Counting()
    log = AccessLog(stream)
    async with trio.open_nursery() as nursery:
        await nursery.start(log.run)
        for _ in range(100):
            log.write(RECORD)
        while log.statistics().written < 100:
            await trio.sleep(1)
        assert stream.writes == 1
        log.info("later")
        while log.statistics().written < 101:
            await trio.sleep(1)
        nursery.cancel_scope.cancel()
    assert stream.writes == 2


async def test_requests_below_the_level_cost_no_thread(autojump_clock: trio.testing.MockClock, monkeypatch) -> None:
    stream = io.StringIO()
    log = AccessLog(stream, Logging(level="error"))
    with monkeypatch.context() as patch:
        patch.setattr(trio.to_thread, "run_sync", None)
        async with trio.open_nursery() as nursery:
            await nursery.start(log.run)
            log.write(RECORD)
            await trio.sleep(10)
            assert log.statistics().queued == 0
            nursery.cancel_scope.cancel()
    assert stream.getvalue() == ""


async def test_a_full_queue_drops_lines_and_says_how_many() -> None:
    stream = io.StringIO()
    log = AccessLog(stream, capacity=3)
    for number in range(10):
        log.info("line", number=number)
    assert log.statistics().dropped == 7
    words = [json.loads(line) for line in await written(log, stream)]
    assert [word.get("number") for word in words] == [0, 1, 2, None]
    assert (words[-1]["message"], words[-1]["dropped"]) == ("log lines dropped", 7)


async def test_a_stream_that_is_gone_ends_nothing() -> None:
    stream = io.StringIO()
    log = AccessLog(stream)
    stream.close()
    log.info("nobody hears")
    async with trio.open_nursery() as nursery:
        await nursery.start(log.run)
        nursery.cancel_scope.cancel()
    assert log.statistics().written == 0


def test_a_stream_that_blocks_delays_the_end_only_so_long_and_no_line_overtakes_another() -> None:
    release, entered = threading.Event(), threading.Event()

    class Stuck(io.StringIO):
        def write(self, text: str, /) -> int:
            entered.set()
            release.wait()
            return super().write(text)

    stream = Stuck()
    log = AccessLog(stream)
    clock = trio.testing.MockClock()
    try:

        async def main() -> None:
            async with trio.open_nursery() as nursery:
                await nursery.start(log.run)
                log.info("first")
                await trio.testing.wait_all_tasks_blocked()
                clock.jump(0.05)
                await trio.to_thread.run_sync(entered.wait)
                log.info("second")
                nursery.cancel_scope.cancel()
                nursery.start_soon(jump)

        async def jump() -> None:
            with trio.CancelScope(shield=True):
                await trio.testing.wait_all_tasks_blocked()
                clock.jump(2.0)

        trio.run(main, clock=clock)
        assert stream.getvalue() == ""
    finally:
        release.set()


async def test_a_value_that_cannot_be_printed_does_not_end_the_house() -> None:
    class Bad:
        def __str__(self) -> str:
            raise RuntimeError("no")

    stream = io.StringIO()
    log = AccessLog(stream)
    log.info("bad", value=Bad())
    (line,) = await written(log, stream)
    assert json.loads(line)["message"] == "a log line failed"
