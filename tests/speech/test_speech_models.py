"""Which model a name means, and which files are none."""

from __future__ import annotations

import pytest

pytest.importorskip("numpy")
from parrot_model import write_parrot
from speech_house import WIRE

from hoosh.errors import NoRoute, Unavailable
from hoosh.speech import Whisper
from hoosh.speech.models import ModelShelf, read_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shelf")
    write_parrot(folder / "ggml-parrot.bin")
    write_parrot(folder / "grey.bin", multilingual=False)
    (folder / "notes.txt").write_text("no model")
    return folder


def test_a_name_may_leave_out_what_all_have(folder):
    shelf = ModelShelf(Whisper(models_dir=str(folder)))
    assert shelf.names() == ["grey", "parrot"]
    for name in ("parrot", "ggml-parrot", "ggml-parrot.bin", "parrot.bin"):
        assert shelf.find(name).path == str(folder.resolve() / "ggml-parrot.bin")
    assert (shelf.find("parrot").is_multilingual, shelf.find("grey").is_multilingual) == (True, False)


def test_a_configured_model_may_be_a_path_or_a_name(folder):
    by_path = ModelShelf(Whisper(model=str(folder / "grey.bin")))
    assert by_path.find(None) == by_path.find("grey")
    assert by_path.names() == ["grey"]
    by_name = ModelShelf(Whisper(model="grey", models_dir=str(folder)))
    assert by_name.find(None).name == "grey"


@pytest.mark.parametrize(
    "name", ["..", "../grey", "/etc/passwd", "", ".hidden", "a/b", "grey\0", "x" * 200, "notes.txt"]
)
def test_no_name_leads_out_of_the_folder(folder, name):
    with pytest.raises(NoRoute):
        ModelShelf(Whisper(models_dir=str(folder / "sub"))).find(name)
    with pytest.raises(NoRoute):
        ModelShelf(Whisper(models_dir=str(folder))).find(name)


def test_a_link_that_leads_out_leads_nowhere(folder, tmp_path):
    (tmp_path / "out.bin").symlink_to(folder / "grey.bin")
    (tmp_path / "own.bin").write_bytes((folder / "grey.bin").read_bytes())
    (tmp_path / "in.bin").symlink_to("own.bin")
    shelf = ModelShelf(Whisper(models_dir=str(tmp_path)))
    assert shelf.find("in").is_multilingual is False
    with pytest.raises(NoRoute):
        shelf.find("out")


def test_a_model_that_is_not_there_is_said_to_be_missing(tmp_path):
    with pytest.raises(Unavailable, match="`tiny` cannot be read: No such file") as caught:
        ModelShelf(Whisper(model=str(tmp_path / "ggml-tiny.bin"))).find(None)
    assert caught.value.code == "model_missing"
    assert str(tmp_path) not in str(caught.value)


def test_a_file_cut_anywhere_is_broken(folder, tmp_path):
    whole = (folder / "ggml-parrot.bin").read_bytes()
    path = tmp_path / "cut.bin"
    lengths = {0, 1, 4, 48, 56, 60, 64_000, 66_000, len(whole) // 2, len(whole) - 1}
    for length in sorted(lengths):
        path.write_bytes(whole[:length])
        with pytest.raises(Unavailable, match="`cut` is broken") as caught:
            read_model(path, "cut")
        assert caught.value.code == "model_broken"


@pytest.mark.parametrize("place", range(4, 44, 4))
@pytest.mark.parametrize("value", [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f"])
def test_a_header_that_makes_no_sense_is_broken(folder, tmp_path, place, value):
    data = bytearray((folder / "grey.bin").read_bytes()[:70_000])
    data[place : place + 4] = value
    path = tmp_path / "odd.bin"
    path.write_bytes(data)
    with pytest.raises(Unavailable, match="header makes no sense"):
        read_model(path, "odd")


def test_what_is_no_ggml_file_is_broken(tmp_path):
    path = tmp_path / "no.bin"
    path.write_bytes(b"GGUF" + bytes(1000))
    with pytest.raises(Unavailable, match="no ggml file"):
        read_model(path, "no")


@pytest.mark.skipif(not WIRE.is_dir(), reason="the shared recordings are not here")
def test_a_model_without_weights_is_a_whole_one():
    model = read_model(WIRE / "for-tests-ggml-tiny.bin", "tiny")
    assert (model.file_bytes, model.is_multilingual) == (575_451, True)


@pytest.mark.parametrize(
    ("width", "layers", "file_mb", "memory_mb"),
    [(384, 4, 75, 273), (512, 6, 142, 388), (768, 12, 466, 852), (1024, 24, 1536, 2150), (1280, 32, 2970, 3994)],
)
def test_the_estimate_of_memory_is_near_what_whisper_cpp_says(width, layers, file_mb, memory_mb):
    from hoosh.speech.models import memory_of

    assert memory_of(file_mb * 10**6, width, layers) == pytest.approx(memory_mb * 10**6, rel=0.1)
