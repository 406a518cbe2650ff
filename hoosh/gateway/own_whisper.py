"""Speech to text in the house: the engine of `hoosh.speech` as one more upstream, called `own-whisper`.

So routing, limits, failover and bills need not know that nobody else is asked.  What it is asked is an `InHouse`: the
request itself, with its sound in a file.  What it answers comes by `own_whisper_attempt.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from hoosh.dialects.audio import USUAL_MODEL, AudioDialect, AudioReply, InHouse
from hoosh.dialects.contract import Outgoing, UpstreamDialect
from hoosh.errors import HooshError, InvalidRequest, UpstreamBroke
from hoosh.gateway.own_whisper_attempt import WhisperAttempt
from hoosh.health import Condition
from hoosh.http.client import PoolStatistics
from hoosh.routing import Route
from hoosh.speech import Transcript, Whisper, check_format, render
from hoosh.speech.engine import SpeechEngine
from hoosh.speech.models import ModelShelf
from hoosh.values import (
    CallKind,
    Capability,
    ModelCard,
    ModelFacts,
    ProviderState,
    SpeechRequest,
    TranscriptionRequest,
    Usage,
)

__all__ = ["OWN_WHISPER", "OwnWhisper", "own_whisper_route"]

OWN_WHISPER = "own-whisper"
LISTENING = frozenset({CallKind.TRANSCRIPTION, CallKind.TRANSLATION})
LISTENS = ModelFacts(
    can=frozenset({Capability.TRANSCRIPTION}),
    cannot=frozenset({Capability.CHAT, Capability.EMBEDDINGS, Capability.SPEECH}),
    source="provider",
)


def own_whisper_route(settings: Whisper) -> Route | None:
    """None where nothing is configured.  Looks at a folder: blocks."""
    if settings.model is None and settings.models_dir is None:
        return None
    names = _asked_for(ModelShelf(settings).names(), has_usual=settings.model is not None)
    # With no name at all it would be asked for everything.
    return Route(OWN_WHISPER, models=names or (OWN_WHISPER,), presumed=True, local=True, kinds=LISTENING)


def _asked_for(names: Sequence[str], *, has_usual: bool) -> tuple[str, ...]:
    """By these names; the configured model also by the one that clients of OpenAI have for it."""
    return (*names, USUAL_MODEL) if has_usual else tuple(names)


class OwnWhisper:
    """The upstream.  `total_s` is what one transcription may take."""

    name = OWN_WHISPER
    type_name = "whisper"
    local = True
    max_tokens_limit: int | None = None
    first_token_s = math.inf

    def __init__(self, engine: SpeechEngine, dialect: UpstreamDialect, total_s: float) -> None:
        self.dialect = dialect
        self.audio: AudioDialect | None = OwnWhisperAudio()
        self.lacks: set[str] = set()
        self._engine = engine
        self._total_s = total_s

    def attempt(self, outgoing: Outgoing, left_s: float | None = None) -> WhisperAttempt:
        assert isinstance(outgoing, InHouse), "what is no recording is asked of nobody here"
        return WhisperAttempt(self._engine, outgoing.request, self._total_s if left_s is None else left_s)

    async def list_models(self) -> list[ModelCard]:
        """Looks at a folder, in a thread."""
        names = _asked_for(await self._engine.names(), has_usual=self._engine.has_usual_model)
        return [ModelCard(name, "hoosh", facts=LISTENS) for name in names]

    async def probe(self) -> None:
        """Is the configured model there, and whole?  Looks at files, in a thread; raises UpstreamBroke."""
        try:
            await self._engine.check()
        except HooshError as error:
            raise UpstreamBroke(str(error), provider=self.name, code=error.code) from None

    def state(self, condition: Condition) -> ProviderState:
        return ProviderState(
            name=self.name,
            type=self.type_name,
            base_url="",
            local=True,
            status=condition.status,
            breakers=condition.breakers,
            consecutive_failures=condition.consecutive_failures,
            last_error=condition.last_error,
            last_check_age_s=condition.checked_ago_s,
            models=(),
        )

    def statistics(self) -> PoolStatistics | None:
        return None


class OwnWhisperAudio:
    """An `AudioDialect`: the request goes as it is, and a whole transcript comes back as a `Transcript`."""

    name = OWN_WHISPER
    takes_files = True

    def encode_transcription(self, request: TranscriptionRequest, *, model: str) -> tuple[Outgoing, ...]:
        check_format(request.response_format)
        return (InHouse("/v1/audio/transcriptions", request=replace(request, model=model)),)

    def decode_transcription(
        self, request: TranscriptionRequest, media_type: str, body: bytes, *, provider: str
    ) -> AudioReply:
        transcript = msgspec.json.decode(body, type=Transcript)
        told, media_type = render(transcript, request.response_format, request.granularities)
        return AudioReply(told, media_type, Usage(audio_ms=round(transcript.duration_s * 1000)))

    def encode_speech(self, request: SpeechRequest, *, model: str) -> tuple[Outgoing, ...]:
        raise InvalidRequest("The gateway itself listens, and does not speak.", param="model")

    def wraps_speech(self, request: SpeechRequest, media_type: str) -> bool:
        return False

    def decode_speech(self, request: SpeechRequest, media_type: str, body: bytes, *, provider: str) -> AudioReply:
        raise UpstreamBroke("The gateway itself does not speak.", provider=provider)
