"""Model files: which there are, which one a name means, and whether a file is a whole one.  Nothing is ever downloaded.

A name is a file of `models_dir`: `tiny` and `ggml-tiny` are `ggml-tiny.bin`.  It is one plain word, and a link that
leads out of the folder leads nowhere.  What is broken is found here, before the library reads it: the header, the
vocabulary and the place of each tensor are walked through, and the last must end where the file does.

Everything here reads files and blocks: for a worker thread.

Sources: whisper.cpp, `whisper_model_load` (the format) and README.md, "Memory usage"; ggml, `ggml.h` (tensor types).
"""

from __future__ import annotations

import os
import re
import struct
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct

from hoosh.errors import NoRoute, Unavailable
from hoosh.speech.settings import Whisper

__all__ = ["ModelFile", "ModelShelf", "memory_of", "read_model"]

MAGIC = 0x67676D6C
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
MAX_VOCABULARY, MAX_TOKEN_BYTES, MAX_TENSORS = 200_000, 4096, 20_000
ENGLISH_ONLY_VOCABULARY = 51_864
BLOCKS: dict[int, tuple[int, int]] = {
    0: (1, 4),
    1: (1, 2),
    30: (1, 2),  # float32, float16, bfloat16
    2: (32, 18),
    3: (32, 20),
    6: (32, 22),
    7: (32, 24),
    8: (32, 34),
    9: (32, 36),
    10: (256, 84),
    11: (256, 110),
    12: (256, 144),
    13: (256, 176),
    14: (256, 210),
    15: (256, 292),
}
"""Of a type of tensor: numbers in a block, bytes of a block."""
OWN_BYTES = 167_000_000
BYTES_PER_WIDTH = 20_300
"""What a loaded model takes beside its weights: a fit to whisper.cpp's table, from tiny to large within a tenth."""


class ModelFile(Struct, frozen=True):
    """A file that looks like a whole model.  Another file in its place is another model."""

    name: str
    path: str
    file_bytes: int
    changed_ns: int
    is_multilingual: bool
    memory_bytes: int
    """An estimate of what its process will take."""


class ModelShelf:
    """The models of a configuration; remembers which files it has looked through."""

    def __init__(self, settings: Whisper) -> None:
        self._settings = settings
        self._known: dict[tuple[str, int, int], ModelFile] = {}

    def names(self) -> list[str]:
        """What requests may ask for, sorted.  A folder that cannot be read holds nothing."""
        folder = self._settings.models_dir
        try:
            found = {_short(path.stem) for path in Path(folder).glob("*.bin")} if folder else set()
        except OSError:
            found = set()
        configured = self._settings.model
        if configured is not None:
            found.add(_short(Path(configured).stem if _is_path(configured) else configured))
        return sorted(name for name in found if NAME.fullmatch(name))

    def find(self, name: str | None) -> ModelFile:
        """The model of this name, or the configured one.

        Raises NoRoute where there is none of this name, Unavailable where none is configured or its file is broken.
        """
        configured = self._settings.model
        if name is None or (configured is not None and _is_path(configured) and _short(name) == self._own_name()):
            if configured is None:
                raise Unavailable("No whisper model is configured: the owner of this gateway can name one.")
            name = configured
            if _is_path(configured):
                return self._look(Path(configured), self._own_name())
        path = self._in_folder(name)
        if path is None:
            raise NoRoute(name[:200])
        return self._look(path, _short(path.stem))

    def _own_name(self) -> str:
        return _short(Path(self._settings.model or "").stem)

    def _in_folder(self, name: str) -> Path | None:
        folder = self._settings.models_dir
        stem = name.removesuffix(".bin")
        if folder is None or not NAME.fullmatch(stem):
            return None
        try:
            home = Path(folder).resolve(strict=True)
            for file in (f"{stem}.bin", f"ggml-{stem}.bin"):
                path = home / file
                if path.is_file() and path.resolve(strict=True).is_relative_to(home):
                    return path
        except OSError:
            pass
        return None

    def _look(self, path: Path, name: str) -> ModelFile:
        try:
            seen = path.stat()
            key = (str(path), seen.st_size, seen.st_mtime_ns)
            if key not in self._known:
                self._known = {one: model for one, model in self._known.items() if one[0] != str(path)}
                self._known[key] = read_model(path, name)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise Unavailable(f"The whisper model `{name}` cannot be read: {reason}.", code="model_missing") from None
        return self._known[key]


