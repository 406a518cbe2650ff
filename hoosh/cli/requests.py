"""`hoosh-trio requests`: what runs at this moment; `hoosh-trio requests cancel`: end it.

`--key` is the key to talk with, as everywhere; whose requests are meant is said by `--of NAME`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, urlencode

from hoosh.cli.costs import plain, table
from hoosh.cli.failure import FAILED, WRONG_USAGE, Failure
from hoosh.cli.parsers import add_command
from hoosh.cli.talk import NO_GATEWAY, RefusedByGateway, Talk, add_talk_flags, talk_to

__all__ = ["add_to", "cancel", "run"]

PATH = "/v1/admin/requests"
LIMIT = 1000
HEADS = ("id", "phase", "key", "pool", "model", "provider", "attempt", "sent", "left", "age")


def add_to(commands: Any) -> None:
    parser = add_command(
        commands,
        "requests",
        help="show or cancel what runs at this moment",
        description="Show the requests that a gateway is answering, oldest first.  Needs a key of the scope `admin`.",
        examples=("hoosh-trio requests", "hoosh-trio requests --of ada --model gpt-4o"),
    )
    _add_filters(parser)
    add_talk_flags(parser)
    parser.set_defaults(run=run)
    actions = parser.add_subparsers(dest="action", metavar="ACTION", title="actions")
    ending = add_command(
        actions,
        "cancel",
        help="cancel requests, by id or by what they have in common",
        description="Cancel requests that run; their clients get the error `request_cancelled`.",
        examples=("hoosh-trio requests cancel req_18f2c09a77d1", "hoosh-trio requests cancel --pool team"),
        argument_default=argparse.SUPPRESS,  # what was said before the word `cancel` stays said
    )
    ending.add_argument("ids", metavar="ID", nargs="*", default=[], help="a request's id, as `requests` shows it")
    _add_filters(ending)
    ending.add_argument("--all", action="store_true", help="every request there is")
    add_talk_flags(ending)
    ending.set_defaults(run=cancel)


def _add_filters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--of", metavar="NAME", help="only those of the key with this name")
    parser.add_argument("--pool", metavar="NAME", help="only those that this budget pays")
    parser.add_argument("--model", metavar="NAME", help="only those for this model, as asked for or as served")


def run(arguments: argparse.Namespace) -> int:
    with talk_to(arguments) as gateway:
        answer = gateway.get(f"{PATH}?{urlencode({**_filters(arguments), 'limit': LIMIT})}")
    if arguments.json:
        print(json.dumps(answer, ensure_ascii=False))
        return 0
    try:
        lines = list(_lines(answer))
    except (TypeError, KeyError, AttributeError, ValueError):
        raise Failure(NO_GATEWAY.format(gateway.server)) from None
    print("\n".join(lines))
    return 0


def cancel(arguments: argparse.Namespace) -> int:
    filters = _filters(arguments)
    is_all = getattr(arguments, "all", False)
    if bool(arguments.ids) + bool(filters) + is_all != 1:
        raise Failure("say which requests: ids, or any of --of, --pool, --model, or --all", exit_code=WRONG_USAGE)
    with talk_to(arguments) as gateway:
        if arguments.ids:
            cancelled, missing = _cancel_each(gateway, arguments.ids)
        else:
            cancelled, missing = _count(gateway, "?" + urlencode(filters or {"all": "true"})), []
    for identity in missing:
        print(f"hoosh-trio: no request {plain(identity)} is running; it may have ended", file=sys.stderr)
    print(json.dumps({"cancelled": cancelled}) if arguments.json else f"{cancelled} cancelled")
    return FAILED if missing else 0


def _filters(arguments: argparse.Namespace) -> dict[str, str]:
    said = {"key": arguments.of, "pool": arguments.pool, "model": arguments.model}
    if "" in said.values():
        raise Failure("--of, --pool and --model take a name", exit_code=WRONG_USAGE)
    return {name: text for name, text in said.items() if text is not None}


def _cancel_each(gateway: Talk, ids: Iterable[str]) -> tuple[int, list[str]]:
    """How many were cancelled, and which were not running: that one has ended already must not save the others."""
    cancelled, missing = 0, []
    for identity in ids:
        try:
            cancelled += _count(gateway, "/" + quote(identity, safe=""))
        except RefusedByGateway as refused:
            if refused.code != "not_found":
                raise
            missing.append(identity)
    return cancelled, missing


def _count(gateway: Talk, which: str) -> int:
    answer = gateway.delete(PATH + which)
    try:
        return int(answer["cancelled"])
    except (TypeError, KeyError, ValueError):
        raise Failure(NO_GATEWAY.format(gateway.server)) from None


def _lines(answer: Any) -> Iterable[str]:
    requests, total = answer["data"], int(answer["total"])
    if not requests:
        yield "nothing runs"
        return
    yield from table(HEADS, [_row(request) for request in requests], left=6)
    if total > len(requests):
        yield f"and {total - len(requests)} younger ones"


def _row(request: Any) -> list[str]:
    names = [plain(request[name] or "-") for name in ("id", "phase", "key", "pool", "model", "provider")]
    left_s = request["deadline_left_s"]
    left = "-" if left_s is None else f"{float(left_s):.1f} s"
    attempts, sent_bytes = int(request["attempts"]), int(request["sent_bytes"])
    return [*names, str(attempts), f"{sent_bytes} B", left, f"{float(request['age_s']):.1f} s"]
