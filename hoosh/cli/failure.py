"""Why a command failed: one clear line that says what to do."""

from __future__ import annotations

__all__ = ["FAILED", "WRONG_USAGE", "Failure"]

FAILED = 1
WRONG_USAGE = 2


class Failure(Exception):
    """Ends a command.  The text is for a person; `exit_code` is for a script."""

    def __init__(self, text: str, *, exit_code: int = FAILED) -> None:
        super().__init__(text)
        self.exit_code = exit_code
