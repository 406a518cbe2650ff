"""`hoosh-trio info`: all that somebody who helps would ask first.  No secret is in it.

    machine, Python and libraries      this process, and what the machine is made of
    configuration, books, providers    what `serve` would use if it were started here
    gateway                            what runs at --server, and which providers it reaches

Exits 0; 1 where the configuration has mistakes, where a gateway was named and cannot be asked, or where it refuses
the key.  That none runs at the usual address is no failure.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from hoosh import __version__
from hoosh.cli.configured import add_config_flag
from hoosh.cli.costs import plain
from hoosh.cli.failure import FAILED, WRONG_USAGE, Failure
from hoosh.cli.machine import inventory, libraries, machine
from hoosh.cli.parsers import add_command
from hoosh.cli.talk import RefusedByGateway, add_talk_flags, talk_to

if TYPE_CHECKING:
    from hoosh.config import Config

__all__ = ["add_to", "run"]


def add_to(commands: Any) -> None:
    parser = add_command(
        commands,
        "info",
        help="show the machine, the versions, and what is configured",
        description=(
            "Show the machine with its accelerators, the versions of hoosh and its libraries, the configuration that "
            "is found here, where the books are, and which providers a running gateway reaches.  For reports of bugs: "
            "no secret is in it."
        ),
        examples=("hoosh-trio info", "hoosh-trio info --json > report.json"),
    )
    add_config_flag(parser)
    add_talk_flags(parser, json="all of it")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    (configured, config), gateway = _configured(arguments), _gateway(arguments)
    facts: dict[str, Any] = {"hoosh": __version__, "python": _python(), "libraries": libraries()}
    facts |= {
        "machine": machine()._asdict(),
        "hardware": _hardware(config),
        "configuration": configured,
        "gateway": gateway,
    }
    if arguments.json:
        print(json.dumps(facts, ensure_ascii=False))
    else:
        print("\n".join(_lines(facts)))
    return FAILED if configured["mistakes"] or gateway["is_failure"] else 0


# -- facts ---------------------------------------------------------------------------------------------------------


def _python() -> dict[str, str]:
    return {
        "version": platform.python_version(),
        "implementation": platform.python_implementation(),
        "executable": sys.executable,
    }


def _hardware(config: Config) -> dict[str, Any] | None:
    """The devices, as `serve` would find them; None where it is not to look."""
    from msgspec import to_builtins

    settings = config.hardware
    if not settings.enabled:
        return None
    found = inventory(settings.disabled_backends, os.environ)
    facts: dict[str, Any] = to_builtins(found)
    return facts | {"available_vram_bytes": found.free_vram_bytes(settings.vram_reserve_bytes)}


def _configured(arguments: argparse.Namespace) -> tuple[dict[str, Any], Config]:
    """What `serve` would use: file, mistakes, books, providers; and all of it."""
    from hoosh.config import Config, environment_providers, find_config, load, places
    from hoosh.errors import ConfigError

    facts: dict[str, Any] = {"file": None, "looked_for": [], "mistakes": [], "store": None, "providers": []}
    try:
        path = find_config(arguments.config, os.environ, Path.cwd())
        facts["file"] = None if path is None else str(path)
        facts["looked_for"] = [str(place) for place in places(os.environ, Path.cwd())]
        config = load(path, os.environ)
    except ConfigError as error:
        return facts | {"mistakes": list(error.mistakes), "store": _store("")}, Config()
    providers = [*config.providers, *environment_providers(config, os.environ)]
    shown = [
        {"name": each.name, "base_url": _without_secrets(each.base_url or ""), "enabled": each.enabled}
        for each in providers
    ]
    return facts | {"providers": shown, "store": _store(config.storage.url)}, config


def _store(url: str) -> dict[str, Any]:
    from hoosh.config.state import MEMORY, SQLITE, state_directory, store_path
    from hoosh.errors import ConfigError

    try:
        directory = str(state_directory(os.environ))
        path = Path(url.removeprefix(SQLITE)) if url.startswith(SQLITE) else store_path(os.environ)
    except ConfigError as error:
        return {"state_directory": None, "path": None, "bytes": None, "trouble": str(error)}
    if url == MEMORY:
        return {"state_directory": directory, "path": None, "bytes": None, "trouble": ""}
    try:
        size = path.stat().st_size
    except OSError:
        size = None
    return {"state_directory": directory, "path": str(path), "bytes": size, "trouble": ""}


def _gateway(arguments: argparse.Namespace) -> dict[str, Any]:
    """Who answers at the server's address, and how its providers are."""
    is_named = bool(arguments.server or os.environ.get("HOOSH_SERVER"))
    facts: dict[str, Any] = {"server": None, "version": None, "status": None, "providers": [], "trouble": ""}
    try:
        with talk_to(arguments) as gateway:
            facts["server"] = gateway.server
            summary = gateway.get("/v1/health")
            states = gateway.get("/v1/health/providers")
        facts |= {"version": str(summary["version"]), "status": str(summary["status"])}
        facts["providers"] = [{"name": str(each["provider"]), "status": str(each["status"])} for each in states]
    except Failure as failure:
        if failure.exit_code == WRONG_USAGE:
            raise
        is_refusal = isinstance(failure, RefusedByGateway)
        return facts | {"trouble": str(failure), "is_failure": is_named or is_refusal}
    except (TypeError, KeyError, AttributeError):
        return facts | {"trouble": "what answers there is no hoosh gateway", "is_failure": is_named}
    return facts | {"is_failure": False}


