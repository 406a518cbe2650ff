"""What can this machine carry, and where could one go instead?

    POST /v1/hardware/placement           who should serve a model, in which quantisation, spread over which devices
    POST /v1/hardware/models              which models of the catalogue fit, or whether one does
    GET  /v1/hardware/models              which sizes fit one device
    POST /v1/hardware/simulate            the same machine with devices taken out and put in
    GET  /v1/hardware/compatible-models   which models fit in eight bits
    POST /v1/hardware/cost                the cheapest machines to rent for a model, with the day of each price
    POST /v1/hardware/training-estimate   how much memory training takes
    POST /v1/hardware/format              what a model file below `[hardware] models_dir` says of itself
    POST /v1/hardware/model-format        the same of a body: a file, or its beginning

Both generations of the reference are answered at once: a body may name `model` or `model_params`, and an answer has the
fields of both.  Source: reference section 2.16; docs/placement.md.
"""

from __future__ import annotations

from typing import Annotated, Any, Protocol, cast

from msgspec import Meta, Struct
from quart import Blueprint, Response, request

from hoosh.api.face import json_response, read_body, require
from hoosh.dialects.mistakes import missing
from hoosh.values.placement import (
    CloudCost,
    CompatibleModels,
    ModelFormat,
    ModelQuestion,
    Name,
    Placement,
    PlacementQuestion,
    SimulatedMachines,
    SimulationQuestion,
    SizeFit,
    TrainingAdvice,
    TrainingQuestion,
)

__all__ = ["FormatQuestion", "ModelsQuestion", "PlacementFace", "PlacementGateway", "placement_routes"]

SMALL_BODY_BYTES = 64 * 1024
EIGHT_BITS = "int8"


class PlacementFace(Protocol):
    """The desk behind these routes.  Every method raises HooshError."""

    async def place(self, asked: PlacementQuestion) -> Placement: ...

    async def compatible(self, model: str | None, quantization: str | None) -> CompatibleModels: ...

    async def sizes(self) -> tuple[SizeFit, ...]: ...

    async def simulate(self, asked: SimulationQuestion) -> SimulatedMachines: ...

    def cost(self, asked: ModelQuestion) -> CloudCost: ...

    def training(self, asked: TrainingQuestion) -> TrainingAdvice: ...

    async def format_at(self, path: str) -> ModelFormat: ...

    async def format_of(self, data: bytes) -> ModelFormat: ...


class PlacementGateway(Protocol):
    """What these routes ask of the gateway."""

    @property
    def placement(self) -> PlacementFace: ...


class ModelsQuestion(Struct, frozen=True):
    model: Name | None = None
    """As the catalogue or a provider calls it."""
    quantization: Name | None = None


class FormatQuestion(Struct, frozen=True):
    path: Annotated[str, Meta(min_length=1, max_length=4096)]
    """An absolute one, on the gateway's machine."""


def placement_routes(gateway: PlacementGateway) -> Blueprint:
    routes = Blueprint("placement", __name__, url_prefix="/v1/hardware")

    @routes.post("/placement")
    async def place() -> Response:
        """Who should serve a model."""
        require("inference")
        asked = await read_body(PlacementQuestion, SMALL_BODY_BYTES, default=PlacementQuestion())
        return json_response(await gateway.placement.place(asked))

    @routes.post("/models")
    async def models() -> Response:
        """Which models fit, or whether one does."""
        require("inference")
        asked = await read_body(ModelsQuestion, SMALL_BODY_BYTES, default=ModelsQuestion())
        return json_response(await gateway.placement.compatible(asked.model, asked.quantization))

    @routes.get("/models")
    async def sizes() -> Response:
        """Which sizes fit one device."""
        require("inference")
        return json_response({"models": await gateway.placement.sizes()})

    @routes.post("/simulate")
    async def simulate() -> Response:
        """Another machine."""
        require("inference")
        return json_response(await gateway.placement.simulate(await read_body(SimulationQuestion, SMALL_BODY_BYTES)))

    @routes.get("/compatible-models")
    async def compatible() -> Response:
        """Which models fit in eight bits."""
        require("inference")
        found = await gateway.placement.compatible(None, EIGHT_BITS)
        return json_response({"quantization": EIGHT_BITS, "models": found.compatible or ()})

    @routes.post("/cost")
    async def cost() -> Response:
        """The cheapest machines to rent."""
        require("inference")
        asked = await read_body(ModelQuestion, SMALL_BODY_BYTES)
        if asked.model is None and asked.model_params is None:
            raise missing("model")
        return json_response(gateway.placement.cost(asked))

    @routes.post("/training-estimate")
    async def training() -> Response:
        """How much memory training takes."""
        require("inference")
        asked = await read_body(TrainingQuestion, SMALL_BODY_BYTES)
        if asked.model is None and asked.model_params_m is None:
            raise missing("model")
        return json_response(gateway.placement.training(asked))

    _add_format_routes(routes, gateway)
    return routes


def _add_format_routes(routes: Blueprint, gateway: PlacementGateway) -> None:
    @routes.post("/format")
    async def format_at() -> Response:
        """What a file here is."""
        require("inference")
        asked = await read_body(FormatQuestion, SMALL_BODY_BYTES)
        return json_response(await gateway.placement.format_at(asked.path))

    @routes.post("/model-format")
    async def format_of() -> Response:
        """What a body is."""
        require("inference")
        body = cast(Any, await request.get_data())
        return json_response(await gateway.placement.format_of(bytes(body)))
