"""A name server that says nothing is the affair of those who ask it."""

from __future__ import annotations

import socket
import threading
from typing import Any

import pytest
import trio
import trio.testing

from hoosh.errors import ConnectFailed
from hoosh.http.dial import LOOKUPS, SocketDialer
from hoosh.http.message import Origin
from hoosh.http.proxy import _literal

real = socket.getaddrinfo


@pytest.fixture
def silent(monkeypatch):
    """The resolver hangs on `silent.example` until the test is over, and knows no other name."""
    over = threading.Event()

    def resolve(host: Any, *args: Any, **named: Any) -> Any:
        if named.get("flags") == socket.AI_NUMERICHOST:
            return real(host, *args, **named)
        if host == "silent.example":
            over.wait()
        raise socket.gaierror(socket.EAI_NONAME, "no")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    yield
    over.set()


async def test_lookups_that_hang_hold_up_no_other_dialer_and_no_address(silent):
    stuck, other = SocketDialer(), SocketDialer()

    async def ask(host: str, dialer: SocketDialer) -> None:
        with pytest.raises(ConnectFailed):
            await dialer.dial(Origin("http", host, 1), None)

    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            for _ in range(50):
                nursery.start_soon(stuck.dial, Origin("http", "silent.example", 80), None)
            await trio.testing.wait_all_tasks_blocked()
            assert stuck._lookups.borrowed_tokens == LOOKUPS
            await ask("127.0.0.1", stuck)
            await ask("other.example", other)
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize("host", ["169.254.169.254.", "127.0.0.1.", "2130706433."])
def test_an_address_with_a_dot_behind_it_is_an_address_to_some_proxies(host):
    assert _literal(host) == _literal(host[:-1]) is not None
