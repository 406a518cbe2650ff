"""`hoosh-trio transcribe`: recordings in, what is said in them out.

    transcribe FILE...        - reads a recording from stdin

Each file is sent as it is read, with a bar on a terminal; there the text comes as it is heard, where the model can do
that.  With several files one that fails does not keep the others; the exit code tells of it.
"""

from __future__ import annotations

import argparse
import json
import os
import stat
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, BinaryIO

from hoosh.cli.failure import FAILED, WRONG_USAGE, Failure
from hoosh.cli.files import written_whole
from hoosh.cli.parsers import add_command
from hoosh.cli.progress import Progress
from hoosh.cli.streaming import cut_short, data_of, event_in
from hoosh.cli.talk import NO_GATEWAY, Talk, add_talk_flags, talk_to

if TYPE_CHECKING:
    import httpx

    from hoosh.codec.form_upload import FormUpload

__all__ = ["add_to", "run"]

READ_S = 3600.0
"""An hour of speech takes its time on a small machine; the gateway has deadlines of its own."""
FORMATS = ("text", "json", "verbose_json", "srt", "vtt")
SUFFIXES = {"text": ".txt", "srt": ".srt", "vtt": ".vtt"}
STDIN = "-"
SOUND_BYTES = 16
"""Enough of stdin to know its kind."""
EXTENSIONS = {"audio/wav": "wav", "audio/mpeg": "mp3", "audio/ogg": "ogg", "audio/flac": "flac", "audio/mp4": "m4a"}
MIB = 1 << 20


def add_to(commands: Any) -> None:
    parser = add_command(
        commands,
        "transcribe",
        help="write down what is said in recordings",
        description="Write down what is said in recordings, through a running gateway.",
        examples=(
            "hoosh-trio transcribe talk.wav",
            "hoosh-trio transcribe --format srt --output subtitles *.mp3",
            "ffmpeg -i film.mkv -f wav - | hoosh-trio transcribe --language fa -",
        ),
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="a recording; - reads one from stdin")
    parser.add_argument("-m", "--model", metavar="MODEL", help="who listens (default: what the gateway takes for it)")
    parser.add_argument("--language", metavar="CODE", help="what is spoken, such as en or fa; else it is guessed")
    parser.add_argument("--prompt", metavar="TEXT", help="names and words that may come in it")
    parser.add_argument("--translate", action="store_true", help="write it down in English")
    parser.add_argument("--format", choices=FORMATS, default="text", help="how (default: text)")
    parser.add_argument("--output", metavar="DIR", help="write a file for each recording, named like it, into DIR")
    add_talk_flags(parser, json="each answer, with its file, on a line")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    if arguments.files.count(STDIN) > 1:
        raise Failure("stdin can be read only once", exit_code=WRONG_USAGE)
    if arguments.output is not None and not os.path.isdir(arguments.output):
        raise Failure(f"there is no directory {arguments.output}; make it first", exit_code=WRONG_USAGE)
    if twice := _written_twice(arguments):
        raise Failure(f"{twice} twice: these recordings would be written over each other", exit_code=WRONG_USAGE)
    failed = False
    with talk_to(arguments) as gateway:
        for path in arguments.files:
            try:
                _transcribe(gateway, arguments, path)
            except Failure as failure:
                if len(arguments.files) == 1:
                    raise
                print(f"hoosh-trio: {path}: {failure}", file=sys.stderr)
                failed = True
    return FAILED if failed else 0


def _transcribe(gateway: Talk, arguments: argparse.Namespace, path: str) -> None:
    streams = _streams(arguments)
    form = _form(arguments, path, streams=streams)
    headers = {"content-type": form.content_type}
    if form.length is not None:
        headers["content-length"] = str(form.length)
    where = "/v1/audio/translations" if arguments.translate else "/v1/audio/transcriptions"
    with Progress() as progress:
        content = _watched(form, path, progress)
        with gateway.open("POST", where, content=content, headers=headers, read_s=READ_S) as response:
            progress.wipe()
            if response.headers.get("content-type", "").startswith("text/event-stream"):
                _print_heading(arguments, path)
                _print_stream(response)
            else:
                _tell(arguments, path, response.read(), gateway.server, streams=streams)


# -- what is sent ------------------------------------------------------------------------------------------------


def _streams(arguments: argparse.Namespace) -> bool:
    """Somebody looks on."""
    is_plain = arguments.format == "text" and not arguments.json and arguments.output is None
    return is_plain and not arguments.translate and sys.stdout.isatty()


