"""`router_settings`, `litellm_settings`, `general_settings`: one table of ours for each that has something to say.

What both of the first two say is the router's.  Source: LiteLLM's documentation, "All settings".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hoosh.migration.section import Reading, Section
from hoosh.migration.toml import Value

__all__ = ["Settings"]

PORT = 4000
"""LiteLLM's own, where clients look for it."""
MAX_RETRIES = 10
NEVER = 1_000_000
STRATEGIES = {
    "simple-shuffle": "round_robin",
    "least-busy": "least_loaded",
    "latency-based-routing": "lowest_latency",
    "cost-based-routing": "cheapest",
    "usage-based-routing": "least_loaded",
    "usage-based-routing-v2": "least_loaded",
}
WINDOWS = {
    "month": ("30d", "1mo"),
    "day": ("1d", "24h"),
    "hour": ("1h", "60m", "3600s"),
    "minute": ("1m", "60s"),
}
ONE_GATEWAY = "is left out; where hoosh keeps its books is said in [storage]"
METRICS = "is left out; metrics are at /metrics, each request has a line in the log, and [audit] proves what happened"
KEYS_IN_A_DATABASE = "is left out: hoosh's keys and budgets are in its configuration; see `hoosh-trio keys new`"
ROUTER = {
    "enable_pre_call_checks": "",  # hoosh always looks at the context length
    "set_verbose": "",
    "debug_level": "",
    **dict.fromkeys(
        ("redis_host", "redis_port", "redis_password", "redis_db", "redis_url", "cache_kwargs"), ONE_GATEWAY
    ),
    "content_policy_fallbacks": "is left out: hoosh asks nobody else for what one provider has refused to say",
    "stream_timeout": "is left out; see [[providers]].timeouts: first_token_s and idle_s bound streams",
    "retry_policy": "is left out: which errors are worth another attempt is built in (docs/routing.md)",
    "allowed_fails_policy": "is left out: which errors count against a provider is built in (docs/health.md)",
    "max_fallbacks": "is left out; see [routing] max_attempts",
}
LITELLM = {
    **dict.fromkeys(("success_callback", "failure_callback", "callbacks", "service_callbacks"), METRICS),
    "drop_params": "is left out: what a provider cannot do is refused, or left out as docs/dialects.md lists",
    "content_policy_fallbacks": ROUTER["content_policy_fallbacks"],
    "turn_off_message_logging": "",  # no content is logged unless [audit] content says so
    "telemetry": "",
}
GENERAL = {
    **dict.fromkeys(("database_url", "store_model_in_db", "database_connection_pool_limit"), KEYS_IN_A_DATABASE),
    **dict.fromkeys(("alerting", "alerting_threshold", "alert_types"), METRICS),
    "background_health_checks": "",
}
CACHE = dict.fromkeys(("host", "port", "password", "namespace", "redis_startup_nodes", "url"), ONE_GATEWAY)


