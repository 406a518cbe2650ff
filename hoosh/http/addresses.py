"""Which addresses are the public Internet's, and which are somebody's inside.

What a stranger names (an image's URL, a remote provider) must not lead to this machine, its network or the metadata
service of its cloud.  `is_public_address` is asked about the address that is dialled, after the name was resolved, so
there is nothing to rebind in between.

IPv6 has ways to write an IPv4 address: mapped (::ffff:0:0/96), 6to4 (2002::/16), Teredo (2001::/32).  None of them is
ever needed here, and each may come out at the address inside: they count as private.  Translated ones (64:ff9b::/96)
are needed, since in a network of IPv6 alone every IPv4 host is known by one: they are what the address inside is.

`is_public_or_own_address` is for whoever has said that an upstream stands in their own network: it lets that in too,
and still nothing that no upstream ever is: link-local addresses, multicast, and a cloud's metadata service.

`literal_address` says what is an address at all, in whatever spelling.  A guard that reads it so may be asked before
anything is dialled; what it takes for a name is judged by what it leads to.

Sources: inet_aton(3), as POSIX.1-2017 has it in `inet_addr`; WHATWG URL Standard, section 3.5 ("ends in a number");
IANA's special-purpose address registries (RFC 6890 and those after it); RFC 6598 (shared space, used by
carriers and by cloud metadata services); RFC 6052 (translation); RFC 3056 (6to4).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

__all__ = ["ends_in_a_number", "is_public_address", "is_public_or_own_address", "literal_address", "public_or_in"]

_GLOBAL_UNICAST = IPv6Network("2000::/3")
"""All that IANA has given out of IPv6; whatever else `ipaddress` of some version takes for global is not."""
_INSIDE = (
    *map(ip_network, ("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12")),
    *map(ip_network, ("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15")),
    *map(ip_network, ("198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4", "168.63.129.16/32")),
    # 2001::/23 holds Teredo, ORCHID and other protocols; 5f00::/16 is segment routing; 3fff::/20 documentation.
    *map(ip_network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")),
)
"""Said here, not left to `ipaddress`: its idea of "private" differs between patch releases of Python.

168.63.129.16 is a public number that reaches the host's agent from inside one large cloud.
"""


_TRANSLATED = IPv6Network("64:ff9b::/96")
_OWN = tuple(
    map(
        ip_network, ("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "::1")
    )
)
"""What people number their own networks with: RFC 1918, RFC 6598 (tunnels between machines use it), RFC 4193."""
_METADATA = (
    *map(ip_network, ("100.100.100.200", "fd00:100::100:200", "fd00:ec2::/32", "fd20:ce::254")),
    *map(ip_network, ("fd00:42::42", "fd00:a9fe:a9fe::1", "fd00:c1::a9fe:a9fe")),
)
"""Metadata services at addresses that look like somebody's own: of Alibaba, Amazon and Google; of Scaleway, Akamai and
Oracle.  The others are link-local."""


def is_public_address(address: str) -> bool:
    """Whether `address`, a literal as a resolver gives it, is somewhere on the public Internet."""
    try:
        parsed = _parsed(address)
    except ValueError:
        return False
    if parsed in _TRANSLATED:
        parsed = IPv4Address(parsed.packed[-4:])
    if any(parsed in network for network in _INSIDE):  # of the other version: simply not in it
        return False
    return isinstance(parsed, IPv4Address) or parsed in _GLOBAL_UNICAST


def is_public_or_own_address(address: str) -> bool:
    """Whether `address` is public, or one that people give to machines of their own; never a metadata service's."""
    try:
        parsed = _parsed(address)
    except ValueError:
        return False
    if any(parsed in network for network in _OWN):
        return not any(parsed in network for network in _METADATA)
    return is_public_address(address)


def public_or_in(networks: Iterable[str]) -> Callable[[str], bool]:
    """A guard that lets through what is public or in one of `networks` (`10.1.0.0/16`, `::1`): for an intranet.

    Raises ValueError for what is no network.
    """
    allowed = [ip_network(network) for network in networks]

    def allows(address: str) -> bool:
        return is_public_address(address) or any(_parsed(address) in network for network in allowed)

    return allows


def literal_address(host: str) -> str | None:
    """The address that `host` is in any spelling that a resolver takes for one, in its usual spelling; None for a name.

    IPv4 also in one to three parts, octal and hexadecimal (`127.1`, `0x7f.1`, `2130706433`), as inet_aton reads them,
    and with a dot behind it; IPv6 with its zone; either in digits that IDNA takes for ASCII's.  Asks nobody.
    """
    if not host.isascii():
        try:
            host = host.encode("idna").decode("ascii")
        except UnicodeError:
            return None
    host = host.removesuffix(".")
    try:
        return str(ip_address(host))  # in whatever case; that of a zone, which is an interface's name, counts
    except ValueError:
        return _loosely_written(host.lower())


def ends_in_a_number(host: str) -> bool:
    """No name does, so that whoever takes `host` for an address may read it in a way of its own."""
    last = host.removesuffix(".").rpartition(".")[2]
    return _number.fullmatch(last.lower()) is not None


_number = re.compile(r"[0-9]+|0x[0-9a-f]*")
_part = re.compile(r"0x[0-9a-f]+|0[0-7]*|[1-9][0-9]*")


def _loosely_written(host: str) -> str | None:
    """The last part stands for all the bytes that are left."""
    parts = host.split(".")
    if len(parts) > 4 or len(host) > 64 or not all(map(_part.fullmatch, parts)):
        return None
    *first, last = [int(part, 16 if part[:2] == "0x" else 8 if part[0] == "0" else 10) for part in parts]
    left = 4 - len(first)
    if any(number > 255 for number in first) or last >= 256**left:
        return None
    return str(IPv4Address(bytes(first) + last.to_bytes(left, "big")))


def _parsed(address: str) -> IPv4Address | IPv6Address:
    return ip_address(address.partition("%")[0])
