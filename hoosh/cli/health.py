"""`hoosh-trio health`: is a gateway well?  Exits 1 when it is not, or cannot be reached.

    degraded: hoosh 0.1 at http://127.0.0.1:8088, 1 of 2 providers down

    provider  status     heartbeat  breakers         failures     probed   heard of
    openai    unhealthy  suspect    all models open         3  4.1 s ago  42.3 s ago
    azure     healthy    online     -                       0  3.8 s ago   0.2 s ago

    heartbeat: 1 online, 1 suspect, 0 offline

What the columns mean is told in docs/health.md.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping
from typing import Any

from hoosh.cli.costs import plain, table
from hoosh.cli.failure import FAILED, Failure
from hoosh.cli.parsers import add_command
from hoosh.cli.talk import NO_GATEWAY, add_talk_flags, talk_to

__all__ = ["add_to", "run"]

WELL = ("ok", "healthy")
HEADS = ("provider", "status", "heartbeat", "breakers", "failures", "probed", "heard of")
MODELS_SHOWN = 3
EXPLANATION = """\
Ask a running gateway how it and its providers are.  Exits 1 unless all is well.

  status     can it be asked?
  heartbeat  does it answer at all, requests or probes: `online`, `suspect` after 30 s of silence, `offline` after 90 s
  breakers   what is not asked at the moment, a model or all of them: `open`, left alone for some seconds; `half_open`,
             a single request tries
  failures   in a row, until it answers again
  probed     when it was last asked for its list of models
  heard of   when it last answered
"""


def add_to(commands: Any) -> None:
    parser = add_command(
        commands,
        "health",
        help="ask a running gateway how it and its providers are",
        description=EXPLANATION,
        examples=("hoosh-trio health", "hoosh-trio health --json || echo 'somebody should look'"),
    )
    add_talk_flags(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    with talk_to(arguments) as gateway:
        summary = gateway.get("/v1/health")
        if not isinstance(summary, dict) or "status" not in summary:
            raise Failure(NO_GATEWAY.format(gateway.server))
        providers = gateway.get("/v1/health/providers")
        heartbeat = gateway.get("/v1/health/heartbeat")
        server = gateway.server
    if arguments.json:
        print(json.dumps({**summary, "providers": providers, "heartbeat": heartbeat}, ensure_ascii=False))
    else:
        try:
            lines = list(_lines(server, summary, providers, heartbeat))
        except (TypeError, KeyError, AttributeError, ValueError):
            raise Failure(NO_GATEWAY.format(server)) from None
        print("\n".join(lines))
    return 0 if summary["status"] in WELL else FAILED


def _lines(server: str, summary: Mapping[str, Any], providers: Any, heartbeat: Any) -> Iterable[str]:
    yield f"{plain(summary['status'])}: hoosh {plain(summary['version'])} at {server}{_down(summary)}"
    yield from _trouble_with_books(summary.get("storage"))
    if not providers:
        yield "no providers; see `hoosh-trio check`"
        return
    heard = {node["id"]: node for node in heartbeat["nodes"]}
    yield ""
    yield from table(HEADS, [_row(provider, heard.get(provider["provider"])) for provider in providers], left=4)
    yield ""
    yield "heartbeat: " + ", ".join(f"{int(heartbeat[word])} {word}" for word in ("online", "suspect", "offline"))


def _down(summary: Mapping[str, Any]) -> str:
    down, of_all = int(summary.get("providers_down", 0)), int(summary.get("providers_configured", 0))
    return f", {down} of {of_all} providers down" if down else ""


def _trouble_with_books(storage: Any) -> Iterable[str]:
    """The books make a gateway degraded, too, and no provider shows it."""
    if storage and storage["status"] != "ok":
        rows = int(storage["waiting_rows"]) + int(storage["spooled_rows"])
        yield f"the books are {plain(storage['status'])}: {rows} rows are not yet where they belong"


def _row(provider: Any, node: Any) -> list[str]:
    pulse, heard = ("-", "-") if node is None else (plain(node["status"]), _ago(node["age_s"]))
    names = [plain(provider["provider"]), plain(provider["status"]), pulse, _breakers(provider["breakers"])]
    return [*names, str(int(provider["consecutive_failures"])), _ago(provider["last_check_age_s"]), heard]


def _breakers(states: Mapping[str, str]) -> str:
    told = [f"{'all models' if model == '*' else plain(model)} {plain(state)}" for model, state in states.items()]
    more = [f"and {len(told) - MODELS_SHOWN} more"] if len(told) > MODELS_SHOWN else []
    return ", ".join(told[:MODELS_SHOWN] + more) or "-"


def _ago(age_s: float | None) -> str:
    return "-" if age_s is None else f"{float(age_s):.1f} s ago"
