"""A form that comes in pieces is the form that it is whole, wherever it is cut."""

from __future__ import annotations

import random

import pytest

from hoosh.codec.form_reader import FormReader
from hoosh.codec.multipart import CUT, FIELDS, HEAD_BYTES, FieldHead, encode_form, form_frame, form_pieces, parse_form
from hoosh.errors import InvalidRequest
from hoosh.values import FileRange, FormPart, Pieces

BINARY = bytes(range(256)) * 3 + b"\r\n--B\r\r\n--\r\n--Bx\r\n\r\n--"


def read(pieces, boundary=b"B"):
    """The fields, or the word of what is wrong."""
    reader, fields = FormReader(boundary), []
    try:
        for piece in pieces:
            for event in reader.feed(piece):
                match event:
                    case FieldHead():
                        fields.append([event, bytearray(), False])
                    case bytes():
                        assert event, "an empty piece says nothing"
                        fields[-1][1] += event
                    case None:
                        fields[-1][2] = True
        reader.close()
    except InvalidRequest as error:
        return str(error)
    assert all(is_over for _, _, is_over in fields)
    return [(head.name, bytes(data), head.filename, head.media_type) for head, data, _ in fields]


def whole(body, boundary=b"B"):
    try:
        return [(part.name, bytes(part.data), part.filename, part.media_type) for part in parse_form(body, boundary)]
    except InvalidRequest as error:
        return str(error)


def field(head=b'Content-Disposition: form-data; name="x"', data=b"x"):
    return b"--B\r\n%b\r\n\r\n%b\r\n" % (head, data)


PARTS = [
    FormPart("model", b"m"),
    FormPart("file", BINARY, "a.wav", "audio/wav"),
    FormPart("empty", b""),
    FormPart("timestamp_granularities[]", "بخش".encode()),
]
FORMS = {
    "usual": encode_form(PARTS, b"B"),
    "preamble": b"hello --B\r\n--Bx\r\n--B" + b" " * 80 + b"\r\n\n--B \t\r\n" + field()[5:] + b"--B--tail\r\n--B\r\n",
    "no field": b"--B--",
    "blanks behind a boundary": field() + b"--B" + b" " * 62 + b"\r\n" + field()[5:] + b"--B--",
    "too many blanks": field() + b"--B" + b" " * 63 + b"\r\n" + field()[5:] + b"--B--",
    "one boundary after the other": b"--B\r\n--B--",
    "no blank line": b'--B\r\nContent-Disposition: form-data; name="x"\r\n--B--',
    "the blank line is the boundary's": b'--B\r\nContent-Disposition: form-data; name="x"\r\n\r\n--B--',
    "nearly a boundary in a head": b'--B\r\nA: b\r\n--Bx\r\nContent-Disposition: form-data; name="x"\r\n\r\ny\r\n--B--',
    "a long head": field(b'Content-Disposition: form-data; name="x"\r\nA: ' + b"a" * 100) + b"--B--",
    "no name": field(b"A: b") + b"--B--",
    "a transfer encoding": field(b'Content-Disposition: form-data; name="x"\r\nContent-Transfer-Encoding: base64')
    + b"--B--",
    "cut": encode_form(PARTS, b"B")[:-4],
    "nothing": b"",
}


@pytest.mark.parametrize("name", FORMS)
def test_a_form_cut_at_any_byte_reads_the_same(name):
    body = FORMS[name]
    told = whole(body)
    for cut in range(len(body) + 1):
        assert read([body[:cut], body[cut:]]) == told, cut
    assert read([body[at : at + 1] for at in range(len(body))]) == told


def test_random_forms_in_random_pieces_read_as_they_do_whole():
    seed = 20261126
    print(f"seed {seed}")
    dice = random.Random(seed)
    signs = [
        b"\r\n",
        b"--",
        b"B",
        b"\r\n--B",
        b"--B--",
        b"--B\r\n",
        b"\r\n\r\n",
        b" ",
        b"x",
        field(),
        b'name="y"',
        b"\n",
    ]
    for _ in range(4000):
        body = b"".join(dice.choice(signs) for _ in range(dice.randrange(14)))
        cuts = sorted(dice.randrange(len(body) + 1) for _ in range(dice.randrange(5)))
        pieces = [body[start:end] for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True)]
        told, read_told = whole(body), read(pieces)
        assert read(list(pieces)) == read([body]), pieces
        # Of a form that is also cut either may be told: whoever sees its end first says so.
        assert read_told == told or (told == CUT and isinstance(read_told, str)), pieces


def test_a_boundary_that_ends_like_it_begins():
    body = encode_form([FormPart("x", b"---\r\n----\r\n---- -\r\n-----")], b"--")
    for cut in range(len(body) + 1):
        assert read([body[:cut], body[cut:]], b"--") == whole(body, b"--")


def test_limits_are_those_of_a_whole_form():
    many = field() * FIELDS
    assert len(read([many, b"--B--"])) == FIELDS
    assert read([many, field(), b"--B--"]) == whole(many + field() + b"--B--")
    start = b'Content-Disposition: form-data; name="x"\r\nA: '
    for size in (HEAD_BYTES - len(start) - 4, HEAD_BYTES - len(start) - 3):
        body = field(start + b"a" * size) + b"--B--"
        assert read([body]) == whole(body)
        assert read([body[:50], body[50:8000], body[8000:]]) == whole(body)


def test_what_goes_by_is_not_kept():
    reader = FormReader(b"B")
    reader.feed(field(data=b"")[:-2])
    for _ in range(100):
        [data] = [event for event in reader.feed(bytes(16_384)) if isinstance(event, bytes)]
        assert 16_300 < len(data) < 16_500
    reader = FormReader(b"B")
    for _ in range(100):
        assert reader.feed(bytes(16_384)) == []
        assert len(reader._rest) < 100


def test_a_file_stays_where_it_lies():
    parts = [FormPart("model", b"m"), FormPart("file", FileRange("/f", 5), "a.wav"), FormPart("end", b"e")]
    written = form_pieces(parts, b"B")
    assert isinstance(written, Pieces)
    before, file, behind = written.parts
    assert file == FileRange("/f", 5)
    assert len(written) == written.size == len(before) + 5 + len(behind)
    held = [parts[0], FormPart("file", b"12345", "a.wav"), parts[2]]
    assert before + b"12345" + behind == encode_form(held, b"B") == form_pieces(held, b"B")
    with pytest.raises(TypeError):
        encode_form(parts, b"B")


def test_the_frame_of_a_file_that_comes_last():
    fields, file = [FormPart("model", b"m"), FormPart("n", b"1")], FormPart("file", b"12345", "a.wav", "audio/wav")
    before, behind = form_frame(fields, file, b"B")
    assert before + b"12345" + behind == encode_form([*fields, file], b"B")
    assert b"".join(form_frame([], file, b"B")) == encode_form([FormPart("file", b"", "a.wav", "audio/wav")], b"B")
