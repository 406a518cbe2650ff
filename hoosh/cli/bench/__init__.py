"""`hoosh-trio bench`: how fast a chat endpoint answers, whoever's it is.

__init__   the flags
plan       what to ask, of whom, how often                    pure
answer     one answer as it comes: first content, gaps, end           pure
spread     many durations in little memory, and their percentiles     pure
tally      what all answers together say                              pure
report     the tally for a person, and as JSON                        pure
load       connections, workers, Ctrl-C                               waits
"""

from __future__ import annotations

import argparse
from typing import Any

from hoosh.cli.parsers import add_command, count, seconds
from hoosh.cli.talk import add_talk_flags

__all__ = ["add_to", "run"]

DESCRIPTION = """\
Measure how fast a chat endpoint answers: that of a gateway, or any that speaks OpenAI's API.

So many clients at once ask one request after the other.  A first request, which does not count, shows that it works
at all.  With a model that costs money, this costs money.  Exits 1 when a request failed, 130 after Ctrl-C, which ends
it early and prints what there is."""


def add_to(commands: Any) -> None:
    parser = add_command(
        commands,
        "bench",
        help="measure how fast an OpenAI-compatible server answers",
        description=DESCRIPTION,
        examples=(
            "hoosh-trio bench                                          # a gateway here, its model echo",
            "hoosh-trio bench -m llama3.2 -c 8 -n 200 http://127.0.0.1:11434",
            "hoosh-trio bench -m gpt-4o-mini -n 20 --key $OPENAI_API_KEY https://api.openai.com/v1",
            "hoosh-trio bench --seconds 30 --no-stream --json > before.json",
        ),
    )
    parser.add_argument("url", nargs="?", metavar="URL", help="the server, with or without /v1 (default: --server)")
    parser.add_argument("-m", "--model", default="echo", metavar="MODEL", help="whom to ask (default: echo)")
    parser.add_argument(
        "-c", "--concurrency", type=count, default=10, metavar="N", help="requests at once (default: 10)"
    )
    amount = parser.add_mutually_exclusive_group()
    amount.add_argument("-n", "--requests", type=count, metavar="N", help="requests in all (default: 100)")
    amount.add_argument(
        "-d", "--seconds", type=seconds, metavar="S", help="begin requests for so long; those that run may finish"
    )
    parser.add_argument(
        "--prompt-words", type=count, default=16, metavar="N", help="length of the prompt in words (default: 16)"
    )
    parser.add_argument("--prompt", metavar="TEXT", help="this prompt instead")
    parser.add_argument(
        "--same", action="store_true", help="send the same prompt each time; else a number in it keeps caches out"
    )
    parser.add_argument("--max-tokens", type=count, metavar="N", help="length of an answer at most (default: 64)")
    parser.add_argument("--no-stream", action="store_true", help="ask for whole answers instead of streams")
    parser.add_argument(
        "--no-usage", action="store_true", help="do not ask a stream for its tokens: some servers refuse that"
    )
    parser.add_argument(
        "--warm-up", type=int, default=1, metavar="N", help="requests that do not count, before (default: 1; 0: none)"
    )
    parser.add_argument(
        "--timeout", type=seconds, default=120.0, metavar="S", help="an answer that takes longer failed (default: 120)"
    )
    parser.add_argument("--http2", action="store_true", help="speak HTTP/2, also without TLS")
    add_talk_flags(parser, json="the figures")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from hoosh.cli.bench.load import bench

    return bench(arguments)
