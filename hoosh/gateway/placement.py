"""The desk where one asks what this machine can carry: it joins the last look at it with the rooms that decide.

Files are read in threads, few at once, and nobody is waited for longer than `READ_S`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import trio

from hoosh.catalogue import named_size
from hoosh.catalogue.hardware_models import HardwareModel, find_hardware_model
from hoosh.errors import Forbidden, InvalidRequest, NoSuchEntry, Unavailable
from hoosh.gateway.model_files import read_model_file
from hoosh.hardware.clouds import MOST_ALTERNATIVES, cloud_alternatives
from hoosh.hardware.compatible import compatible_models, on_this_machine, sizes_that_fit
from hoosh.hardware.formats import EXTENSIONS, format_of_bytes
from hoosh.hardware.placement import fits_one, provider_for, suggested_quantisation
from hoosh.hardware.quantisation import INT8, QUANTISATIONS, Quantisation, find_quantisation
from hoosh.hardware.room import rooms, rooms_bytes
from hoosh.hardware.settings import Hardware
from hoosh.hardware.sharding import plan_sharding
from hoosh.hardware.simulation import snapshot_of, with_devices, without_devices
from hoosh.hardware.training import training_estimate
from hoosh.hardware.workload import Workload
from hoosh.values.hardware import Inventory
from hoosh.values.placement import (
    CloudCost,
    CompatibleModels,
    ModelFormat,
    ModelQuestion,
    Placement,
    PlacementAdvice,
    PlacementQuestion,
    SimulatedMachines,
    SimulationQuestion,
    SizeFit,
    TrainingAdvice,
    TrainingQuestion,
)

__all__ = ["READERS", "READ_S", "LooksAtHardware", "PlacementDesk"]

READ_S = 5.0
READERS = 2
"""Files that are read at once."""
USUAL_PARAMETERS = 7_000_000_000
"""Of the model that is meant where none is named."""
MAX_PATH_CHARS = 4096


class LooksAtHardware(Protocol):
    """Who knows the machine."""

    reserve_bytes: int

    async def look(self) -> Inventory:
        """The last look; waits for the first one, but not long.  Raises Unavailable."""
        ...


class PlacementDesk:
    """See `hoosh.api.placement` for what each of these answers.

    `hardware` gives whoever knows the machine, `settings` what counts now; `aliases` gives the owner's own names of
    models, and what they stand for.
    """

    def __init__(
        self,
        hardware: Callable[[], LooksAtHardware],
        settings: Callable[[], Hardware],
        aliases: Callable[[], Mapping[str, Sequence[str]]],
    ) -> None:
        self._hardware = hardware
        self._aliases = aliases
        self._settings = settings
        self._readers = trio.CapacityLimiter(READERS)

    # -- this machine ----------------------------------------------------------------------------------------------

    async def place(self, asked: PlacementQuestion) -> Placement:
        """Raises InvalidRequest and Unavailable."""
        workload = self._workload(asked)
        named = quantisation_named(asked.quantization)
        inventory, reserve = await self._look()
        suggested = suggested_quantisation(workload, inventory, reserve)
        chosen = named or suggested
        needed, left = workload.footprint(chosen), rooms(inventory, reserve)
        need, available = needed.total_bytes, rooms_bytes(left)
        fits = bool(left) and need <= available
        return Placement(
            recommendation=PlacementAdvice(
                provider=provider_for(fits, asked.providers),
                quantization=chosen.name,
                estimated_memory_bytes=need,
                fits_in_vram=fits,
            ),
            cloud_alternatives=() if fits else cloud_alternatives(need),
            model=None if workload.model is None else workload.model.name,
            model_params=workload.parameters,
            quantization=chosen.name,
            memory_required_bytes=need,
            weights_bytes=needed.weights_bytes,
            kv_cache_bytes=needed.kv_cache_bytes,
            overhead_bytes=needed.overhead_bytes,
            fits_single_device=fits_one(need, left),
            fits_available=fits,
            available_vram_bytes=available,
            vram_reserve_bytes=reserve,
            suggested_quant=suggested.name,
            sharding=plan_sharding(workload, chosen, inventory, reserve, asked.prefer),
        )

    async def compatible(self, model: str | None, quantization: str | None) -> CompatibleModels:
        """All that fit, or `model` alone.  Raises NoSuchEntry, InvalidRequest and Unavailable."""
        chosen = quantisation_named(quantization)
        known = None if model is None else _known(model)
        inventory, reserve = await self._look()
        available = rooms_bytes(rooms(inventory, reserve))
        if known is None:
            found = compatible_models(inventory, reserve, chosen)
            return CompatibleModels(
                compatible=found, total_vram_bytes=inventory.vram_bytes, available_vram_bytes=available
            )
        one = on_this_machine(known, inventory, reserve, chosen)
        return CompatibleModels(
            model=one,
            can_run=one.memory_required_bytes <= available,
            total_vram_bytes=inventory.vram_bytes,
            available_vram_bytes=available,
        )

    async def sizes(self) -> tuple[SizeFit, ...]:
        """Raises Unavailable."""
        return sizes_that_fit(*await self._look())

    async def simulate(self, asked: SimulationQuestion) -> SimulatedMachines:
        """Raises InvalidRequest and Unavailable."""
        if asked.model_params is None and asked.model is None:
            raise InvalidRequest(
                "Missing required parameter: 'model_params'.", param="model_params", code="missing_required_parameter"
            )
        workload = self._workload(asked)
        named = quantisation_named(asked.quantization)
        inventory, reserve = await self._look()
        chosen = named or suggested_quantisation(workload, inventory, reserve)
        fewer = without_devices(inventory, asked.remove_count)
        other = with_devices(fewer, [device.memory_bytes for device in asked.add_devices])
        return SimulatedMachines(
            model_params=workload.parameters,
            quantization=chosen.name,
            removed_devices=len(inventory.devices) - len(fewer.devices),
            added_devices=len(asked.add_devices),
            original=snapshot_of(inventory, workload, chosen, reserve),
            simulated=snapshot_of(other, workload, chosen, reserve),
        )

    # -- anywhere --------------------------------------------------------------------------------------------------

    def cost(self, asked: ModelQuestion) -> CloudCost:
        """Raises InvalidRequest."""
        workload, chosen = self._workload(asked), quantisation_named(asked.quantization) or INT8
        need = workload.need_bytes(chosen)
        found = cloud_alternatives(need, MOST_ALTERNATIVES)
        return CloudCost(
            model=asked.model or str(workload.parameters),
            model_params=workload.parameters,
            quantization=chosen.name,
            memory_required_bytes=need,
            instances=found,
            as_of=min((machine.as_of for machine in found), default=None),
        )

    def training(self, asked: TrainingQuestion) -> TrainingAdvice:
        """Raises InvalidRequest."""
        if asked.model_params_m is not None:
            parameters = max(1, round(asked.model_params_m * 1e6))
        else:
            parameters = USUAL_PARAMETERS if asked.model is None else self._named(asked.model)[0]
        return TrainingAdvice(
            model_params_millions=parameters / 1e6,
            method=asked.method,
            target=asked.target,
            estimate=training_estimate(parameters, asked.method, asked.target),
        )

    # -- files -----------------------------------------------------------------------------------------------------

    async def format_at(self, path: str) -> ModelFormat:
        """What the file at `path` says of itself.

        Raises Forbidden where no directory is configured, InvalidRequest where the path cannot be a model's or the file
        is none, NoSuchEntry where there is no such file below the directory, and Unavailable where reading takes too
        long.
        """
        root = self._settings().models_dir
        if root is None:
            raise Forbidden("This gateway reads no model files: `[hardware] models_dir` is not set.", param="path")
        if len(path) > MAX_PATH_CHARS or not os.path.isabs(path):
            raise InvalidRequest("Invalid 'path': an absolute path.", param="path", code="invalid_value")
        if path.rpartition(".")[2].casefold() not in EXTENSIONS:
            names = ", ".join(f".{name}" for name in sorted(EXTENSIONS))
            message = f"Invalid 'path': a model's name ends in one of {names}."
            raise InvalidRequest(message, param="path", code="invalid_value")
        return await self._in_thread(lambda: read_model_file(root, path))

    async def format_of(self, data: bytes) -> ModelFormat:
        """The same of a file's beginning.  Raises InvalidRequest and Unavailable."""
        if not data:
            raise InvalidRequest("The body is empty: it must be a model file, or the beginning of one.")
        return await self._in_thread(lambda: format_of_bytes(data))

    async def _in_thread(self, read: Callable[[], ModelFormat]) -> ModelFormat:
        try:
            with trio.fail_after(READ_S):
                return await trio.to_thread.run_sync(read, abandon_on_cancel=True, limiter=self._readers)
        except trio.TooSlowError:
            raise Unavailable("Reading the file takes too long.", retry_after_s=READ_S) from None

    # -- what is meant ---------------------------------------------------------------------------------------------

    async def _look(self) -> tuple[Inventory, int]:
        """The machine, and the owner's reserve.  Raises Unavailable."""
        hardware = self._hardware()
        return await hardware.look(), hardware.reserve_bytes

    def _workload(self, asked: ModelQuestion) -> Workload:
        """Raises InvalidRequest."""
        model = None
        if asked.model_params is not None:
            parameters = asked.model_params
        elif asked.model is not None:
            parameters, model = self._named(asked.model)
        else:
            parameters = USUAL_PARAMETERS
        return Workload(
            parameters=parameters, model=model, context_tokens=asked.context_tokens, sequences=asked.sequences
        )

    def _named(self, name: str) -> tuple[int, HardwareModel | None]:
        """How large a model is: by the catalogue, by its name, or by what it is an alias of.  Raises InvalidRequest."""
        names = (name, *self._aliases().get(name, ()))
        for each in names:
            model = find_hardware_model(each)
            if model is not None:
                return model.parameters, model
        sizes = (named_size(each).parameters for each in names)
        size = next((size for size in sizes if size is not None), None)
        if size is None:
            message = f"Nobody here knows how large the model `{name[:200]}` is; say so with `model_params`."
            raise InvalidRequest(message, param="model", code="unknown_model_size")
        return size, None


def quantisation_named(name: str | None) -> Quantisation | None:
    """None where it is to be suggested.  Raises InvalidRequest."""
    if name is None or name.casefold() == "auto":
        return None
    found = find_quantisation(name)
    if found is None:
        known = ", ".join(dict.fromkeys(each.name for each in QUANTISATIONS.values()))
        message = f"Invalid value: '{name[:64]}'. Supported values are: auto, {known}."
        raise InvalidRequest(message, param="quantization", code="invalid_value")
    return found


def _known(name: str) -> HardwareModel:
    model = find_hardware_model(name)
    if model is None:
        message = f"The catalogue of models for hardware has no `{name[:200]}`."
        raise NoSuchEntry(message, param="model", code="model_not_found")
    return model
