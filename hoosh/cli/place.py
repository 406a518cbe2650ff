"""Where a server is, for commands that hold connections of their own (`hoosh.http.client.Pool`) instead of httpx's.

    http://127.0.0.1:8088   gateway.example   https://user:password@host/some/path/v1   unix:/run/hoosh.sock

Such connections are direct: proxies of the environment are not used.
"""

from __future__ import annotations

import argparse
import os
import re
from base64 import b64encode
from urllib.parse import SplitResult, unquote, urlsplit

from msgspec import Struct

from hoosh.cli.failure import WRONG_USAGE, Failure
from hoosh.cli.talk import DEFAULT_SERVER
from hoosh.http.message import HeaderList, Origin

__all__ = ["Place", "chat_path", "gateway_path", "place_of"]

_VERSION = re.compile(r"/v\d+[a-z0-9]*$")
NO_URL = f"the server's address is not a URL; write it like {DEFAULT_SERVER}"


class Place(Struct, frozen=True):
    """`path` is what the URL said, without a slash at its end; `shown` is safe to print."""

    origin: Origin
    path: str
    shown: str
    headers: HeaderList
    """Who is asking.  They hold the key."""

    def __repr__(self) -> str:
        return f"Place({self.shown})"


def place_of(arguments: argparse.Namespace, url: str | None = None) -> Place:
    """What the flags and the environment describe; `url` comes before both.  Raises Failure."""
    server = url or arguments.server or os.environ.get("HOOSH_SERVER") or DEFAULT_SERVER
    key = arguments.key or os.environ.get("HOOSH_API_KEY") or ""
    if not (key.isascii() and key.isprintable()):
        raise Failure("the API key holds signs no key has; check --key or HOOSH_API_KEY", exit_code=WRONG_USAGE)
    headers = [(b"user-agent", b"hoosh-trio"), (b"accept-encoding", b"identity")]
    if key:
        headers.append((b"authorization", b"Bearer " + key.encode()))
    if server.startswith("unix:"):
        return Place(Origin("http", "localhost", 80, server.removeprefix("unix:")), "", server, headers)
    try:
        parts = urlsplit(server if "://" in server else f"http://{server}")
        origin = _origin(parts)
    except (ValueError, UnicodeError):
        raise Failure(NO_URL, exit_code=WRONG_USAGE) from None
    if parts.username is not None:
        told = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        headers = [*headers[:2], (b"authorization", b"Basic " + b64encode(told))]
    path = parts.path.rstrip("/")
    if not (path.isascii() and path.isprintable()):
        raise Failure(NO_URL, exit_code=WRONG_USAGE)
    return Place(origin, path, f"{parts.scheme}://{origin.authority.decode()}{path}", headers)


def gateway_path(place: Place) -> str:
    """What comes before `/v1/…` and `/metrics` of a gateway."""
    return place.path.removesuffix("/v1")


def chat_path(place: Place) -> str:
    """Where chats are asked, for a base URL with or without its version, or for the whole URL."""
    path = place.path
    if path.endswith("/chat/completions"):
        return path
    return f"{path}/chat/completions" if _VERSION.search(path) else f"{path}/v1/chat/completions"


def _origin(parts: SplitResult) -> Origin:
    """Raises ValueError or UnicodeError."""
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("no URL of HTTP")
    host = parts.hostname if ":" in parts.hostname else parts.hostname.encode("idna").decode()
    if not host.isprintable() or " " in host:
        raise ValueError("no host")
    return Origin(parts.scheme, host, parts.port or (443 if parts.scheme == "https" else 80))
