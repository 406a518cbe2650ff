"""Media in a prompt: found in every language, counted by their size, and no text."""

from __future__ import annotations

import json
import struct
from base64 import b64encode
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from test_budget_estimate_weights import call

from hoosh.budget.media import IMAGE_TOKENS, image_size, image_tokens, media_in
from hoosh.budget.weight import Weight, weigh
from hoosh.values import Call, CallKind

PAD = bytes(range(256)) * 30


def png(width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"\x00\x00\x00\rIHDR" + struct.pack(">II", width, height) + PAD


def gif(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HH", width, height) + PAD


def jpeg(width: int, height: int, *before: int, marker: int = 0xC0) -> bytes:
    """`before` are the sizes of segments before the frame, such as a profile or a preview."""
    segments = b"".join(struct.pack(">BBH", 0xFF, 0xE1, size + 2) + bytes(size) for size in before)
    return b"\xff\xd8" + segments + struct.pack(">BBHBHH", 0xFF, marker, 17, 8, height, width) + PAD


def webp(kind: bytes, dimensions: bytes) -> bytes:
    return b"RIFF" + bytes(4) + b"WEBP" + kind + bytes(4) + dimensions + PAD


def lossy(width: int, height: int) -> bytes:
    return webp(b"VP8 ", bytes(3) + b"\x9d\x01\x2a" + struct.pack("<HH", width, height))


def lossless(width: int, height: int) -> bytes:
    return webp(b"VP8L", b"\x2f" + struct.pack("<I", (width - 1) | (height - 1) << 14))


def extended(width: int, height: int) -> bytes:
    return webp(b"VP8X", bytes(4) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little"))


# -- headers ---------------------------------------------------------------------------------------------------------

FORMATS = [png, gif, jpeg, lossy, lossless, extended]


@pytest.mark.parametrize("make", FORMATS)
@pytest.mark.parametrize("size", [(1, 1), (640, 480), (3000, 7), (16_383, 9_999)])
def test_a_header_says_the_size(make: Any, size: tuple[int, int]):
    assert image_size(make(*size)) == size


@pytest.mark.parametrize("before", [(10,), (40_000, 3), (65_533,) * 1, tuple(range(60))])
@pytest.mark.parametrize("marker", [0xC0, 0xC1, 0xC2, 0xCF])
def test_a_jpeg_says_it_behind_other_segments(before: tuple[int, ...], marker: int):
    assert image_size(jpeg(800, 600, *before, marker=marker)) == (800, 600)


@pytest.mark.parametrize(
    "head",
    [
        *(b"", b"\x89PNG", b"GIF8", b"\xff\xd8", b"\xff\xd8\xff", b"RIFF0000WEBP", b"BM" + PAD, PAD),
        *(png(0, 5), png(5, 0), gif(0, 0), jpeg(0, 0), lossy(0, 0)),
        *(png(5, 5)[:20], gif(5, 5)[:9], jpeg(5, 5)[:9], lossy(5, 5)[:29]),
        png(5, 5).replace(b"IHDR", b"IDAT"),
        webp(b"ABCD", PAD),
        jpeg(5, 5, marker=0xC4),
        b"\xff\xd8" + b"\xff\xe1\x00\x00" * 10_000,
        b"\xff\xd8" + b"\xff\xe1\xff\xff",
        b"\xff\xd8\x00\xc0" + PAD,
    ],
)
def test_a_header_that_says_nothing_says_no_size(head: bytes):
    assert image_size(head) is None


@given(st.sampled_from([b"\x89PNG", b"GIF8", b"\xff\xd8", b"RIFF1234WEBPVP8 ", b""]), st.binary(max_size=60))
def test_no_header_breaks_it(magic: bytes, rest: bytes):
    size = image_size(magic + rest)
    assert size is None or min(size) > 0


# -- tokens ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "openai", "anthropic"),
    [
        ((512, 512), 255, 350),
        ((1024, 1024), 765, 1399),
        ((2048, 4096), 1105, 1600),
        ((1000, 750), 765, 1001),
        ((200, 200), 255, 54),
        ((1092, 1092), 765, 1590),
        ((1, 1), 255, 1),
        ((1, 10_000), 765, 1),
        ((2**32 - 1, 2**32 - 1), 765, 1600),
    ],
)
def test_an_image_costs_what_the_vendors_document(size: tuple[int, int], openai: int, anthropic: int):
    assert image_tokens(*size, "openai") == image_tokens(*size, "responses") == openai
    assert image_tokens(*size, "anthropic") == anthropic


def data_url(data: bytes, media_type: str = "image/png") -> str:
    return f"data:{media_type};base64,{b64encode(data).decode()}"


def said_in(language: str, data: bytes, detail: str | None = None) -> Call:
    """A question about one image."""
    base64, url = b64encode(data).decode(), data_url(data)
    more = {} if detail is None else {"detail": detail}
    parts: dict[str, list[Any]] = {
        "openai": [{"type": "text", "text": "What?"}, {"type": "image_url", "image_url": {"url": url, **more}}],
        "responses": [{"type": "input_text", "text": "What?"}, {"type": "input_image", **more, "image_url": url}],
        "anthropic": [
            {"type": "text", "text": "What?"},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": base64}},
        ],
    }
    if language == "ollama":
        return call({"messages": [{"role": "user", "content": "What?", "images": [base64]}]}, language)
    name = "input" if language == "responses" else "messages"
    return call({name: [{"role": "user", "content": parts[language]}]}, language)


@pytest.mark.parametrize(
    ("language", "detail", "tokens"),
    [
        ("openai", None, 765),
        ("openai", "auto", 765),
        ("openai", "high", 765),
        ("openai", "low", 85),
        ("responses", None, 765),
        ("responses", "low", 85),
        ("anthropic", None, 1001),
        ("ollama", None, 765),
    ],
)
@pytest.mark.parametrize("make", FORMATS)
def test_an_image_is_found_in_every_language(language: str, detail: str | None, tokens: int, make: Any):
    weight = weigh(said_in(language, make(1000, 750), detail))
    assert weight.fixed_tokens == tokens
    assert weight.text_bytes < 250  # what is left of the furniture around it
    assert weight.messages == 1


def test_an_image_of_a_generate_call_of_ollama_is_found():
    images = [b64encode(png(1000, 750)).decode()]
    weight = weigh(call({"prompt": "What?", "images": images}, "ollama", CallKind.COMPLETION))
    assert weight == Weight(text_bytes=weight.text_bytes, messages=1, fixed_tokens=765)
    assert weight.text_bytes < 20


def one_part(part: dict[str, Any], language: str = "openai") -> Weight:
    name = "input" if language == "responses" else "messages"
    return weigh(call({name: [{"role": "user", "content": [part]}]}, language))


URL = "https://example.com/a.png"
PDF = b"%PDF-1.7\n" + PAD


@pytest.mark.parametrize(
    ("language", "part", "tokens"),
    [
        ("openai", {"type": "image_url", "image_url": {"url": URL}}, IMAGE_TOKENS),
        ("openai", {"type": "image_url", "image_url": {"url": URL, "detail": "low"}}, 85),
        ("openai", {"type": "image_url", "image_url": {"detail": "low", "url": URL}}, 85),
        ("openai", {"type": "image_url", "image_url": {"url": data_url(PAD, "image/avif")}}, IMAGE_TOKENS),
        ("openai", {"type": "file", "file": {"file_id": "file-1"}}, IMAGE_TOKENS),
        ("openai", {"type": "file", "file": {"file_data": data_url(PDF, "application/pdf")}}, IMAGE_TOKENS),
        ("openai", {"type": "file", "file": {"file_data": b64encode(PDF * 20).decode()}}, 2050),
        ("openai", {"type": "input_audio", "input_audio": {"data": b64encode(PAD).decode(), "format": "wav"}}, 102),
        ("responses", {"type": "input_image", "image_url": URL}, IMAGE_TOKENS),
        ("responses", {"type": "input_file", "file_url": URL}, IMAGE_TOKENS),
        ("responses", {"type": "input_image", "file_id": "file-1"}, IMAGE_TOKENS),
        ("anthropic", {"type": "image", "source": {"type": "url", "url": URL}}, IMAGE_TOKENS),
        (
            "anthropic",
            {
                "type": "document",
                "source": {"type": "base64", "media_type": "application/pdf", "data": b64encode(PDF).decode()},
            },
            IMAGE_TOKENS,
        ),
    ],
)
def test_other_media_have_their_price(language: str, part: dict[str, Any], tokens: int):
    weight = one_part(part, language)
    assert weight.fixed_tokens == tokens
    assert weight.text_bytes < 250


def test_each_of_several_images_has_its_own_detail():
    def image(detail: str) -> dict[str, Any]:
        return {"type": "image_url", "image_url": {"url": data_url(png(1000, 750)), "detail": detail}}

    parts = [image("low"), image("high"), image("low"), image("auto")]
    assert weigh(call({"messages": [{"role": "user", "content": parts}]})).fixed_tokens == 85 * 2 + 765 * 2


def test_an_image_that_a_tool_gives_back_is_found():
    source = {"type": "base64", "media_type": "image/png", "data": b64encode(png(1000, 750)).decode()}
    result = {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "image", "source": source}]}
    assert one_part(result, "anthropic").fixed_tokens == 1001


