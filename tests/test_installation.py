"""A plain installation stays small: what it brings along, counted by what each package says that it needs."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

MOST = 40


def brought_along(name: str, found: set[str], extras: frozenset[str] = frozenset()) -> set[str]:
    """The names of all that is installed with `name`, itself among them."""
    found.add(canonicalize_name(name))
    try:
        needed = requires(name) or []
    except PackageNotFoundError:  # of another system
        return found
    for line in needed:
        requirement = Requirement(line)
        wanted = [{"extra": extra} for extra in extras] or [{"extra": ""}]
        if requirement.marker is not None and not any(map(requirement.marker.evaluate, wanted)):
            continue
        if canonicalize_name(requirement.name) not in found:
            brought_along(requirement.name, found, frozenset(requirement.extras))
    return found


def ours() -> set[str]:
    """As the project's own file says it."""
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    found = {"hoosh-trio"}
    for line in project["dependencies"]:
        requirement = Requirement(line)
        brought_along(requirement.name, found, frozenset(requirement.extras))
    return found


def test_a_plain_installation_brings_few_packages_and_none_that_is_heavy():
    found = ours()
    print(len(found), sorted(found))
    assert {"trio", "msgspec", "quart"} <= found
    assert len(found) <= MOST
    assert not found & {"pydantic", "fastapi", "aiohttp", "requests", "rich", "opentelemetry-sdk", "numpy"}


def test_what_serves_loads_nothing_that_only_tests_need():
    """Each would be in the way of the first answer."""
    script = "import hoosh.api.serve, hoosh.cli, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    late = {"pytest", "trio.testing", "quart", "hypercorn", "httpx", "rich", "opentelemetry", "yaml", "anyio"}
    assert not late & set(loaded)
