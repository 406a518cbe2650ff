"""TLS contexts: for calling upstreams, with the system's trust and verification on; and for serving.

On macOS and Windows trust lives behind system calls, and `truststore` asks them.  On Linux it is a file: truststore
would read it again for every connection, 30-50 ms of processor time inside the event loop, so there we read the same
file ourselves, once per context.

Contexts are made at start-up and shared by all connections of a pool.  Every file is read then, and one that cannot be
used is a ConfigError that names it: nothing is ever left out so that the rest may go on.  A server's context is made
anew when its certificate is renewed (`HttpServer.renew_tls`).
"""

from __future__ import annotations

import os
import ssl
import sys
from collections.abc import Sequence

import truststore

from hoosh.errors import ConfigError

__all__ = [
    "HTTP1_ONLY",
    "HTTP2_ONLY",
    "HTTP2_OR_1",
    "check_authorities",
    "check_certificate",
    "check_key",
    "check_pair",
    "client_context",
    "server_context",
]

FilePath = str | os.PathLike[str]

HTTP1_ONLY = ("http/1.1",)
HTTP2_ONLY = ("h2",)
HTTP2_OR_1 = ("h2", "http/1.1")

_CA_FILES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu
    "/etc/ssl/cert.pem",  # Alpine, Arch, Fedora 34-43, BSD
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  # Fedora 44+, RHEL 11+
    "/etc/pki/tls/cert.pem",  # Fedora <= 34, RHEL <= 9
    "/etc/ssl/ca-bundle.pem",  # SUSE
)
"""Where distributions keep their bundle when OpenSSL was built with other paths; truststore looks there too."""

MAX_FILE_BYTES = 4 * 1024 * 1024
"""A system's whole bundle has a quarter of a megabyte."""


def client_context(
    *,
    verify: bool | FilePath | Sequence[FilePath] = True,
    cert: FilePath | None = None,
    key: FilePath | None = None,
    alpn: Sequence[str] = HTTP2_OR_1,
) -> ssl.SSLContext:
    """For calling an upstream.

    `verify` is True for the system's certificate authorities, one or more paths of PEM bundles for exactly those, or
    False for no verification at all.  `cert` and `key` are shown to an upstream that asks who we are.  Raises
    ConfigError when a file cannot be used.
    """
    if verify is True:
        context = _system_trust()
    elif verify is False:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        for path in (verify,) if isinstance(verify, str | os.PathLike) else verify:
            _load_authorities(context, path)
    if cert is not None:
        _load_pair(context, cert, key)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(list(alpn))
    return context


def server_context(
    cert: FilePath,
    key: FilePath | None,
    *,
    client_ca: FilePath | None = None,
    http2: bool = True,
) -> ssl.SSLContext:
    """For serving with a certificate chain; `client_ca` asks every client for a certificate signed by it.

    Raises ConfigError when a file is missing, unreadable or does not fit the other.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(list(HTTP2_OR_1 if http2 else HTTP1_ONLY))
    _load_pair(context, cert, key)
    if client_ca is not None:
        _load_authorities(context, client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def check_pair(cert: FilePath, key: FilePath | None) -> None:
    """Raises ConfigError unless `cert` is a certificate and `key` the key that belongs to it."""
    _load_pair(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), cert, key)


def check_certificate(path: FilePath) -> None:
    """Raises ConfigError unless `path` may be read and holds a certificate."""
    _must_hold(b"CERTIFICATE-----", "certificate", path, "TLS certificate")


def check_key(path: FilePath) -> None:
    """Raises ConfigError unless `path` may be read and holds a private key."""
    _must_hold(b"PRIVATE KEY-----", "private key", path, "TLS key")


def check_authorities(path: FilePath) -> None:
    """Raises ConfigError unless `path` is a bundle of certificates."""
    _load_authorities(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), path)


def _system_trust() -> ssl.SSLContext:
    if sys.platform in ("darwin", "win32"):  # pragma: no cover
        return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    if not context.cert_store_stats()["x509_ca"]:
        for path in _CA_FILES:
            if os.path.isfile(path):
                context.load_verify_locations(cafile=path)
                break
    return context


def _load_pair(context: ssl.SSLContext, cert: FilePath, key: FilePath | None) -> None:
    check_certificate(cert)
    check_key(cert if key is None else key)
    try:
        # An encrypted key would make OpenSSL ask for a passphrase on the terminal, and wait.
        context.load_cert_chain(cert, key, password=_refuse_passphrase)
    except (OSError, ValueError) as error:
        files = f"{os.fspath(cert)!r}" if key is None else f"{os.fspath(cert)!r} and {os.fspath(key)!r}"
        raise ConfigError([f"The TLS certificate and key {files} cannot be used: {_why(error)}."]) from None


def _load_authorities(context: ssl.SSLContext, path: FilePath) -> None:
    _must_hold(b"CERTIFICATE-----", "certificate", path, "certificate bundle")
    try:
        context.load_verify_locations(cafile=path)
    except OSError as error:
        raise ConfigError([f"The certificate bundle {os.fspath(path)!r} cannot be used: {_why(error)}."]) from None


def _must_hold(sign: bytes, noun: str, path: FilePath, what: str) -> None:
    """OpenSSL says of any wrong file the same, and not of which; so it is looked at before."""
    try:
        with open(path, "rb") as file:
            held = sign in file.read(MAX_FILE_BYTES)
    except (OSError, ValueError) as error:  # ValueError: a path that cannot be one
        reason = getattr(error, "strerror", None) or "not a possible path"
        raise ConfigError([f"The {what} {os.fspath(path)!r} cannot be read: {reason}."]) from None
    if not held:
        raise ConfigError([f"The {what} {os.fspath(path)!r} cannot be used: it holds no {noun} in PEM form."])


def _refuse_passphrase() -> str:
    raise ValueError("the key is protected by a passphrase; give a key without one")


def _why(error: Exception) -> str:
    """`[X509: KEY_VALUES_MISMATCH] key values mismatch (_ssl.c:4126)` → `key values mismatch`, and what that means."""
    if isinstance(error, ssl.SSLError) and error.reason == "KEY_VALUES_MISMATCH":
        return "key values mismatch, so the key belongs to another certificate"
    text = str(error)
    if text.startswith("["):
        text = text.partition("] ")[2]
    return text.partition(" (_ssl.c")[0] or "it is broken"
