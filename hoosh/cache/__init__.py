"""Was it answered before?"""

from hoosh.cache.directives import Directives, read_directives
from hoosh.cache.exact import Answer, CacheStatistics, ExactCache
from hoosh.cache.fingerprint import body_of, digest_of, fingerprint
from hoosh.cache.flight import Flight, Flights, Head, Member
from hoosh.cache.keeping import calls_tools, is_cacheable, may_call_tools
from hoosh.cache.settings import Cache

__all__ = [
    "Answer",
    "Cache",
    "CacheStatistics",
    "Directives",
    "ExactCache",
    "Flight",
    "Flights",
    "Head",
    "Member",
    "body_of",
    "calls_tools",
    "digest_of",
    "fingerprint",
    "is_cacheable",
    "may_call_tools",
    "read_directives",
]
