"""Images by URL: fetched, limited, and never a way into the network of the house."""

from __future__ import annotations

import base64

import msgspec
import pytest
import trio
from gateway_house import CHAT, config, house_with
from msgspec import Raw

from hoosh.config import Key
from hoosh.errors import InvalidRequest
from hoosh.gateway.media import MediaFetcher, MediaLimits, _address, fetch_media, has_urls
from hoosh.http.addresses import public_or_in
from hoosh.testing.network import MemoryNetwork
from hoosh.testing.upstream import Body, Cut, End, FakeUpstream, Hang, Head, Pause, json_reply
from hoosh.values import (
    ChatRequest,
    DataSource,
    FilePart,
    ImagePart,
    Message,
    OpaquePart,
    Role,
    Secret,
    TextPart,
    ToolResultPart,
    UrlSource,
)

PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)
JPEG = b"\xff\xd8\xff\xe0" + bytes(50)


def answer(data=PNG, kind=b"image/png", status=200, *headers):
    return [Head(status, [(b"content-type", kind), *headers]), Body(data), End()]


def redirect(to, status=302):
    return [Head(status, [(b"location", to), (b"content-length", b"0")]), End()]


def ask(*urls, part=ImagePart):
    return ChatRequest("m", (Message(Role.USER, (TextPart("what?"), *(part(UrlSource(url)) for url in urls))),))


def sources(request):
    return [part.source for message in request.messages for part in message.parts if hasattr(part, "source")]


def fetched(data, media_type="image/png"):
    return DataSource(media_type, base64.b64encode(data).decode())


@pytest.fixture
async def world(nursery):
    """`serve(name, *scripts)` puts a server at a name; `fetch(request)` fetches what it names."""

    class World:
        network = MemoryNetwork(nursery)
        servers = {}  # noqa: RUF012

        def serve(self, name, *scripts):
            self.servers[name] = FakeUpstream(*scripts)
            self.network.listen(name, self.servers[name].serve_wire)
            return self.servers[name]

        def fetcher(self, **limits):
            return MediaFetcher(dialer=self.network.dialer(), limits=MediaLimits(**limits))

        async def fetch(self, request, **limits):
            return await fetch_media(request, self.fetcher(**limits))

    yield World()
    nursery.cancel_scope.cancel()


async def test_a_url_becomes_its_bytes_wherever_it_stands(autojump_clock, world):
    server = world.serve("pics:80", lambda got: answer(JPEG if "b" in got.target else PNG, b"application/octet-stream"))
    opaque = OpaquePart("anthropic", "x", Raw(b"{}"))
    result = ToolResultPart("call", (TextPart("t"), ImagePart(UrlSource("http://pics/b?q=1#part")), opaque))
    request = ChatRequest(
        "m",
        (
            Message(Role.USER, (TextPart("look"), ImagePart(UrlSource("http://pics/a"), detail="low"))),
            Message(Role.TOOL, (result,)),
            Message(Role.USER, (ImagePart(UrlSource("http://pics/a")), ImagePart(DataSource("image/gif", "R0lG")))),
        ),
    )
    assert has_urls(request)
    got = await world.fetch(request)
    assert not has_urls(got)
    assert got.messages[0].parts == (TextPart("look"), ImagePart(fetched(PNG), detail="low"))
    assert got.messages[1].parts[0].parts == (TextPart("t"), ImagePart(fetched(JPEG, "image/jpeg")), opaque)
    assert got.messages[2].parts == (ImagePart(fetched(PNG)), ImagePart(DataSource("image/gif", "R0lG")))
    assert sorted(request.target for request in server.requests) == ["/a", "/b?q=1"]  # each once


async def test_without_urls_the_request_stays_itself(world):
    request = ChatRequest("m", (Message(Role.USER, (TextPart("hi"),)),))
    assert await world.fetch(request) is request


async def test_a_fetch_takes_nothing_of_ours_along(autojump_clock, world):
    server = world.serve("pics:80", answer())
    await world.fetch(ask("http://pics/ä b".replace(" ", "%20")))
    [seen] = server.requests
    assert seen.target == "/%C3%A4%20b"
    assert {name for name, _ in seen.headers} <= {
        b"host",
        b"accept",
        b"accept-encoding",
        b"user-agent",
        b"content-length",
    }