def _without_secrets(url: str) -> str:
    """Without user, password, query and fragment: keys are put into all of them."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}" if host else ""


# -- for a person --------------------------------------------------------------------------------------------------


def _lines(facts: Mapping[str, Any]) -> Iterable[str]:
    python = facts["python"]
    yield f"hoosh-trio     {facts['hoosh']}"
    yield f"Python         {python['version']} ({python['implementation']}) at {python['executable']}"
    known = [f"{name} {version or 'missing'}" for name, version in facts["libraries"].items()]
    yield f"libraries      {', '.join(known)}"
    yield from _machine_lines(facts["machine"])
    yield from _hardware_lines(facts["hardware"])
    yield from _configured_lines(facts["configuration"])
    yield from _gateway_lines(facts["gateway"])


def _machine_lines(machine: Mapping[str, Any]) -> Iterable[str]:
    cores, usable = machine["cores"], machine["usable_cores"]
    yield f"system         {machine['system']}, {cores} cores" + (f", {usable} usable" if usable != cores else "")


def _hardware_lines(found: Mapping[str, Any] | None) -> Iterable[str]:
    if found is None:
        yield "hardware       not looked at: [hardware] enabled = false"
        return
    cpu, *others = found["devices"]
    free = found.get("available_memory_bytes")
    yield f"processor      {plain(cpu['name'])}"
    yield f"memory         {_gib(found['system_memory_bytes'])}" + (f", {_gib(free)} available" if free else "")
    for device in others:
        yield f"accelerator    {_device_line(device)}"
    if not others:
        yield "accelerator    none"
    for link in found["interconnects"]:
        state = f", {link['state']}" if link.get("state") else ""
        yield f"link           {link['kind']}, {plain(link['name'])}, {link['bandwidth_gb_s']:g} GB/s{state}"
    if surroundings := ", ".join(_surroundings(found["environment"])):
        yield f"runs in        {plain(surroundings)}"
    for warning in found["warnings"]:
        yield f"not understood {plain(warning)}"
    yield f"looked at      in {found['took_s'] * 1000:.0f} ms"


def _device_line(device: Mapping[str, Any]) -> str:
    number = device["index"] if device.get("parent") is None else f"{device['parent']}.{device['index']}"
    words = [f"{device['kind']} {number}: {plain(device['name'])}"]
    if device["memory_bytes"]:
        words.append(_gib(device["memory_bytes"]) + (" of the machine's" if device.get("unified") else ""))
    if (used := device.get("used_bytes")) is not None:
        words.append(f"{_gib(used)} used")
    for name, unit in (("utilization_pct", "% busy"), ("temperature_c", "°C"), ("power_w", "W")):
        if (value := device.get(name)) is not None:
            words.append(f"{value:.0f} {unit}")
    return ", ".join(words if device.get("available", True) else [*words, "not available"])


def _surroundings(environment: Mapping[str, Any]) -> Iterable[str]:
    if environment["is_docker"]:
        yield "a container"
    if environment["is_kubernetes"]:
        yield f"Kubernetes (namespace {environment['namespace'] or 'unknown'})"
    if environment["cloud_provider"]:
        instance = environment["instance_type"]
        yield environment["cloud_provider"] + (f" {instance}" if instance else "")
    if share := environment["kubernetes_gpu"]:
        yield f"GPUs by {share['source']}: {', '.join(share['device_ids'])}"


def _configured_lines(configured: Mapping[str, Any]) -> Iterable[str]:
    looked = ", ".join(configured["looked_for"])
    yield f"configuration  {configured['file'] or f'none (looked for {looked}); the defaults are fine'}"
    for mistake in configured["mistakes"]:
        yield f"               {mistake}"
    store = configured["store"]
    yield f"state          {store['state_directory'] or store['trouble']}"
    size = "not there yet" if store["bytes"] is None else f"{store['bytes'] / 1024:,.0f} KiB".replace(",", " ")
    yield f"books          {store['path']} ({size})" if store["path"] else "books          in memory"
    for provider in configured["providers"]:
        off = "" if provider["enabled"] else ", switched off"
        yield f"provider       {plain(provider['name'])} at {provider['base_url']}{off}"


def _gateway_lines(gateway: Mapping[str, Any]) -> Iterable[str]:
    if gateway["trouble"]:
        yield f"gateway        {gateway['trouble']}"
        return
    yield f"gateway        hoosh {plain(gateway['version'])} at {gateway['server']}: {plain(gateway['status'])}"
    for provider in gateway["providers"]:
        yield f"  provider     {plain(provider['name'])}: {plain(provider['status'])}"


def _gib(count: int) -> str:
    return f"{count / 1024**3:.1f} GiB"
