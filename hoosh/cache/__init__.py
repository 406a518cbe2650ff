"""Was it answered before?"""

from hoosh.cache.settings import Cache

__all__ = ["Cache"]
