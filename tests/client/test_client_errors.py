"""Whatever the gateway raises arrives as what it was: its table, through its own words, over a real socket."""

from __future__ import annotations

import traceback

import pytest
from served_house import KEY, in_loop, scripted

from hoosh import errors as house_errors
from hoosh.api.errors import STATUS, error_event, error_response, status_of
from hoosh.client import GatewayError, HooshClient, StreamCut, SyncHooshClient, errors
from hoosh.client.errors import FAMILY, error_from, error_in_stream
from hoosh.client.telling import Telling
from hoosh.testing.upstream import Body, Cut, End, Head, Reset, sse_chat

RAISED: list[tuple[BaseException, type[GatewayError]]] = [
    (house_errors.InvalidRequest("no", param="model", code="invalid_value"), errors.InvalidRequest),
    (house_errors.UnknownPool("team"), errors.UnknownPool),
    (house_errors.PriceUnknown("m", "team"), errors.PriceUnknown),
    (house_errors.Unauthenticated("no"), errors.Unauthenticated),
    (house_errors.Forbidden("no"), errors.Forbidden),
    (house_errors.NoRoute("m"), errors.NoRoute),
    (house_errors.NoSuchPath("GET", "/x"), errors.NoSuchPath),
    (house_errors.NoSuchEntry("no", param="id"), errors.NoSuchEntry),
    (house_errors.MethodNotAllowed("PUT", ["GET", "POST"]), errors.MethodNotAllowed),
    (house_errors.RequestTimeout("late"), errors.RequestTimeout),
    (house_errors.BodyTooLarge(10), errors.BodyTooLarge),
    (house_errors.UnsupportedMedia("no"), errors.UnsupportedMedia),
    (house_errors.Refused("no", code="too_many_reservations"), errors.Refused),
    (
        house_errors.RateLimited("no", scope="key", name="ada", what="tokens", retry_after_s=2.0),
        errors.RateLimited,
    ),
    (house_errors.Throttled("m", 3.0), errors.RateLimited),
    (house_errors.QueueFull("full", retry_after_s=1.0), errors.QueueFull),
    (house_errors.BudgetExceeded("team", asked=6, free=4), errors.BudgetExceeded),
    (house_errors.MoneySpent("team", asked=6, free=4), errors.MoneySpent),
    (house_errors.Unavailable("closing", retry_after_s=1.0), errors.Unavailable),
    (house_errors.Withdrawn(), errors.Withdrawn),
    (house_errors.NotCached(), errors.NotCached),
    (house_errors.UpstreamError("no", provider="p"), errors.UpstreamError),
    (house_errors.UpstreamBroke("no", provider="p"), errors.UpstreamError),
    (house_errors.UpstreamError("too long", provider="p", status=400, code="too_long"), errors.InvalidRequest),
    (house_errors.UpstreamTimeout("slow", provider="p", phase="idle"), errors.UpstreamTimeout),
    (house_errors.TransportError("no"), errors.UpstreamError),
    (house_errors.TransportTimeout("idle", 3.0), errors.UpstreamTimeout),
    (house_errors.StorageError("no"), errors.StorageError),
    (house_errors.ConfigError(["line 1", "line 2"]), errors.ConfigError),
    (house_errors.HooshError("no"), GatewayError),
    (ZeroDivisionError("no"), GatewayError),
]
IDS = [type(raised).__name__ for raised, _ in RAISED]
NOT_TOLD_APART = (house_errors.UpstreamError, house_errors.TransportError, house_errors.Throttled)
"""The client learns of an UpstreamBroke and a TransportError that upstreams have failed, and of Throttled to wait."""


def test_every_row_of_the_gateways_table_is_here():
    assert STATUS.keys() <= {type(raised) for raised, _ in RAISED} | {BaseException}
    assert {kind for _, kind in RAISED} == set(FAMILY.values())


@pytest.mark.parametrize(("raised", "kind"), RAISED, ids=IDS)
def test_it_arrives_as_what_was_raised(raised: BaseException, kind: type[GatewayError]):
    status, headers, body = error_response(raised, "req_1")
    error = error_from(status, {name.decode(): value.decode() for name, value in headers}, body)
    assert type(error) is kind
    if isinstance(raised, house_errors.HooshError) and not isinstance(raised, NOT_TOLD_APART):
        assert isinstance(error, type(raised))
    assert error.status == status == status_of(raised)
    assert error.request_id == "req_1"
    assert error.type
    assert error.param == getattr(raised, "param", None)
    told_s = getattr(raised, "retry_after_s", None)
    assert error.retry_after_s == told_s
    if isinstance(raised, house_errors.HooshError) and not isinstance(raised, house_errors.TransportError):
        assert error.code == raised.code
        assert str(raised).replace("\n", " ") in str(error).replace("\n", " ")


@pytest.mark.parametrize(("raised", "kind"), RAISED, ids=IDS)
def test_inside_a_stream_too(raised: BaseException, kind: type[GatewayError]):
    telling = Telling({"content-type": "text/event-stream", "x-request-id": "req_1", "retry-after": "9"})
    telling.feed(b'data: {"choices":[{"index":0,"delta":{"content":"Sal"}}]}\n\n' + error_event(raised, "req_1"))
    piece = telling.take()
    assert piece is not None
    assert piece.text == "Sal"
    with pytest.raises(GatewayError) as caught:
        telling.take()
    assert caught.value.request_id == "req_1"
    # Without a status, a class that only its status tells is known by its fault alone.
    faults = (errors.InvalidRequest, errors.Refused, errors.UpstreamError, errors.StorageError, errors.ConfigError)
    fault = next((each for each in faults if issubclass(kind, each)), GatewayError)
    assert isinstance(caught.value, fault)