def read_model(path: Path, name: str) -> ModelFile:
    """Look through a file.  Raises OSError, and Unavailable where it is no whole model."""
    with path.open("rb") as file:
        seen = os.fstat(file.fileno())
        try:
            vocabulary, width, layers = _walk(file, seen.st_size)
        except (struct.error, _Broken) as broken:
            what = str(broken) if isinstance(broken, _Broken) else "it ends too early"
            message = f"The whisper model `{name}` is broken: {what}."
            raise Unavailable(message, code="model_broken") from None
    memory_bytes = memory_of(seen.st_size, width, layers)
    is_multilingual = vocabulary > ENGLISH_ONLY_VOCABULARY
    return ModelFile(name, str(path), seen.st_size, seen.st_mtime_ns, is_multilingual, memory_bytes)


def memory_of(file_bytes: int, width: int, layers: int) -> int:
    """Bytes that the process of such a model takes, about."""
    return file_bytes + OWN_BYTES + BYTES_PER_WIDTH * width * layers


class _Broken(Exception):
    """What is wrong with a file, as the end of a sentence."""


def _walk(file: BinaryIO, size: int) -> tuple[int, int, int]:
    """Vocabulary, width and layers.  Raises _Broken, struct.error."""
    if _numbers(file, "I") != (MAGIC,):
        raise _Broken("it is no ggml file")
    vocabulary, audio_ctx, width, heads, layers, text_ctx, text_width, text_heads, text_layers, mels, _ = _numbers(
        file, "11i"
    )
    sizes = (vocabulary, audio_ctx, width, heads, layers, text_ctx, text_heads, text_layers, mels)
    if min(sizes) < 1 or max(sizes) > MAX_VOCABULARY or text_width != width or width % heads or width % text_heads:
        raise _Broken("its header makes no sense")
    filters, bins = _numbers(file, "2i")
    if filters != mels or not 0 < bins <= 4096:
        raise _Broken("its mel filters make no sense")
    _skip(file, 4 * filters * bins, size)
    _walk_vocabulary(file, size)
    _walk_tensors(file, size)
    return vocabulary, width, layers


def _walk_vocabulary(file: BinaryIO, size: int) -> None:
    (words,) = _numbers(file, "i")
    if not 0 <= words <= MAX_VOCABULARY:
        raise _Broken("its vocabulary makes no sense")
    for _ in range(words):
        (length,) = _numbers(file, "I")
        if length > MAX_TOKEN_BYTES or len(file.read(length)) < length:
            raise _Broken("its vocabulary makes no sense")


def _walk_tensors(file: BinaryIO, size: int) -> None:
    for _ in range(MAX_TENSORS):
        if file.tell() == size:
            return
        axes, length, kind = _numbers(file, "3i")
        if not 1 <= axes <= 4 or not 0 < length <= 512:
            raise _Broken("a tensor makes no sense")
        lengths = _numbers(file, f"{axes}i")
        file.read(length)
        if kind not in BLOCKS:
            return  # a newer kind: the library will know
        block, block_bytes = BLOCKS[kind]
        count = 1
        for one in lengths:
            if one < 1:
                raise _Broken("a tensor makes no sense")
            count *= one
        _skip(file, count // block * block_bytes, size)
    raise _Broken("it has too many tensors")


def _numbers(file: BinaryIO, form: str) -> tuple[int, ...]:
    layout = struct.Struct(f"<{form}")
    return layout.unpack(file.read(layout.size))


def _skip(file: BinaryIO, count: int, size: int) -> None:
    if file.tell() + count > size:
        raise _Broken("it ends too early")
    file.seek(count, os.SEEK_CUR)


def _is_path(model: str) -> bool:
    return "/" in model


def _short(stem: str) -> str:
    return stem.removesuffix(".bin").removeprefix("ggml-")
