"""`hoosh-trio infer`: one question, one answer.

infer MODEL PROMPT...      or      infer -m MODEL PROMPT...       PROMPT `-` reads stdin
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from hoosh.cli.failure import WRONG_USAGE, Failure
from hoosh.cli.parsers import add_command
from hoosh.cli.streaming import cut_short, data_of, event_in
from hoosh.cli.talk import add_talk_flags, talk_to

if TYPE_CHECKING:
    import httpx

__all__ = ["add_to", "run"]

READ_S = 600.0
"""Models may think for long before they say a word; the gateway has deadlines of its own."""


def add_to(commands: Any) -> None:
    parser = add_command(
        commands,
        "infer",
        help="ask a model something",
        description="Ask a model something through a running gateway.",
        usage="hoosh-trio infer [options] MODEL PROMPT...\n       hoosh-trio infer [options] -m MODEL PROMPT...",
        examples=(
            "hoosh-trio infer echo 'Salam, donya'",
            "hoosh-trio infer --stream --system 'Be brief.' llama3.2 'Why is the sky blue?'",
            "git diff | hoosh-trio infer -m gpt-4o -",
        ),
    )
    parser.add_argument("words", nargs="+", metavar="PROMPT", help="the question; - reads it from stdin")
    parser.add_argument("-m", "--model", metavar="MODEL", help="the model, if it is not the first word")
    parser.add_argument("--stream", action="store_true", help="print the answer as it comes")
    parser.add_argument("--system", metavar="TEXT", help="instructions that come before the question")
    add_talk_flags(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    model, prompt = _question(arguments)
    messages = [{"role": "system", "content": arguments.system}] if arguments.system else []
    messages.append({"role": "user", "content": prompt})
    body: dict[str, object] = {"model": model, "messages": messages}
    if arguments.stream:
        body["stream"] = True
    with (
        talk_to(arguments) as gateway,
        gateway.open("POST", "/v1/chat/completions", body, read_s=READ_S) as response,
    ):
        if response.headers.get("content-type", "").startswith("text/event-stream"):
            _print_stream(response, as_json=arguments.json)
        else:
            _print_reply(response.read(), as_json=arguments.json)
    return 0


def _question(arguments: argparse.Namespace) -> tuple[str, str]:
    """Model and prompt, from the words and from stdin."""
    words = list(arguments.words)
    model = arguments.model if arguments.model is not None else words.pop(0)
    if not words:
        raise Failure("infer needs a model and a prompt: hoosh-trio infer MODEL PROMPT", exit_code=WRONG_USAGE)
    prompt = sys.stdin.read() if words == ["-"] else " ".join(words)
    if not prompt.strip() or not model:
        raise Failure("the prompt or the model is empty", exit_code=WRONG_USAGE)
    return model, prompt


def _print_reply(body: bytes, *, as_json: bool) -> None:
    try:
        reply = json.loads(body)
        text = _text(reply["choices"][0]["message"])
    except (ValueError, LookupError, TypeError):
        raise Failure("the answer cannot be understood; is this a hoosh gateway?") from None
    print(json.dumps(reply, ensure_ascii=False) if as_json else text)


def _print_stream(response: httpx.Response, *, as_json: bool) -> None:
    """Print each piece as it arrives.  Raises Failure on an error in the stream, and when its end is missing."""
    ended = ""
    try:
        for data in data_of(response):
            if data == "[DONE]":
                return
            piece = data if as_json else _piece(data)
            if piece:
                print(piece, end="\n" if as_json else "", flush=True)
                ended = piece[-1:]
    finally:
        if not as_json and ended != "\n":
            print(flush=True)
    raise cut_short("answer")


def _piece(data: str) -> str:
    """The text of one event.  Raises Failure when it is an error."""
    choices = event_in(data, of="answer").get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        return ""
    return _text(choices[0].get("delta"))


def _text(message: object) -> str:
    """What a message or delta says: text, the text parts of a list, or a refusal."""
    if not isinstance(message, dict):
        return ""
    content = message.get("content") or message.get("refusal") or ""
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return str(content)
