"""Who is asking, and what may they do?"""

from hoosh.access.keys import Key, KeyRing, digest_of, may_use, require_scope

__all__ = ["Key", "KeyRing", "digest_of", "may_use", "require_scope"]
