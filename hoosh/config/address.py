"""What an address says: is it one, is it the machine itself, and what is its plain form?  No look-up is made."""

from __future__ import annotations

import ipaddress
import os
import re
from urllib.parse import SplitResult, unquote, urlsplit

from msgspec import Struct

__all__ = [
    "MAX_SOCKET_PATH_BYTES",
    "Place",
    "is_host",
    "is_loopback_host",
    "is_loopback_url",
    "is_ollama_com_url",
    "is_unix_url",
    "place_of",
    "plain_base_url",
    "same_address",
    "url_mistake",
]

MAX_SOCKET_PATH_BYTES = 107
"""sun_path of Linux, less its final zero (man 7 unix)."""

_HOST_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._-]{0,252})")
_VERSION_AT_END = re.compile(r"/v\d+[a-z0-9]*$")


class Place(Struct, frozen=True):
    """Where a base URL leads.  At a unix socket host and port are only what a request calls its server."""

    scheme: str
    host: str
    port: int
    path: str
    """Of the URL, without a slash at its end."""
    unix_path: str | None = None


def place_of(url: str) -> Place:
    """For a URL in which `url_mistake` finds none: http, https, or a socket.

    `unix:/run/llm.sock` is one without a path behind it, `http+unix://%2Frun%2Fllm.sock/v1` one with.
    """
    parts = urlsplit(url)
    path = parts.path.rstrip("/")
    if parts.scheme == "unix":
        return Place("http", "localhost", 80, "", parts.path)
    if parts.scheme == "http+unix":
        return Place("http", "localhost", 80, path, unquote(parts.netloc))
    scheme = parts.scheme or "http"
    return Place(scheme, parts.hostname or "localhost", parts.port or (443 if scheme == "https" else 80), path)


def is_unix_url(url: str) -> bool:
    return url.startswith(("unix:", "http+unix:"))


def is_host(text: str) -> bool:
    """An IP address, without brackets, or what may be a host's name."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return _HOST_NAME.fullmatch(text) is not None
    return True


def is_loopback_host(host: str) -> bool:
    """`localhost` and the loopback addresses.  Any other name is taken for public: who knows what it resolves to."""
    host = host.strip("[]").rstrip(".").casefold()
    if host == "localhost" or host.endswith(".localhost"):  # RFC 6761, section 6.3
        return True
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped.is_loopback
    return address.is_loopback


def is_ollama_com_url(url: str) -> bool:
    """Ollama's cloud, asked without a server at home: nobody's own machine, though its API is the same."""
    try:
        host = (urlsplit(url).hostname or "").rstrip(".")
    except ValueError:
        return False
    return host == "ollama.com" or host.endswith(".ollama.com")


def is_loopback_url(url: str) -> bool:
    try:
        host = urlsplit(url).hostname
    except ValueError:
        return False
    return host is not None and is_loopback_host(host)


def plain_base_url(url: str) -> str:
    """Without slashes at the end.  A version (`/v1`) stays: `dialects.paths.join_base` knows what to do with it."""
    return url.rstrip("/")


def shown_url(url: str) -> str:
    """`url` without user, password, query and fragment: keys are put into all of them."""
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return ""
    if parts.scheme == "unix":
        return f"unix:{parts.path}"
    return f"{parts.scheme}://{host}{parts.path}" if host else ""


def same_address(url: str, usual: str | None) -> bool:
    """Both are one base URL; many write a version at its end, which is the dialect's to add."""
    return usual is not None and _VERSION_AT_END.sub("", url) == _VERSION_AT_END.sub("", usual)


def url_mistake(url: str) -> str | None:
    """What keeps `url` from being a base URL, with what would be right; None when nothing does.

    Never repeats the URL: somebody may have put a password there.
    """
    right = "write it like http://localhost:8080 or https://api.example.com"
    if not url.isascii() or not url.isprintable() or " " in url:
        return f"holds blanks or signs that an address cannot have; {right}"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return f"is not an address; {right}"
    if is_unix_url(url):
        return _unix_mistake(parts)
    if parts.scheme not in ("http", "https"):
        return f"must begin with http:// or https://; {right}"
    if not host or not is_host(host) or port == 0:
        return f"has no host, or no possible one; {right}"
    if parts.username is not None or parts.password is not None:
        return "holds a user name or password; use api_key or headers for that"
    if parts.query or parts.fragment or "?" in url or "#" in url:
        return f"holds a query or fragment; {right}"
    return None


def _unix_mistake(parts: SplitResult) -> str | None:
    socket_path = parts.path if parts.scheme == "unix" else unquote(parts.netloc)
    right = "write unix:/run/engine.sock, or http+unix://%2Frun%2Fengine.sock/v1"
    if not os.path.isabs(socket_path) or "\0" in socket_path or (parts.scheme == "unix" and parts.netloc):
        return f"names no socket by its whole path; {right}"
    if len(os.fsencode(socket_path)) > MAX_SOCKET_PATH_BYTES:
        return f"is longer than the {MAX_SOCKET_PATH_BYTES} bytes a socket path may have; shorten it"
    if parts.query or parts.fragment:
        return f"holds a query or fragment; {right}"
    return None


def webhook_url_mistake(url: str) -> str | None:
    """What keeps `url` from being the address of a webhook: as `url_mistake`, but it may have a query."""
    plain, _, query = url.partition("?")
    wrong = url_mistake(plain)
    if wrong is not None and "user name" in wrong:
        return "holds a user name or password; deliveries are signed, so it needs none"
    if wrong is None and (not query.isascii() or not query.isprintable() or " " in query or "#" in query):
        return "holds a fragment, or signs that an address cannot have; write it like https://example.com/hook?id=1"
    return wrong