def test_a_slash_may_be_written_as_php_writes_it():
    body = json.dumps([{"type": "image_url", "image_url": {"url": data_url(jpeg(1000, 750))}}]).replace("/", "\\/")
    assert media_in(body.encode(), "openai").tokens == 765


def test_sealed_thoughts_weigh_little():
    signature = "EqQBCkYIBxgCIkA" + "abcdEFGH0123+/" * 100
    part = {"type": "thinking", "thinking": "Well.", "signature": signature}
    weight = one_part(part, "anthropic")
    assert weight.fixed_tokens == len(signature) // 100
    assert weight.text_bytes < 100


@pytest.mark.parametrize(
    "text",
    [
        "A long answer about image_url and files, with blanks. " * 10,
        "data:image/png;base64 is how a data URL begins, and this is text about it, not one. " * 3,
        "https://example.com/a.png",
        "你好世界" * 50,
        "-" * 63,
    ],
)
def test_text_is_text(text: str):
    parts = [{"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": URL}}]
    weight = weigh(call({"messages": [{"role": "user", "content": parts}]}))
    assert weight.fixed_tokens == IMAGE_TOKENS
    assert weight.text_bytes >= len(text.encode())


@example(b"http", "openai")
@given(st.binary(max_size=400), st.sampled_from(["openai", "anthropic", "ollama", "responses"]))
def test_no_bytes_break_it(raw: bytes, language: str):
    for body in (raw, b'"data:image/png;base64,' + raw * 3 + b'"', b'"url":"' + raw + b'","detail":"low"'):
        media = media_in(body, language)
        assert media.tokens >= 0
        assert 0 <= media.bytes <= len(body)


@pytest.mark.parametrize("strings", [30_000, 400_000])
def test_a_body_of_very_many_strings_is_not_looked_at_closely(strings: int):
    image = json.dumps({"url": data_url(png(1000, 750))}).encode()
    media = media_in(b'"word",' * (strings // 2) + image + b'"url":"http://h/",', "openai")
    assert media.tokens == (765 if strings == 30_000 else 0)


def test_only_so_many_headers_are_read():
    images = json.dumps([{"url": data_url(png(200, 200))}] * 100).encode()
    assert media_in(images, "openai").tokens == 64 * 255 + 36 * IMAGE_TOKENS
