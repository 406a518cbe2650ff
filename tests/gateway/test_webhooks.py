"""Webhooks: signed, in order, tried again, given up at last; nobody waits for them, and nobody reads their secrets."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from gateway_house import ASK, CHAT, FakeUpstream, Secret, config, house_with
from msgspec.structs import replace

from hoosh.config import Webhook
from hoosh.errors import ConfigError
from hoosh.events import RateLimited
from hoosh.testing.house import MemoryHouse
from hoosh.testing.upstream import Cut, Hang, Head, Received, Step, json_reply

KEY = b"0123456789abcdef0123456789abcdef"
SECRET = "whsec_" + base64.b64encode(KEY).decode()
HOOK = Webhook(
    name="oncall", url=Secret("http://hook:80/in?token=t0ken"), secret=Secret(SECRET), topics=("providers/rate_limit",)
)
OK = json_reply({})
ANSWER = {"choices": [{"index": 0, "message": {"content": "salam"}, "finish_reason": "stop"}]}


def refuse(status: int, *headers: tuple[bytes, bytes]) -> list[Step]:
    return json_reply({}, status=status, headers=headers)


def verified(request: Received) -> dict[str, Any]:
    """What was delivered, checked by the specification's own recipe and not by ours."""
    message_id, at = request.headers.text(b"webhook-id"), request.headers.text(b"webhook-timestamp")
    signed = f"{message_id}.{at}.{request.body.decode()}"
    expected = base64.b64encode(hmac.new(KEY, signed.encode(), hashlib.sha256).digest()).decode()
    assert request.headers.text(b"webhook-signature") == f"v1,{expected}"
    return dict(json.loads(request.body))


@asynccontextmanager
async def house_of(receiver: FakeUpstream, *hooks: Webhook) -> AsyncIterator[MemoryHouse]:
    async with house_with(FakeUpstream(json_reply(ANSWER)), config(webhooks=hooks)) as house:
        house.network.listen("hook:80", receiver.serve_wire)
        yield house


def say(house: MemoryHouse, *providers: str) -> None:
    for provider in providers:
        house.gateway.events.publish(RateLimited(provider))


def results(house: MemoryHouse, name: str = "oncall") -> dict[str, int]:
    return {result: n for hook, result, n in house.gateway.webhooks.statistics() if n and hook == name}


async def test_an_event_is_delivered_signed_and_once(autojump_clock):
    receiver = FakeUpstream(OK)
    async with house_of(receiver, HOOK) as house:
        say(house, "a", "b")
        await receiver.wait_requests(2)
        await trio.sleep(1)
        first, second = receiver.requests
        assert (first.method, first.target) == ("POST", "/in?token=t0ken")
        assert first.headers.get(b"content-type") == b"application/json"
        assert [verified(each)["provider"] for each in (first, second)] == ["a", "b"]
        assert verified(first)["event"] == "rate_limited"
        assert first.headers.get(b"webhook-id") != second.headers.get(b"webhook-id")
        assert first.connection == second.connection
        assert results(house) == {"delivered": 2}
        text = (await house.get("/metrics"))[2].decode()
        assert 'hoosh_webhook_deliveries_total{result="delivered",webhook="oncall"} 2.0' in text


async def test_the_start_of_the_house_and_its_end_are_delivered(autojump_clock):
    receiver = FakeUpstream(OK)
    async with house_of(receiver, replace(HOOK, topics=("gateway/*",))) as house:
        # The first attempt finds no such address, and is made again.
        await receiver.wait_requests(1)
        house.gateway.begin_draining()
    assert [verified(each)["event"] for each in receiver.requests] == ["gateway_started", "gateway_stopping"]


async def test_a_failure_is_tried_again_with_the_same_id_and_a_new_time(autojump_clock):
    receiver = FakeUpstream([Cut()], refuse(500), refuse(302, (b"location", b"http://elsewhere/")), OK)
    async with house_of(receiver, HOOK) as house:
        say(house, "a")
        await receiver.wait_requests(4)
        await trio.sleep(1)
        assert len({each.headers.get(b"webhook-id") for each in receiver.requests}) == 1
        assert all(verified(each)["provider"] == "a" for each in receiver.requests)
        assert results(house) == {"retried": 3, "delivered": 1}


async def test_a_receivers_wish_is_waited_for(autojump_clock):
    receiver = FakeUpstream(refuse(429, (b"retry-after", b"120")), OK)
    async with house_of(receiver, HOOK) as house:
        say(house, "a")
        began_s = trio.current_time()
        await receiver.wait_requests(2)
        assert 120 <= trio.current_time() - began_s < 130


async def test_it_is_given_up_after_so_many_and_the_next_event_has_its_turn(autojump_clock):
    receiver = FakeUpstream(refuse(503), refuse(503), refuse(503), OK)
    async with house_of(receiver, replace(HOOK, max_retries=2)) as house:
        say(house, "a", "b")
        await receiver.wait_requests(4)
        await trio.sleep(1)
        assert [verified(each)["provider"] for each in receiver.requests] == ["a", "a", "a", "b"]
        assert results(house) == {"retried": 2, "given_up": 1, "delivered": 1}


async def test_a_receiver_that_is_silent_is_left_after_its_time_and_holds_up_no_request(autojump_clock):
    receiver = FakeUpstream([Hang()])
    async with house_of(receiver, replace(HOOK, timeout_s=3.0, max_retries=0, topics=("requests/*",))) as house:
        for _ in range(5):
            began_s = trio.current_time()
            assert (await house.post(CHAT, ASK))[0] == 200
            assert trio.current_time() - began_s < 1
        await receiver.wait_cancelled()
        assert receiver.requests[0].cancelled_at is not None


