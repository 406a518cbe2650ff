"""Every way to write an address inside, at random: none is dialled.  And whatever may be dialled is really public."""

from __future__ import annotations

import ipaddress
import socket

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from hoosh.errors import ConnectFailed
from hoosh.http import dial as dial_module
from hoosh.http.addresses import is_public_address, is_public_or_own_address
from hoosh.http.dial import GuardedDialer
from hoosh.http.message import Origin

INSIDE_4 = [
    *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24"),
    *("192.0.2.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3"),
]
INSIDE_6 = ["::/96", "fe80::/10", "fc00::/7", "fec0::/10", "ff00::/8", "100::/64", "2001:db8::/32", "2001::/32"]
NEVER = [
    *("169.254.169.254", "100.100.100.200", "168.63.129.16", "224.0.0.1", "0.0.0.0", "255.255.255.255", "192.0.0.192"),
    *("fe80::1", "ff02::1", "fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254", "fd00:42::42", "::", "::ffff:10.0.0.1"),
    *("64:ff9b::a00:1", "2002:a00:1::1", "fd00:c1::a9fe:a9fe", "fd00:a9fe:a9fe::1", "fd00:100::100:200"),
]
OWN = ["10.0.0.1", "172.20.0.1", "192.168.1.1", "100.64.0.7", "127.0.0.1", "::1", "fd12:3456::1", "fc00::1"]


def of(networks: list[str]) -> st.SearchStrategy[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """An address of one of them."""

    def inside(network):
        last = network.num_addresses - 1
        return st.integers(0, last).map(lambda number: network.network_address + number)

    return st.sampled_from([ipaddress.ip_network(network) for network in networks]).flatmap(inside)


def embedded(address: ipaddress.IPv4Address) -> list[str]:
    """All that a resolver may give out for an IPv4 address, in IPv6."""
    number = int(address)
    return [
        str(ipaddress.IPv6Address(start | number << shift))
        for start, shift in (
            (0xFFFF << 32, 0),  # mapped
            (0, 0),  # compatible (RFC 4291, section 2.5.5.1)
            (0x0064FF9B << 96, 0),  # translated
            (0x0064FF9B0001 << 80, 0),  # translated, of one network (RFC 8215)
            (0x2002 << 112, 80),  # 6to4
            (0x20010000 << 96, 64),  # Teredo: the server
        )
    ] + [str(ipaddress.IPv6Address((0x20010000 << 96) | (number ^ 0xFFFFFFFF)))]  # Teredo: the client, inverted


def spellings(address: ipaddress.IPv4Address) -> list[str]:
    """All that `inet_aton` takes for it, and so most resolvers."""
    number, (a, b, c, d) = int(address), address.packed
    return [
        *(str(address), str(number), hex(number), f"0{number:o}"),
        *(f"{a}.{number & 0xFFFFFF}", f"{a}.{b}.{number & 0xFFFF}"),
        *(f"{a:#x}.{b:#x}.{c:#x}.{d:#x}", f"0{a:o}.0{b:o}.0{c:o}.0{d:o}", f"0{a:03o}.{b}.{c:#x}.{d}"),
    ]


@given(of(INSIDE_4))
def test_no_form_of_an_ipv4_address_inside_is_public(address):
    assert not is_public_address(str(address))
    assert not any(map(is_public_address, embedded(address)))


@given(of(INSIDE_6))
def test_no_ipv6_address_inside_is_public(address):
    assert not is_public_address(str(address))
    assert not is_public_address(f"{address}%eth0")


@given(st.ip_addresses())
def test_what_is_public_is_so_for_the_standard_library_too(address):
    translated = address in ipaddress.ip_network("64:ff9b::/96") if address.version == 6 else False
    if is_public_address(str(address)) and not translated:
        assert address.is_global
        assert not address.is_multicast
        assert not address.is_reserved


@given(st.ip_addresses(v=4))
def test_a_translated_address_is_what_the_address_in_it_is(address):
    translated = str(ipaddress.IPv6Address((0x0064FF9B << 96) | int(address)))
    assert is_public_address(translated) == is_public_address(str(address))


@given(of(INSIDE_4), st.data())
def test_no_spelling_of_an_address_inside_is_dialled(address, data):
    host = data.draw(st.sampled_from([*spellings(address), *embedded(address)]))
    dialled = []

    async def connect(family, found):
        dialled.append(found)
        raise OSError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dial_module, "_connect", connect)
        with pytest.raises(ConnectFailed, match=r"not allowed|does not resolve"):
            trio.run(GuardedDialer().dial, Origin("http", host, 80), None)
    assert dialled == []


@pytest.mark.parametrize("address", OWN)
def test_ones_own_network_is_let_in_when_asked_for_and_only_then(address):
    assert is_public_or_own_address(address)
    assert not is_public_address(address)


@pytest.mark.parametrize("address", [*NEVER, "", "metadata", "1.2.3"])
def test_a_metadata_service_and_what_is_no_host_are_never_let_in(address):
    assert not is_public_or_own_address(address)


def test_public_addresses_stay_public_beside_ones_own():
    assert all(map(is_public_or_own_address, ("8.8.8.8", "2606:4700::1111", "64:ff9b::808:808")))


async def test_a_name_that_is_bound_anew_between_two_answers_is_dialled_where_it_was_judged(monkeypatch):
    answers = iter(["8.8.8.8", "127.0.0.1", "169.254.169.254"])
    asked, dialled = [], []

    def getaddrinfo(host, port, **_):
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))]

    async def connect(family, address):
        dialled.append(address)
        raise OSError(111, "refused")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(dial_module, "_connect", connect)
    dialer = GuardedDialer()
    with pytest.raises(ConnectFailed, match="connection refused"):
        await dialer.dial(Origin("https", "rebind.example", 443), None)
    assert (asked, dialled) == (["rebind.example"], [("8.8.8.8", 443)])  # looked up once: what was judged is dialled
    for _ in range(2):
        with pytest.raises(ConnectFailed, match="not allowed"):
            await dialer.dial(Origin("https", "rebind.example", 443), None)
    assert dialled == [("8.8.8.8", 443)]
