"""Where the gateway is, and with which key to talk to it: arguments first, then HOOSH_SERVER and HOOSH_API_KEY.

    http://127.0.0.1:8088      https://ai.example/prefix      unix:/run/hoosh.sock       with or without `/v1`

A gateway on this machine is not looked for behind a proxy of the environment.  The key stays a Secret until it is
sent, and only goes to this one address: redirects are not followed.
"""

from __future__ import annotations

import os
import ssl
from typing import Any

import httpx
from msgspec import Struct

from hoosh.values.secret import Secret

__all__ = ["DEFAULT_SERVER", "Address", "find_address", "http_options"]

DEFAULT_SERVER = "http://127.0.0.1:8088"
CONNECT_S = 10.0
IDLE_CONNECTIONS = 32
KEPT_S = 60.0


class Address(Struct, frozen=True):
    url: str
    """Without a slash at its end, and without a password: it may be shown."""
    socket_path: str | None = None
    key: Secret | None = None

    @property
    def shown(self) -> str:
        return self.url if self.socket_path is None else f"unix:{self.socket_path}"


def find_address(server: str | None, key: str | None) -> Address:
    """Raises ValueError, without a word of the key."""
    server = server or os.environ.get("HOOSH_SERVER") or DEFAULT_SERVER
    key = key or os.environ.get("HOOSH_API_KEY") or None
    if key is not None and not (key.isascii() and key.isprintable() and " " not in key):
        raise ValueError("the API key holds signs no key has; check `key` or HOOSH_API_KEY")
    secret = None if key is None else Secret(key)
    if server.startswith("unix:"):
        return Address("http://localhost", server.removeprefix("unix:"), secret)
    try:
        url = httpx.URL(server if "://" in server else f"http://{server}")
    except httpx.InvalidURL:
        url = httpx.URL("")
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError(f"the gateway's address is not a URL; write it like {DEFAULT_SERVER}")
    if url.userinfo:
        raise ValueError("the gateway's address must not hold a password; give the key as `key` or HOOSH_API_KEY")
    path = url.path.rstrip("/").removesuffix("/v1").rstrip("/")
    return Address(str(url.copy_with(path=path or "/", query=None, fragment=None)).rstrip("/"), None, secret)


def http_options(address: Address, verify: ssl.SSLContext | bool, silence_s: float) -> dict[str, Any]:
    """What both of httpx's clients are opened with."""
    host = httpx.URL(address.url).host
    shown_host = f"[{host}]" if ":" in host else host
    is_here = host in ("localhost", "::1") or host.startswith("127.")
    return {
        "timeout": httpx.Timeout(silence_s, connect=CONNECT_S),
        "limits": httpx.Limits(
            max_connections=None, max_keepalive_connections=IDLE_CONNECTIONS, keepalive_expiry=KEPT_S
        ),
        # Over plain HTTP nobody's certificate is looked at: loading the authorities would only cost time.
        "verify": verify if address.url.startswith("https:") else False,
        "mounts": {f"all://{shown_host}": None} if is_here else None,
    }
