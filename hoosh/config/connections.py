"""Mistakes about connections: certificates and keys, pins, proxies, private addresses.

Files for TLS are opened and tried: a key that does not fit its certificate is found by `hoosh-trio check`, not by the
first client.  What the files are tried with is what serves later: `http/tls.py`.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from hoosh.config.address import is_unix_url, place_of, url_mistake
from hoosh.config.locate import KeyPath
from hoosh.config.mistakes import Mistakes
from hoosh.config.schema import Provider, Server
from hoosh.errors import ConfigError
from hoosh.http.addresses import is_public_address, is_public_or_own_address, literal_address
from hoosh.http.pins import parse_pin

__all__ = ["check_authorities", "check_connection", "check_server_tls"]


def check_server_tls(server: Server, mistakes: Mistakes) -> None:
    files = {"tls_cert": server.tls_cert, "tls_key": server.tls_key, "tls_client_ca": server.tls_client_ca}
    for name, other in (("tls_cert", "tls_key"), ("tls_key", "tls_cert"), ("tls_client_ca", "tls_cert")):
        path = ("server", other)
        if files[name] is not None and files[other] is None and not mistakes.touch(path):
            mistakes.add(("server", name), f"needs {other} beside it; add {other} = PATH")
    _check_pair(("server",), "tls_cert", server.tls_cert, "tls_key", server.tls_key, mistakes)
    check_authorities(("server", "tls_client_ca"), server.tls_client_ca, mistakes)


def check_connection(path: KeyPath, provider: Provider, mistakes: Mistakes) -> None:
    """How a provider is reached: whom it is believed by, who we are to it, through what, and where it may stand."""
    if isinstance(provider.verify, str):
        check_authorities((*path, "verify"), provider.verify, mistakes)
    for number, file in enumerate(provider.tls_pinned_certs):
        check_authorities((*path, "tls_pinned_certs", number), file, mistakes)
    if provider.tls_pinned_certs and provider.verify is not True:
        mistakes.add((*path, "tls_pinned_certs"), "says whom to trust, and so does verify; keep one of the two")
    for name, other in (("client_cert", "client_key"), ("client_key", "client_cert")):
        given = getattr(provider, name) is not None and getattr(provider, other) is None
        if given and not mistakes.touch((*path, other)):
            mistakes.add((*path, name), f"needs {other} beside it; add {other} = PATH")
    _check_pair(path, "client_cert", provider.client_cert, "client_key", provider.client_key, mistakes)
    _check_pins((*path, "spki_pins"), provider, mistakes)
    if provider.base_url and not url_mistake(provider.base_url):
        _check_speaks_tls(path, provider, mistakes)
        _check_address(path, provider, mistakes)
    _check_proxy((*path, "proxy"), provider, mistakes)


def _check_pins(path: KeyPath, provider: Provider, mistakes: Mistakes) -> None:
    for number, pin in enumerate(provider.spki_pins):
        try:
            parse_pin(pin)
        except ValueError as wrong:
            mistakes.add((*path, number), str(wrong))
    if not provider.spki_pins and path in mistakes.lines.known and not mistakes.touch(path):
        mistakes.add(path, "is empty, so it would let any key in; name at least one pin, or remove it")


def _check_speaks_tls(path: KeyPath, provider: Provider, mistakes: Mistakes) -> None:
    """What is only asked for in a TLS handshake is nothing at an address without one."""
    if place_of(provider.base_url).scheme == "https":
        return
    asked = {
        "spki_pins": provider.spki_pins,
        "client_cert": provider.client_cert,
        "tls_pinned_certs": provider.tls_pinned_certs,
        "verify": isinstance(provider.verify, str),
    }
    for name, value in asked.items():
        if value and not mistakes.touch((*path, name)):
            mistakes.add((*path, name), "needs TLS, and base_url begins with http: no one would look at it; use https")


def _check_address(path: KeyPath, provider: Provider, mistakes: Mistakes) -> None:
    """A literal address is judged here; a name when it is dialled, by the address that it leads to."""
    address = literal_address(place_of(provider.base_url).host)
    if provider.is_at_hand or address is None or is_public_address(address):
        return
    if not is_public_or_own_address(address):
        mistakes.add((*path, "base_url"), "is an address at which no provider can be (link-local, multicast, metadata)")
    elif not provider.allow_private:
        advice = "say allow_private = true if it stands in your own network"
        mistakes.add((*path, "base_url"), f"is a private address, and the type is a remote one; {advice}")


def _check_proxy(path: KeyPath, provider: Provider, mistakes: Mistakes) -> None:
    if provider.proxy is None:
        return
    from hoosh.http.proxy import parse_proxy

    if is_unix_url(provider.base_url):
        mistakes.add(path, "cannot lead to a unix socket; remove it")
    try:
        parse_proxy(provider.proxy.reveal())
    except ValueError as wrong:
        mistakes.add(path, str(wrong))


def _check_pair(
    path: KeyPath, cert_name: str, cert: str | None, key_name: str, key: str | None, mistakes: Mistakes
) -> None:
    """Each is what it should be, and the key belongs to the certificate."""
    from hoosh.http.tls import check_certificate, check_key, check_pair

    fine = [
        _is_there((*path, name), file, mistakes) and _passes(check, file, (*path, name), mistakes)
        for name, file, check in ((cert_name, cert, check_certificate), (key_name, key, check_key))
        if file is not None
    ]
    if cert is not None and key is not None and all(fine):
        _passes(lambda key: check_pair(cert, key), key, (*path, key_name), mistakes)


def check_authorities(path: KeyPath, file: str | None, mistakes: Mistakes) -> None:
    if file is None or not _is_there(path, file, mistakes):
        return
    from hoosh.http.tls import check_authorities

    _passes(check_authorities, file, path, mistakes)


def _passes(check: Callable[[str], None], file: str, path: KeyPath, mistakes: Mistakes) -> bool:
    try:
        check(file)
    except ConfigError as error:
        for sentence in error.mistakes:
            mistakes.add(path, f"{sentence[:1].lower()}{sentence[1:].rstrip('.')}; give a PEM file that can be used")
        return False
    return True


def _is_there(path: KeyPath, file: str, mistakes: Mistakes) -> bool:
    if not os.path.isfile(file):
        mistakes.add(path, f"there is no file {file}; create it or change the path")
        return False
    if not os.access(file, os.R_OK):
        mistakes.add(path, f"the file {file} may not be read; change its permissions")
        return False
    return True
