"""How is it going?  Metrics, log lines, event-loop lag."""

from hoosh.observe.lag import LagStatistics, LagWatch
from hoosh.observe.logs import AccessLog, LogStatistics
from hoosh.observe.metrics import Metrics, Readings

__all__ = ["AccessLog", "LagStatistics", "LagWatch", "LogStatistics", "Metrics", "Readings"]
