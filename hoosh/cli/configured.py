"""What `serve` and `check` share: finding the configuration."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hoosh.config import Config, Overrides

__all__ = ["add_config_flag", "load_config", "path_of_config"]


def add_config_flag(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-c",
        "--config",
        metavar="FILE",
        help="configuration (default: hoosh.toml here, else $XDG_CONFIG_HOME/hoosh/hoosh.toml, else none)",
    )


def load_config(arguments: argparse.Namespace, overrides: Overrides | None = None) -> tuple[Config, Path | None]:
    """The configuration and the file it came from, if any.  Raises ConfigError."""
    from hoosh.config import load

    path = path_of_config(arguments)
    return load(path, os.environ, overrides), path


def path_of_config(arguments: argparse.Namespace) -> Path | None:
    """Where it is, if anywhere."""
    from hoosh.config import find_config

    return find_config(arguments.config, os.environ, Path.cwd())
