"""A name server that says nothing is the affair of those who ask it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing

from hoosh.errors import ConnectFailed, InvalidRequest
from hoosh.gateway.media import MediaFetcher, MediaLimits, fetch_media
from hoosh.http.addresses import public_or_in
from hoosh.http.dial import LOOKUPS, SocketDialer
from hoosh.http.lookups import ASKERS, DOMAINS, FAILED_S, WAITING, WITHIN_S, Lookups, domain_of
from hoosh.http.message import Origin
from hoosh.testing.upstream import Body, End, FakeUpstream, Head
from hoosh.values import ChatRequest, DataSource, ImagePart, Message, Role, UrlSource

real = socket.getaddrinfo
PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)


class Resolver:
    """Hangs on what has `silent` in its name until the test is over; knows `pics.example`, and nothing else.

    That it does not know `slow.example` it says when `slow` is set.
    """

    def __init__(self) -> None:
        self.over = threading.Event()
        self.slow = threading.Event()
        self.asked: list[str] = []

    def __call__(self, host: Any, port: Any, *args: Any, **named: Any) -> Any:
        if named.get("flags") == socket.AI_NUMERICHOST or isinstance(host, bytes):  # bytes: trio's own listeners
            return real(host, port, *args, **named)
        self.asked.append(host)
        if "silent" in host:
            self.over.wait()
        elif host == "slow.example":
            self.slow.wait()
        elif host == "pics.example":
            return real("127.0.0.1", port, *args, **named)
        raise socket.gaierror(socket.EAI_NONAME, "no")


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[Resolver]:
    resolver = Resolver()
    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    yield resolver
    resolver.over.set()
    resolver.slow.set()


async def test_lookups_that_hang_hold_up_no_other_dialer_and_no_address(silent):
    stuck, other = SocketDialer(), SocketDialer()

    async def ask(host: str, dialer: SocketDialer) -> None:
        with pytest.raises(ConnectFailed):
            await dialer.dial(Origin("http", host, 1), None)

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            for _ in range(50):
                nursery.start_soon(stuck.dial, Origin("http", "silent.example", 80), None)
            await wait_until(lambda: len(silent.asked) == LOOKUPS)
            await ask("127.0.0.1", stuck)
            await ask("other.example", other)
            assert silent.asked.count("silent.example") == LOOKUPS
            nursery.cancel_scope.cancel()


class Crowd:
    """Tasks that look something up, and what has come of it."""

    def __init__(self, lookups: Lookups, nursery: trio.Nursery) -> None:
        self.lookups = lookups
        self.nursery = nursery
        self.failed = 0

    def ask(self, asker: str, *hosts: str) -> None:
        for host in hosts:
            self.nursery.start_soon(self._one, asker, host)

    async def _one(self, asker: str, host: str) -> None:
        try:
            await self.lookups.resolve(host, 80, asker=asker)
        except ConnectFailed:
            self.failed += 1

    async def fails_at_once(self, asker: str, host: str) -> None:
        with trio.fail_after(60), pytest.raises(ConnectFailed):
            await self.lookups.resolve(host, 80, asker=asker)


async def wait_until(is_so: Callable[[], bool]) -> None:
    """For threads, which no clock of a test's waits for."""
    while not is_so():
        await trio.lowlevel.checkpoint()


async def end(lookups: Lookups, silent: Resolver, nursery: trio.Nursery) -> None:
    """Leave no thread behind that would ask the next test's resolver."""
    nursery.cancel_scope.cancel()
    silent.over.set()
    with trio.CancelScope(shield=True):
        await wait_until(lambda: lookups.statistics().running == 0)


@pytest.fixture
async def crowd(silent: Resolver, nursery: trio.Nursery):
    crowd = Crowd(Lookups(), nursery)
    yield crowd
    await end(crowd.lookups, silent, nursery)


def under(domain: str, count: int) -> list[str]:
    return [f"h{n}.{domain}" for n in range(count)]


def silent_domains(count: int) -> list[str]:
    return [f"www.silent{n}.example" for n in range(count)]


async def test_one_asker_with_many_silent_servers_holds_up_itself_alone(silent, crowd):
    crowd.ask("mallory", *silent_domains(50))
    await trio.testing.wait_all_tasks_blocked()
    assert crowd.lookups.statistics().running == ASKERS
    assert crowd.lookups.statistics().waiting == 50 - ASKERS
    await crowd.fails_at_once("ada", "gone.example")
    assert crowd.lookups.statistics().running == ASKERS
    assert "gone.example" in silent.asked


async def test_one_silent_server_that_many_name_leaves_room_for_other_names(silent, crowd):
    for n, host in enumerate(under("silent.example", 100)):
        crowd.ask(f"asker {n}", host)
    await trio.testing.wait_all_tasks_blocked()
    assert crowd.lookups.statistics().running == DOMAINS
    await crowd.fails_at_once("asker 0", "gone.example")


async def test_no_asker_has_more_than_so_many_waiting(silent, crowd):
    crowd.ask("mallory", *silent_domains(WAITING + ASKERS))
    await trio.testing.wait_all_tasks_blocked()
    assert crowd.lookups.statistics().waiting == WAITING
    await crowd.fails_at_once("mallory", "gone.example")
    assert "gone.example" not in silent.asked
    await crowd.fails_at_once("ada", "gone.example")
    assert "gone.example" in silent.asked


