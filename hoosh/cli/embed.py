"""`hoosh-trio embed`: texts in, vectors out.

    embed MODEL TEXT...     or     embed -m MODEL TEXT...        no TEXT, or `-`: each line of stdin is one

For a person a line each, `384 numbers: 0.0123 -0.0456 …`; with `--json` each whole vector on a line, in the order of
the texts: `{"index": 0, "text": "…", "embedding": […]}`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from hoosh.cli.failure import WRONG_USAGE, Failure
from hoosh.cli.parsers import add_command
from hoosh.cli.talk import NO_GATEWAY, add_talk_flags, talk_to

__all__ = ["add_to", "run", "vectors_of"]

READ_S = 300.0
MAX_TEXTS = 2048
"""As many as one request may hold (OpenAI's API reference, embeddings)."""
MAX_INPUT_CHARS = 8 * 1024 * 1024
FIRST = 5


def add_to(commands: Any) -> None:
    parser = add_command(
        commands,
        "embed",
        help="turn texts into vectors",
        description="Turn texts into vectors through a running gateway.  Without a TEXT, each line of stdin is one.",
        usage="hoosh-trio embed [options] MODEL [TEXT...]\n       hoosh-trio embed [options] -m MODEL [TEXT...]",
        examples=(
            "hoosh-trio embed nomic-embed-text 'a text' 'another one'",
            "hoosh-trio embed nomic-embed-text --json < lines.txt > vectors.jsonl",
        ),
    )
    parser.add_argument("words", nargs="*", metavar="TEXT", help="a text; - reads stdin, a text on each line")
    parser.add_argument("-m", "--model", metavar="MODEL", help="the model, if it is not the first word")
    parser.add_argument(
        "--dimensions", type=int, metavar="N", help="how long the vectors shall be, where the model can choose"
    )
    add_talk_flags(parser, json="each whole vector on a line,")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    model, texts = _question(arguments)
    body: dict[str, object] = {"model": model, "input": texts}
    if arguments.dimensions is not None:
        body["dimensions"] = arguments.dimensions
    with talk_to(arguments) as gateway, gateway.open("POST", "/v1/embeddings", body, read_s=READ_S) as response:
        answer = response.read()
    try:
        vectors = vectors_of(json.loads(answer), len(texts))
    except (ValueError, TypeError, LookupError, AttributeError):
        raise Failure(NO_GATEWAY.format(gateway.server)) from None
    lines = _as_json(texts, vectors) if arguments.json else _for_a_person(vectors)
    for line in lines:
        print(line)
    return 0


def _question(arguments: argparse.Namespace) -> tuple[str, list[str]]:
    words = list(arguments.words)
    model = arguments.model if arguments.model is not None else words.pop(0) if words else ""
    if not model:
        raise Failure("embed needs a model: hoosh-trio embed MODEL TEXT", exit_code=WRONG_USAGE)
    texts = words
    if words in ([], ["-"]):
        text = sys.stdin.read(MAX_INPUT_CHARS + 1)
        if len(text) > MAX_INPUT_CHARS:
            raise Failure("stdin holds too much for one request; split it", exit_code=WRONG_USAGE)
        texts = [line for line in text.splitlines() if line.strip()]
    if not texts or not all(text.strip() for text in texts):
        raise Failure("there is no text, or an empty one", exit_code=WRONG_USAGE)
    if len(texts) > MAX_TEXTS:
        raise Failure(f"one request takes up to {MAX_TEXTS} texts; `split -l {MAX_TEXTS}` helps", exit_code=WRONG_USAGE)
    return model, texts


def vectors_of(answer: Any, count: int) -> list[list[float]]:
    """The vectors in the order of the texts.  Raises ValueError, TypeError or LookupError for anything else."""
    vectors: list[list[float] | None] = [None] * count
    for place, item in enumerate(answer["data"]):
        vectors[item.get("index", place)] = [float(number) for number in item["embedding"]]
    whole = [vector for vector in vectors if vector]
    if len(whole) != count:
        raise ValueError("a text has no vector")
    return whole


def _as_json(texts: Sequence[str], vectors: Sequence[Sequence[float]]) -> Iterable[str]:
    for index, (text, vector) in enumerate(zip(texts, vectors, strict=True)):
        yield json.dumps({"index": index, "text": text, "embedding": vector}, ensure_ascii=False)


def _for_a_person(vectors: Sequence[Sequence[float]]) -> Iterable[str]:
    for vector in vectors:
        shown = " ".join(f"{number:.6f}" for number in vector[:FIRST])
        yield f"{len(vector)} numbers: {shown}" + (" ..." if len(vector) > FIRST else "")
