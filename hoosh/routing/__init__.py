"""Who shall answer?"""

from hoosh.routing.plan import Plan, Step
from hoosh.routing.settings import Retry, Routing, Strategy
from hoosh.routing.table import Route, RouteTable

__all__ = ["Plan", "Retry", "Route", "RouteTable", "Routing", "Step", "Strategy"]
