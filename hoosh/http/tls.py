"""TLS contexts: for calling upstreams, with the system's trust and verification on; and for serving.

On macOS and Windows trust lives behind system calls, and `truststore` asks them.  On Linux it is a file: truststore
would read it again for every connection, 30-50 ms of processor time inside the event loop, so there we read the same
file ourselves, once per context.

Contexts are made at start-up and shared by all connections of a pool.
"""

from __future__ import annotations

import os
import ssl
import sys
from collections.abc import Sequence

import truststore

from hoosh.errors import ConfigError

__all__ = ["HTTP1_ONLY", "HTTP2_ONLY", "HTTP2_OR_1", "client_context", "server_context"]

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


def client_context(*, verify: bool | str | os.PathLike[str] = True, alpn: Sequence[str] = HTTP2_OR_1) -> ssl.SSLContext:
    """For calling an upstream.

    `verify` is True for the system's certificate authorities, a path to a PEM bundle for exactly those, or False for
    no verification at all.  Raises ConfigError when the bundle cannot be used.
    """
    if verify is True:
        context = _system_trust()
    elif verify is False:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        _load_authorities(context, verify)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(list(alpn))
    return context


def server_context(
    cert: str | os.PathLike[str],
    key: str | os.PathLike[str] | None,
    *,
    client_ca: str | os.PathLike[str] | None = None,
    http2: bool = True,
) -> ssl.SSLContext:
    """For serving with a certificate chain; `client_ca` asks every client for a certificate signed by it.

    Raises ConfigError when a file is missing, unreadable or does not fit the other.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(list(HTTP2_OR_1 if http2 else HTTP1_ONLY))
    for path, what in ((cert, "TLS certificate"), (key, "TLS key")):
        if path is not None:
            _must_be_readable(path, what)
    try:
        # An encrypted key would make OpenSSL ask for a passphrase on the terminal, and wait.
        context.load_cert_chain(cert, key, password=_refuse_passphrase)
    except (ssl.SSLError, ValueError) as error:
        files = f"{os.fspath(cert)!r}" if key is None else f"{os.fspath(cert)!r} and {os.fspath(key)!r}"
        raise ConfigError([f"The TLS certificate and key {files} cannot be used: {_why(error)}."]) from None
    if client_ca is not None:
        _load_authorities(context, client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


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


def _load_authorities(context: ssl.SSLContext, path: str | os.PathLike[str]) -> None:
    _must_be_readable(path, "certificate bundle")
    try:
        context.load_verify_locations(cafile=path)
    except ssl.SSLError as error:
        raise ConfigError([f"The certificate bundle {os.fspath(path)!r} cannot be used: {_why(error)}."]) from None


def _must_be_readable(path: str | os.PathLike[str], what: str) -> None:
    try:
        with open(path, "rb"):
            pass
    except OSError as error:
        raise ConfigError([f"The {what} {os.fspath(path)!r} cannot be read: {error.strerror}."]) from None


def _refuse_passphrase() -> str:
    raise ValueError("the key is protected by a passphrase; give a key without one")


def _why(error: Exception) -> str:
    """`[X509: KEY_VALUES_MISMATCH] key values mismatch (_ssl.c:4126)` → `key values mismatch`."""
    text = str(error)
    if text.startswith("["):
        text = text.partition("] ")[2]
    return text.partition(" (_ssl.c")[0] or "not a PEM file"
