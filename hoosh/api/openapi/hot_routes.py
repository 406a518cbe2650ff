"""The routes of inference: those of `api/inference.py`, one for one."""

from __future__ import annotations

from typing import Any

from hoosh.api.openapi import answers as got
from hoosh.api.openapi import bodies as sent
from hoosh.api.openapi.examples import ANSWERS, BODIES
from hoosh.api.openapi.route import BINARY, JSON, Content, Language, Parameter, Route, header, number, word

__all__ = ["HOT_ROUTES"]

# Without a type: before OpenAPI 3.2 some read it as that of the whole stream, and others as that of each event.
EVENTS: Content = ("text/event-stream", {"description": "Server-sent events."})
LINES: Content = ("application/x-ndjson", {"description": "A JSON object a line."})
SOUND: tuple[Content, ...] = (
    *((kind, BINARY) for kind in ("audio/mpeg", "audio/wav", "audio/opus", "audio/ogg", "audio/aac", "audio/flac")),
    *((kind, BINARY) for kind in ("audio/pcm", "application/octet-stream")),
)

SECONDS = {"type": "number", "exclusiveMinimum": 0, "maximum": 3600}
WISHES: tuple[Parameter, ...] = (
    header("x-hoosh-provider", "Whom to ask, by the name of a provider; as `provider` in the body."),
    header("x-hoosh-pool", "Which budget pays; as `pool` in the body."),
    header(
        "x-hoosh-privacy",
        "`local`: only engines of the owner's own may answer.",
        {"type": "string", "enum": ["local", "any"]},
    ),
    header(
        "x-hoosh-priority",
        "How urgent it is; never more than the key may have.",
        {"type": "string", "enum": ["critical", "high", "normal", "low", "background"]},
    ),
    header("x-hoosh-timeout", "Seconds for the whole request.", SECONDS),
    header("x-hoosh-max-price", "USD for a million tokens of reply, at most.", {"type": "number", "minimum": 0}),
    header(
        "x-hoosh-attempts",
        "`detail`: each attempt is told in `x-hoosh-attempts-detail`.",
        {"type": "string", "enum": ["detail"]},
    ),
    header("x-hoosh-cache", "`no-store`, `no-cache`, `only-if-cached`, or several: what kept answers are good for."),
    header("cache-control", "The same as `x-hoosh-cache` (RFC 9111); what is not understood is ignored."),
)
VERSION = header("anthropic-version", "Of Anthropic's API: `2023-06-01`.")
BETA = header("anthropic-beta", "What a client of Anthropic's wants to try; goes on to Anthropic.")


def _hot(
    path: str,
    name: str,
    tag: str,
    summary: str,
    answers: tuple[Content, ...],
    bodies: tuple[Content, ...],
    *,
    language: Language = "openai",
    parameters: tuple[Parameter, ...] = (),
    example: Any = None,
    body: Any = None,
) -> Route:
    return Route(
        method="POST",
        path=path,
        name=name,
        tag=tag,
        summary=summary,
        answers=answers,
        bodies=bodies,
        language=language,
        parameters=(*WISHES, *parameters),
        refusals=(402, 404, 429, 502, 504, *((529,) if language == "anthropic" else ())),
        hot=True,
        example=None if example is None else ANSWERS[example],
        sent=None if body is None else BODIES[body],
    )


def _form(kind: type) -> tuple[Content, ...]:
    return ("multipart/form-data", kind), ("application/octet-stream", BINARY), ("audio/*", BINARY)


TRANSCRIPTS: tuple[Content, ...] = (
    (JSON, got.Transcription),
    ("text/plain", {"type": "string"}),
    ("text/vtt", {"type": "string"}),
    ("application/x-subrip", {"type": "string"}),
)
BARE = (
    word("model", "Where the body is the sound itself; `whisper-1` where it is not said."),
    word("language", "Of the sound, where the body is the sound itself."),
    word("prompt", "As in the form, where the body is the sound itself."),
    word("response_format", "As in the form, where the body is the sound itself."),
    number("temperature", "As in the form, where the body is the sound itself.", 0, 1),
)

VECTORS: Content = (JSON, {"anyOf": [got.OllamaVectors, got.OllamaVector]})
"""At both paths: the older form is for who sends `prompt` and no `input`."""

