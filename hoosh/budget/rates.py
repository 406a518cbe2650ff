"""What a model makes of a prompt's bytes: six rates, each with a doubt, and what reports do to them.

    tokens ≈ text_bytes·a + messages·b + tool_bytes·c + d (with tools) + e (each request) + fixed_tokens·f

The doubt of a rate is a variance.  A report's error is shared out among the rates by how much each may have caused it
(its doubt times its part in the prompt); the doubts of those that were put to the test shrink, down to a floor, so that
a change is still followed.  This is a Kalman filter that leaves the covariances out: on recorded traffic it does as
well as the whole one, and far better than a single ratio of bytes to tokens.

    foretold well         every report sharpens the rates a little
    off beyond belief     moves them little (the further off, the less) and makes us less sure: one absurd report does
                          no harm, several that agree are believed

Source of the starting ratios: reference section 12.1; of Anthropic's tokens for tools: its guide to tool use.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite, sqrt

from hoosh.budget.weight import Weight

__all__ = ["Rates", "starting_rates"]

# -- where learning begins ---------------------------------------------------------------------------------------

BYTES_PER_TOKEN = {
    **dict.fromkeys(("openai", "deepseek", "mistral", "groq", "grok", "openrouter"), 3.8),
    "anthropic": 3.5,
    **dict.fromkeys(("ollama", "llamacpp", "lmstudio", "localai"), 3.7),
}
BYTES_PER_TOKEN_ELSEWHERE = 4.0
MESSAGE_TOKENS, REQUEST_TOKENS = 4.0, 3.0
TOOL_BYTE = 0.8
"""Of the tokens of a byte of text: schemas are rewritten, mostly to something shorter."""
TOOLS_TOKENS = {"anthropic": 346.0}
"""Of the words that a provider puts around the tools.  Anthropic documents 159 to 530, by model and tool choice."""
TOOLS_TOKENS_ELSEWHERE = 60.0

# -- how sure, and how fast --------------------------------------------------------------------------------------

BYTE_DOUBT, TOOL_BYTE_DOUBT = 0.25, 0.4
"""Standard deviations, as parts of the rate of a byte of text; then in tokens, then of the factor of fixed tokens."""
MESSAGE_DOUBT, TOOLS_DOUBT, REQUEST_DOUBT = 2.0, 150.0, 4.0
FIXED_DOUBT = 0.4
DOUBT_FLOOR, DOUBT_GROWTH = 0.02, 1.5
NOISE, NOISE_TOKENS = 0.08, 3.0
"""A report differs so much from what bytes can foretell: a part of it, and some tokens."""
SURPRISE = 3.0
"""Standard deviations from which on a report is doubted."""
RATE_MAX = 1e6

PIECE_MILLITOKENS, PIECE_MILLITOKENS_MIN, PIECE_MILLITOKENS_MAX = 1_000, 900, 1_000_000
PIECES_STEP = 0.1
PIECES_FOR_HALF = 8
"""A stream of so many pieces teaches half as much as a long one."""
PIECES_LEAP = 4
"""Times more, or less, that one stream can claim."""


class Rates:
    """Of one model, or of one provider's models together."""

    __slots__ = ("doubts", "doubts_at_first", "piece_millitokens", "rates", "reports", "streams")

    def __init__(self, rates: Sequence[float], doubts: Sequence[float]) -> None:
        self.rates = list(rates)
        self.doubts = list(doubts)
        """Variances."""
        self.doubts_at_first = tuple(doubts)
        self.piece_millitokens = PIECE_MILLITOKENS
        """Of one piece of a streamed reply: whole thousandths, so that they can be divided both ways exactly."""
        self.reports = self.streams = 0
        """How often it was taught, by prompts and by streams."""

    def tokens(self, weight: Weight) -> float:
        text, message, tool, tools, request, fixed = self.rates
        tokens = weight.text_bytes * text + weight.messages * message + weight.fixed_tokens * fixed + request
        return tokens + weight.tool_bytes * tool + weight.has_tools * tools

    def learn(self, weight: Weight, counted: int) -> None:
        """An upstream has `counted` the tokens of this prompt."""
        rates, doubts = self.rates, self.doubts
        guess = self.tokens(weight)
        parts = [(at, part) for at, part in enumerate(_parts(weight)) if part]
        spread = (NOISE * min(guess, counted) + NOISE_TOKENS) ** 2
        for at, part in parts:
            spread += doubts[at] * part * part
        error, bound = counted - guess, SURPRISE * sqrt(spread)
        is_surprise = not -bound <= error <= bound
        step = (bound * bound / error if is_surprise else error) / spread
        for at, part in parts:
            share = doubts[at] * part
            rates[at] = min(max(0.0, rates[at] + share * step), RATE_MAX)
            doubt = doubts[at] * DOUBT_GROWTH if is_surprise else doubts[at] - share * share / spread
            first = self.doubts_at_first[at]
            doubts[at] = min(max(doubt, DOUBT_FLOOR * first), first)
        self.reports += 1

    def learn_pieces(self, tokens: int, chunks: int) -> None:
        """A whole streamed reply of `tokens` came in so many pieces."""
        now = self.piece_millitokens
        heard = min(max(tokens * 1000 // chunks, now // PIECES_LEAP), now * PIECES_LEAP)
        step = max(PIECES_STEP, 1 / (self.streams + 2)) * chunks / (chunks + PIECES_FOR_HALF)
        moved = round(now + (heard - now) * step)
        self.piece_millitokens = min(max(moved, PIECE_MILLITOKENS_MIN), PIECE_MILLITOKENS_MAX)
        self.streams += 1

    def heir(self) -> Rates:
        """What a model of the same provider begins with: these rates, and every doubt."""
        heir = Rates(self.rates, self.doubts_at_first)
        heir.piece_millitokens = self.piece_millitokens
        return heir

    def are_sane(self) -> bool:
        """Whether rates that come from outside could have been learnt."""
        numbers = [*self.rates, *self.doubts]
        return (
            len(self.rates) == len(self.doubts) == len(self.doubts_at_first)
            and all(isfinite(number) and 0 <= number <= RATE_MAX for number in numbers)
            and PIECE_MILLITOKENS_MIN <= self.piece_millitokens <= PIECE_MILLITOKENS_MAX
            and min(self.reports, self.streams) >= 0
        )


def _parts(weight: Weight) -> tuple[float, ...]:
    """A prompt's measures in the order of the rates."""
    return weight.text_bytes, weight.messages, weight.tool_bytes, weight.has_tools, 1.0, weight.fixed_tokens


def starting_rates(provider: str) -> Rates:
    """Of a provider type nobody has reported of, by its wire name."""
    byte = 1 / BYTES_PER_TOKEN.get(provider, BYTES_PER_TOKEN_ELSEWHERE)
    tools = TOOLS_TOKENS.get(provider, TOOLS_TOKENS_ELSEWHERE)
    rates = [byte, MESSAGE_TOKENS, byte * TOOL_BYTE, tools, REQUEST_TOKENS, 1.0]
    doubts = [byte * BYTE_DOUBT, MESSAGE_DOUBT, byte * TOOL_BYTE_DOUBT, TOOLS_DOUBT, REQUEST_DOUBT, FIXED_DOUBT]
    return Rates(rates, [doubt * doubt for doubt in doubts])
