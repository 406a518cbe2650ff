"""Every route, however it is asked: an answer in its own language, with an id, and never a bug.

Our server over HTTP/1.1 and HTTP/2, and Hypercorn over HTTP/1.1.  With `HOOSH_CASES=10000` every
oddity meets every route at each of them, else at one.
"""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import httpx
import pytest
from openapi_house import ADMIN, PATIENCE_S, POOR, ServedHouse

from hoosh.api.openapi import ROUTES
from hoosh.api.openapi.route import Route

KEY = {"authorization": f"Bearer {ADMIN}"}
JSON = {**KEY, "content-type": "application/json"}
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND", "OPTIONS")
SOUND = frozenset(route.path for route in ROUTES if "transcri" in route.path or "translat" in route.path)
AUDIO_BYTES = 50 * 1024 * 1024
"""What sound routes take: more than this a test does not send, it only says so."""
WORDS = frozenset({"message", "type", "param", "code"})


def place(route: Route) -> str:
    return route.path.replace("{model_id}", "echo").replace("{identity}", "x").replace("{request_id}", "x")


ENDLESS = "/v1/events/stream"
"""A GET of it is answered for as long as the client stays: see tests/api/test_events_stream.py."""
PLACES = sorted({place(route): route for route in ROUTES if route.path != ENDLESS}.items())
POSTS = [(path, route) for path, route in PLACES if route.method == "POST"]
PATHS_OF = {path: {route.method for route in ROUTES if place(route) == path} for path in {*map(place, ROUTES)}}
PATHS_OF["/v1/responses/input_tokens"] |= {"GET", "DELETE"}  # it could be the id of a response


CARRIERS = ["ours-h1", "ours-h2", "hypercorn-h1"]
"""Without Hypercorn's HTTP/2, which stops when a request is answered before its body has come (docs/servers.md)."""
EVERYTHING = int(os.environ.get("HOOSH_CASES", "0")) >= 10_000


def share(carrier: str, number: int, places: list[tuple[str, Route]]) -> list[tuple[str, Route]]:
    """Of all places a third, so that each meets the `number`-th oddity at one of the carriers; or all of them."""
    turn = CARRIERS.index(carrier) + number
    return [place for at, place in enumerate(places) if EVERYTHING or (at + turn) % len(CARRIERS) == 0]


def client_of(carrier: str, house: ServedHouse) -> httpx.Client:
    is_h2 = carrier.endswith("h2")
    return httpx.Client(base_url=house.url, http1=not is_h2, http2=is_h2, timeout=PATIENCE_S, trust_env=False)


