"""Names to addresses, addresses raced, failures told safely.  Real loopback sockets: the kernel is the point."""

from __future__ import annotations

import errno
import os
import socket

import pytest
import trio

from hoosh.errors import ConnectFailed
from hoosh.http import dial as dial_module
from hoosh.http.dial import SocketDialer
from hoosh.http.lookups import resolve
from hoosh.http.message import Origin
from hoosh.http.wire import SocketWire

GONE_V6 = (socket.AF_INET6, ("2001:db8::1", 80, 0, 0))


class Net:
    """Stands in for the kernel: each address connects, fails or hangs as told, `trace` says when it was tried."""

    def __init__(self, monkeypatch, found, outcomes):
        self.trace = []
        self.opened = []
        self.outcomes = outcomes

        def getaddrinfo(host, port, **_):
            """As if the name were an address: a thread would be another clock."""
            if not found:
                raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
            kind = socket.SOCK_STREAM
            return [
                (socket.AF_INET6 if ":" in address else socket.AF_INET, kind, 6, "", (address, port))
                for address in found
            ]

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        monkeypatch.setattr(dial_module, "_connect", self.connect)

    async def connect(self, family, address):
        self.trace.append((round(trio.current_time(), 2), address[0]))
        delay_s, code = self.outcomes[address[0]]
        await trio.sleep(delay_s)
        if code:
            raise OSError(code, os.strerror(code))
        ours, theirs = socket.socketpair()
        self.opened += [ours, theirs]
        return ours

    def close(self):
        for sock in self.opened:
            sock.close()


@pytest.fixture
def net(monkeypatch):
    made = []

    def make(outcomes, *, found=None):
        net = Net(monkeypatch, list(outcomes) if found is None else found, outcomes)
        made.append(net)
        return net

    yield make
    for net in made:
        net.close()


async def connect():
    started = trio.current_time()
    sock = await SocketDialer()._race(await resolve("api.example", 80))
    return sock, trio.current_time() - started


async def test_families_alternate_and_attempts_are_staggered(autojump_clock, net):
    hang, refuse = (1000, 0), (1000, errno.ECONNREFUSED)
    world = net({"::1": refuse, "::2": refuse, "::3": refuse, "10.0.0.1": hang, "10.0.0.2": (0.1, 0)})
    started = trio.current_time()
    await connect()
    assert [(round(at - started, 2), address) for at, address in world.trace] == [
        (0, "::1"), (0.25, "10.0.0.1"), (0.5, "::2"), (0.75, "10.0.0.2"),
    ]  # fmt: skip


async def test_a_failed_attempt_starts_the_next_at_once(autojump_clock, net):
    net({"::1": (0.01, errno.ENETUNREACH), "10.0.0.1": (0.01, 0)})
    _, took_s = await connect()
    assert took_s == pytest.approx(0.02)


async def test_the_first_to_connect_wins_and_the_others_are_given_up(autojump_clock, net):
    world = net({"::1": (1.0, 0), "10.0.0.1": (0.1, 0)})
    _, took_s = await connect()
    assert took_s == pytest.approx(0.35)
    assert len(world.opened) == 2  # one pair: the slow one never came to be


async def test_when_two_win_at_once_one_is_closed(autojump_clock, net):
    world = net({"::1": (0.5, 0), "10.0.0.1": (0.25, 0)})
    winner, _ = await connect()
    ours = world.opened[::2]
    assert [sock.fileno() >= 0 for sock in ours].count(True) == 1
    assert winner.fileno() >= 0


async def test_all_failures_are_told_without_addresses(autojump_clock, net):
    net({"::1": (0, errno.ENETUNREACH), "10.0.0.1": (0, errno.ECONNREFUSED), "10.0.0.2": (0, errno.ECONNREFUSED)})
    with pytest.raises(ConnectFailed, match=r"^network is unreachable; connection refused$") as caught:
        await connect()
    assert caught.value.request_lost


async def test_a_name_that_does_not_resolve_is_told_without_the_name(autojump_clock, net):
    net({}, found=[])
    with pytest.raises(ConnectFailed, match=r"^name does not resolve$"):
        await connect()


async def test_cancelling_a_race_closes_every_attempt(monkeypatch):
    opened = []
    real = socket.socket

    class Recorded(real):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            opened.append(self)

    async def forever(sock):
        await trio.sleep_forever()

    monkeypatch.setattr(socket, "socket", Recorded)
    monkeypatch.setattr(trio.lowlevel, "wait_writable", forever)
    address = (socket.AF_INET, ("127.0.0.1", 9))
    monkeypatch.setattr(Recorded, "connect_ex", lambda self, address: errno.EINPROGRESS)
    with trio.move_on_after(0.05) as scope:
        await SocketDialer(stagger_s=0.01)._race([address] * 3)
    assert scope.cancelled_caught
    assert len(opened) == 3
    assert all(sock.fileno() < 0 for sock in opened)


async def test_a_real_connection_is_made_and_carries_bytes():
    listener = socket.create_server(("127.0.0.1", 0))
    with listener:
        wire = await SocketDialer().dial(Origin("http", "localhost", listener.getsockname()[1]), None)
        assert isinstance(wire, SocketWire)
        assert wire.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        far, _ = listener.accept()
        with far:
            await wire.send(b"salam")
            assert far.recv(9) == b"salam"
            far.send(b"donya")
            assert await wire.receive() == b"donya"
        wire.close()


async def test_a_refused_connection_is_told_so():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ConnectFailed, match="connection refused"):
        await SocketDialer().dial(Origin("http", "127.0.0.1", port), None)


async def test_unix_sockets_are_dialled_by_path(tmp_path):
    path = str(tmp_path / "llm.sock")
    origin = Origin("http", "localhost", 80, unix_path=path)
    with pytest.raises(ConnectFailed, match="no such file"):
        await SocketDialer().dial(origin, None)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        wire = await SocketDialer().dial(origin, None)
        far, _ = listener.accept()
        with far:
            await wire.send(b"salam")
            assert far.recv(9) == b"salam"
        wire.close()


async def test_a_unix_listener_whose_queue_is_full_is_waited_for(tmp_path):
    path = str(tmp_path / "llm.sock")
    origin = Origin("http", "localhost", 80, unix_path=path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(0)
        first = await SocketDialer().dial(origin, None)
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def second():
                (await SocketDialer().dial(origin, None)).close()

            for _ in range(3):
                await trio.lowlevel.checkpoint()
            listener.accept()[0].close()
        first.close()