def _form(arguments: argparse.Namespace, path: str, *, streams: bool) -> FormUpload:
    from hoosh.codec.form_upload import FormUpload
    from hoosh.values import FormPart

    opened, name, size = _stdin() if path == STDIN else _file(path)
    said: Mapping[str, str | None] = {
        "model": arguments.model,
        "language": None if arguments.translate else arguments.language,
        "prompt": arguments.prompt,
        "response_format": _wire_format(arguments, streams=streams),
        "stream": "true" if streams else None,
    }
    fields = [FormPart(field, text.encode()) for field, text in said.items() if text is not None]
    return FormUpload(fields, FormPart("file", b"", name, "application/octet-stream"), opened, size)


def _wire_format(arguments: argparse.Namespace, *, streams: bool) -> str:
    if streams or (arguments.json and arguments.format in ("text", "json")):
        return "json"
    return str(arguments.format)


Opened = Callable[[], AbstractContextManager[BinaryIO]]


def _file(path: str) -> tuple[Opened, str, int | None]:
    try:
        about = os.stat(path)
        with open(path, "rb"):
            pass
    except OSError as error:
        raise Failure(f"{path} cannot be read: {error.strerror}") from None
    size = about.st_size if stat.S_ISREG(about.st_mode) else None
    return (lambda: open(path, "rb")), os.path.basename(path), size


def _stdin() -> tuple[Opened, str, None]:
    from hoosh.dialects.audio.sound import sound_type

    source = sys.stdin.buffer
    kind = sound_type(source.peek(SOUND_BYTES)[:SOUND_BYTES]) if hasattr(source, "peek") else None
    return (lambda: nullcontext(source)), f"stdin.{EXTENSIONS.get(kind or '', 'wav')}", None


def _watched(form: FormUpload, path: str, progress: Progress) -> Iterator[bytes]:
    """The form, with a bar that moves once a percent."""
    sent, shown = 0, -1
    for block in _readable(form, path):
        yield block
        sent += len(block)
        done = sent * 100 // form.length if form.length else sent // MIB
        if done != shown:
            shown = done
            share = sent / form.length if form.length else 0.0
            progress.show(share, f"{os.path.basename(path)}: {sent / MIB:.1f} MiB sent")
    progress.show(1.0, f"{os.path.basename(path)}: listening")


def _readable(form: FormUpload, path: str) -> Iterator[bytes]:
    blocks = iter(form)
    while True:
        try:
            block = next(blocks, b"")
        except OSError as error:
            raise Failure(f"{path} cannot be read: {error.strerror or error}") from None
        if not block:
            return
        yield block


# -- what is told ------------------------------------------------------------------------------------------------


def _tell(arguments: argparse.Namespace, path: str, body: bytes, server: str, *, streams: bool) -> None:
    is_json = _wire_format(arguments, streams=streams).endswith("json")
    answer: Any = None
    if is_json:
        try:
            answer = json.loads(body)
            answer["text"]
        except (ValueError, TypeError, LookupError):
            raise Failure(NO_GATEWAY.format(server)) from None
    if arguments.json:
        told = json.dumps({"file": path, **(answer or {"text": body.decode("utf-8", "replace")})}, ensure_ascii=False)
    elif streams:
        told = str(answer["text"])
    else:
        told = body.decode("utf-8", "replace").rstrip("\n")
    if arguments.output is not None:
        _write(arguments, path, told)
    else:
        _print_heading(arguments, path)
        print(told)


def _print_heading(arguments: argparse.Namespace, path: str) -> None:
    if len(arguments.files) > 1 and not arguments.json:
        print(f"==> {path} <==")


def _target(arguments: argparse.Namespace, path: str) -> str:
    stem = "stdin" if path == STDIN else os.path.splitext(os.path.basename(path))[0]
    suffix = ".json" if arguments.json else SUFFIXES.get(arguments.format, ".json")
    return os.path.join(arguments.output, stem + suffix)


def _written_twice(arguments: argparse.Namespace) -> str | None:
    if arguments.output is None:
        return None
    targets = [_target(arguments, path) for path in arguments.files]
    return next((target for number, target in enumerate(targets) if target in targets[:number]), None)


def _write(arguments: argparse.Namespace, path: str, told: str) -> None:
    with written_whole(_target(arguments, path)) as file:
        file.write(f"{told}\n".encode())


def _print_stream(response: httpx.Response) -> None:
    """The text as it is heard.  Raises Failure on an error in the stream, and when its end is missing."""
    is_done = False
    try:
        for data in data_of(response):
            is_done = is_done or data == "[DONE]" or _print_piece(data)
    finally:
        print(flush=True)
    if not is_done:
        raise cut_short("transcript")


def _print_piece(data: str) -> bool:
    """True at the end.  Raises Failure when it is an error."""
    event = event_in(data, of="transcript")
    if event.get("type") == "transcript.text.delta":
        print(event.get("delta", ""), end="", flush=True)
    return event.get("type") == "transcript.text.done"
