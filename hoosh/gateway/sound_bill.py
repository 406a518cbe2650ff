"""The bill of a request for sound: counted in tokens where its upstream counts them, and always by its length.

    a recording     milliseconds: as the upstream says, else by the file's header, else by the file's size
    a text          its characters

A model may be paid by tokens (gpt-4o-transcribe), by the hour (whisper-1, Groq) or by the character (tts-1); which one
counts is the price's affair.  A pool of tokens pays our guess where an upstream counts only seconds.
"""

from __future__ import annotations

from msgspec.structs import replace

from hoosh.budget import Unit
from hoosh.cost import length_micro_usd
from hoosh.gateway.bill import Bill
from hoosh.gateway.consumption import NOTHING
from hoosh.values import Usage

__all__ = ["SoundBill"]


class SoundBill(Bill):
    """As a `Bill`.  `account.sound_ms` and `account.characters` are known before it is entered."""

    __slots__ = ()

    teaches = False
    """The bytes of a recording tell nothing of those of a text."""

    def guess(self, reply_bytes: int) -> Usage | None:
        usage = super().guess(reply_bytes)
        return None if usage is None else self._measured(usage)

    def counted(self, usage: Usage, reply_bytes: int) -> Usage:
        """A whole reply's, of which the upstream has said `usage`: perhaps only the seconds."""
        guess = self.guess(reply_bytes)
        if usage.total_tokens or guess is None:
            return self._measured(usage)
        return self._measured(replace(guess, audio_ms=usage.audio_ms))

    def usage(self, *, is_over: bool = False) -> tuple[Usage, bool]:
        usage, is_estimated = super().usage(is_over=is_over)
        if usage is NOTHING:
            return usage, is_estimated
        if not usage.total_tokens:  # of a stream whose end told the seconds
            reply = self._reply_tokens(self.chunks)
            usage = replace(usage, prompt_tokens=self.prompt_tokens(), completion_tokens=reply)
        return self._measured(usage), is_estimated

    def _measured(self, usage: Usage) -> Usage:
        account = self.account
        return replace(usage, audio_ms=usage.audio_ms or account.sound_ms, characters=account.characters)

    def _amount(self, unit: Unit, prompt: int, reply: int) -> int:
        """With its prompt comes all of its length; a further slice of the reply has none."""
        amount = super()._amount(unit, prompt, reply)
        price = self.terms.price
        if unit == "usd" and price is not None and prompt:
            amount += length_micro_usd(price, self.account.sound_ms, self.account.characters)
        return amount
