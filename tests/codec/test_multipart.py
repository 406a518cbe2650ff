"""Forms: read as every client writes them, written so that every server reads them, and hostile ones refused."""

from __future__ import annotations

import random

import httpx
import pytest

from hoosh.codec.multipart import FIELDS, boundary_of, encode_form, form_type, new_boundary, parse_form
from hoosh.errors import InvalidRequest
from hoosh.values import FormPart

BINARY = bytes(range(256)) * 3 + b"\r\n--B\r\r\n--\r\n--Bx\r\n\r\n--"


def fields(parts):
    return [(part.name, bytes(part.data), part.filename, part.media_type) for part in parts]


def field(head, data=b"x", boundary=b"B"):
    return b"--%b\r\n%b\r\n\r\n%b\r\n" % (boundary, head, data)


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        (b"multipart/form-data; boundary=abc", b"abc"),
        (b'Multipart/Form-Data ; charset=utf-8; Boundary="a b=c"', b"a b=c"),
        (b"multipart/form-data;boundary=-----------RubyMultipartPost-0e", b"-----------RubyMultipartPost-0e"),
        (b"multipart/form-data", None),
        (b"multipart/form-data; boundary=", None),
        (b'multipart/form-data; boundary=""', None),
        (b"multipart/form-data; boundary=" + b"a" * 71, None),
        (b'multipart/form-data; boundary="a\r\nb"', None),
        (b"multipart/mixed; boundary=abc", None),
        (b"application/json", None),
        (b"multipart/form-data; x=" + b";" * 5000, None),
    ],
)
def test_the_boundary_is_in_the_content_type(content_type, boundary):
    assert boundary_of(content_type) == boundary


def test_what_is_written_is_read_again():
    parts = [
        FormPart("model", b"m"),
        FormPart("file", BINARY, 'a "b"\r\n.wav', "audio/wav"),
        FormPart("timestamp_granularities[]", b"word"),
        FormPart("timestamp_granularities[]", "بخش".encode()),
        FormPart("empty", b""),
    ]
    boundary = new_boundary()
    again = parse_form(encode_form(parts, boundary), boundary)
    assert boundary_of(form_type(boundary)) == boundary
    expected = fields(parts)
    expected[1] = ("file", BINARY, "a %22b%22%0D%0A.wav", "audio/wav")
    assert fields(again) == expected
    assert fields(parse_form(encode_form(again, b"Q"), b"Q")) == expected


def test_the_sdks_form_is_read():
    request = httpx.Request(
        "POST",
        "http://h/",
        data={"model": "whisper-1", "timestamp_granularities[]": ["word", "segment"]},
        files={"file": ("sälam.wav", b"RIFF..", "audio/wav")},
    )
    parts = parse_form(request.read(), boundary_of(request.headers["content-type"].encode()))
    assert fields(parts) == [
        ("model", b"whisper-1", None, None),
        ("timestamp_granularities[]", b"word", None, None),
        ("timestamp_granularities[]", b"segment", None, None),
        ("file", b"RIFF..", "sälam.wav", "audio/wav"),
    ]


def test_a_file_is_not_copied():
    body = field(b'Content-Disposition: form-data; name="file"; filename="f"', BINARY) + b"--B--"
    [part] = parse_form(body, b"B")
    assert part.data.obj is body
    assert bytes(part.data) == BINARY


@pytest.mark.parametrize(
    ("head", "filename"),
    [
        (b'Content-Disposition: form-data; name="f"; filename="a \\"b\\" \\\\c.wav"', 'a "b" \\c.wav'),
        (b"content-disposition:form-data;filename=a.wav;name=f", "a.wav"),
        (b"Content-Disposition: form-data; name=f; filename=\"x\"; filename*=UTF-8''%D8%B3.wav", "س.wav"),
        (b"Content-Disposition: form-data; name=f; filename=\"x\"; filename*=latin1''%D8", "x"),
        (b'Content-Disposition: form-data; name="f"; filename=""', ""),
        ('Content-Disposition: form-data; name="f"; filename="نام.wav"'.encode(), "نام.wav"),
        (b'Content-Disposition: form-data; name="f"; filename="\xff.wav"', "�.wav"),
        (b'X: y\r\nContent-Disposition: form-data; name="f"', None),
    ],
)
def test_names_of_files_come_in_many_spellings(head, filename):
    [part] = parse_form(field(head) + b"--B--\r\n", b"B")
    assert (part.name, part.filename) == ("f", filename)


def test_preamble_padding_and_epilogue_are_passed_over():
    one = b'--B \t\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n'
    body = b"not for us --B\r\n\r\n" + one + one + b"--B--\r\n--B\r\nnor this"
    assert fields(parse_form(body, b"B")) == [("a", b"1", None, None)] * 2
    assert parse_form(b"--B--", b"B") == ()


DISPOSITION = b'Content-Disposition: form-data; name="a"'


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nothing",
        b"--B\r\n",
        b"--B",
        field(DISPOSITION),
        field(DISPOSITION) + b"--B-",
        b"--B\r\n" + DISPOSITION + b"\r\n--B--",
        b"--B\r\n\r\n--B--",
        field(b"Content-Type: text/plain") + b"--B--",
        field(b'Content-Disposition: attachment; name="a"') + b"--B--",
        field(b"Content-Disposition: form-data") + b"--B--",
        field(b'Content-Disposition: form-data; name="') + b"--B--",
        field(b'Content-Disposition: form-data; name="' + b"n" * 2000 + b'"') + b"--B--",
        field(DISPOSITION + b"\r\nContent-Transfer-Encoding: base64") + b"--B--",
        field(DISPOSITION + b"\r\nX: " + b"x" * 9000) + b"--B--",
        field(DISPOSITION) * (FIELDS + 1) + b"--B--",
        b"--B--".replace(b"--B", b"x--B"),
    ],
)
def test_a_broken_form_is_the_callers_mistake(body):
    with pytest.raises(InvalidRequest):
        parse_form(body, b"B")


def test_any_cut_is_noticed_and_any_bytes_are_survived():
    whole = field(DISPOSITION, BINARY) + field(DISPOSITION, b"") + b"--B--"
    assert len(parse_form(whole, b"B")) == 2
    for cut in range(len(whole)):
        with pytest.raises(InvalidRequest):
            parse_form(whole[:cut], b"B")
    seed = 20261
    print("seed", seed)
    dice = random.Random(seed)
    for _ in range(2000):
        broken = bytearray(whole)
        for _ in range(dice.randrange(1, 6)):
            broken[dice.randrange(len(broken))] = dice.choice(b'\r\n-B;="\\ \xff\0')
        try:
            parse_form(bytes(broken), b"B")
        except InvalidRequest:
            pass
