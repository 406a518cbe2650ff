"""What is asked of a gateway, and how its answer is read: values, before anything is sent.

    chats.chat(…) ──▶ Question ──carrier (waits or blocks)──▶ Answer ──question.read──▶ what the caller gets

Everything that the two faces of the client have in common is here and in the modules that build questions; the
carriers only move bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Generic, Literal, TypeVar

import msgspec

from hoosh.codec.form_upload import FormUpload
from hoosh.errors import ProtocolViolation

__all__ = ["Answer", "Question", "Repeat", "as_json", "read_as", "with_query"]

T = TypeVar("T")

Repeat = Literal["reading", "asking", "changing", "once"]
"""When a question may be put again after a failure (see `retry.py`):

    reading     it changes nothing: after every failure that may pass
    asking      inference, which costs: where nothing of an answer has come
    changing    it changes something: where it has certainly not been heard
    once        what it sends is gone when it has been read, as what comes through a pipe
"""


class Answer(msgspec.Struct, frozen=True):
    """A whole answer with a good status."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes
    took_s: float


class Question(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    method: str
    path: str
    """With its query string, and quoted already."""
    read: Callable[[Answer], T]
    """Raises ProtocolViolation for what no gateway of ours answers."""
    repeat: Repeat
    body: bytes | FormUpload | None = None
    headers: Mapping[str, str] = {}
    timeout_s: float | None = None
    """Of everything together: attempts, the waits between them, the answer's last byte."""


def read_as(shape: type[T]) -> Callable[[Answer], T]:
    """Reads a JSON body as `shape`; what it has besides is passed over."""
    decoder = msgspec.json.Decoder(shape)

    def read(answer: Answer) -> T:
        try:
            return decoder.decode(answer.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise ProtocolViolation("this is no answer of a hoosh gateway; is the server's address right?") from None

    return read


def as_json(value: object) -> bytes:
    """Raises TypeError for what JSON cannot say."""
    return msgspec.json.encode(value)


def with_query(path: str, **said: object) -> str:
    """`path` with what is not None, quoted."""
    from urllib.parse import urlencode

    query = urlencode({name: _word(value) for name, value in said.items() if value is not None})
    return f"{path}?{query}" if query else path


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
