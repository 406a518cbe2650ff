"""`hoosh-trio top`: a gateway as it works, in a terminal.

__init__   the flags
samples    Prometheus' text format, read                          pure
answers    what the gateway's routes say, as far as we show it    pure
figures    readings in, rates and percentiles out                 pure
state      all that a frame shows, and what a key does to it      pure
screen     a state as lines of text                               pure
drawing    lines that fit a terminal: what we use of rich         pure
strokes    bytes of a keyboard in, names of keys out              pure
watcher    asks the gateway, with deadlines                       waits
terminal   raw mode and back, size, reading, writing              waits
live       the tasks that bring it all together                   waits
"""

from __future__ import annotations

import argparse
from typing import Any

from hoosh.cli.parsers import add_command, seconds
from hoosh.cli.talk import add_talk_flags

__all__ = ["add_to", "run"]

DESCRIPTION = """\
Show a running gateway as it works: requests and tokens a second, latencies, the queue, providers, budgets, errors,
and what runs at this moment, which can be cancelled.  Press ? for the keys.

Where there is no terminal, or with --once, one frame is printed; rates are then those of the moment it takes.
Needs the extra `top`: pip install 'hoosh-trio[top]'.  A key with the scopes `admin` and `metrics` sees all of it."""


def add_to(commands: Any) -> None:
    parser = add_command(
        commands,
        "top",
        help="watch a running gateway, and cancel requests",
        description=DESCRIPTION,
        examples=("hoosh-trio top", "hoosh-trio top --once", "hoosh-trio top --json | jq .requests_per_s"),
    )
    parser.add_argument("--every", type=seconds, default=1.0, metavar="S", help="ask so often (default: 1)")
    parser.add_argument("--once", action="store_true", help="print one frame and end")
    add_talk_flags(parser, json="the figures of one frame")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from hoosh.cli.top.live import top

    return top(arguments)
