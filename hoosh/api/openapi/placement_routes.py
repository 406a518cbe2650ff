"""The routes of `api/placement.py`."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from hoosh.api.openapi.route import BINARY, JSON, Content, Route
from hoosh.api.placement import FormatQuestion, ModelsQuestion
from hoosh.values.placement import (
    CloudCost,
    CompatibleModel,
    CompatibleModels,
    ModelFormat,
    ModelQuestion,
    Placement,
    PlacementQuestion,
    SimulatedMachines,
    SimulationQuestion,
    SizeFit,
    TrainingAdvice,
    TrainingQuestion,
)

__all__ = ["PLACEMENT_ROUTES"]


class SizeFits(Struct):
    models: list[SizeFit]


class EightBitModels(Struct):
    quantization: str
    models: list[CompatibleModel]


def _route(
    method: str,
    path: str,
    name: str,
    summary: str,
    answer: type[Struct],
    body: type[Struct] | None = None,
    *,
    bodies: tuple[Content, ...] = (),
    required: bool = True,
    refusals: tuple[int, ...] = (),
    sent: Any = None,
) -> Route:
    return Route(
        method=method,
        path=f"/v1/hardware/{path}",
        name=name,
        tag="Hardware",
        summary=summary,
        answers=((JSON, answer),),
        bodies=bodies or (((JSON, body),) if body is not None else ()),
        body_required=required,
        refusals=refusals,
        sent=sent,
    )


PLACEMENT_ROUTES = (
    _route(
        *("POST", "placement", "placeModel"),
        "Who should serve a model, in which quantisation, and spread over which devices.",
        Placement,
        PlacementQuestion,
        required=False,
        sent={"model": "llama3.1:70b", "quantization": "q4_k_m", "providers": ["ollama", "openai"]},
    ),
    _route(
        *("POST", "models", "findModels"),
        "Which models of the catalogue fit this machine's accelerators, or whether one does.",
        CompatibleModels,
        ModelsQuestion,
        required=False,
        refusals=(404,),
        sent={"model": "Llama 3.1 8B", "quantization": "int8"},
    ),
    _route("GET", "models", "listSizes", "Which usual sizes fit the emptiest single device.", SizeFits),
    _route(
        *("POST", "simulate", "simulateMachine"),
        "How a model would be spread over this machine with devices taken out and put in.",
        SimulatedMachines,
        SimulationQuestion,
        sent={"model_params": 70_000_000_000, "add_devices": [{"memory_bytes": 85_899_345_920}], "remove_count": 0},
    ),
    _route(
        "GET", "compatible-models", "listCompatibleModels", "Which models of the catalogue fit in INT8.", EightBitModels
    ),
    _route(
        *("POST", "cost", "findMachines"),
        "The cheapest machines to rent for a model, with the day of each price.",
        CloudCost,
        ModelQuestion,
        sent={"model": "70b", "quantization": "int8"},
    ),
    _route(
        *("POST", "training-estimate", "estimateTraining"),
        "How much memory it takes to train a model.",
        TrainingAdvice,
        TrainingQuestion,
        sent={"model": "8b", "method": "qlora-4bit", "target": "gpu"},
    ),
    _route(
        *("POST", "format", "readModelFile"),
        "What a model file below `[hardware] models_dir` says of itself; 403 where there is no such directory.",
        ModelFormat,
        FormatQuestion,
        refusals=(404,),
        sent={"path": "/srv/models/llama-3.1-8b-q4_k_m.gguf"},
    ),
    _route(
        *("POST", "model-format", "readModelBytes"),
        "What a model file, or its beginning, says of itself.",
        ModelFormat,
        bodies=(("application/octet-stream", BINARY),),
    ),
)
