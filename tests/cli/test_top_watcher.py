"""How `top` asks: a source that hangs, fails or makes no sense holds up no other.  In memory, on a mock clock."""

from __future__ import annotations

import trio

from hoosh.cli.place import Place
from hoosh.cli.top.answers import SOURCES
from hoosh.cli.top.watcher import NotReachable, RefusedKey, Watcher
from hoosh.http.message import Origin
from hoosh.testing.network import MemoryNetwork
from hoosh.testing.upstream import Cut, FakeUpstream, Hang, Received, Script, error_reply, json_reply

PLACE = Place(Origin("http", "gw", 80), "/house/v1", "http://gw/house/v1", [(b"authorization", b"Bearer hunter2")])
GOOD = {
    "/v1/health": json_reply({"status": "ok", "version": "9", "later": [1]}),
    "/v1/health/providers": json_reply([{"provider": "a", "status": "healthy", "breakers": {}, "base_url": "x"}]),
    "/v1/queue/status": json_reply({"queued": 0, "processing": 1, "max_concurrent": None}),
}


class Scripted:
    """A gateway that answers some paths, and 404 to the others."""

    def __init__(self, nursery: trio.Nursery, **answers: Script) -> None:
        paths = {SOURCES[source][0].partition("?")[0]: script for source, script in answers.items()}
        self.answers: dict[str, Script] = {**GOOD, **paths}
        self.upstream = FakeUpstream(self.answer)
        self.network = MemoryNetwork(nursery)
        self.network.listen("gw:80", self.upstream.serve_wire)
        self.watcher = Watcher(PLACE, dialer=self.network.dialer())

    def answer(self, request: Received) -> Script:
        path = request.target.removeprefix("/house").partition("?")[0]
        return self.answers.get(path, error_reply(404, "Unknown request URL."))


async def test_everything_is_asked_at_once_and_what_is_not_there_says_so(autojump_clock, nursery):
    house = Scripted(nursery)
    await nursery.start(house.watcher.run)
    reading = await house.watcher.read()
    assert (reading.health.version, reading.queue.processing, reading.providers[0].provider) == ("9", 1, "a")
    assert reading.missing["metrics"] == "Unknown request URL"
    assert {request.target for request in house.upstream.requests} == {f"/house{path}" for path, _ in SOURCES.values()}
    assert all(request.headers.get(b"authorization") == b"Bearer hunter2" for request in house.upstream.requests)
    nursery.cancel_scope.cancel()


async def test_a_source_that_hangs_breaks_or_makes_no_sense_holds_up_no_other(autojump_clock, nursery):
    house = Scripted(nursery, metrics=[Hang()], requests=[Cut()], cache=json_reply([]), pools=error_reply(403, "No."))
    await nursery.start(house.watcher.run)
    reading = await house.watcher.read()
    assert (reading.metrics, reading.requests, reading.cache, reading.pools) == (None, None, None, None)
    assert reading.queue is not None
    assert "deadline of 3 s" in reading.missing["metrics"]
    assert reading.missing["cache"] == "it cannot be understood"
    assert reading.missing["pools"] == "No; needs a key that may see it"
    assert "requests" in reading.missing
    assert trio.current_time() == 3.0
    nursery.cancel_scope.cancel()


async def reason(watcher: Watcher) -> Exception:
    try:
        await watcher.read()
    except Exception as error:
        return error
    raise AssertionError("it was read")


async def test_a_gateway_that_is_away_a_wrong_key_and_a_stranger_are_told_apart(autojump_clock, nursery):
    house = Scripted(nursery)
    await nursery.start(house.watcher.run)
    for health, kind in (
        ([Hang()], NotReachable),
        ([Cut()], NotReachable),
        (error_reply(503), NotReachable),  # a proxy before a gateway that is being started anew
        (error_reply(401), RefusedKey),
    ):
        house.answers["/v1/health"] = health
        assert type(await reason(house.watcher)) is kind
    house.answers["/v1/health"] = json_reply({"hello": "world"})
    assert "does not answer like a hoosh gateway" in str(await reason(house.watcher))
    house.network.stop("gw:80")
    for wire in house.network.open:
        wire.close()
    assert isinstance(await reason(house.watcher), NotReachable)
    house.network.listen("gw:80", house.upstream.serve_wire)
    house.answers["/v1/health"] = GOOD["/v1/health"]
    assert (await house.watcher.read()).health.status == "ok"
    nursery.cancel_scope.cancel()


async def test_what_became_of_a_cancellation_is_told(autojump_clock, nursery):
    house = Scripted(nursery)
    await nursery.start(house.watcher.run)
    answers = house.answers
    answers["/v1/admin/requests/req_1%2Fx"] = json_reply({"cancelled": 1})
    assert await house.watcher.cancel("req_1/x") == "req_1/x is cancelled"
    assert house.upstream.requests[-1].method == "DELETE"
    assert await house.watcher.cancel("req_2") == "req_2 had ended already"
    answers["/v1/admin/requests/req_3"] = error_reply(403, "No.")
    assert await house.watcher.cancel("req_3") == "req_3: No; needs a key that may see it"
    answers["/v1/admin/requests/req_4"] = [Hang()]
    assert "deadline" in await house.watcher.cancel("req_4")
    nursery.cancel_scope.cancel()
