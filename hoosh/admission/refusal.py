"""The words of a refusal.  Whoever reads them must know which limit it was, how far off, and when to come back.

Clients search such texts for `Please try again in`, and for the number behind it, written as OpenAI does: `12ms`,
`1.2s`, `6m0s`.
"""

from __future__ import annotations

from hoosh.errors import RateLimited

__all__ = ["Scope", "duration", "refusal"]

Scope = tuple[str, str]
"""What a limit belongs to, and whose it is: ("key", NAME), ("provider", NAME) or ("model", GLOB)."""

_UNITS = {
    "requests": "requests per min (RPM)",
    "tokens": "tokens per min (TPM)",
    "concurrent": "requests at once",
}


def refusal(scope: Scope, what: str, limit: int, used: int, asked: int, retry_after_s: float | None) -> RateLimited:
    """`retry_after_s` None: it can never be let in."""
    kind, name = scope
    facts = f"Limit {limit}, Used {used}, Requested {asked}"
    if retry_after_s is None:
        message = (
            f"The request can never fit the limit of {_UNITS[what]} of the {kind} `{name}`: {facts}. "
            "Shorten the prompt or ask for a shorter reply."
        )
    else:
        message = (
            f"Rate limit of the {kind} `{name}` reached on {_UNITS[what]}: {facts}. "
            f"Please try again in {duration(retry_after_s)}."
        )
    return RateLimited(message, scope=kind, name=name, what=what, retry_after_s=retry_after_s)


def duration(seconds: float) -> str:
    """As OpenAI writes it.  Rounded up to whole milliseconds: who waits so long must not be too early."""
    millis = int(seconds * 1000 + 0.999999)  # 1.1 * 1000 is a little more than 1100, and means 1100
    if millis < 1000:
        return f"{millis}ms" if millis > 0 else "0s"
    minutes, millis = divmod(millis, 60_000)
    text = f"{millis / 1000:g}s"
    return f"{minutes}m{text}" if minutes else text
