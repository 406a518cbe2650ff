"""Providers that nobody wrote down: those whose usual key is in the environment, and local engines at their ports.

Pure: it says whom to ask for; whether a local engine answers, somebody else finds out.  Configured providers are
asked first (priority 10 unless they say otherwise), then local engines, then the environment's.  A type that the
configuration has, also switched off, is left to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from hoosh.catalogue import ProviderType, keys_in
from hoosh.config.address import is_loopback_url
from hoosh.config.schema import Config, Origin, Provider
from hoosh.values.secret import Secret

__all__ = ["ENVIRONMENT_PRIORITY", "LOCAL_PRIORITY", "environment_providers", "local_provider"]

LOCAL_PRIORITY = 50
ENVIRONMENT_PRIORITY = 100


def environment_providers(config: Config, environ: Mapping[str, str]) -> tuple[Provider, ...]:
    """One provider for each usual key variable that is set; its models are the catalogue's guess."""
    if not config.discovery.environment:
        return ()
    types = {provider.type for provider in config.providers}
    names = {provider.name for provider in config.providers}
    return tuple(
        Provider(
            type=kind.wire,
            api_key=Secret(environ[variable].strip()),
            priority=ENVIRONMENT_PRIORITY,
            models=kind.usual_models,
            origin=Origin.ENVIRONMENT,
        )
        for kind, variable in keys_in(environ)
        if kind.wire not in types and kind.wire not in names and _can_travel(environ[variable].strip())
    )


def _can_travel(key: str) -> bool:
    """A variable with a line break in its middle is no key; it must not reach a header."""
    return key.isascii() and key.isprintable()


def local_provider(config: Config, kind: ProviderType, port: int) -> Provider | None:
    """The provider for an engine found on loopback; None where the configuration knows that address or name already."""
    if not config.discovery.local:
        return None
    for provider in config.providers:
        if provider.name == kind.wire or (is_loopback_url(provider.base_url) and _port(provider.base_url) == port):
            return None
    return Provider(type=kind.wire, base_url=f"http://127.0.0.1:{port}", priority=LOCAL_PRIORITY, origin=Origin.LOCAL)


def _port(url: str) -> int:
    parts = urlsplit(url)
    return parts.port or (443 if parts.scheme == "https" else 80)
