"""When the books do not balance: the story of the requests that the failure names, for whoever has to find out why."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sim_client import Heard
from sim_schedule import Ask, Mood, Schedule

NAMED = re.compile(r"\bask=(?:Ask\(number=)?(\d+)")
TOLD = 5
BODY_BYTES = 300


@contextmanager
def traced(plan: Schedule, heard: Sequence[Heard]) -> Iterator[None]:
    """Print the story of each ask that an AssertionError names."""
    try:
        yield
    except AssertionError as error:
        print(f"\nThe books do not balance; HOOSH_SEED={plan.seed} repeats it.")
        for number in list(dict.fromkeys(NAMED.findall(str(error))))[:TOLD]:
            print(story(plan, heard, int(number)))
        raise


def story(plan: Schedule, heard: Sequence[Heard], number: int) -> str:
    """What one client wanted, what its upstream was like, what it heard."""
    asked = plan.asks[number]
    lines = [f"ask {number} at {asked.at_s:.2f} s", _wish(asked), _mood(plan.moods[asked.mood])]
    lines += [_heard(each) for each in heard if each.ask.number == number]
    near = [f"{jump.by_s:+g} s at {jump.at_s:.2f} s" for jump in plan.jumps if jump.at_s > asked.at_s]
    return "\n    ".join([*lines, f"the clock jumped after that: {', '.join(near) or 'never'}"])


def _wish(asked: Ask) -> str:
    form = "a stream" if asked.stream else "an answer"
    limit = "" if asked.max_tokens is None else f", {asked.max_tokens} tokens at most"
    leaves = ""
    if asked.leaves_after_s is not None:
        leaves = f", leaves after {asked.leaves_after_s:.2f} s"
    elif asked.leaves_after_receives is not None:
        leaves = f", leaves after {asked.leaves_after_receives} receives"
    mistake = "" if asked.mistake is None else f", with a mistake in its {asked.mistake}"
    version = "HTTP/2" if asked.http2 else "HTTP/1.1"
    return (
        f"{asked.caller} (pool {asked.pool or 'of the key'}) wants {form} of {asked.model} in the language of "
        f"{asked.language} over {version}{limit}{leaves}{mistake}{', may be cached' if asked.is_cacheable else ''}"
    )


def _mood(mood: Mood) -> str:
    fault = "no fault" if mood.fault is None else f"fault: {mood.fault} after {mood.fails_after}"
    return (
        f"mood {mood.number}: head after {mood.head_after_s:.2f} s, {mood.pieces} pieces, {mood.block} at once, "
        f"{mood.pause_s:.2f} s between, usage {mood.counts}, {fault}"
    )


def _heard(each: Heard) -> str:
    if each.status is None:
        return "heard nothing" + (f": {each.broke}" if each.broke else "")
    end = "to its end" if each.is_whole else f"broken ({each.broke})" if each.broke else "left before its end"
    body = each.body if len(each.body) <= BODY_BYTES else each.body[:BODY_BYTES] + b"..."
    return (
        f"heard {each.status} ({each.request_id}, cache {each.cache or '-'}), {len(each.body)} bytes, {end}: {body!r}"
    )
