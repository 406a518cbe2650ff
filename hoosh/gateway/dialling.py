"""How a provider is reached: its dialler and its TLS context, from what is configured.

local, or at home          anywhere, and unix sockets
remote                     public addresses only, judged when they are dialled
remote, allow_private      the owner's own network, too
proxy                      through it, and it says where a name leads
"""

from __future__ import annotations

import ssl

from hoosh.config import Http2, Provider
from hoosh.errors import ConfigError
from hoosh.http.addresses import is_public_address, is_public_or_own_address
from hoosh.http.dial import Dialer, GuardedDialer, SocketDialer
from hoosh.http.pins import parse_pin
from hoosh.http.proxy import ProxyDialer, parse_proxy
from hoosh.http.tls import HTTP1_ONLY, HTTP2_ONLY, HTTP2_OR_1, client_context

__all__ = ["dialer_for", "tls_for"]

ALPN = {Http2.OFF: HTTP1_ONLY, Http2.ALPN: HTTP2_OR_1, Http2.PRIOR: HTTP2_ONLY}


def dialer_for(provider: Provider, network: Dialer) -> Dialer:
    """How a provider is reached: through its proxy, or directly, and a remote one only where it may stand.

    A network that was put in place of the real one is taken as it is.  Raises ConfigError for a pin or a proxy that
    is none.
    """
    if type(network) is not SocketDialer:
        if isinstance(network, SocketDialer) and (provider.spki_pins or provider.proxy is not None):
            raise ConfigError([f"provider {provider.name}: spki_pins and proxy need the gateway's own way to dial"])
        return network
    allows = is_public_or_own_address if provider.allow_private else is_public_address
    try:
        pins = [parse_pin(pin) for pin in provider.spki_pins]
        if provider.proxy is not None:
            proxy = parse_proxy(provider.proxy.reveal())
            return ProxyDialer(proxy, allows=_anywhere if provider.is_at_hand else allows, pins=pins)
    except ValueError as wrong:
        raise ConfigError([f"provider {provider.name}: a pin or its proxy {wrong}"]) from None
    return SocketDialer(pins=pins) if provider.is_at_hand else GuardedDialer(allows, pins=pins)


def _anywhere(address: str) -> bool:
    return True


def tls_for(provider: Provider, scheme: str) -> ssl.SSLContext | None:
    """Raises ConfigError, also where something was asked of a handshake that there will not be."""
    if scheme == "https":
        cert, key = provider.client_cert, provider.client_key
        return client_context(verify=provider.trust, cert=cert, key=key, alpn=ALPN[provider.http2])
    if provider.spki_pins or provider.client_cert:
        raise ConfigError([f"provider {provider.name}: spki_pins and client_cert need an address with https"])
    return None