@pytest.fixture(scope="module", params=CARRIERS)
def carrier(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def house(carrier: str) -> Iterator[ServedHouse]:
    served = ServedHouse(carrier.partition("-")[0])
    yield served
    served.stop()


@pytest.fixture(scope="module")
def client(carrier: str, house: ServedHouse) -> Iterator[httpx.Client]:
    with client_of(carrier, house) as client:
        yield client


def language_of(path: str) -> str:
    return "ollama" if path.startswith("/api/") else "anthropic" if path.startswith("/v1/messages") else "openai"


def check_error(answer: httpx.Response, language: str, *statuses: int) -> None:
    said = answer.content[:300]
    assert answer.status_code in statuses, said
    assert answer.headers["x-request-id"].startswith("req_")
    if answer.request.method == "HEAD":
        assert said == b""
        return
    assert answer.headers["content-type"] == "application/json"
    body: dict[str, Any] = json.loads(answer.content)
    if language == "ollama":
        assert isinstance(body["error"], str), said
    elif language == "anthropic":
        assert (body["type"], set(body["error"])) == ("error", {"type", "message"}), said
    else:
        assert set(body["error"]) == WORDS, said


def test_a_method_that_a_path_does_not_have_is_405_with_those_it_has(client: httpx.Client) -> None:
    for path, _ in PLACES:
        has = PATHS_OF[path] | ({"HEAD"} if "GET" in PATHS_OF[path] else set())
        for method in METHODS:
            answer = client.request(method, path, headers=KEY if method != "POST" else JSON)
            assert "x-request-id" in answer.headers
            if method == "OPTIONS":
                assert (answer.status_code, answer.content) == (200, b"")
                assert set(answer.headers["allow"].split(", ")) == has | {"OPTIONS"}
            elif method not in has:
                check_error(answer, language_of(path), 405)
                assert set(answer.headers["allow"].split(", ")) == has | {"OPTIONS"}


def test_a_key_is_asked_for_and_its_scopes_count(client: httpx.Client) -> None:
    for route in ROUTES:
        path = place(route)
        headers = {} if route.method != "POST" else {"content-type": "application/json"}
        poor = {**headers, "authorization": f"Bearer {POOR}"}
        answer = client.request(route.method, path, headers=headers)
        scoped = client.request(route.method, path, headers=poor)
        if route.scope == "open":
            assert (answer.status_code, scoped.status_code) == (200, 200)
            continue
        check_error(answer, language_of(path), 401)
        assert answer.headers["www-authenticate"] == "Bearer"
        if route.scope == "any":
            assert scoped.status_code == 200, path
        else:
            check_error(scoped, language_of(path), 403)


NARROW_BYTES = 16 * 1024
"""Less than a client sends before it looks for an answer: httpx takes an early one over HTTP/2 for a failure."""


@pytest.mark.parametrize(
    "carrier_of_large", CARRIERS[:3]
)  # Hypercorn's HTTP/2 dies of an early answer: docs/servers.md
def test_a_body_that_is_too_large_is_413(carrier_of_large: str) -> None:
    narrow = ServedHouse(carrier_of_large.partition("-")[0], body_bytes=NARROW_BYTES)
    body = b" " * (NARROW_BYTES + 1)
    try:
        with client_of(carrier_of_large, narrow) as client:
            for path, _ in POSTS:
                if path in SOUND:
                    continue
                for content in (body, iter([body])):
                    check_error(client.post(path, headers=JSON, content=content), language_of(path), 413)
        assert narrow.bugs == []
    finally:
        narrow.stop()


ASK_LITTLE = {"/v1/costs/reset", "/v1/cache/clear", "/v1/cost/recommend", "/v1/cost/estimate", "/api/show"}
ASK_LITTLE |= {"/v1/hardware/placement", "/v1/hardware/models"}
ASK_LITTLE |= {"/v1/completions", "/api/chat", "/api/generate", "/api/embed", "/api/embeddings"}

BROKEN = {
    "nothing": b"",
    "half an object": b'{"model": "echo", ',
    "no object": b"[1, 2]",
    "a number": b"17",
    "deep": b'{"model": "echo", "messages": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "deep and open": b"[" * 100_000,
    "deep objects": b'{"a":' * 40_000 + b"1" + b"}" * 40_000,
    "a huge number": b'{"model": "echo", "max_tokens": ' + b"9" * 5000 + b', "messages": [], "input_tokens": 1e999}',
    "a huge exponent": b'{"model": "echo", "pool": "default", "tokens": 1e400, "actual": 1e400, "ttl_s": 1e400}',
    "no UTF-8": b'{"model": "\xff\xfe", "pool": "\xff", "id": "\xc3\x28", "reason": "\xed\xa0\x80"}',
    "half a pair": b'{"model": "\\ud800", "pool": "\\ud800", "id": "\\udfff", "reason": "\\ud800", "key": "\\ud800"}',
    "NUL": b'{"model": "a\\u0000b", "pool": "\\u0000", "id": "\\u0000", "reason": "\\u0000"}',
    "a BOM": b'\xef\xbb\xbf{"model": "echo"}',
    "wrong types": b'{"model": {}, "messages": 1, "input": {}, "prompt": {}, "pool": [], "id": 1, "reason": 1}',
    "nulls": b'{"model": null, "messages": null, "input": null, "pool": null, "tokens": null, "id": null}',
    "many keys": b"{" + b",".join(b'"%d":0' % n for n in range(20_000)) + b"}",
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_body_that_makes_no_sense_is_never_a_bug(
    house: ServedHouse, client: httpx.Client, carrier: str, kind: str
) -> None:
    if carrier.endswith("h2") and len(BROKEN[kind]) > NARROW_BYTES:
        pytest.skip("httpx takes an early answer over HTTP/2 for a failure")
    for path, _ in share(carrier, list(BROKEN).index(kind), POSTS):
        answer = client.post(path, headers=JSON, content=BROKEN[kind])
        if answer.status_code == 200:  # a few routes ask for nothing, or for less than that
            assert path in ASK_LITTLE, (path, answer.text)
        else:
            check_error(answer, language_of(path), 400, 404, 413, 415)
    assert house.bugs == []


TYPES = [
    "",
    "text/plain",
    "application/json; charset=utf-16",
    "a/b/c",
    ";;;",
    "multipart/form-data",
    "x" * 4000,
    "\xff",
]
TYPES += ["multipart/form-data; boundary=", "application/x-www-form-urlencoded", "application/jsonp", "audio/", "*/*"]
TYPES += ["multipart/form-data; boundary=" + "b" * 5000, "multipart/form-data; boundary=a", "application/octet-stream"]


@pytest.mark.parametrize("number", range(len(TYPES)))
def test_a_type_that_makes_no_sense_is_never_a_bug(
    house: ServedHouse, client: httpx.Client, carrier: str, number: int
) -> None:
    headers = [(b"authorization", KEY["authorization"].encode()), (b"content-type", TYPES[number].encode("latin-1"))]
    for path, _ in share(carrier, number, POSTS):
        answer = client.post(path, headers=headers, content=b"--a\r\nnonsense")
        if answer.status_code != 200:
            check_error(answer, language_of(path), 400, 404, 415)
    assert house.bugs == []


QUERIES = [
    "x" * 7000,
    "a=1&" * 1700,
    "limit=" + "9" * 5000,
    "limit=-1&limit=2",
    "since=0000-00-00",
    "%ff=%fe",
    "%00=%00",
]
QUERIES += [
    "limit=%D9%A3",
    "group_by=" + "day," * 1000,
    "before=1e9&after=2",
    "all=true&all=false",
    "=",
    "&&&",
    "after_id=%00",
]
QUERIES += ["level=%0d%0a", "phase=x", "before_id=%ff", "model=" + "%F0%9F%98%80" * 500]


@pytest.mark.parametrize("query", QUERIES, ids=range(len(QUERIES)))
def test_a_query_that_makes_no_sense_is_never_a_bug(
    house: ServedHouse, client: httpx.Client, carrier: str, query: str
) -> None:
    for path, _ in share(carrier, QUERIES.index(query), PLACES):
        for method in sorted(PATHS_OF[path]):
            answer = client.request(method, f"{path}?{query}", headers=JSON if method == "POST" else KEY)
            if answer.status_code != 200:
                check_error(answer, language_of(path), 400, 404, 415)
            assert "x-request-id" in answer.headers
    assert house.bugs == []


PATHS = [
    "{}/",
    "{}//",
    "{}/..",
    "{}/../..",
    "/../{}",
    "{}%00",
    "{}/%00",
    "{}%2f",
    "{}/%2e%2e/x",
    "/.{}",
    "{};a=b",
    "{}%ff",
]
PATHS += ["/{}", "//x{}", "http://x{}", "{}%0a"]
PATHS += ["{}%0d%0aX-Evil:1", "/%2e%2e{}", "{}%", "{}%zz", "{}\\", "{}/" + "a" * 6000]


@pytest.mark.parametrize("form", PATHS, ids=range(len(PATHS)))
def test_a_path_that_makes_no_sense_is_no_route(
    house: ServedHouse, client: httpx.Client, carrier: str, form: str
) -> None:
    for path, _ in share(carrier, PATHS.index(form), PLACES):
        target = form.format("" if path == "/" else path)
        target = target if target.startswith("/") else f"/{target}"
        method = sorted(PATHS_OF[path])[0]
        answer = client.request(  # httpx would tidy the path up: it goes out as it is
            method, "/", headers=JSON if method == "POST" else KEY, extensions={"target": target.encode()}
        )
        assert "x-evil" not in answer.headers
        if answer.status_code == 200:
            assert method == "GET" or "//" in target, (target, answer.text)
        else:
            check_error(answer, language_of(re.sub("^/+", "/", unquote(target))), 400, 404, 405, 415)
    assert house.bugs == []


def test_headers_said_twice_count_once(house: ServedHouse, client: httpx.Client) -> None:
    twice = [(b"content-type", b"application/json"), (b"content-type", b"text/plain"), (b"x-hoosh-timeout", b"1")]
    twice += [
        (b"x-hoosh-timeout", b"x"),
        (b"authorization", KEY["authorization"].encode()),
        (b"authorization", b"Bearer y"),
    ]
    for path, _ in POSTS:
        answer = client.post(path, headers=twice, content=b"{}")
        if answer.status_code != 200:
            check_error(answer, language_of(path), 400, 404, 415)
    assert house.bugs == []


# -- bytes that no client would send, over HTTP/1.1 to our own server -----------------------------------------------

ODD_BYTES = {
    "a NUL in the path": b"POST %b\x00 HTTP/1.1\r\nhost: x\r\n\r\n",
    "a path beyond ASCII": b"POST %b\xff HTTP/1.1\r\nhost: x\r\n\r\n",
    "two lengths": b"POST %b HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
    "a huge length": b"POST %b HTTP/1.1\r\nhost: x\r\ncontent-length: " + b"9" * 5000 + b"\r\n\r\n",
    "a negative length": b"POST %b HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
    "two hosts": b"POST %b HTTP/1.1\r\nhost: x\r\nhost: y\r\n\r\n",
    "no host": b"POST %b HTTP/1.1\r\n\r\n",
    "a long target": b"POST %b?" + b"q" * 9000 + b" HTTP/1.1\r\nhost: x\r\n\r\n",
    "too many headers": b"POST %b HTTP/1.1\r\nhost: x\r\n" + b"a: b\r\n" * 200 + b"\r\n",
    "a long header": b"POST %b HTTP/1.1\r\nhost: x\r\na: " + b"b" * 40_000 + b"\r\n\r\n",
    "another coding": b"POST %b HTTP/1.1\r\nhost: x\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
    "a NUL in a header": b"POST %b HTTP/1.1\r\nhost: x\r\na: \x00\r\n\r\n",
    "a method of no HTTP": b"BREW %b HTTP/1.1\r\nhost: x\r\n\r\n",
    "CONNECT": b"CONNECT x:80 HTTP/1.1\r\nhost: x\r\n\r\n",
}


NO_PATH = {"CONNECT", "a method of no HTTP", "a NUL in the path", "a path beyond ASCII"}
"""It is not known then how the path goes."""


@pytest.fixture(scope="module")
def ours() -> Iterator[ServedHouse]:
    served = ServedHouse()
    yield served
    served.stop()


@pytest.mark.parametrize("kind", ODD_BYTES)
def test_what_is_hardly_http_is_told_so_in_the_language_of_its_path(ours: ServedHouse, kind: str) -> None:
    url = httpx.URL(ours.url)
    for path, _ in POSTS:
        data = ODD_BYTES[kind]
        with socket.create_connection((url.host, url.port), PATIENCE_S) as sock:
            sock.sendall(data.replace(b"%b", path.encode()))
            said = b""
            while piece := sock.recv(65536):
                said += piece
        head, _, body = said.partition(b"\r\n\r\n")
        status = int(head.split()[1])
        answer = httpx.Response(
            status,
            headers=[tuple(line.split(b": ", 1)) for line in head.split(b"\r\n")[1:]],
            content=body,
            request=httpx.Request("POST", ours.url),
        )
        wanted = "openai" if kind in NO_PATH else language_of(path)
        check_error(answer, wanted, 400, 405, 413, 431)
        assert ("allow" in answer.headers) == (status == 405)


@pytest.mark.parametrize("spelling", ["/v1/chat/%63ompletions", "/v1/chat%2fcompletions", "//v1/chat/completions"])
def test_another_spelling_of_a_hot_path_is_told_once_that_there_is_none(
    house: ServedHouse, client: httpx.Client, spelling: str
) -> None:
    """The door and the app once handed such a request to each other, until the stack was full."""
    answer = client.post("/", headers=JSON, content=b"{}", extensions={"target": spelling.encode()})
    check_error(answer, "openai", 404)
    assert house.bugs == []
