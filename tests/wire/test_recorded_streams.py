"""Every recorded OpenAI-family stream, wherever it is cut: the same bytes on, the same counts, the same ending."""

from __future__ import annotations

import copy
import json
from random import Random
from typing import Any

import pytest
from msgspec.structs import replace
from recordings import Recording, pick

from hoosh.codec.sse import SseDecoder
from hoosh.dialects.contract import Ending, Stamp
from hoosh.dialects.openai import OpenAITap
from hoosh.values import Call, CallKind

STAMP = Stamp("r1", "m", 1)
CALL = Call(CallKind.CHAT, "m", {}, stream=True)
STREAMS = pick(lambda recording: recording.streaming and recording.status == 200 and recording.response is not None)

every_stream = pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
either_line_end = pytest.mark.parametrize("line_end", [b"\n", b"\r\n"], ids=["lf", "crlf"])

Facts = tuple[Any, ...]


def with_line_end(stream: Recording, line_end: bytes) -> bytes:
    assert stream.response is not None
    return stream.response.replace(b"\r\n", b"\n").replace(b"\n", line_end)


def make_tap(*, show_usage: bool = False) -> OpenAITap:
    return OpenAITap(replace(CALL, include_usage=show_usage), STAMP, provider="p")


def facts(tap: OpenAITap) -> Facts:
    error = tap.error and (str(tap.error), tap.error.status, tap.error.code, tap.error.kind)
    return (tap.usage, tap.chunks, tap.has_content, tap.terminated, error, tap.malformed)


def run(pieces: list[bytes], *, show_usage: bool = False) -> tuple[bytes, Ending, Facts]:
    tap = make_tap(show_usage=show_usage)
    out = b"".join([tap.feed(piece) for piece in pieces])
    rest, ending = tap.close()
    return out + rest, ending, facts(tap)


def decoded(wire: bytes) -> list[tuple[str, str]]:
    decoder = SseDecoder()
    return [(event.event, event.data) for event in [*decoder.feed(wire), *decoder.close()]]


def recorded(stream: Recording, *, show_usage: bool) -> list[Any]:
    """The chunks that a client should get, and what ended them."""
    chunks: list[Any] = []
    for name, data in decoded(stream.response or b""):
        if data == "[DONE]":
            return [*chunks, "done"]
        chunk = json.loads(data)
        if name == "error" or chunk.get("error"):
            return [*chunks, chunk["error"]["message"]]
        if show_usage or chunk["choices"] or not chunk.get("usage"):
            chunks.append(chunk)
    return [*chunks, "end"]


def before_content(chunks: list[Any]) -> int:
    """How many chunks come before the first with something of the answer."""
    for at, chunk in enumerate(chunks):
        for choice in chunk["choices"]:
            said = {**choice.get("delta", {}), "text": choice.get("text")}
            if any(value for name, value in said.items() if name not in ("role", "name", "index", "channel")):
                return at
    return len(chunks)


def last_usage(stream: Recording) -> Any:
    found = None
    for _, data in decoded(stream.response or b""):
        chunk = {} if data == "[DONE]" else json.loads(data)
        found = chunk.get("usage") or (chunk.get("x_groq") or {}).get("usage") or found
    return found


@every_stream
@either_line_end
@pytest.mark.parametrize("show_usage", [False, True], ids=["hidden", "shown"])
def test_what_is_passed_on_is_what_was_recorded(stream: Recording, line_end: bytes, show_usage: bool):
    out, ending, (usage, chunks, has_content, terminated, error, malformed) = run(
        [with_line_end(stream, line_end)], show_usage=show_usage
    )
    *expected, end = recorded(stream, show_usage=show_usage)
    assert [json.loads(data) for _, data in decoded(out)] == expected
    assert chunks == len(expected) - before_content(expected)
    assert malformed == 0
    assert terminated is (end == "done")
    if error is None:
        assert ending is Ending.COMPLETE
        assert has_content
    else:
        assert ending is Ending.FAILED
        assert error[0] == end
    given = last_usage(stream)
    assert (usage is None) is (given is None)
    if usage is not None:
        assert usage.total_tokens == given["total_tokens"]
        assert usage.cached_tokens == ((given.get("prompt_tokens_details") or {}).get("cached_tokens") or 0)


@every_stream
def test_bytes_are_passed_on_as_they_came(stream: Recording):
    wire = stream.response or b""
    out, _, facts = run([wire], show_usage=True)
    if facts[4] is None:
        assert out.rstrip(b"\r\n") == wire.partition(b"data: [DONE]")[0].rstrip(b"\r\n")


def fork(tap: OpenAITap) -> OpenAITap:
    other = copy.copy(tap)
    other._blocks, other._seen, other._finished = copy.deepcopy(tap._blocks), set(tap._seen), set(tap._finished)
    return other


def cuts(wire: bytes, near: int, step: int) -> set[int]:
    """Every byte near both ends, and every `step`th between."""
    size = len(wire)
    return {*range(min(near, size)), *range(max(0, size - near), size), *range(0, size, step)}


@every_stream
@pytest.mark.parametrize(("line_end", "near", "step"), [(b"\n", 2000, 7), (b"\r\n", 800, 29)], ids=["lf", "crlf"])
def test_a_cut_anywhere_changes_nothing(stream: Recording, line_end: bytes, near: int, step: int):
    """Event by event: from the same state, a cut event must leave the same state and bytes as a whole one."""
    wire = with_line_end(stream, line_end)
    tap, start, wanted = make_tap(), 0, cuts(wire, near, step)
    for event in wire.split(line_end * 2):
        event += line_end * 2
        before = fork(tap)
        passed = tap.feed(event)
        after = facts(tap)
        for cut in range(1, len(event)):
            if start + cut in wanted:
                other = fork(before)
                assert other.feed(event[:cut]) + other.feed(event[cut:]) == passed
                assert facts(other) == after
        start += len(event)


@every_stream
@either_line_end
def test_pieces_of_any_size_come_out_the_same(stream: Recording, line_end: bytes):
    wire = with_line_end(stream, line_end)
    whole = run([wire])
    random = Random(stream.name)
    for mean in (1, 40, 300, 1400, 1400, 9000, 9000):
        if mean == 1 and len(wire) > 8000:
            continue
        pieces, start = [], 0
        while start < len(wire):
            size = random.randint(1, 2 * mean - 1)
            pieces.append(wire[start : start + size])
            start += size
        assert run(pieces) == whole


@every_stream
def test_a_stream_that_stops_early_is_never_whole(stream: Recording):
    wire = with_line_end(stream, b"\n")
    so_far, seen, finished, failed = b"", set(), set(), False
    for event in wire.split(b"\n\n")[:-1]:
        if b"[DONE]" in event or failed:
            break
        so_far += event + b"\n\n"
        for name, data in decoded(event):
            chunk = json.loads(data)
            failed = failed or name == "error" or bool(chunk.get("error"))
            for choice in chunk.get("choices", []):
                seen.add(choice["index"])
                if choice.get("finish_reason"):
                    finished.add(choice["index"])
        whole = bool(seen) and seen == finished
        expected = Ending.FAILED if failed else Ending.COMPLETE if whole else Ending.CUT
        assert run([so_far])[1] is expected
        if expected is Ending.CUT:
            half = so_far[: -len(event) // 2]
            assert run([half])[1] is Ending.CUT
