"""Model files by their headers: sound ones are read, cut ones as far as they go, and hostile ones do no harm."""

from __future__ import annotations

import io
import os
import pickle
import random
import struct
import tracemalloc
from pathlib import Path
from typing import BinaryIO

import pytest
from model_bytes import (
    ALL,
    ARRAY,
    LEGACY_TORCH,
    LLAMA,
    STRING,
    Gguf,
    archive,
    field,
    framed,
    onnx,
    onnx_tensor,
    plain,
    safetensors,
    small_llama,
    varint,
)

from hoosh.hardware.formats import NotAModel, format_of, format_of_bytes
from hoosh.hardware.formats.window import MAX_HEADER_BYTES, CutShort, Window
from hoosh.testing.seeds import seed_of_run

SEED = seed_of_run()
MUTATIONS = 10_000


# -- sound files ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ALL)
def test_each_kind_is_known_by_its_bytes(kind: str):
    assert format_of_bytes(ALL[kind]).format == kind
    assert format_of(io.BytesIO(ALL[kind])).file_bytes == len(ALL[kind])


@pytest.mark.parametrize(("version", "order"), [(1, "<"), (2, "<"), (3, "<"), (3, ">")])
def test_a_gguf_file_tells_all_about_its_model(version: int, order: str):
    assert plain(format_of_bytes(bytes(small_llama(version=version, order=order)))) == LLAMA | {
        "format_version": version
    }


def test_metadata_may_be_larger_than_any_chunk_that_is_read():
    file = bytes(small_llama(vocabulary=200_000))
    assert len(file) > 3_000_000
    assert plain(format_of_bytes(file)) == LLAMA


def test_without_a_file_type_the_most_common_type_of_tensor_is_told():
    file = Gguf().word("general.architecture", "x").tensor("a", 10, 10, kind=8).tensor("b", 5, kind=0)
    assert (format_of_bytes(bytes(file)).dtype, format_of_bytes(bytes(file)).param_count) == ("Q8_0", 105)


@pytest.mark.parametrize(
    ("number", "name"),
    [
        *[(0, "F32"), (1, "F16"), (2, "Q4_0"), (3, "Q4_1"), (7, "Q8_0"), (8, "Q5_0"), (9, "Q5_1"), (10, "Q2_K")],
        *[(11, "Q3_K_S"), (12, "Q3_K_M"), (13, "Q3_K_L"), (14, "Q4_K_S"), (15, "Q4_K_M"), (16, "Q5_K_S")],
        *[(17, "Q5_K_M"), (18, "Q6_K"), (19, "IQ2_XXS"), (20, "IQ2_XS"), (30, "IQ4_XS"), (32, "BF16"), (38, "MXFP4")],
        *[(4, "GGUF_TYPE_4"), (999, "GGUF_TYPE_999")],
    ],
)
def test_a_file_type_is_told_by_its_name(number: int, name: str):
    assert format_of_bytes(bytes(Gguf().number("general.file_type", number))).dtype == name


def test_of_heads_that_differ_by_layer_the_most_are_told():
    file = small_llama().numbers("llama.attention.head_count_kv", [8, 0, 4])
    assert format_of_bytes(bytes(file)).head_count_kv == 8


def test_safetensors_tell_their_tensors():
    found = format_of_bytes(safetensors({"norm": ("F32", [64]), "w": ("BF16", [64, 64]), "s": ("I64", [])}, {"a": "b"}))
    assert plain(found) == {
        "format": "SafeTensors",
        "tensor_count": 3,
        "param_count": 64 + 4096 + 1,
        "dtype": "BF16",
    }


def test_a_safetensors_header_that_is_not_all_there_still_says_what_it_is():
    whole = safetensors({f"tensor.{number}": ("F16", [8, 8]) for number in range(500)})
    assert plain(format_of_bytes(whole[:1000])) == {"format": "SafeTensors"}
    assert plain(format_of_bytes(struct.pack("<Q", 90 * 1024 * 1024) + b"{")) == {"format": "SafeTensors"}


def test_onnx_tells_its_weights():
    file = onnx(onnx_tensor(1000, 1000), onnx_tensor(3, 4, packed=False, kind=7, raw=b"\0" * 96), ir_version=9)
    assert plain(format_of_bytes(file)) == {
        "format": "ONNX",
        "format_version": 9,
        "tensor_count": 2,
        "param_count": 1_000_012,
        "dtype": "F32",
    }
    assert plain(format_of_bytes(file[:40])) == {"format": "ONNX", "format_version": 9}


def test_weights_of_gigabytes_are_passed_over(tmp_path: Path):
    """A thousand tensors of four megabytes each, in a file with holes for them."""
    hole, count = 4_000_000, 1000
    head = field(1, varint(1_000_000)) + field(2, 1) + varint(9 << 3 | 2) + varint(hole)
    each = varint(5 << 3 | 2) + varint(len(head) + hole) + head
    with (tmp_path / "large.onnx").open("w+b") as file:
        file.write(field(1, 8) + varint(7 << 3 | 2) + varint(count * (len(each) + hole)))
        for _ in range(count):
            file.write(each)
            file.seek(hole, io.SEEK_CUR)
        file.truncate()
        found = format_of(file)
    assert (found.tensor_count, found.param_count, found.dtype) == (1000, 10**9, "F32")


