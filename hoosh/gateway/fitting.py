"""Which models do not fit where their engine runs?  The route table puts them behind, the model list says so.

    the last look at the machine (gateway.hardware) ───────▶ room ┐
    what each engine has in memory, asked every EVERY_S ───▶ held ┼──▶ a Fit for each target
    a model's size, by its engine or else by its name ──────▶ need ┘        │
                                               one ceases to fit, or fits again: a line in the log, another route table

Judged are engines on this machine (loopback, unix sockets), and any local one of which the owner has said how much
memory it has (`accelerator_bytes`).  A request pays nothing: the answer is in the plan that the table remembers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import islice

import trio
from msgspec import Struct

from hoosh.catalogue import merge_sizes, named_size
from hoosh.errors import HooshError
from hoosh.gateway.fleet import Fleet, HttpUpstream
from hoosh.gateway.hardware import Hardware
from hoosh.gateway.models import ModelLists
from hoosh.hardware.fit import Held, fit_of, needed_bytes, room_bytes
from hoosh.observe.logs import AccessLog
from hoosh.routing import Routing
from hoosh.values import Fit, ModelCard, ModelSize, Target
from hoosh.values.hardware import Inventory

__all__ = ["EVERY_S", "Fitting"]

EVERY_S = 10.0
ASK_S = 4.0
"""All that one round of questions may take."""
REMEMBERED = 512
"""Targets: clients may ask an engine for a model of any name, and judging them all takes some milliseconds."""
LOGGED_CHARS = 200
NO_SIZE = ModelSize()


class Told(Struct):
    """What one engine has said of itself."""

    cards: Mapping[str, ModelCard] = {}
    """Its list, asked for while the gateway's own lists do not have it."""
    in_memory: dict[str, ModelSize] = {}
    held: Held | None = None
    """None until it has answered, and where something in its memory has no known size."""
    held_at_look: Held | None = None
    """When the machine was last looked at: what it has let go of since is not free in that look."""
    is_broken: bool = False
    """Its dialect, a plugin's, has a bug there: it is not asked again."""


