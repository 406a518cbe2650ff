"""One reading of literal addresses for everybody: the configuration, the dialler, proxies."""

from __future__ import annotations

import socket
from ipaddress import ip_address

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from test_address_forms import INSIDE_4, of, spellings

from hoosh.config import loads
from hoosh.errors import ConfigError, ConnectFailed
from hoosh.http import dial as dial_module
from hoosh.http.addresses import ends_in_a_number, is_public_address, literal_address
from hoosh.http.dial import GuardedDialer
from hoosh.http.lookups import Lookups
from hoosh.http.message import Origin
from hoosh.http.proxy import ProxyDialer, _socks_address, parse_proxy

READINGS = {
    "127.0.0.1": "127.0.0.1",
    "127.1": "127.0.0.1",
    "127.0.1": "127.0.0.1",
    "10.258": "10.0.1.2",
    "2130706433": "127.0.0.1",
    "0": "0.0.0.0",
    "0x7f.1": "127.0.0.1",
    "0X7F.0x1": "127.0.0.1",
    "0x7f000001": "127.0.0.1",
    "0177.0.0.1": "127.0.0.1",
    "017700000001": "127.0.0.1",
    "010.0.0.1": "8.0.0.1",
    "127.0.0.1.": "127.0.0.1",
    "2130706433.": "127.0.0.1",
    "\uff11\uff12\uff17.0.0.1": "127.0.0.1",
    "127\u30020\u30020\u30021": "127.0.0.1",
    "::1": "::1",
    "::FFFF:10.0.0.1": "::ffff:a00:1",
    "::ffff:a00:1": "::ffff:a00:1",
    "FE80::1%Eth0": "fe80::1%Eth0",
    "64:ff9b::10.0.0.1": "64:ff9b::a00:1",
}
NAMES = [
    *("localhost", "example", "a.b.example.", "1.2.3.4.5", "256.0.0.1", "1.2.3.256", "1.2.65536", "4294967296"),
    *("08.0.0.1", "0x.0.0.1", "0xg", "1..2", ".1", "1.2.3.4..", "", ".", "127.0.0.1 ", " 127.0.0.1", "-1", "+1"),
    *("1e3", "0b1", "1_0.0.0.1", "::1%", ":::", "[::1]", "fe80::1%25%", "a" * 64 + "\u0430" * 64, "\ud800"),
]  # fmt: skip


@pytest.mark.parametrize(("host", "address"), READINGS.items())
def test_a_spelling_of_an_address_has_one_reading(host, address):
    read = literal_address(host)
    assert read is not None
    assert ip_address(read) == ip_address(address)


@pytest.mark.parametrize("host", NAMES)
def test_what_is_no_address_is_a_name(host):
    assert literal_address(host) is None


@given(st.text(alphabet="0123456789.xXabcf:%-", max_size=24))
def test_whatever_the_system_takes_for_an_address_we_take_for_the_same(host):
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return
    if not host:
        return
    read = literal_address(host)
    assert read is not None
    family, _, _, _, address = found[0]
    assert socket.inet_pton(family, read.partition("%")[0]) == socket.inet_pton(
        family, str(address[0]).partition("%")[0]
    )


@given(of(INSIDE_4), st.data())
def test_every_spelling_of_an_address_is_read_as_it(address, data):
    host = data.draw(st.sampled_from(spellings(address)))
    assert literal_address(host) == literal_address(f"{host}.") == str(address)


@pytest.mark.parametrize("host", ["08.0.0.1", "a.256", "a.0x", "a.0XFF", "1.2.3.4.5.", "7"])
def test_what_ends_in_a_number_is_no_name(host):
    assert ends_in_a_number(host)


@pytest.mark.parametrize("host", ["a.example", "a.1e3", "1.2.x3", "localhost", "", "4.in-addr.arpa"])
def test_what_may_be_a_name_ends_in_none(host):
    assert not ends_in_a_number(host)


# -- those who read --------------------------------------------------------------------------------------------------

PRIVATE = [host for host, address in READINGS.items() if host.isascii() and not is_public_address(address)]


REFUSED = {
    **dict.fromkeys(("127.1", "0x7f.1", "2130706433", "10.258", "172.16.1."), "private address"),
    **dict.fromkeys(("0xA9FEA9FE", "0251.0376.43518", "[::ffff:10.0.0.1]", "[fe80::1%25eth0]"), "no provider can be"),
}


@pytest.mark.parametrize(("host", "words"), REFUSED.items())
def test_the_configuration_refuses_a_private_address_in_any_spelling(host, words):
    with pytest.raises(ConfigError, match=words):
        loads(f'[[providers]]\ntype = "openai"\napi_key = "k"\nbase_url = "https://{host}/v1"\n', "hoosh.toml", {})


@pytest.mark.parametrize("host", PRIVATE)
async def test_no_dialler_and_no_proxy_is_led_to_one(host):
    proxy = ProxyDialer(parse_proxy("http://127.0.0.1:9"), allows=is_public_address)
    for dialer in (GuardedDialer(), proxy):
        with pytest.raises(ConnectFailed, match=r"not allowed|does not resolve"):
            await dialer.dial(Origin("http", host, 80), None)


@pytest.mark.parametrize("host", ["08.0.0.1", "010.08.0.1", "1.2.3.256", "a.0x7f"])
async def test_a_proxy_is_not_asked_for_what_it_alone_might_take_for_an_address(host):
    with pytest.raises(ConnectFailed, match="not allowed"):
        await ProxyDialer(parse_proxy("http://127.0.0.1:9"), allows=is_public_address).dial(
            Origin("http", host, 80), None
        )


def test_a_proxy_is_told_an_address_in_a_spelling_with_one_reading():
    assert _socks_address("010.8.8.8") == _socks_address("8.8.8.8")


@pytest.mark.parametrize("through", ["thread", "lookups"])
async def test_a_spelling_that_only_the_system_knows_is_judged_by_what_it_leads_to(monkeypatch, through):
    """To us it is a name; the guard is asked about the address that came of it, and that is what would be dialled."""
    dialled = []

    def getaddrinfo(host, port, *_, flags=0, **__):
        if flags:
            raise socket.gaierror(socket.EAI_NONAME, "no")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("169.254.169.254", port))]

    async def connect(family, address):
        dialled.append(address)
        raise OSError(111, "refused")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(dial_module, "_connect", connect)
    lookups = Lookups()

    async def resolve(host: str, port: int):
        return await lookups.resolve(host, port, asker="a")

    dialer = GuardedDialer(resolve=resolve if through == "lookups" else None)
    assert literal_address("0b1010.odd") is None
    with trio.fail_after(60), pytest.raises(ConnectFailed, match="not allowed"):
        await dialer.dial(Origin("http", "0b1010.odd", 80), None)
    assert dialled == []