@pytest.mark.parametrize("data", [LEGACY_TORCH, b"PK\x03\x04", b"PK\x03\x04" + b"\0" * 40, archive("m/version")])
def test_pytorch_is_known_in_all_its_forms(data: bytes):
    assert plain(format_of_bytes(data)) == {"format": "PyTorch"}


def test_a_pickle_is_never_run():
    class Bomb:
        def __reduce__(self):
            return os.abort, ()

    with pytest.raises(NotAModel):
        format_of_bytes(pickle.dumps(Bomb(), protocol=2))
    assert format_of_bytes(archive("archive/data.pkl") + pickle.dumps(Bomb())).format == "PyTorch"


# -- what is no model ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        *[b"", b"x", b"GGU", b"GGUF", b"GGUF\x03\0\0", b"GGML" * 9, b"\0" * 100, b"\xff" * 100, b"%PDF-1.7\n" * 9],
        *[b"{}", b"\x08", b"\x08\x08", b"\x08\x00\x12\x01x", b"\x08\x15\x12\x01x", b"\x08\x08\xff\xff\xff\xff\xff"],
        *[
            b"\x80\x02}q\x00.",
            archive("[Content_Types].xml"),
            archive("META-INF/MANIFEST.MF"),
            b"PK\x05\x06" + b"\0" * 18,
        ],
        *[struct.pack("<Q", 2**40) + b"{}", struct.pack("<Q", 1) + b"{", framed(b"[]"), framed(b"{]"), framed(b"nope")],
    ],
)
def test_other_files_are_refused(data: bytes):
    with pytest.raises(NotAModel):
        format_of_bytes(data)


# -- hostile ones ----------------------------------------------------------------------------------------------------

HUGE = 2**63
BAD_TENSORS = [
    '{"a":{"dtype":"F32","shape":[9223372036854775808],"data_offsets":[0,0]}}',
    '{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,0]}}',
    '{"a":{"dtype":"F32","shape":[' + ",".join(["2"] * 100_000) + '],"data_offsets":[0,0]}}',
    '{"a":{"dtype":"F32","shape":"9","data_offsets":[0,0]}}',
    '{"a":{"dtype":7,"shape":[1]}}',
    '{"a":7}',
    '{"a":' + "[" * 100_000 + "]" * 100_000 + "}",
    '{"a":{"dtype":"F32","shape":[' + "9" * 5000 + "]}}",
]


@pytest.mark.parametrize("header", BAD_TENSORS, ids=range(len(BAD_TENSORS)))
def test_safetensors_that_make_no_sense_are_refused(header: str):
    with pytest.raises(NotAModel):
        format_of_bytes(framed(header.encode()))


def test_numbers_never_grow_beyond_64_bits():
    shape = [2**62] * 8
    found = format_of_bytes(safetensors({"a": ("F32", shape), "b": ("F32", shape)}))
    assert (found.tensor_count, found.param_count) == (2, None)
    assert format_of_bytes(bytes(Gguf().tensor("a", *shape))).param_count is None
    assert format_of_bytes(onnx(onnx_tensor(*[2**32] * 3))).param_count is None
    assert format_of_bytes(onnx(onnx_tensor(2**62), onnx_tensor(2**62), onnx_tensor(2**62))).param_count is None


def test_dimensions_without_end_are_not_followed():
    file = Gguf().word("general.architecture", "llama")
    file.tensors.append(file.text("a") + file.pack("I", 2**32 - 1))
    assert plain(format_of_bytes(bytes(file))) == {
        "format": "GGUF",
        "format_version": 3,
        "tensor_count": 1,
        "architecture": "llama",
    }
    assert format_of_bytes(onnx(onnx_tensor(*[1] * 1000))).tensor_count is None


@pytest.mark.parametrize("said", [HUGE, 2**64 - 1, 2**40])
def test_lengths_and_counts_are_checked_before_anything_is_allocated(said: int):
    endless = [
        Gguf().raw(struct.pack("<Q", said) + b"name"),
        Gguf().raw(Gguf().text("a") + struct.pack("<IQ", STRING, said)),
        Gguf().raw(Gguf().text("general.architecture") + struct.pack("<IQ", STRING, said)),
        Gguf().raw(Gguf().text("a") + struct.pack("<IIQ", ARRAY, STRING, said)),
        Gguf().raw(Gguf().text("a") + struct.pack("<IIQ", ARRAY, 10, said)),
        Gguf().raw(Gguf().text("llama.block_count") + struct.pack("<IIQ", ARRAY, 4, said)),
        Gguf().raw(Gguf().text("a") + struct.pack("<IIQQ", ARRAY, STRING, 5, said)),
    ]
    more_tensors, more_entries = small_llama(), small_llama()
    more_tensors.said_tensors = more_entries.said_entries = said
    tracemalloc.start()
    try:
        for file in (*endless, more_tensors, more_entries):
            assert format_of_bytes(bytes(file)).format == "GGUF"
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def test_arrays_of_arrays_end_the_reading():
    nested = Gguf().text("a") + struct.pack("<I", ARRAY) + struct.pack("<IQ", ARRAY, 1) * 100_000
    found = format_of_bytes(bytes(Gguf().word("general.architecture", "llama").raw(nested)))
    assert (found.architecture, found.param_count) == ("llama", None)


