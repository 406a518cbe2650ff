"""The network in memory behaves like a kernel's where tests rely on it."""

from __future__ import annotations

import pytest
import trio

from hoosh.errors import ConnectFailed, ConnectionBroke
from hoosh.http.message import Origin
from hoosh.testing.network import MemoryNetwork, wire_pair


async def test_bytes_arrive_in_order_and_fin_comes_last():
    client, server = wire_pair()
    await client.send(b"salam ")
    await client.send(b"donya")
    client.shutdown()
    assert await server.receive() == b"salam donya"
    assert await server.receive() == b""
    await server.send(b"back")  # a half-closed connection still carries the other way
    assert await client.receive() == b"back"


async def test_a_sender_waits_for_a_reader_once_the_buffer_is_full(autojump_clock):
    client, server = wire_pair(buffer_bytes=10)
    got = b""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.send, b"x" * 25)
        await trio.sleep(1)
        while len(got) < 25:
            piece = await server.receive()
            assert len(piece) <= 10
            got += piece


async def test_closing_wakes_the_reader_with_the_end(autojump_clock):
    client, server = wire_pair()
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def read():
            assert await server.receive() == b""

        await trio.sleep(1)
        client.close()
    await server.wait_hangup()
    with pytest.raises(ConnectionBroke):
        await server.send(b"x")


async def test_closing_with_unread_input_resets():
    client, server = wire_pair()
    await client.send(b"unread")
    server.close()
    with pytest.raises(ConnectionBroke, match="reset"):
        await client.receive()


async def test_a_quiet_wire_has_nothing_to_read_and_has_not_ended():
    client, server = wire_pair()
    assert client.is_quiet()
    await server.send(b"x")
    assert not client.is_quiet()
    await client.receive()
    assert client.is_quiet()
    server.close()
    assert not client.is_quiet()


async def test_names_that_nobody_listens_on_refuse():
    async with trio.open_nursery() as nursery:
        with pytest.raises(ConnectFailed):
            await MemoryNetwork(nursery).dialer().dial(Origin("http", "nobody", 80), None)
