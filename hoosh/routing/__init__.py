"""Who shall answer?"""

from hoosh.routing.settings import Retry, Routing, Strategy
from hoosh.routing.table import Route, RouteTable

__all__ = ["Retry", "Route", "RouteTable", "Routing", "Strategy"]
