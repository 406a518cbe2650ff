"""Two verdicts on a request that clients act upon, recognised in every provider's words.

    context_length_exceeded     the prompt (or prompt and reply) is too long for the model: clients compact it
    content_policy_violation    the prompt or the answer was refused by a filter: asking again is of no use

OpenAI says so in `code`; others in a type, in a code of their own, or in words alone.  Words count only where the
status allows it: a limit of tokens a minute (429) is not a limit of the context.

Source: wire notes 2.1 to 2.17; recorded and published error messages of OpenAI, Azure, Anthropic, Gemini, Mistral,
Groq, xAI, DeepSeek, OpenRouter, Ollama, llama.cpp, LM Studio, vLLM, Hugging Face and TensorRT-LLM.
"""

from __future__ import annotations

import re

__all__ = ["CONTEXT", "POLICY", "verdict_in"]

CONTEXT = "context_length_exceeded"
POLICY = "content_policy_violation"

_CONTEXT_STATUSES = frozenset({None, 400, 413, 422, 500})
_POLICY_STATUSES = frozenset({None, 400, 403, 422, 451})

_CODES = {
    CONTEXT: CONTEXT,
    "exceed_context_size_error": CONTEXT,  # llama.cpp
    "model_context_window_exceeded": CONTEXT,
    POLICY: POLICY,
    "content_filter": POLICY,  # Azure
    "responsibleaipolicyviolation": POLICY,
    "moderation_flagged": POLICY,
    "prohibited_content": POLICY,  # Gemini
}

_context_words = re.compile(
    r"max(?:imum)? (?:context|prompt|input|model) (?:length|size|window)"  # most
    r"|(?:prompt|input) (?:is )?too long"  # Anthropic
    r"|exceed.{0,80}context (?:length|window|size|limit)"  # llama.cpp, OpenAI's Responses, Ollama, Anthropic
    r"|context (?:length|window|size|limit).{0,40}exceed"
    r"|(?:greater|longer|larger) than.{0,60}context (?:length|window|size)"  # LM Studio
    r"|token count.{0,60}exceeds the max"  # Gemini
    r"|reduce the length of the (?:messages|prompt|input)"  # Groq, OpenAI
    r"|exceed.{0,40}max_(?:seq|input|model)_len|(?:prompt|input) length.{0,60}exceed"  # TensorRT-LLM
    r"|`inputs`? (?:tokens )?(?:\+ `max_new_tokens|must have less than)"  # Hugging Face, Together
    r"|input .{0,40}is too large to process"  # llama.cpp: an embedding beyond its batch
    r"|context the overflows|the model is loaded with context length"  # LM Studio
)
_policy_words = re.compile(
    r"\b(?:prompt|content|input|output|request|response|image|message)s?\b.{0,80}"
    r"\b(?:violat\w+|flagged|blocked|filtered|rejected)\b.{0,80}\b(?:polic|guideline|safety|moderation|content)"
    r"|moderation.{0,80}\bflagged\b"  # OpenRouter
    r"|content exists risk"  # DeepSeek
    r"|blocked.{0,40}\b(?:safety|prohibited_content|blocklist)"  # Gemini
)

CHARS_MAX = 4000


def verdict_in(status: int | None, code: str | None, kind: str | None, words: str) -> str | None:
    """The code of the verdict that an error speaks; None for any other error.  `words` are all there are."""
    for said in (code, kind):
        if said and (verdict := _CODES.get(said.lower())) is not None:
            return verdict
    text = words[:CHARS_MAX].lower()
    if status in _CONTEXT_STATUSES and _context_words.search(text):
        return CONTEXT
    return POLICY if status in _POLICY_STATUSES and _policy_words.search(text) else None