async def test_a_turn_is_kept_until_its_thread_has_ended_and_then_goes_to_the_next(silent, crowd, mock_clock):
    crowd.ask("mallory", *silent_domains(ASKERS))
    await wait_until(lambda: len(silent.asked) == ASKERS)
    mock_clock.jump(WITHIN_S)
    await trio.testing.wait_all_tasks_blocked()
    assert crowd.failed == ASKERS  # nobody waits for them any more
    assert crowd.lookups.statistics().running == ASKERS  # and they count all the same
    crowd.ask("mallory", "gone.example")
    await trio.testing.wait_all_tasks_blocked()
    assert crowd.lookups.statistics().waiting == 1
    silent.over.set()
    await wait_until(lambda: crowd.lookups.statistics().running == 0)
    assert crowd.lookups.statistics().waiting == 0
    assert silent.asked[-1] == "gone.example"


async def test_who_has_waited_in_vain_or_leaves_gives_its_place_up(silent, crowd, mock_clock):
    crowd.ask("mallory", *silent_domains(ASKERS + 3))
    await trio.testing.wait_all_tasks_blocked()
    with trio.CancelScope() as leaving:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(crowd.lookups.resolve, "x.example", 80, asker="mallory"))
            await trio.testing.wait_all_tasks_blocked()
            assert crowd.lookups.statistics().waiting == 4
            leaving.cancel()
    assert crowd.lookups.statistics().waiting == 3
    mock_clock.jump(WITHIN_S)
    await trio.testing.wait_all_tasks_blocked()
    assert crowd.lookups.statistics().waiting == 0
    assert crowd.failed == ASKERS + 3
    assert crowd.lookups.statistics().failed_names == ASKERS  # those that were asked for, not those that had no turn


async def test_what_has_failed_is_not_asked_for_again_for_a_while(silent, crowd, mock_clock):
    await crowd.fails_at_once("ada", "gone.example")
    await crowd.fails_at_once("bob", "GONE.example.")
    assert silent.asked == ["gone.example"]
    mock_clock.jump(FAILED_S)
    await crowd.fails_at_once("bob", "gone.example")
    assert silent.asked == ["gone.example"] * 2


async def test_a_name_whose_turn_has_come_late_is_not_held_to_have_failed(silent, nursery, mock_clock):
    crowd = Crowd(Lookups(askers=1), nursery)
    crowd.ask("mallory", "slow.example")
    await wait_until(lambda: silent.asked == ["slow.example"])
    crowd.ask("mallory", "silent.example")
    await trio.testing.wait_all_tasks_blocked()
    mock_clock.jump(WITHIN_S * 0.75)
    silent.slow.set()
    await wait_until(lambda: len(silent.asked) == 2)
    mock_clock.jump(WITHIN_S * 0.25)
    await wait_until(lambda: crowd.failed == 2)
    crowd.ask("ada", "silent.example")
    await trio.testing.wait_all_tasks_blocked()
    assert crowd.lookups.statistics().running == 2
    await end(crowd.lookups, silent, nursery)


async def test_an_address_needs_no_turn(silent, crowd):
    crowd.ask("ada", *silent_domains(50))
    await trio.testing.wait_all_tasks_blocked()
    for host in ("8.8.8.8", "8.8", "2606:4700::1111"):
        assert await crowd.lookups.resolve(host, 80, asker="ada")


@pytest.mark.parametrize(
    ("name", "domain"),
    [
        ("a.b.example", "b.example"),
        ("example", "example"),
        ("a.b.co.uk", "b.co.uk"),
        ("co.uk", "co.uk"),
        ("img.t.me", "img.t.me"),
        ("a.github.io", "github.io"),
    ],
)
def test_a_domain_is_what_one_owner_answers_for(name, domain):
    assert domain_of(name) == domain


async def test_a_picture_is_fetched_while_another_callers_names_a_silent_server(silent, nursery):
    server = FakeUpstream([Head(200, [(b"content-type", b"image/png")]), Body(PNG), End()])
    port = await nursery.start(server.serve_tcp)
    fetcher = MediaFetcher(allows=public_or_in(["127.0.0.1"]), limits=MediaLimits(request_s=600, file_s=600))

    def ask(*urls: str) -> ChatRequest:
        return ChatRequest("m", (Message(Role.USER, tuple(ImagePart(UrlSource(url)) for url in urls)),))

    async def name_silent_servers(n: int) -> None:
        with pytest.raises(InvalidRequest):
            await fetch_media(ask(*(f"http://{host}/" for host in under(f"silent{n}.example", 16))), fetcher, asker="m")

    for n in range(20):
        nursery.start_soon(name_silent_servers, n)
    await trio.testing.wait_all_tasks_blocked()
    assert fetcher._lookups.statistics().running == ASKERS
    with trio.fail_after(60):
        got = await fetch_media(ask(f"http://pics.example:{port}/a.png"), fetcher, asker="ada")
    source = got.messages[0].parts[0].source
    assert isinstance(source, DataSource)
    assert fetcher._lookups.statistics().running >= ASKERS
    await end(fetcher._lookups, silent, nursery)
