"""`hoosh-trio speak`: a text in, sound out.

    speak TEXT...        - reads the text from stdin

The sound goes into a file as it comes, or to stdout where that is no terminal.  A file is there once it is whole.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import TYPE_CHECKING, Any, BinaryIO

from hoosh.cli.failure import WRONG_USAGE, Failure
from hoosh.cli.files import written_whole
from hoosh.cli.parsers import add_command
from hoosh.cli.talk import add_talk_flags, talk_to

if TYPE_CHECKING:
    import httpx

__all__ = ["add_to", "run"]

READ_S = 600.0
FORMATS = ("mp3", "opus", "aac", "flac", "wav", "pcm")
EXTENSIONS = {".ogg": "opus", **{f".{name}": name for name in FORMATS}}
MODEL, VOICE = "tts-1", "alloy"
MAX_INPUT_CHARS = 1 << 20
"""Of stdin: the gateway says how much it takes."""


def add_to(commands: Any) -> None:
    parser = add_command(
        commands,
        "speak",
        help="turn a text into sound",
        description="Turn a text into sound, through a running gateway.",
        examples=(
            "hoosh-trio speak --output salam.mp3 'Salam, donya'",
            "hoosh-trio speak --voice nova --format wav - < letter.txt | aplay",
        ),
    )
    parser.add_argument("words", nargs="+", metavar="TEXT", help="what to say; - reads it from stdin")
    parser.add_argument("-m", "--model", metavar="MODEL", default=MODEL, help=f"who speaks (default: {MODEL})")
    parser.add_argument("--voice", metavar="NAME", default=VOICE, help=f"in which voice (default: {VOICE})")
    parser.add_argument("--speed", type=_speed, metavar="N", help="0.25 to 4 times as fast")
    parser.add_argument("--format", choices=FORMATS, help="of the sound (default: as the file's name says, else mp3)")
    parser.add_argument("-o", "--output", metavar="FILE", help="write the sound there; without it, to stdout")
    add_talk_flags(parser, json="what was written where")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    target: str | None = None if arguments.output == "-" else arguments.output
    if target is None and arguments.json:
        raise Failure("--json needs --output FILE: sound and words do not go together", exit_code=WRONG_USAGE)
    if target is None and sys.stdout.isatty():
        raise Failure("sound is nothing for a terminal; add --output FILE, or pipe it on", exit_code=WRONG_USAGE)
    text = sys.stdin.read(MAX_INPUT_CHARS) if arguments.words == ["-"] else " ".join(arguments.words)
    if not text.strip():
        raise Failure("there is nothing to say", exit_code=WRONG_USAGE)
    body: dict[str, object] = {"model": arguments.model, "input": text, "voice": arguments.voice}
    body["response_format"] = arguments.format or _format_of(target)
    if arguments.speed is not None:
        body["speed"] = arguments.speed
    with talk_to(arguments) as gateway, gateway.open("POST", "/v1/audio/speech", body, read_s=READ_S) as response:
        size = _to_stdout(response) if target is None else _to_file(response, target)
        media_type = response.headers.get("content-type", "")
    if target is not None:
        told = {"file": target, "bytes": size, "media_type": media_type}
        print(json.dumps(told, ensure_ascii=False) if arguments.json else f"{target}: {size} bytes, {media_type}")
    return 0


def _speed(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.25 <= value <= 4.0:
        raise argparse.ArgumentTypeError(f"{text[:20]!r} is no speed: write a number from 0.25 to 4")
    return value


def _format_of(target: str | None) -> str:
    return EXTENSIONS.get(os.path.splitext(target or "")[1].lower(), "mp3")


def _to_stdout(response: httpx.Response) -> int:
    size = _copy(response, sys.stdout.buffer)
    sys.stdout.buffer.flush()
    return size


def _to_file(response: httpx.Response, target: str) -> int:
    with written_whole(target) as file:
        return _copy(response, file)


def _copy(response: httpx.Response, file: BinaryIO) -> int:
    size = 0
    for block in response.iter_bytes():
        size += file.write(block)
    return size
