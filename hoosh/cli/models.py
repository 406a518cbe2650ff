"""`hoosh-trio models`: the models one can ask for."""

from __future__ import annotations

import argparse
import json
from typing import Any

from hoosh.cli.failure import Failure
from hoosh.cli.parsers import add_command
from hoosh.cli.talk import NO_GATEWAY, add_talk_flags, talk_to

__all__ = ["add_to", "run"]


def add_to(commands: Any) -> None:
    parser = add_command(
        commands,
        "models",
        help="list the models of a running gateway",
        description="List the models of a running gateway.",
        examples=("hoosh-trio models", "hoosh-trio models --server http://gateway:8088 --key $KEY --json"),
    )
    add_talk_flags(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    with talk_to(arguments) as gateway:
        answer = gateway.get("/v1/models")
        server = gateway.server
    if arguments.json:
        print(json.dumps(answer, ensure_ascii=False))
        return 0
    try:
        rows = [(str(card["id"]), str(card.get("owned_by", ""))) for card in answer["data"]]
    except (TypeError, KeyError, AttributeError):
        raise Failure(NO_GATEWAY.format(server)) from None
    if not rows:
        print("no models: start a local engine, or set a provider's key, such as OPENAI_API_KEY, for the gateway")
    width = max((len(name) for name, _ in rows), default=0)
    for name, owner in rows:
        print(f"{name:{width}}  {owner}".rstrip())
    return 0
