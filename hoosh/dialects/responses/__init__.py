"""OpenAI's Responses API: served to clients over any upstream, and passed on to upstreams that have it."""

from hoosh.dialects.responses.downstream import ResponsesDownstream
from hoosh.dialects.responses.passage import ResponsesPassage
from hoosh.dialects.responses.store import ResponseStore, StoreStatistics
from hoosh.dialects.responses.wire import RESPONSES_PATH

__all__ = ["RESPONSES_PATH", "ResponseStore", "ResponsesDownstream", "ResponsesPassage", "StoreStatistics"]