class Settings:
    """Reads all three once; what it found stands in its attributes."""

    def __init__(self, reading: Reading) -> None:
        self.router = reading.section("router_settings")
        self.litellm = reading.section("litellm_settings")
        self.general = reading.section("general_settings")
        self.strategy = self._strategy()
        self.usual = self._usual()
        """Of every provider that says nothing else."""
        self.key = self.general.secret("master_key")
        self.aliases: dict[str, str] = dict(self._aliases())
        """Another name → the model_name it stands for."""
        self.fallbacks = self._fallbacks("fallbacks")
        self.longer = self._fallbacks("context_window_fallbacks")
        self.default_fallbacks = self._names("default_fallbacks")

    def either(self, name: str) -> Section:
        """Whichever section says `name`; the router's word wins, and the other's is taken, too."""
        if name in self.router:
            self.litellm.take(name)
            return self.router
        return self.litellm

    def _strategy(self) -> str:
        word = self.router.text("routing_strategy") or "simple-shuffle"
        if word.startswith("usage-based"):
            self.router.say("routing_strategy", "goes by tokens used; hoosh's nearest is `least_loaded`, by what runs")
        elif word not in STRATEGIES:
            self.router.say("routing_strategy", "is none that hoosh knows; each is asked in its turn")
        return STRATEGIES.get(word, "round_robin")

    def _usual(self) -> Mapping[str, Value]:
        usual: dict[str, Value] = {}
        parallel = self.router.count("default_max_parallel_requests")
        if parallel is not None:
            usual["max_concurrent"] = parallel
        section, name = (self.router, "timeout") if "timeout" in self.router else (self.litellm, "request_timeout")
        total_s = section.number(name, least=0.001)
        self.litellm.take("request_timeout")
        if total_s is not None:
            usual["timeouts"] = {"total_s": total_s}
        return usual

    def _aliases(self) -> Iterator[tuple[str, str]]:
        given = self.router.take("model_group_alias")
        for name, meant in given.items() if isinstance(given, dict) else ():
            model = meant.get("model") if isinstance(meant, dict) else meant
            if isinstance(model, str):
                yield str(name), model

    def _fallbacks(self, name: str) -> dict[str, tuple[str, ...]]:
        """LiteLLM's list of tables of one: `[{gpt-4o: [claude, gemini]}]`."""
        section = self.either(name)
        found: dict[str, tuple[str, ...]] = {}
        given: Any = section.take(name)
        for entry in given if isinstance(given, list) else [given] if isinstance(given, dict) else []:
            for model, others in entry.items() if isinstance(entry, dict) else ():
                names = tuple(other for other in others if isinstance(other, str)) if isinstance(others, list) else ()
                if not isinstance(others, list) or len(names) < len(others):
                    section.say(name, "has fallbacks that are no model_name; those are left out")
                found[str(model)] = (*found.get(str(model), ()), *names)
        return found

    def _names(self, name: str) -> tuple[str, ...]:
        given = self.either(name).take(name)
        return tuple(each for each in given if isinstance(each, str)) if isinstance(given, list) else ()

    # -- one table each ----------------------------------------------------------------------------------------------

    def server(self, longest_s: float) -> dict[str, Value]:
        """`longest_s` is the longest timeout that a provider has."""
        general, table = self.general, dict[str, Value]()
        if self.key:
            table["bind"] = "0.0.0.0"
        else:
            general.say("master_key", "is not given: hoosh listens for this machine only, unless there are [[keys]]")
        table["port"] = PORT
        if longest_s > 600:
            table["request_timeout_s"] = longest_s
        most = general.count("global_max_parallel_requests")
        if most is not None:
            table["max_concurrent"] = most
        megabytes = general.number("max_request_size_mb", least=0.001, most=1e6)
        if megabytes is not None:
            table["max_body_bytes"] = max(1, int(megabytes * 1024 * 1024))
        return table

    def budgets(self) -> dict[str, Value]:
        usd = self.litellm.number("max_budget")
        word = self.litellm.text("budget_duration")
        if usd is None:
            return {}
        window = next((ours for ours, theirs in WINDOWS.items() if word in theirs), "none")
        if word and window == "none":
            self.litellm.say("budget_duration", "is no window that hoosh has; the budget is never refilled")
        return {"name": "default", "capacity": usd, "unit": "usd", "window": window}

    def routing(self) -> dict[str, Value]:
        """Among accounts and providers that are alike; in hoosh's own order, `priority`, nobody is balanced."""
        return {"strategy": self.strategy}

    def retry(self) -> dict[str, Value]:
        table: dict[str, Value] = {}
        section = self.either("num_retries")
        retries = section.count("num_retries", least=0)
        if retries is not None:
            table["max_retries"] = min(retries, MAX_RETRIES)
            if retries > MAX_RETRIES:
                section.say("num_retries", f"is more than {MAX_RETRIES}, the most that hoosh tries again")
        after_s = self.router.number("retry_after", most=30.0)
        if after_s:
            table["base_delay_ms"] = round(after_s * 1000)
        return table

    def health(self) -> dict[str, Value]:
        table: dict[str, Value] = {}
        fails = self.either("allowed_fails").count("allowed_fails", least=0)
        if fails is not None:
            table["failure_threshold"] = fails + 1
            self.either("allowed_fails").say(
                "allowed_fails", "counts failures of a minute; hoosh counts those in a row"
            )
        pause_s = self.either("cooldown_time").number("cooldown_time", least=0.001)
        if pause_s is not None:
            table["open_s"] = pause_s
        if self.router.flag("disable_cooldowns"):
            table |= {"failure_threshold": NEVER, "min_requests": NEVER}
        every_s = self.general.number("health_check_interval", least=0.001)
        if every_s is not None:
            table["interval_secs"] = every_s
        return table

    def cache(self) -> dict[str, Value]:
        """LiteLLM keeps nothing unless it is told to, and then everything, for everybody."""
        wanted = self.litellm.flag("cache")
        params = self.litellm.section("cache_params")
        if not wanted:
            return {"enabled": False}
        if params.text("mode") == "default_off":
            params.say("mode", "leaves it to each request to ask for the cache, which hoosh's cannot: it is off")
            return {"enabled": False}
        kind = params.text("type") or "local"
        if kind != "local":
            params.say("type", "is another store; hoosh's cache is in its memory, for equal requests")
        self.litellm.say("cache", "gives a caller the answers that others have asked for, as LiteLLM does: see share")
        table: dict[str, Value] = {"enabled": True, "share": "all", "nondeterministic": True}
        ttl_s = params.number("ttl")
        if ttl_s is not None:
            table["ttl_secs"] = ttl_s
        params.rest(CACHE)
        return table

    def logging(self) -> dict[str, Value]:
        table: dict[str, Value] = {"format": "json"} if self.litellm.flag("json_logs") else {}
        return {**table, **({"level": "debug"} if self.litellm.flag("set_verbose") else {})}

    def rest(self) -> None:
        """Tell of what nobody has asked for."""
        self.router.rest(ROUTER)
        self.litellm.rest(LITELLM)
        self.general.rest(GENERAL)
