"""The languages that whisper knows, by code and by English name.

Source: the table LANGUAGES of openai/whisper, `whisper/tokenizer.py`, as whisper.cpp has it.
"""

from __future__ import annotations

from collections.abc import Mapping

from hoosh.errors import InvalidRequest

__all__ = ["LANGUAGES", "language_code", "language_name"]

_TABLE = """
en english|zh chinese|de german|es spanish|ru russian|ko korean|fr french|ja japanese|pt portuguese|tr turkish
pl polish|ca catalan|nl dutch|ar arabic|sv swedish|it italian|id indonesian|hi hindi|fi finnish|vi vietnamese
he hebrew|uk ukrainian|el greek|ms malay|cs czech|ro romanian|da danish|hu hungarian|ta tamil|no norwegian
th thai|ur urdu|hr croatian|bg bulgarian|lt lithuanian|la latin|mi maori|ml malayalam|cy welsh|sk slovak
te telugu|fa persian|lv latvian|bn bengali|sr serbian|az azerbaijani|sl slovenian|kn kannada|et estonian
mk macedonian|br breton|eu basque|is icelandic|hy armenian|ne nepali|mn mongolian|bs bosnian|kk kazakh
sq albanian|sw swahili|gl galician|mr marathi|pa punjabi|si sinhala|km khmer|sn shona|yo yoruba|so somali
af afrikaans|oc occitan|ka georgian|be belarusian|tg tajik|sd sindhi|gu gujarati|am amharic|yi yiddish|lo lao
uz uzbek|fo faroese|ht haitian creole|ps pashto|tk turkmen|nn nynorsk|mt maltese|sa sanskrit|lb luxembourgish
my myanmar|bo tibetan|tl tagalog|mg malagasy|as assamese|tt tatar|haw hawaiian|ln lingala|ha hausa|ba bashkir
jw javanese|su sundanese|yue cantonese
"""
LANGUAGES: Mapping[str, str] = dict(
    entry.split(" ", 1) for line in _TABLE.strip().splitlines() for entry in line.split("|")
)
"""Name by code."""
_CODES = {name: code for code, name in LANGUAGES.items()}


def language_code(asked: str | None) -> str | None:
    """The code of a language that a request names by code (`de`, `de-AT`) or name (`German`).

    None where the model shall find out (None, empty, `auto`).  Raises InvalidRequest.
    """
    word = (asked or "").strip().casefold()
    if word in ("", "auto"):
        return None
    code = _CODES.get(word, word)
    if code not in LANGUAGES:
        code = code.replace("_", "-").partition("-")[0]
    if code not in LANGUAGES:
        message = f"Whisper does not know the language `{word[:40]}`: give a code such as `en` or `de`."
        raise InvalidRequest(message, param="language", code="unsupported_language")
    return code


def language_name(code: str | None) -> str:
    """As OpenAI tells it in `verbose_json`: `english`; empty where nobody knows."""
    return LANGUAGES.get(code or "", code or "")
