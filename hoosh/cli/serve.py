"""`hoosh-trio serve`: run the gateway until a signal ends it.  Flags override the file."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from hoosh.cli.configured import add_config_flag, load_config, path_of_config
from hoosh.cli.failure import FAILED
from hoosh.cli.parsers import add_command

if TYPE_CHECKING:
    from hoosh.config import Config

__all__ = ["add_to", "run"]

_FLAGS: dict[str, tuple[str | int, ...]] = {
    "bind": ("server", "bind"),
    "port": ("server", "port"),
    "log_format": ("logging", "format"),
    "log_level": ("logging", "level"),
    "watch": ("server", "watch_config"),
}


def add_to(commands: Any) -> None:
    parser = add_command(
        commands,
        "serve",
        help="run the gateway",
        description="Run the gateway until Ctrl-C or SIGTERM.  Needs no configuration; flags come before the file.",
        examples=(
            "hoosh-trio serve                           # local engines, keys in the environment, and the model echo",
            "hoosh-trio serve --config team.toml --port 9000",
        ),
    )
    add_config_flag(parser)
    parser.add_argument("-b", "--bind", metavar="ADDRESS", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("-p", "--port", type=int, metavar="N", help="port to listen on (default: 8088; 0: any)")
    parser.add_argument(
        "--server",
        choices=("hoosh", "hypercorn"),
        default="hoosh",
        help="who speaks HTTP: hoosh itself (default), or Hypercorn",
    )
    parser.add_argument("--log-format", choices=("auto", "json", "text"), help="default: text on a terminal, else json")
    parser.add_argument("--log-level", choices=("debug", "info", "warning", "error"), help="default: info")
    parser.add_argument("--watch", action="store_true", default=None, help="reload the file when it has been changed")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from hoosh.api.reread import ConfigFile
    from hoosh.api.serve import run_server
    from hoosh.errors import ConfigError

    path = path_of_config(arguments)
    file = None if path is None else ConfigFile.at(path)
    given = {path: getattr(arguments, name) for name, path in _FLAGS.items() if getattr(arguments, name) is not None}
    try:
        config, _ = load_config(arguments, given)
    except ConfigError as error:
        print(*error.mistakes, sep="\n", file=sys.stderr)
        return FAILED

    def read() -> Config:
        return load_config(arguments, given)[0]

    return run_server(config, file=file, read=read, server=arguments.server)
