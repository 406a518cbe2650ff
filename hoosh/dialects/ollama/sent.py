"""An Ollama client's stream as it has got it, and the lines that go on with it: each says the model, and is whole."""

from __future__ import annotations

from hoosh.dialects.contract import DownstreamDialect, Ending, Stamp, StreamEncoder
from hoosh.dialects.ollama.decoder import OllamaDecoder
from hoosh.values import Call, ReplyEvent, ReplyStarted

__all__ = ["SentLines"]


class SentLines:
    """A `SentStream`."""

    __slots__ = ("_decoder", "_model")

    def __init__(self) -> None:
        self._decoder = OllamaDecoder(provider="")
        self._model = ""

    def read(self, sent: bytes) -> list[ReplyEvent]:
        events = self._decoder.feed(sent)
        if not self._model and events and isinstance(start := events[0], ReplyStarted):
            self._model = start.model
        return events

    def pause(self) -> bool:
        _, ending = self._decoder.close()
        self._decoder = OllamaDecoder(provider="")
        return ending is Ending.CUT

    def encoder(self, downstream: DownstreamDialect, call: Call, stamp: Stamp, text: str) -> StreamEncoder:
        encoder = downstream.chat_encoder(call, stamp)
        encoder.encode((ReplyStarted("", self._model),))
        return encoder
