"""Completion scripts, written from the tree of commands.  Pure.

Every script finds the command that has been typed so far (`audit verify`, say) and offers what may follow: its
options, its actions, the choices or files that its option takes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from hoosh.cli.tree import Node, Option, walk

__all__ = ["PROGRAMS", "WRITERS", "bash", "fish", "zsh"]

PROGRAMS = ("hoosh-trio", "hoosh")

BASH = """\
# bash completion for hoosh-trio; source it.
_hoosh_trio() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}} path="" word known="" files=""
    for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        case "$path $word" in
{steps}
        esac
    done
    case "$path $before" in
{values}
    esac
    case "$path" in
{commands}
    esac
    if [[ -z $files || $current == -* ]]; then
        COMPREPLY=($(compgen -W "$known" -- "$current"))
    else
        COMPREPLY=($(compgen -W "$known" -- "$current") $(compgen -f -- "$current"))
    fi
}}
complete -o filenames -F _hoosh_trio {programs}
"""

ZSH = """\
#compdef hoosh-trio hoosh
# zsh completion for hoosh-trio; source it after compinit, or put it into $fpath as _hoosh-trio.
_hoosh_trio() {{
    local command="" word before=${{words[CURRENT-1]}}
    local -a known
    for word in ${{words[2,CURRENT-1]}}; do
        case "$command $word" in
{steps}
        esac
    done
    case "$command $before" in
{values}
    esac
    case "$command" in
{commands}
    esac
    _describe 'hoosh-trio' known
}}
compdef _hoosh_trio {programs}
"""


def bash(tree: Node) -> str:
    """For bash 3.2 and later, without the bash-completion package."""
    nodes = list(walk(tree))
    return BASH.format(
        steps=_steps(nodes, "path"),
        values="\n".join(_bash_values(nodes)),
        commands="\n".join(f"    {_path(node)}) {_bash_known(node)};;" for node in nodes),
        programs=" ".join(PROGRAMS),
    )


def zsh(tree: Node) -> str:
    nodes = list(walk(tree))
    return ZSH.format(
        steps=_steps(nodes, "command"),
        values="\n".join(_zsh_values(nodes)),
        commands="\n".join(f"    {_path(node)}) {_zsh_known(node)};;" for node in nodes),
        programs=" ".join(PROGRAMS),
    )


def fish(tree: Node) -> str:
    lines = ["# fish completion for hoosh-trio"]
    for program in PROGRAMS:
        lines.append(f"complete -c {program} -f")
        for node in walk(tree):
            lines += [f"complete -c {program} -n {_quoted(_fish_when(node))} {rest}" for rest in _fish_offers(node)]
    return "\n".join(lines) + "\n"


WRITERS: Mapping[str, Callable[[Node], str]] = {"bash": bash, "zsh": zsh, "fish": fish}


# -- what bash and zsh share -------------------------------------------------------------------------------------------


def _steps(nodes: Iterable[Node], variable: str) -> str:
    """From the command so far and the next word to the command then."""
    return "\n".join(
        f"        {_quoted(f'{_joined(node.path[:-1])} {node.name}')}) {variable}={_quoted(_joined(node.path))};;"
        for node in nodes
        if node.path
    )


def _joined(path: tuple[str, ...]) -> str:
    return "/".join(path)


def _path(node: Node) -> str:
    return _quoted(_joined(node.path))


def _valued(node: Node) -> Iterable[tuple[str, Option]]:
    """The options of `node` that take a value, with a shell pattern for what stands before that value."""
    for option in node.options:
        if option.metavar:
            yield "|".join(_quoted(f"{_joined(node.path)} {flag}") for flag in option.flags), option


def _flags(node: Node) -> list[tuple[str, str]]:
    return [(flag, option.help) for option in node.options for flag in option.flags if flag.startswith("--")]


def _words(node: Node) -> list[tuple[str, str]]:
    """What may stand where no option does."""
    offered = [(child.name, child.help) for child in node.children]
    return offered + [(choice, "") for word in node.words for choice in word.choices]


def _takes_files(node: Node) -> bool:
    return any(word.is_file for word in node.words)


def _quoted(text: str) -> str:
    """As one word of a shell; fish reads a backslash before a quote differently, and no text has one."""
    return "'" + text.replace("'", "'\\''") + "'"


# -- bash --------------------------------------------------------------------------------------------------------------


def _bash_values(nodes: Iterable[Node]) -> Iterable[str]:
    for node in nodes:
        for pattern, option in _valued(node):
            offer = f'-W "{" ".join(option.choices)}"' if option.choices else "-f" if option.takes_file else None
            reply = f'COMPREPLY=($(compgen {offer} -- "$current"))' if offer else "COMPREPLY=()"
            yield f"    {pattern}) {reply}; return;;"


def _bash_known(node: Node) -> str:
    names = [name for name, _ in [*_words(node), *_flags(node)]]
    return f'known="{" ".join(names)}"' + ("; files=yes" if _takes_files(node) else "")


# -- zsh ---------------------------------------------------------------------------------------------------------------


def _zsh_values(nodes: Iterable[Node]) -> Iterable[str]:
    for node in nodes:
        for pattern, option in _valued(node):
            offer = f"compadd -- {' '.join(option.choices)}" if option.choices else "_files"
            yield f"    {pattern}) {offer if option.choices or option.takes_file else 'compadd --'}; return;;"


def _zsh_known(node: Node) -> str:
    offered = [*_words(node), *_flags(node)]
    items = " ".join(_quoted(f"{name}:{_short(help)}" if help else name) for name, help in offered)
    return f"known=({items})" + ("; _files" if _takes_files(node) else "")


# -- fish --------------------------------------------------------------------------------------------------------------


def _fish_when(node: Node) -> str:
    """A condition: this command has been typed, and none of those below it."""
    conditions = [f"__fish_seen_subcommand_from {name}" for name in node.path]
    if not node.path:
        return "__fish_use_subcommand"
    if node.children:
        conditions.append(f"not __fish_seen_subcommand_from {' '.join(child.name for child in node.children)}")
    return "; and ".join(conditions)


def _fish_offers(node: Node) -> Iterable[str]:
    for name, help in _words(node):
        yield f"-a {_quoted(name)}" + (f" -d {_quoted(_short(help))}" if help else "")
    if _takes_files(node):
        yield "-F"
    for option in node.options:
        flags = " ".join(f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}" for flag in option.flags)
        value = ""
        if option.choices:
            value = f" -x -a {_quoted(' '.join(option.choices))}"
        elif option.metavar:
            value = " -r -F" if option.takes_file else " -x"
        yield f"{flags}{value} -d {_quoted(_short(option.help))}"


def _short(help: str) -> str:
    """A help text as a shell shows it: without what is in brackets, and without signs that shells read."""
    text = re.sub(r" *\([^()]*\)", "", help).partition(";")[0]
    return re.sub(r"[^\w\s,./-]", "", text).strip()
