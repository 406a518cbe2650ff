"""What to ask, of whom, how often.  Pure."""

from __future__ import annotations

import argparse
import json

from msgspec import Struct

from hoosh.cli.failure import WRONG_USAGE, Failure
from hoosh.cli.place import Place, place_of

__all__ = ["Amount", "Plan", "plan_of"]

DEFAULT_REQUESTS = 100
MAX_TOKENS = 64
MAX_CONCURRENCY = 10_000
MAX_WARM_UP = 100_000
WORDS = (
    *("the", "quick", "gateway", "carries", "each", "question", "upstream", "and", "brings"),
    *("its", "answer", "home", "before", "anybody", "has", "to", "wait"),
)
NUMBER = "<<number>>"


class Plan(Struct, frozen=True):
    """What to ask, of whom, how often.  `requests` or `seconds` is None."""

    place: Place
    model: str
    concurrency: int
    requests: int | None
    seconds: float | None
    body: tuple[bytes, bytes]
    """A request, cut where its number belongs."""
    is_same: bool
    stream: bool
    warm_up: int
    timeout_s: float
    http2: bool


class Amount:
    """How much is left to be begun: a number, or until a time."""

    def __init__(self, requests: int | None, until_s: float | None) -> None:
        self.requests = requests
        self.until_s = until_s
        self.begun = 0

    def next(self, now_s: float) -> bool:
        """May another one begin?  It counts as begun then."""
        if self.requests is not None and self.begun >= self.requests:
            return False
        if self.until_s is not None and now_s >= self.until_s:
            return False
        self.begun += 1
        return True


def plan_of(arguments: argparse.Namespace) -> Plan:
    """Raises Failure."""
    if not 0 <= arguments.warm_up <= MAX_WARM_UP:
        raise Failure(f"--warm-up takes a number from 0 to {MAX_WARM_UP}", exit_code=WRONG_USAGE)
    if arguments.concurrency > MAX_CONCURRENCY:
        raise Failure(f"--concurrency takes up to {MAX_CONCURRENCY}", exit_code=WRONG_USAGE)
    requests = arguments.requests
    if requests is None and arguments.seconds is None:
        requests = DEFAULT_REQUESTS
    return Plan(
        place=place_of(arguments, arguments.url),
        model=arguments.model,
        concurrency=min(arguments.concurrency, requests or arguments.concurrency),
        requests=requests,
        seconds=arguments.seconds,
        body=_body(arguments),
        is_same=arguments.same,
        stream=not arguments.no_stream,
        warm_up=arguments.warm_up,
        timeout_s=arguments.timeout,
        http2=arguments.http2,
    )


def _body(arguments: argparse.Namespace) -> tuple[bytes, bytes]:
    text = arguments.prompt
    if text is None:
        text = " ".join(WORDS[place % len(WORDS)] for place in range(arguments.prompt_words))
    body: dict[str, object] = {
        "model": arguments.model,
        "messages": [{"role": "user", "content": f"{NUMBER} {text}"}],
        "max_tokens": arguments.max_tokens or MAX_TOKENS,
    }
    if not arguments.no_stream:
        body["stream"] = True
        if not arguments.no_usage:
            body["stream_options"] = {"include_usage": True}
    before, _, after = json.dumps(body).encode("utf-8", "replace").partition(NUMBER.encode())
    return before, after
