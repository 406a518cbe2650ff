"""`proxy = "env"`: the proxy that the environment names for a provider's address, if it names one.

    https_proxy  HTTPS_PROXY  all_proxy  ALL_PROXY        the first that is set (http_proxy for an http address)
    no_proxy  NO_PROXY                                    hosts and domains that are reached without

Only where a provider asks for it: a variable that somebody has set for a browser must not lead keys and prompts
elsewhere.  This machine itself is never reached through it.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address, ip_network

from msgspec.structs import replace

from hoosh.config.address import is_loopback_url, is_unix_url, place_of, url_mistake
from hoosh.config.schema import Provider
from hoosh.values.secret import Secret

__all__ = ["ENVIRONMENT", "with_proxy"]

ENVIRONMENT = "env"


def with_proxy(provider: Provider, environ: Mapping[str, str]) -> Provider:
    """`provider` with an address, or nothing, in place of "env"."""
    if provider.proxy is None or provider.proxy.reveal() != ENVIRONMENT:
        return provider
    if url_mistake(provider.base_url):
        return replace(provider, proxy=None)  # that mistake is told already
    found = _proxy_for(provider.base_url, environ)
    return replace(provider, proxy=Secret(found) if found else None)


def _proxy_for(url: str, environ: Mapping[str, str]) -> str | None:
    if is_unix_url(url) or is_loopback_url(url):
        return None
    place = place_of(url)
    names = (f"{place.scheme}_proxy", "all_proxy")
    found = _first(environ, *(spelling for name in names for spelling in (name, name.upper())))
    if not found or _is_exempt(place.host, place.port, _first(environ, "no_proxy", "NO_PROXY")):
        return None
    return found if "://" in found else f"http://{found}"


def _first(environ: Mapping[str, str], *names: str) -> str:
    return next((value for name in names if (value := environ.get(name, "").strip())), "")


def _is_exempt(host: str, port: int, exempt: str) -> bool:
    """`*`, a host or domain with or without a dot before it, an address, a network; a port behind it must be ours."""
    return any(_is_of(host, port, entry.strip().casefold()) for entry in exempt.split(",") if entry.strip())


def _is_of(host: str, port: int, entry: str) -> bool:
    if entry == "*":
        return True
    try:
        return ip_address(host) in ip_network(entry, strict=False)
    except ValueError:
        pass  # one of them is a name
    name, colon, only_port = entry.rpartition(":")
    if colon and only_port.isdigit():
        return int(only_port) == port and _is_of(host, port, name)
    name = entry.strip("[]").lstrip("*").lstrip(".")
    return host == name or host.endswith(f".{name}")
