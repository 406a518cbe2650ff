"""`hoosh-trio health`: is a gateway well?  Exits 1 when it is not, or cannot be reached."""

from __future__ import annotations

import argparse
import json
from typing import Any

from hoosh.cli.failure import FAILED, Failure
from hoosh.cli.talk import NO_GATEWAY, add_talk_flags, talk_to

__all__ = ["add_to", "run"]


def add_to(commands: Any) -> None:
    parser = commands.add_parser(
        "health",
        help="ask a running gateway how it is",
        description="Ask a running gateway how it and its providers are.  Exits 1 unless all is well.",
        allow_abbrev=False,
    )
    add_talk_flags(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    with talk_to(arguments) as gateway:
        summary = gateway.get("/v1/health")
        if not isinstance(summary, dict) or "status" not in summary:
            raise Failure(NO_GATEWAY.format(gateway.server))
        providers = [] if arguments.json else gateway.get("/v1/health/providers")
        server = gateway.server
    if arguments.json:
        print(json.dumps(summary, ensure_ascii=False))
    else:
        print(f"{summary['status']}: hoosh {summary.get('version', '')} at {server}")
        for provider in providers if isinstance(providers, list) else []:
            print(f"  {provider.get('provider', '?')}: {provider.get('status', '?')}")
    return 0 if summary["status"] in ("ok", "healthy") else FAILED