class Fitting:
    """The opinions.  `run` is a service; everything else answers at once."""

    def __init__(
        self,
        fleet: Fleet,
        lists: ModelLists,
        hardware: Hardware,
        log: AccessLog,
        settings: Routing,
        *,
        reroute: Callable[[], object],
        size_by_name: Callable[[str], ModelSize] = named_size,
    ) -> None:
        """`reroute` is called whenever a model has ceased to fit, or fits again.

        `size_by_name` tells what is known of a model of which its engine says nothing.
        """
        self._fleet = fleet
        self._lists = lists
        self._hardware = hardware
        self._log = log
        self._reroute = reroute
        self._size_by_name = size_by_name
        self._told: dict[HttpUpstream, Told] = {}
        self._fits: dict[Target, Fit] = {}
        self._looked: Inventory | None = None
        """The look that `held_at_look` belongs to."""
        self.configure(settings)

    def configure(self, settings: Routing) -> None:
        """From now on.  The caller builds another route table."""
        self._is_on = settings.hardware == "auto"

    # -- what routing and the doors ask --------------------------------------------------------------------------------

    def is_too_large(self, target: Target) -> bool:
        """Known not to fit."""
        fit = self.of(target)
        return fit is not None and fit.fits is False

    def of(self, target: Target) -> Fit | None:
        """None of a target that is not judged: remote, on another machine, or nobody is to look."""
        upstream = self._judged(target.provider)
        if upstream is None or self._is_remote(upstream, target):
            return None
        fit = self._fits.get(target)
        if fit is None:
            if len(self._fits) >= REMEMBERED:
                del self._fits[next(iter(self._fits))]
            fit = self._fits[target] = self._judge(upstream, target.model, self._room(upstream))
        return fit

    def refresh(self) -> bool:
        """Judge everybody anew; True where somebody has ceased to fit, or fits again."""
        before, self._fits = self._fits, {}
        for provider, upstream in self._all_judged():
            room = self._room(upstream)
            asked = {target.model: None for target in before if target.provider == provider}
            for model in islice(asked | dict.fromkeys(self._listed(upstream)), REMEMBERED - len(self._fits)):
                target = Target(provider, model)
                if not self._is_remote(upstream, target):
                    was_too_large = target in before and before[target].fits is False
                    self._fits[target] = self._judge(upstream, model, room, was_too_large)
        changed = [
            (target, fit)
            for target, fit in self._fits.items()
            if (fit.fits is False) is not (target in before and before[target].fits is False)
        ]
        for target, fit in changed:
            self._tell(target, fit)
        gone = any(fit.fits is False and target not in self._fits for target, fit in before.items())
        return bool(changed) or gone

    def _tell(self, target: Target, fit: Fit) -> None:
        what = "does not fit, and is asked of others first" if fit.fits is False else "is not too large any more"
        facts = {"provider": target.provider, "asked": target.model[:LOGGED_CHARS]}
        for name, value in (("needed_bytes", fit.needed_bytes), ("room_bytes", fit.room_bytes)):
            if value is not None:
                facts[name] = str(value)
        self._log.info(f"a model {what}", room="gateway", **facts)

    # -- judging -------------------------------------------------------------------------------------------------------

    def _judged(self, provider: str) -> HttpUpstream | None:
        upstream = self._fleet.members.get(provider) if self._is_on else None
        if not isinstance(upstream, HttpUpstream) or not upstream.local:
            return None
        if upstream.accelerator_bytes is None and (not upstream.is_here or self._hardware.inventory is None):
            return None
        return upstream

    def _is_remote(self, upstream: HttpUpstream, target: Target) -> bool:
        """Its engine has it run elsewhere."""
        card = self._listed(upstream).get(target.model)
        return self._lists.is_remote(target) or (card is not None and card.is_remote)

    def _all_judged(self) -> list[tuple[str, HttpUpstream]]:
        return [(name, found) for name in self._fleet.members if (found := self._judged(name)) is not None]

    def _room(self, upstream: HttpUpstream) -> int | None:
        if upstream.accelerator_bytes is not None:
            return upstream.accelerator_bytes
        inventory = self._hardware.inventory
        if inventory is None:
            return None
        told = self._told.get(upstream)
        held = None if told is None else _more(told.held_at_look, told.held)
        return room_bytes(inventory, self._hardware.reserve_bytes, held)

    def _judge(self, upstream: HttpUpstream, model: str, room: int | None, was_too_large: bool = False) -> Fit:
        return fit_of(self._size(upstream, model), room, was_too_large=was_too_large)

    def _size(self, upstream: HttpUpstream, model: str) -> ModelSize:
        """What the engine says, and what is known by the name where it says nothing.

        Of what is not on the engine's own list nobody knows: it may answer with whatever it has, by any name.
        """
        told = self._told.get(upstream)
        listed = self._listed(upstream)
        if not listed:
            return self._size_by_name(model)
        name = model if model in listed or ":" in model else f"{model}:latest"  # as Ollama reads it
        in_memory = NO_SIZE if told is None else told.in_memory.get(name, NO_SIZE)
        if name not in listed:
            return in_memory
        return merge_sizes(self._size_by_name(name), merge_sizes(listed[name].facts.size, in_memory))

    def _listed(self, upstream: HttpUpstream) -> Mapping[str, ModelCard]:
        cards = self._lists.cards(upstream.name)
        told = self._told.get(upstream)
        return cards if cards is not None else told.cards if told is not None else {}

    # -- asking --------------------------------------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Ask and judge for ever.  Ready at once; asks nobody who is not judged."""
        task_status.started()
        while True:
            await self._ask_all()
            if self.refresh():
                self._reroute()
            await trio.sleep(EVERY_S)

    async def _ask_all(self) -> None:
        inventory = self._hardware.inventory
        judged = [upstream for _, upstream in self._all_judged()]
        self._told = {upstream: self._told.get(upstream, Told()) for upstream in judged}
        with trio.move_on_after(ASK_S):
            async with trio.open_nursery() as nursery:
                for upstream, told in self._told.items():
                    if not told.is_broken:
                        nursery.start_soon(self._ask, upstream, told)
        is_new, self._looked = inventory is not self._looked, inventory
        for told in self._told.values():
            if is_new or told.held_at_look is None:
                told.held_at_look = told.held

    async def _ask(self, upstream: HttpUpstream, told: Told) -> None:
        try:
            told.in_memory = await upstream.memory()
            if self._lists.cards(upstream.name) is None:
                told.cards = {card.id: card for card in await upstream.list_models()} or told.cards
        except HooshError:
            return  # it is down: what it said before still stands
        except Exception as bug:
            told.is_broken = True
            self._log.error(
                "an engine cannot be asked", room="gateway", provider=upstream.name, error=type(bug).__name__
            )
            return
        told.held = _held(self._size(upstream, model) for model in {*self._listed(upstream), *told.in_memory})


def _held(sizes: Iterable[ModelSize]) -> Held | None:
    """By all of them that are in memory; None where one of those has no known size."""
    accelerator = system = 0
    for size in sizes:
        if size.is_loaded:
            whole, part = size.held_bytes or needed_bytes(size), size.held_accelerator_bytes
            if whole is None:
                return None
            accelerator += whole if part is None else part
            system += 0 if part is None else max(0, whole - part)
    return Held(accelerator, system)


def _more(one: Held | None, other: Held | None) -> Held | None:
    """Whichever is more of each; None, which nobody can measure, is the most."""
    if one is None or other is None:
        return None
    return Held(max(one.accelerator_bytes, other.accelerator_bytes), max(one.system_bytes, other.system_bytes))
