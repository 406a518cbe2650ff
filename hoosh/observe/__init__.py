"""How is it going?  Metrics, log lines, traces, event-loop lag."""

from hoosh.observe.lag import LagStatistics, LagWatch
from hoosh.observe.logs import AccessLog, LogStatistics
from hoosh.observe.metrics import Metrics, Readings
from hoosh.observe.settings import ROOMS, Logging, Telemetry

__all__ = [
    "ROOMS",
    "AccessLog",
    "LagStatistics",
    "LagWatch",
    "LogStatistics",
    "Logging",
    "Metrics",
    "Readings",
    "Telemetry",
]
