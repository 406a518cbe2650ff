"""Where a dialect's path lies below a base URL, whichever way its user wrote that.

Users of OpenAI's SDKs write `http://host/v1`, others `http://host`; Google's and Zhipu's compatible surfaces live below
versions of their own (`/v1beta/openai`, `/api/paas/v4`).  So a version in the base stands in for the path's own.
"""

from __future__ import annotations

import re

__all__ = ["join_base"]

_version = re.compile(r"/v\d+[a-z0-9]*(?=/|$)")


def join_base(base_path: str, path: str) -> str:
    """`path` below `base_path`, both without host.

    `/v1/models` below `/openai`, `/openai/v1` and `/api/paas/v4`: `/openai/v1/models` twice, `/api/paas/v4/models`.
    A path without a version (`/api/chat`) lies beside a version that ends the base, not below it.
    """
    base = base_path.rstrip("/")
    own = _version.match(path)
    if own is not None:
        return base + (path[own.end() :] if _version.search(base) else path)
    ends = [found for found in _version.finditer(base) if found.end() == len(base)]
    return (base[: ends[0].start()] if ends else base) + path