async def test_a_receiver_that_never_stops_talking_has_said_its_verdict(autojump_clock):
    receiver = FakeUpstream([Head(200, [(b"content-length", b"1000000000")]), Hang()])
    async with house_of(receiver, HOOK) as house:
        say(house, "a")
        await receiver.wait_cancelled()
        await trio.sleep(1)
        assert results(house) == {"delivered": 1}


async def test_gone_is_gone_and_the_queue_is_bounded(autojump_clock):
    receiver = FakeUpstream(refuse(410), OK)
    async with house_of(receiver, HOOK) as house:
        say(house, *"abc")
        await trio.sleep(10)
        assert len(receiver.requests) == 1
        assert results(house) == {"given_up": 1, "dropped": 2}
        house.gateway.webhooks.configure([replace(HOOK, timeout_s=9.0)])
        say(house, "d")
        await receiver.wait_requests(2)
        await trio.sleep(1)
        assert results(house) == {"given_up": 1, "dropped": 2, "delivered": 1}


async def test_of_too_many_the_oldest_are_dropped_and_counted(autojump_clock):
    receiver = FakeUpstream(refuse(503), OK)
    async with house_of(receiver, replace(HOOK, queue=2)) as house:
        say(house, "a")
        await receiver.wait_requests()
        say(house, *"bcdef")
        await trio.sleep(60)
        assert [verified(each)["provider"] for each in receiver.requests] == ["a", "a", "e", "f"]
        assert results(house) == {"retried": 1, "delivered": 3, "dropped": 3}


async def test_hooks_come_and_go_while_the_house_is_open(autojump_clock):
    receiver = FakeUpstream(OK)
    async with house_of(receiver) as house:
        before = house.gateway.events.statistics().listeners
        for number in range(50):
            house.gateway.webhooks.configure([replace(HOOK, max_retries=number % 20)])
            await trio.sleep(0.01)
        house.gateway.webhooks.configure([replace(HOOK, max_retries=number % 20)])  # the same: nothing happens
        say(house, "a")
        await receiver.wait_requests()
        house.gateway.webhooks.configure([replace(HOOK, enabled=False)])
        await trio.sleep(1)
        assert house.gateway.events.statistics().listeners == before
        say(house, "b")
        await trio.sleep(10)
        assert len(receiver.requests) == 1


WRONG: list[dict[str, Any]] = [
    {"secret": Secret("s3cret")},
    {"url": Secret("ftp://s3cret")},
    {"topics": ("nobody",)},
]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: next(iter(wrong)))
async def test_settings_that_cannot_be_used_change_nothing(autojump_clock, wrong: dict[str, Any]):
    receiver = FakeUpstream(OK)
    async with house_of(receiver, HOOK) as house:
        before = house.gateway.events.statistics().listeners
        with pytest.raises(ConfigError) as refused:
            house.gateway.webhooks.configure([replace(HOOK, name="new"), replace(HOOK, **wrong)])
        assert "s3cret" not in str(refused.value)
        assert house.gateway.events.statistics().listeners == before
        say(house, "a")
        await receiver.wait_requests()
        await trio.sleep(1)
        assert results(house) == {"delivered": 1}


async def test_what_waits_at_the_end_is_tried_once_and_not_for_long(autojump_clock):
    receiver = FakeUpstream(refuse(503))
    async with house_of(receiver, HOOK) as house:
        say(house, "a", "b")
        await receiver.wait_requests()
        await trio.sleep(0.1)
    assert [verified(each)["provider"] for each in receiver.requests] == ["a", "a", "b"]
    silent = FakeUpstream([Hang()])
    async with house_of(silent, HOOK) as house:
        say(house, "a")
        await silent.wait_requests()
        began_s = trio.current_time()
    assert trio.current_time() - began_s < 5


async def test_the_log_says_rarely_and_never_a_secret_that_a_hook_fails(autojump_clock):
    lines: list[str] = []
    receiver = FakeUpstream(*[refuse(503)] * 8, OK)
    async with house_of(receiver, replace(HOOK, max_retries=7)) as house:
        for level in ("info", "warning", "error"):
            setattr(house.gateway.log, level, lambda message, **facts: lines.append(f"{message} {facts}"))
        say(house, "a", "b")
        await receiver.wait_requests(9)
        await trio.sleep(1)
    failing = [line for line in lines if "webhook fails" in line]
    assert 1 <= len(failing) <= 4
    assert "hook" in failing[0]
    assert any("works again" in line for line in lines)
    for secret in ("t0ken", SECRET, SECRET.removeprefix("whsec_")):
        assert secret not in "".join(lines)
        assert secret not in repr(HOOK)


async def test_a_bug_in_one_hook_reaches_nobody_else(autojump_clock, monkeypatch: pytest.MonkeyPatch):
    receiver = FakeUpstream(OK)
    other = replace(HOOK, name="other")
    async with house_of(receiver, HOOK, other) as house:
        hook = house.gateway.webhooks._hooks["oncall"]

        async def fail(*_: object) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(hook, "_attempt", fail)
        said: list[str] = []
        monkeypatch.setattr(house.gateway.log, "error", lambda message, **facts: said.append(f"{message} {facts}"))
        say(house, "a", "b")
        await receiver.wait_requests(2)
        await trio.sleep(1)
        assert results(house, "other") == {"delivered": 2}
        assert results(house) == {"given_up": 2}
        assert "ZeroDivisionError" in said[0]