HOT_ROUTES: tuple[Route, ...] = (
    _hot(
        "/v1/chat/completions",
        "createChatCompletion",
        "OpenAI",
        "Answer a conversation.",
        ((JSON, got.ChatCompletion), EVENTS),
        ((JSON, sent.ChatRequest),),
        example="chat",
        body="chat",
    ),
    _hot(
        "/v1/completions",
        "createCompletion",
        "OpenAI",
        "Go on with a text.",
        ((JSON, got.Completion), EVENTS),
        ((JSON, sent.CompletionRequest),),
        example="completion",
        body="completion",
    ),
    _hot(
        "/v1/embeddings",
        "createEmbedding",
        "OpenAI",
        "Vectors of texts.",
        ((JSON, got.EmbeddingList),),
        ((JSON, sent.EmbeddingsRequest),),
        example="embeddings",
        body="embeddings",
    ),
    _hot(
        "/v1/responses",
        "createResponse",
        "OpenAI",
        "Answer a conversation, and keep the answer unless `store` is false.",
        ((JSON, got.Response), EVENTS),
        ((JSON, sent.ResponseRequest),),
        example="response",
        body="response",
    ),
    _hot(
        "/v1/responses/input_tokens",
        "countResponseTokens",
        "OpenAI",
        "How long the prompt of such a request is.",
        ((JSON, got.InputTokens),),
        ((JSON, sent.ResponseRequest),),
        body="response",
    ),
    _hot(
        "/v1/audio/transcriptions",
        "createTranscription",
        "Audio",
        "Speech to text.",
        (*TRANSCRIPTS, EVENTS),
        _form(sent.TranscriptionForm),
        parameters=BARE,
        example="transcription",
    ),
    _hot(
        "/v1/audio/translations",
        "createTranslation",
        "Audio",
        "Speech to English text.",
        TRANSCRIPTS,
        _form(sent.TranslationForm),
        parameters=BARE,
        example="transcription",
    ),
    _hot(
        "/v1/audio/speech",
        "createSpeech",
        "Audio",
        "Text to speech.",
        (*SOUND, EVENTS),
        ((JSON, sent.SpeechRequest),),
        body="speech",
    ),
    _hot(
        "/v1/transcribe",
        "transcribe",
        "Audio",
        "Speech to text, at its older path.",
        (*TRANSCRIPTS, EVENTS),
        _form(sent.TranscriptionForm),
        parameters=BARE,
    ),
    _hot(
        "/v1/messages",
        "createMessage",
        "Anthropic",
        "Answer a conversation.",
        ((JSON, got.Message), EVENTS),
        ((JSON, sent.MessagesRequest),),
        language="anthropic",
        parameters=(VERSION, BETA),
        body="messages",
    ),
    _hot(
        "/v1/messages/count_tokens",
        "countMessageTokens",
        "Anthropic",
        "How long the prompt of such a request is.",
        ((JSON, got.MessageTokens),),
        ((JSON, sent.CountTokensRequest),),
        language="anthropic",
        parameters=(VERSION, BETA),
        body="messages",
    ),
    _hot(
        "/api/chat",
        "ollamaChat",
        "Ollama",
        "Answer a conversation.",
        ((JSON, got.OllamaChat), LINES),
        ((JSON, sent.OllamaChatRequest),),
        language="ollama",
        body="ollama_chat",
    ),
    _hot(
        "/api/generate",
        "ollamaGenerate",
        "Ollama",
        "Go on with a text.",
        ((JSON, got.OllamaGenerated), LINES),
        ((JSON, sent.OllamaGenerateRequest),),
        language="ollama",
        body="ollama_generate",
    ),
    _hot(
        "/api/embed",
        "ollamaEmbed",
        "Ollama",
        "Vectors of texts.",
        (VECTORS,),
        ((JSON, sent.OllamaEmbedRequest),),
        language="ollama",
        body="ollama_embed",
    ),
    _hot(
        "/api/embeddings",
        "ollamaEmbeddings",
        "Ollama",
        "The vector of a text, in the older form, for a `prompt`; else as `/api/embed`.",
        (VECTORS,),
        ((JSON, sent.OllamaLegacyEmbeddingsRequest),),
        language="ollama",
        body="ollama_embeddings",
    ),
)