@pytest.mark.parametrize(
    ("data", "kind", "expected"),
    [
        (b"GIF89a..", b"text/html", "image/gif"),
        (b"RIFF\0\0\0\0WEBPVP8 ", b"", "image/webp"),
        (b"\0\0\0\x1cftypavif", b"image/png", "image/avif"),
        (b"%PDF-1.7 ...", b"application/octet-stream", "application/pdf"),
        ("متن".encode(), b"text/plain; charset=utf-8", "text/plain"),
    ],
)
async def test_the_bytes_say_what_a_file_is(autojump_clock, world, data, kind, expected):
    world.serve("pics:80", answer(data, kind))
    assert sources(await world.fetch(ask("http://pics/x", part=FilePart))) == [fetched(data, expected)]


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"<html>", b"image/png"),
        (b"<svg/>", b"image/svg+xml"),
        (b'{"secret": 1}', b"application/json"),
        (b"plain", b"text/plain"),
        (b"%PDF-1.7", b"application/pdf"),
        (b"", b"image/png"),
    ],
)
async def test_what_is_no_image_is_no_image_part(autojump_clock, world, data, kind):
    world.serve("pics:80", answer(data, kind))
    assert await refusal(world, "http://pics/x") == "invalid_image"


async def refusal(world, *urls, **limits):
    with pytest.raises(InvalidRequest) as caught:
        await world.fetch(ask(*urls), **limits)
    assert caught.value.param == "messages"
    return caught.value.code


async def test_redirects_are_followed_and_each_is_looked_at(autojump_clock, world):
    world.serve("a:80", redirect(b"//b/x"))
    world.serve("b:80", redirect(b"http://c:8080/y", 307))
    world.serve("c:8080", answer())
    assert sources(await world.fetch(ask("http://a/"))) == [fetched(PNG)]
    assert await refusal(world, "http://a/", redirects=1) == "invalid_image_url"


@pytest.mark.parametrize(
    "to", [b"ftp://c/", b"http://user:pw@c/", b"http://c:22/", b"http://[::", b"data:,x", b"http://gone/"]
)
async def test_a_redirect_to_what_is_not_allowed_is_refused(autojump_clock, world, to):
    world.serve("a:80", redirect(to))
    assert await refusal(world, "http://a/") == "invalid_image_url"


BAD_URLS = [
    "ftp://h/x", "file:///etc/passwd", "gopher://h/", "//h/x", "h/x", "", "http://", "http:///x", "http://u@h/",
    "http://u:p@h/", "http://h:25/", "http://h:6x/", "http://h:99999/", "http://[::1/", "http://h/a b", "http://h\t/",
    "http://h\\@evil/", "http://h/\r\nx: y", "http://h%00/", "http://a..b/", "http://" + "a" * 300 + "/",
    "http://h/" + "a" * 9000, "http://h/\ud800", "http://[fe80::1%25eth0]/", "http://-x/", "http://h:0/",
]  # fmt: skip


@pytest.mark.parametrize("url", BAD_URLS)
def test_urls_that_lead_nowhere_proper_are_refused(url):
    with pytest.raises(InvalidRequest) as caught:
        _address(url)
    assert caught.value.code == "invalid_image_url"


@pytest.mark.parametrize(
    ("url", "authority", "target"),
    [
        ("HTTPS://Example.COM", b"example.com", "/"),
        ("http://h:8080/a?b=c%20d&e=/?", b"h:8080", "/a?b=c%20d&e=/?"),
        ("https://münchen.example/ö", b"xn--mnchen-3ya.example", "/%C3%B6"),
        ("http://[2606:4700::1111]/x", b"[2606:4700::1111]", "/x"),
    ],
)
def test_urls_are_read(url, authority, target):
    origin, found = _address(url)
    assert (origin.authority, found) == (authority, target)


async def test_sizes_are_limited_per_file_and_per_request(autojump_clock, world):
    world.serve("big:80", answer(PNG + bytes(1000)))
    world.serve("liar:80", [Head(200, [(b"content-length", b"99999999")]), Hang()])
    size = len(PNG) + 1000
    assert sources(await world.fetch(ask("http://big/"), file_bytes=size)) == [fetched(PNG + bytes(1000))]
    assert await refusal(world, "http://big/", file_bytes=size - 1) == "image_too_large"
    assert await refusal(world, "http://liar/") == "image_too_large"
    assert (
        await refusal(world, "http://big/1", "http://big/2", "http://big/3", request_bytes=2 * size)
        == "image_too_large"
    )
    assert await refusal(world, *(f"http://big/{n}" for n in range(17))) == "too_many_images"


async def test_a_compressed_answer_counts_as_what_it_unpacks_to(autojump_clock, world):
    import gzip

    bomb = gzip.compress(PNG + bytes(30_000_000))
    world.serve("bomb:80", answer(bomb, b"image/png", 200, (b"content-encoding", b"gzip")))
    assert await refusal(world, "http://bomb/") == "image_too_large"


async def test_time_is_limited_per_file_and_per_request(autojump_clock, world):
    world.serve("silent:80", [Hang()])
    drip = [Head(200, []), *[step for _ in range(1000) for step in (Body(b"\x89"), Pause(1))]]
    world.serve("drip:80", drip)
    world.serve("slow:80", [Pause(9), *answer()])
    started = trio.current_time()
    assert await refusal(world, "http://silent/") == "invalid_image_url"
    assert await refusal(world, "http://drip/") == "invalid_image_url"
    assert trio.current_time() - started == pytest.approx(20, abs=0.5)
    started = trio.current_time()
    assert await refusal(world, *(f"http://slow/{n}" for n in range(16)), at_once=2) == "invalid_image_url"
    assert trio.current_time() - started == pytest.approx(30, abs=0.5)