def test_the_facts_that_the_answer_does_not_tell_are_empty():
    status, headers, body = error_response(house_errors.BudgetExceeded("team", asked=6, free=4), "req_1")
    error = error_from(status, {name.decode(): value.decode() for name, value in headers}, body)
    assert isinstance(error, house_errors.BudgetExceeded)
    assert (error.pool, error.asked, error.free, error.may_retry) == ("", 0, 0, False)
    assert "has 4 tokens left" in str(error)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"error": 3}', b'{"error": {"message": ["x"]}}', b"\xff"])
@pytest.mark.parametrize("status", [400, 418, 429, 500, 502, 503, 529])
def test_an_error_of_nobody_we_know_is_one_all_the_same(status: int, body: bytes):
    error = error_from(status, {"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, body)
    assert error.status == status
    assert str(status) in str(error)
    assert error.retry_after_s is None


def test_an_event_without_an_error_is_none():
    assert error_in_stream({"choices": []}, {}) is None
    assert error_in_stream({"error": None}, {}) is None
    assert error_in_stream([], {}) is None
    assert isinstance(error_in_stream({"error": "no"}, {}), errors.UpstreamError)


@pytest.mark.parametrize(("raised", "kind"), RAISED[::6], ids=IDS[::6])
def test_over_a_real_socket(raised: BaseException, kind: type[GatewayError], backend: str):
    status, headers, body = error_response(raised, "req_1")
    length = (b"content-length", b"%d" % len(body))

    async def story(url: str) -> None:
        async with HooshClient(url, key=KEY, retries=0) as client:
            with pytest.raises(kind):
                await client.chat("salam", model="m")
            with pytest.raises(kind):
                async with client.stream("salam", model="m"):
                    pass

    with scripted([Head(status, [*headers, length]), Body(body), End()]) as server:
        in_loop(backend, lambda: story(server.url))
        with SyncHooshClient(server.url, retries=0) as client, pytest.raises(kind):
            client.chat("salam", model="m")


def test_a_stream_without_its_terminator_is_never_whole(backend: str):
    async def story(url: str) -> None:
        async with HooshClient(url) as client, client.stream("salam", model="m") as stream:
            with pytest.raises(StreamCut):
                await stream.rest()
            assert stream.text == "Salam"
            assert not stream.is_whole
            with pytest.raises(StreamCut):  # also when it is asked again
                await anext(stream)

    with scripted(sse_chat("Salam", done=False)) as server:
        in_loop(backend, lambda: story(server.url))
        with (
            SyncHooshClient(server.url) as client,
            client.stream("salam", model="m") as stream,
            pytest.raises(StreamCut),
        ):
            stream.rest()
    assert len(server.upstream.requests) == 2  # nothing was asked again


def behind(error: BaseException | None) -> list[str]:
    """The modules of an error and of those that it has behind it."""
    return [] if error is None else [type(error).__module__, *behind(error.__context__), *behind(error.__cause__)]


def test_no_error_of_httpx_is_behind_ours(backend: str):
    async def story(url: str) -> None:
        async with HooshClient(url, key=KEY, retries=1) as client:
            with pytest.raises(house_errors.ConnectionBroke) as broken:
                await client.chat("salam", model="m")
            assert behind(broken.value) == ["hoosh.errors"]
            async with client.stream("salam", model="m") as stream:
                with pytest.raises(house_errors.ConnectionBroke) as broken:
                    await stream.rest()
            assert behind(broken.value) == ["hoosh.errors"]

    with scripted([Reset()], [*sse_chat("Salam")[:2], Cut()]) as server:
        in_loop(backend, lambda: story(server.url))
        with SyncHooshClient(server.url, key=KEY) as client, client.stream("salam", model="m") as stream:
            with pytest.raises(house_errors.ConnectionBroke) as broken:
                stream.rest()
            assert behind(broken.value) == ["hoosh.errors"]


def test_no_error_and_no_repr_holds_the_key(backend: str):
    async def story() -> str:
        async with HooshClient("http://127.0.0.1:9", key=KEY, retries=0) as client:
            told = [repr(client), repr(client._carrier.manner)]
            try:
                await client.chat("salam", model="m")
            except house_errors.ConnectFailed as error:
                told += traceback.format_exception(error)
                told += [repr(error), str(vars(error))]
            return "".join(told)

    assert KEY not in in_loop(backend, story)


@pytest.mark.parametrize("key", ["sk-with\nnewline", "sk-with space", "sk-ключ"])
def test_a_key_that_no_header_can_hold_is_refused_without_being_repeated(key: str):
    with pytest.raises(ValueError, match="the API key") as refused:
        HooshClient("http://127.0.0.1:9", key=key)
    assert key not in str(refused.value)


@pytest.mark.parametrize("server", ["ftp://x", "http://", "http://ada:sk-secret@x", "://"])
def test_an_address_that_is_none_is_refused(server: str):
    with pytest.raises(ValueError, match="the gateway's address") as refused:
        SyncHooshClient(server)
    assert "sk-secret" not in str(refused.value)