def test_a_later_version_is_only_named():
    assert plain(format_of_bytes(bytes(small_llama(version=7)))) == {
        "format": "GGUF",
        "format_version": 7,
        "tensor_count": 2,
    }


def test_a_name_that_cannot_be_shown_is_not():
    assert format_of_bytes(bytes(Gguf().word("general.architecture", "a\x1b[31m"))).architecture is None
    assert format_of_bytes(safetensors({"a": ("\x00", [1])})).dtype is None


def test_no_more_is_read_of_a_file_than_a_header_may_have():
    class Endless(io.RawIOBase):
        """Letters, without end."""

        read_bytes = at = 0

        def readable(self) -> bool:
            return True

        def seekable(self) -> bool:
            return True

        def seek(self, offset: int, whence: int = 0) -> int:
            self.at = offset if whence == 0 else self.at + offset
            return self.at

        def read(self, size: int = -1) -> bytes:
            Endless.read_bytes += size
            at, self.at = self.at, self.at + size
            head = b"GGUF" + struct.pack("<IQQ", 3, 1, 60_000)
            entry = struct.pack("<Q", 1) + b"k" + struct.pack("<IQ", STRING, 3) + b"abc"
            return (head + entry * (size // len(entry) + 1))[:size] if at == 0 else (entry * (size // 20 + 2))[:size]

    found = format_of(Endless())  # type: ignore[arg-type]
    assert found.format == "GGUF"
    assert Endless.read_bytes <= 2 * MAX_HEADER_BYTES


@pytest.mark.parametrize("kind", ALL)
def test_a_file_cut_at_any_byte_is_read_as_far_as_it_goes_or_refused(kind: str):
    whole = plain(format_of_bytes(ALL[kind]))
    for cut in range(len(ALL[kind])):
        try:
            found = plain(format_of_bytes(ALL[kind][:cut]))
        except NotAModel:
            continue
        # By the type of its tensors one that lost its last lines could seem to be another: then it is not told.
        assert found.items() <= whole.items(), cut


def test_ten_thousand_spoilt_files_raise_nothing_but_that_they_are_none():
    print(f"HOOSH_SEED={SEED}")
    chance, files = random.Random(SEED), list(ALL.values())
    told = refused = 0
    for _ in range(MUTATIONS):
        data = spoilt(chance.choice(files), chance)
        try:
            found = format_of_bytes(data)
        except NotAModel:
            refused += 1
        else:
            told += 1
            assert all(not isinstance(value, int) or 0 <= value < 2**63 for value in plain(found).values())
    assert told > 100
    assert refused > 100


def spoilt(data: bytes, chance: random.Random) -> bytes:
    """Some bytes changed, cut out, put in or doubled; often where lengths and counts are."""
    found = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 4, 16))):
        at = chance.randrange(min(len(found), chance.choice((16, 64, len(found)))) or 1)
        match chance.randrange(6):
            case 0 if found:
                found[at] = chance.randrange(256)
            case 1:
                del found[at : at + chance.randrange(1, 40)]
            case 2:
                found[at:at] = chance.randbytes(chance.randrange(1, 40))
            case 3:
                found[at : at + 8] = struct.pack("<Q", chance.choice((0, 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1)))
            case 4:
                found[at:at] = found[at : at + chance.randrange(1, 200)]
            case _:
                del found[chance.randrange(len(found) + 1) :]
    return bytes(found)


# -- the window ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
def test_a_window_shows_what_the_file_holds_however_one_moves(seed: int):
    chance = random.Random(seed)
    data = chance.randbytes(300_000)
    file: BinaryIO = io.BytesIO(data)
    window, at = Window(file), 0
    while at < len(data):
        assert window.position == at
        count = chance.choice((1, 8, 100, 70_000))
        if at + count > len(data):
            with pytest.raises(CutShort):
                window.take(count)
            break
        if chance.random() < 0.5:
            assert window.take(count) == data[at : at + count]
        else:
            window.skip(count)
        at += count


@pytest.mark.parametrize("sizes", [[0, 5, 100], [70_000] * 5, [0] * 20_000, [65_528, 1, 65_536]])
def test_strings_are_passed_over_as_if_each_were_read(sizes: list[int]):
    data = b"".join(struct.pack("<Q", size) + b"x" * size for size in sizes) + b"end"
    window = Window(io.BytesIO(data))
    window.skip_strings(len(sizes), "<")
    assert window.position == len(data) - 3
    assert window.take(3) == b"end"