async def test_only_a_few_are_fetched_at_once(autojump_clock, world):
    server = world.serve("slow:80", [Pause(1), *answer()])
    started = trio.current_time()
    await world.fetch(ask(*(f"http://slow/{n}" for n in range(8))), at_once=4)
    assert trio.current_time() - started == pytest.approx(2, abs=0.1)
    assert len(server.requests) == 8


async def test_the_first_failure_stops_the_others(autojump_clock, world):
    slow = world.serve("slow:80", [Pause(5), *answer()])
    world.serve("bad:80", answer(b"<html>"))
    started = trio.current_time()
    assert await refusal(world, "http://slow/", "http://bad/") == "invalid_image"
    assert trio.current_time() - started < 1
    await slow.wait_cancelled()


async def test_leaving_stops_the_fetch(autojump_clock, world):
    silent = world.serve("silent:80", [Hang()])
    with trio.move_on_after(1):
        await world.fetch(ask("http://silent/"))
    await silent.wait_cancelled()
    await silent.wait_closed()


async def test_every_failure_of_a_connection_reads_the_same(autojump_clock, world):
    world.serve("404:80", answer(status=404))
    world.serve("cut:80", [Head(200, [(b"content-length", b"10")]), Cut()])
    world.serve("nonsense:80", [b"SSH-2.0\r\n\r\n", Cut()])
    world.serve("hang:80", [Hang()])
    texts = set()
    for url in ("http://404/", "http://cut/", "http://nonsense/", "http://hang/", "http://closed/"):
        with pytest.raises(InvalidRequest) as caught:
            await world.fetch(ask(url))
        texts.add(str(caught.value))
    guarded = MediaFetcher()
    for url in ("http://127.0.0.1/", "http://[::1]:9/", "http://169.254.169.254/latest/", "http://name.invalid/"):
        if ":9" in url:
            url = url.replace(":9/", ":9000/")
        with pytest.raises(InvalidRequest) as caught:
            await fetch_media(ask(url), guarded)
        texts.add(str(caught.value))
    assert len(texts) == 1


async def test_a_server_of_our_own_is_out_of_reach_unless_allowed(nursery):
    server = FakeUpstream(answer())
    port = await nursery.start(server.serve_tcp)
    request = ask(f"http://127.0.0.1:{port}/x.png")
    with pytest.raises(InvalidRequest):
        await fetch_media(request, MediaFetcher())
    assert server.connections == 0
    got = await fetch_media(request, MediaFetcher(allows=public_or_in(["127.0.0.1"])))
    assert sources(got) == [fetched(PNG)]
    nursery.cancel_scope.cancel()


async def test_an_upstream_that_wants_bytes_gets_them_from_the_gateway(autojump_clock):
    reply = {"model": "m", "message": {"role": "assistant", "content": "a cat"}, "done": True, "done_reason": "stop"}
    upstream, pictures = FakeUpstream(json_reply(reply)), FakeUpstream(answer())
    parts = [
        {"type": "text", "text": "what is this?"},
        {"type": "image_url", "image_url": {"url": "http://pics/cat.png"}},
    ]
    ask = {"model": "m", "messages": [{"role": "user", "content": parts}]}
    async with house_with(upstream, config(provider={"type": "ollama"})) as house:
        house.network.listen("pics:80", pictures.serve_wire)
        status, _, _ = await house.post(CHAT, ask)
        assert status == 200
        parts[1]["image_url"]["url"] = "http://nowhere/cat.png"
        status, _, body = await house.post(CHAT, ask)
        assert (status, msgspec.json.decode(body)["error"]["code"]) == (400, "invalid_image_url")
    [sent] = upstream.requests
    [message] = msgspec.json.decode(sent.body)["messages"]
    assert message["images"] == [base64.b64encode(PNG).decode()]


ADA = Key(name="ada", key=Secret("sk-ada"))


@pytest.mark.parametrize(("keys", "asker"), [((), "from memory-client"), ((ADA,), "ada")])
async def test_look_ups_are_counted_to_the_caller_and_without_keys_to_where_it_comes_from(autojump_clock, keys, asker):
    parts = [{"type": "image_url", "image_url": {"url": "http://pics/cat.png"}}]
    asked = []

    async def fetch(request, *, asker):
        asked.append(asker)
        raise InvalidRequest("no")

    async with house_with(FakeUpstream(), config(provider={"type": "ollama"}, keys=keys)) as house:
        house.gateway.fetch_media = fetch
        headers = ((b"authorization", b"Bearer sk-ada"),)
        await house.post(CHAT, {"model": "m", "messages": [{"role": "user", "content": parts}]}, headers=headers)
    assert asked == [asker]
