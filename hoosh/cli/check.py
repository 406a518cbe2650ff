"""`hoosh-trio check`: every mistake of a configuration, or what it says in short."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hoosh.cli.configured import add_config_flag, load_config
from hoosh.cli.failure import FAILED
from hoosh.cli.parsers import add_command

if TYPE_CHECKING:
    from hoosh.config import Budget, Config, Provider

__all__ = ["add_to", "run"]


def add_to(commands: Any) -> None:
    parser = add_command(
        commands,
        "check",
        help="look for mistakes in a configuration",
        description="Print every mistake of a configuration with its line, or a summary.  Exits 1 on mistakes.",
        examples=("hoosh-trio check", "hoosh-trio check --config team.toml && hoosh-trio serve --config team.toml"),
    )
    add_config_flag(parser)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from hoosh.errors import ConfigError

    try:
        config, path = load_config(arguments)
    except ConfigError as error:
        mistakes = list(error.mistakes)
        count = f"{len(mistakes)} mistake{'s' if len(mistakes) > 1 else ''}"
        print(json.dumps({"ok": False, "mistakes": mistakes}) if arguments.json else "\n".join([*mistakes, count]))
        return FAILED
    if arguments.json:
        print(json.dumps({"ok": True, "file": None if path is None else str(path), "mistakes": []}))
    else:
        print("\n".join(summary(config, path)))
    return 0


def summary(config: Config, path: Path | None) -> list[str]:
    """A configuration in a few lines.  No secret is in them."""
    from hoosh.config import environment_providers, places

    if path is None:
        looked = ", ".join(map(str, places(os.environ, Path.cwd())))
        lines = [f"no configuration (looked for {looked}); the defaults are fine"]
    else:
        lines = [f"{path}: no mistakes"]
    names = ", ".join(key.name for key in config.all_keys())
    lines += [
        f"  address   {_address(config)}",
        f"  keys      {names or 'none: whoever reaches the address may use it'}",
    ]
    providers = [*config.providers, *environment_providers(config, os.environ)]
    lines += [f"  provider  {_provider(provider)}" for provider in providers]
    lines += [f"  alias     {alias.name} = {', '.join(alias.targets)}" for alias in config.models]
    if config.discovery.local:
        lines.append("  and the local engines that answer when it runs")
    return [*lines, *_books(config)]


def _books(config: Config) -> list[str]:
    """Budgets, limits, audit, and where it is all written down."""
    lines = [f"  budget    {_budget(budget)}" for budget in config.budgets]
    limits = config.limits
    each = _rates(limits.rpm, limits.tpm, limits.max_concurrent)
    if each:
        lines.append(f"  limits    {each} for each key that says nothing else")
    lines += [
        f"  limits    {_rates(model.rpm, model.tpm, model.max_concurrent) or 'none'} for {model.name}"
        for model in limits.models
    ]
    if config.audit.enabled:
        lines.append(f"  audit     on, {'with' if config.audit.content else 'without'} prompts and replies")
    return [*lines, f"  ledger    {_ledger(config)}"]


def _budget(budget: Budget) -> str:
    amount = f"{budget.capacity:g} USD" if budget.unit == "usd" else f"{int(budget.capacity)} tokens"
    return f"{budget.name}: {amount}" + ("" if budget.window == "none" else f" a {budget.window}")


def _rates(rpm: int | None, tpm: int | None, at_once: int | None) -> str:
    named = ((rpm, "requests a minute"), (tpm, "tokens a minute"), (at_once, "at once"))
    return ", ".join(f"{number} {words}" for number, words in named if number is not None)


def _ledger(config: Config) -> str:
    from hoosh.config.state import MEMORY, SQLITE, store_path
    from hoosh.errors import ConfigError

    if config.storage.url == MEMORY:
        return "in memory: gone when the gateway stops"
    if config.storage.url:
        return config.storage.url.removeprefix(SQLITE)
    try:
        return str(store_path(os.environ))
    except ConfigError as error:
        return str(error)


def _address(config: Config) -> str:
    server = config.server
    if server.unix_socket is not None:
        return f"unix:{server.unix_socket}"
    host = f"[{server.bind}]" if ":" in server.bind else server.bind
    return f"http{'s' if server.tls_cert else ''}://{host}:{server.port}"


def _provider(provider: Provider) -> str:
    facts = [f"priority {provider.priority}"]
    if provider.models:
        shown = ", ".join(provider.models[:4]) + (", ..." if len(provider.models) > 4 else "")
        facts.append(f"models {shown}")
    if provider.spki_pins:
        facts.append("pinned")
    if provider.proxy is not None:
        facts.append("through a proxy")
    if provider.origin != "config":
        facts.append(f"from the {provider.origin}")
    if not provider.enabled:
        facts.append("switched off")
    return f"{provider.name} at {provider.base_url} ({'; '.join(facts)})"
