"""A LiteLLM proxy's `config.yaml` as a `hoosh.toml`.

A `model_name` becomes an alias; its deployments become targets at providers.  Several that share a name are balanced
by the router's strategy, as there; with fallbacks behind them they are asked in their order, since an alias either
balances or has an order.  What has no counterpart is a remark, and a comment in the result.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct

from hoosh.migration.deployments import Deployment, deployments_of
from hoosh.migration.document import Document
from hoosh.migration.providers import Providers, Target, provide
from hoosh.migration.remarks import Remark, Remarks, harmless
from hoosh.migration.section import NO_COUNTERPART, Reading
from hoosh.migration.settings import Settings
from hoosh.migration.toml import Table, Value, comment, table_text

__all__ = ["Migrated", "migrate_litellm"]

READ = frozenset({"model_list", "credential_list", "router_settings", "litellm_settings", "general_settings"})
ELSEWHERE = {
    "environment_variables": "is left out: set these in the environment that hoosh is started in",
    "include": "names other files: hoosh has one; put them together first",
    "mcp_servers": "is left out: this version of hoosh has no tools of its own",
    "guardrails": NO_COUNTERPART,
}
ASKED_IN_ORDER = (
    "shares its name with equals, and others stand behind: hoosh asks them in order, it does not balance them"
)
CONTEXT = "is asked after all others, whatever has failed; that a prompt is too long hoosh finds out by itself"


class Migrated(Struct, frozen=True):
    toml: str
    remarks: tuple[Remark, ...]
    variables: frozenset[str]
    """The variables of the environment that the result needs."""


def migrate_litellm(document: Document, environ: Mapping[str, str], *, source: str) -> Migrated:
    """`source` names the file, for the comment at the top.  `environ` is asked for addresses, never for secrets."""
    reading = Reading(document, environ, Remarks(), set())
    settings = Settings(reading)
    deployments = list(deployments_of(reading, settings.usual))
    providers = provide(deployments)
    blocks = list(_blocks(settings, deployments, providers))
    settings.rest()
    for name in document.root:
        if name not in READ:
            reading.remarks.add(document.line((name,)), (name,), ELSEWHERE.get(name, NO_COUNTERPART))
    remarks = reading.remarks.told()
    head = comment(_head(source, remarks, reading.variables))
    return Migrated("\n\n".join([head, *blocks]) + "\n", remarks, frozenset(reading.variables))


def _head(source: str, remarks: Sequence[Remark], variables: Iterable[str]) -> Iterator[str]:
    yield f"Made of {harmless(source)} by `hoosh-trio migrate litellm`.  docs/migration.md tells what became of what."
    named = sorted(variables)
    if named:
        yield ""
        yield f"Needs in the environment: {', '.join(named)}"
    if remarks:
        yield ""
        yield "Not the same here, by the lines of that file:"
        yield from map(str, remarks)


def _blocks(settings: Settings, deployments: Sequence[Deployment], providers: Providers) -> Iterator[str]:
    longest_s = max((_total_s(table) for table in providers.tables), default=0.0)
    yield table_text("[server]", settings.server(longest_s))
    if settings.key:
        yield table_text("[[keys]]", {"name": "master", "key": settings.key})
    yield table_text("[discovery]", {"local": False, "environment": _wants_any(deployments), "echo": False})
    for table in providers.tables:
        yield table_text("[[providers]]", table)
    for table in _aliases(settings, deployments, providers):
        yield table_text("[[models]]", table)
    budget = settings.budgets()
    if budget:
        yield table_text("[[budgets]]", budget)
    for table in _prices(deployments):
        yield table_text("[[prices]]", table)
    named = {
        "routing": settings.routing(),
        "cache": settings.cache(),
        "retry": settings.retry(),
        "health": settings.health(),
    }
    for name, table in {**named, "logging": settings.logging()}.items():
        if table:
            yield table_text(f"[{name}]", table)


def _total_s(provider: Table) -> float:
    timeouts = provider.get("timeouts")
    return float(timeouts["total_s"]) if isinstance(timeouts, dict) else 0.0


def _wants_any(deployments: Iterable[Deployment]) -> bool:
    """`model_name: "*"` with `model: "*"`: whoever's key is in the environment."""
    return any(each.name == each.model == "*" for each in deployments)


def _aliases(settings: Settings, deployments: Sequence[Deployment], providers: Providers) -> Iterator[Table]:
    contexts = _contexts(deployments)
    meant = {**{name: name for name in providers.targets}, **settings.aliases}
    for name, model in meant.items():
        targets = providers.targets.get(model)
        if targets is None:
            settings.router.say("model_group_alias", "names a model_name that is not there; that one is left out")
            continue
        behind = _behind(model, settings, providers)
        table: dict[str, Value] = {"name": name, "targets": [each.text for each in (*targets, *behind)]}
        strategy = _strategy(targets, behind, settings)
        if len(targets) > 1 and not strategy and len({each.order for each in targets}) < len(targets):
            next(each for each in deployments if each.name == model).section.say("model", ASKED_IN_ORDER)
        if strategy:
            table["strategy"] = strategy
        if model in contexts:
            table["context_length"] = contexts[model]
        yield table


def _behind(model: str, settings: Settings, providers: Providers) -> tuple[Target, ...]:
    """Whom to ask when all of its own have failed."""
    own = {each.text for each in providers.targets[model]}
    others = [*settings.fallbacks.get(model, settings.fallbacks.get("*", settings.default_fallbacks))]
    if model in settings.longer:
        settings.either("context_window_fallbacks").say("context_window_fallbacks", CONTEXT)
        others += settings.longer[model]
    found: dict[str, Target] = {}
    for other in others:
        if other not in providers.targets and other not in settings.aliases:
            settings.either("fallbacks").say("fallbacks", "names a model_name that is not there, or has no counterpart")
        for each in providers.targets.get(settings.aliases.get(other, other), ()):
            if each.text not in own:
                found.setdefault(each.text, each)
    return tuple(found.values())


def _strategy(targets: Sequence[Target], behind: Sequence[Target], settings: Settings) -> str:
    """ "" is in the order of the targets."""
    if behind or len({each.order for each in targets}) > 1:
        return ""
    return settings.strategy if len(targets) > 1 else ""


def _contexts(deployments: Iterable[Deployment]) -> dict[str, int]:
    """What is known of all that share a name is the least of them."""
    found: dict[str, int] = {}
    for each in deployments:
        if each.context_length is not None:
            found[each.name] = min(each.context_length, found.get(each.name, each.context_length))
    return found


def _prices(deployments: Iterable[Deployment]) -> Iterator[Table]:
    """The first word on a model's price counts, as in hoosh; a model without a price of input has none."""
    told: set[str] = set()
    for each in deployments:
        if each.prices and each.model not in told:
            told.add(each.model)
            yield {"model": each.model, "input": 0.0, **each.prices}
