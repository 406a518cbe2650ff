"""The trace of an hour: every step of it, or those of one ask; readable, and the same for the same seed.

seed 17: 3 upstreams, least_loaded, hedging after 300 ms …
    u0 openai, 2 accounts, says v, takes prefill
    from 120.0 s to 171.5 s u0 has `dies` after 3 tokens
 122.400  ask 12 sets out
 122.400  u0#1/m-a hears ask 12, plays dies
"""

from __future__ import annotations

from sim_faults_schedule import Ask, Host, House, Schedule, Spell
from sim_faults_world import FaultHouse

__all__ = ["story", "trace"]


def trace(house: FaultHouse) -> str:
    """All of it."""
    return "\n".join([*_settings(house.plan), *map(_line, house.log.lines)])


def story(house: FaultHouse, number: int) -> str:
    """What is to be known about one ask: who wanted what, the weather at that time, what happened."""
    plan = house.plan
    if number < 0:
        return "\n".join(_settings(plan))
    script, heard = plan.asks[number], house.heard.get(number)
    until_s = script.at_s if heard is None else heard.ended_s
    near = [spell for spell in plan.spells if spell.at_s <= until_s and spell.until_s > script.at_s - 60]
    lines = [line for line in house.log.lines if line[1] == number]
    record = house.records.get(number)
    return "\n".join(
        [
            *_settings(plan, near),
            _wish(script),
            *map(_line, lines),
            *([] if record is None else [f"    in its record: {_record(record)}"]),
        ]
    )


def _record(record: object) -> str:
    names = ("outcome", "status", "attempts", "tried", "provider", "served_model", "error_code", "error_message")
    return ", ".join([f"{name}={getattr(record, name)!s}" for name in names if getattr(record, name) not in (None, ())])


def _line(line: tuple[float, int, str]) -> str:
    return f"{line[0]:9.3f}  {line[2]}"


def _settings(plan: Schedule, spells: list[Spell] | None = None) -> list[str]:
    house = plan.house
    return [
        f"seed {plan.seed}: {_plain(house)}",
        *[f"    {_host(host)}" for host in house.hosts],
        *[f"    {_spell(spell)}" for spell in (plan.spells if spells is None else spells)],
        *[f"    the wall clock jumps by {jump.by_s:+g} s at {jump.at_s:.1f} s" for jump in plan.jumps],
    ]


def _plain(house: House) -> str:
    names = [name for name in house.__struct_fields__ if name != "hosts"]
    return ", ".join([f"{name} {getattr(house, name)}" for name in names])


def _host(host: Host) -> str:
    prefill = "goes on after a prefill" if host.takes_prefill else "refuses a prefill"
    return (
        f"{host.name} speaks {host.language}, says {host.initial}, {prefill}, {host.accounts} account(s), "
        f"priority {host.priority}, {host.block} events every {host.pause_s:g} s, at most {host.max_concurrent} at once"
    )


def _spell(spell: Spell) -> str:
    times = "" if spell.times is None else f", {spell.times} times"
    whose = f"{spell.host}{'' if spell.account is None else f'#{spell.account + 1}'}/{spell.model or '*'}"
    return (
        f"from {spell.at_s:.1f} s to {spell.until_s:.1f} s {whose} has `{spell.fault}` "
        f"(after {spell.tokens} tokens; {spell.wait_s:g} s{times})"
    )


def _wish(script: Ask) -> str:
    names = [name for name in script.__struct_fields__ if getattr(script, name) not in (None, 0.0)]
    return f"    wants: {', '.join([f'{name} {getattr(script, name)}' for name in names])}"
