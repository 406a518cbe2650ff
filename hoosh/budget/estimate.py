"""How many tokens is that?  Guessed before a prompt is sent; every usage report that comes back makes the guess better.

    weigh(call) ──▶ prompt_tokens ──▶ a hold ──▶ the upstream's Usage ──▶ learn ──▶ the next guess
                                                                            └──▶ pieces of a stream, in tokens

A model that nobody has reported of yet begins where its family has come to: the provider's other models, or those of
the same vendor where a provider has many (`anthropic/claude-…`).  A family begins at the ratios of the reference
(`rates.py`).  Only complete reports by an upstream teach, and only they take memory: a client
cannot fill it with names of models that it invents.  What has been learnt survives a restart as `state()`.

Nothing here waits or looks at a clock.  Numbers are whole tokens, rounded up where they are held, down where they are
spent.
"""

from __future__ import annotations

from functools import cache
from math import ceil
from typing import NamedTuple

import msgspec
from msgspec import Struct

from hoosh.budget.rates import Rates, starting_rates
from hoosh.budget.weight import Weight
from hoosh.values import Usage

__all__ = ["Estimator", "ModelKey"]

KEYS_MAX = 2_048
"""Beyond it the one that has been taught least lately is forgotten."""
TOKENS_MAX = 1 << 40
"""No report counts more, and no guess: whatever the measures say."""
REPORTS_SHARED = 32
"""The first reports of a model, from which its family learns too."""
VERSION = 1


class ModelKey(NamedTuple):
    """Whose tokens are counted: each model has a tokenizer, each provider its own words around a prompt."""

    provider: str
    """Its type, by wire name."""
    model: str
    """As the upstream is asked."""


class _Learnt(Struct, frozen=True, array_like=True):
    """What is written down of one key."""

    provider: str
    model: str
    rates: list[float]
    doubts: list[float]
    piece_millitokens: int
    reports: int
    streams: int


class _State(Struct, frozen=True, array_like=True):
    version: int
    learnt: list[_Learnt]


_start = cache(starting_rates)
"""Provider types are few: a configuration names them, never a client."""
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_State).decode


def _family(key: tuple[str, str]) -> tuple[str, str]:
    """In the place of a model, what those of one vendor have in common."""
    return key[0], key[1].rpartition("/")[0] + "/"


class Estimator:
    """Guesses, and what has been learnt for them."""

    __slots__ = ("_book",)

    def __init__(self) -> None:
        self._book: dict[tuple[str, str], Rates] = {}
        """By key, what was taught last at the end."""

    def __len__(self) -> int:
        return len(self._book)

    # -- guesses ---------------------------------------------------------------------------------------------------

    def prompt_tokens(self, key: ModelKey, weight: Weight) -> int:
        """What the upstream will count for a prompt; 1 at least."""
        return min(max(1, ceil(self._rates(key).tokens(weight))), TOKENS_MAX)

    def text_tokens(self, key: ModelKey, text_bytes: int) -> int:
        """Of plain text, such as a transcript or what is to be spoken."""
        return min(ceil(text_bytes * self._rates(key).rates[0]), TOKENS_MAX)

    def reply_tokens(self, key: ModelKey, chunks: int) -> int:
        """What a stream of so many pieces was worth, where the upstream has not said."""
        return -(-chunks * self._rates(key).piece_millitokens // 1000)

    def chunks_within(self, key: ModelKey, tokens: int) -> int:
        """How many pieces may go by for so many tokens: `reply_tokens` of them is `tokens` at most."""
        return max(0, tokens) * 1000 // self._rates(key).piece_millitokens

    def _rates(self, key: tuple[str, str]) -> Rates:
        book = self._book
        return book.get(key) or book.get(_family(key)) or _start(key[0])

    # -- learning --------------------------------------------------------------------------------------------------

    def learn(self, key: ModelKey, weight: Weight, usage: Usage, chunks: int) -> None:
        """An upstream's own complete report of a request.  `chunks` is 0 where the reply was not streamed."""
        prompt, reply = usage.prompt_tokens, usage.completion_tokens
        prompt_teaches = 0 < prompt <= TOKENS_MAX
        reply_teaches = chunks > 0 and 0 < reply <= TOKENS_MAX
        if not (prompt_teaches or reply_teaches):
            return
        rates = self._taught(key)
        taught = [rates]
        if rates.reports < REPORTS_SHARED:
            taught.append(self._taught(_family(key)))
        for each in taught:
            if prompt_teaches:
                each.learn(weight, prompt)
            if reply_teaches:
                each.learn_pieces(reply, chunks)

    def _taught(self, key: tuple[str, str]) -> Rates:
        """The rates of `key`, moved to the end of the book."""
        book = self._book
        rates = book.pop(key, None)
        if rates is None:
            rates = self._rates(key).heir()
            while len(book) >= KEYS_MAX:
                del book[next(iter(book))]
        book[key] = rates
        return rates

    # -- over a restart --------------------------------------------------------------------------------------------

    def state(self) -> bytes:
        """All that has been learnt."""
        rows = [
            _Learnt(*key, each.rates, each.doubts, each.piece_millitokens, each.reports, each.streams)
            for key, each in self._book.items()
        ]
        return _encode(_State(VERSION, rows))

    def restore(self, state: bytes) -> None:
        """Know what `state` says, and nothing else.  One that is broken, or of another version, changes nothing."""
        try:
            said = _decode(state)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            return
        if said.version != VERSION:
            return
        book = self._book = {}
        for row in said.learnt[-KEYS_MAX:]:
            rates = starting_rates(row.provider).heir()
            rates.rates, rates.doubts = row.rates, row.doubts
            rates.piece_millitokens, rates.reports, rates.streams = row.piece_millitokens, row.reports, row.streams
            if rates.are_sane():
                book[row.provider, row.model] = rates
