"""Google's Gemini API, native `v1beta`, as an upstream.

encode   chat_body ── contents (who said what) + settings (how to answer) ── schema (for old models)
decode   frames (bytes → JSON texts) → decoder ── reader (one answer → events) ── wire (the structs)
"""

from __future__ import annotations

from hoosh.dialects.gemini.upstream import GeminiUpstream

__all__ = ["GeminiUpstream"]
