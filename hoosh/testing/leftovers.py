"""Objects that outlive their request: whose they are, and that nobody else's are counted.

    leftovers = Leftovers(Account, Bill)
    ...                                # requests come and go
    assert not leftovers.now()

What was there before does not count: pytest keeps the frames of a test that has failed, with all they held, and one
failure would be several.
"""

from __future__ import annotations

import gc

__all__ = ["Leftovers"]


class Leftovers:
    """Of these kinds and of those derived from them; counted from now on.  Linear in the objects of the process."""

    def __init__(self, *kinds: type) -> None:
        self._kinds = kinds
        self._before = self._living()  # the objects themselves: an id may be given to another

    def now(self) -> list[object]:
        """Those that are there and were not."""
        before = set(map(id, self._before))
        return [thing for thing in self._living() if id(thing) not in before]

    def _living(self) -> list[object]:
        gc.collect()
        return [thing for thing in gc.get_objects() if issubclass(type(thing), self._kinds)]
