"""`hoosh-trio completion`: the scripts, asked in the shells themselves."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from hoosh.cli import build_parser, main
from hoosh.cli.shells import WRITERS
from hoosh.cli.tree import tree_of, walk

TREE = tree_of(build_parser())
COMMANDS = {node.name for node in TREE.children}

BASH = """\
source {script}
COMP_WORDS=({words}); COMP_CWORD=$(({count} - 1))
_hoosh_trio
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


def in_bash(script: str, *words: str, cwd: str) -> set[str]:
    """What bash would offer for the last of `words`."""
    quoted = " ".join(f"'{word}'" for word in ("hoosh-trio", *words))
    text = BASH.format(script=script, words=quoted, count=len(words) + 1)
    done = subprocess.run(
        ["bash", "--norc", "--noprofile", "-c", text], capture_output=True, text=True, check=True, cwd=cwd
    )
    assert done.stderr == ""
    return set(done.stdout.split())


@pytest.fixture
def script(tmp_path, capsys):
    assert main(["completion", "bash"]) == 0
    path = tmp_path / "script"
    path.write_text(capsys.readouterr().out)
    (tmp_path / "hoosh.toml").touch()
    return path


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")
@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ([""], COMMANDS | {"--help", "--version"}),
        (["co"], {"costs", "completion"}),
        (["audit", ""], {"verify", "export", "--help"}),
        (["requests", "cancel", "--a"], {"--all"}),
        (["requests", "--of", ""], set()),
        (["completion", ""], {"bash", "zsh", "fish", "--help"}),
        (["serve", "--log-level", "w"], {"warning"}),
        (["serve", "--server", ""], {"hoosh", "hypercorn"}),
        (["check", "-c", "hoo"], {"hoosh.toml"}),
        (["audit", "verify", "hoo"], {"hoosh.toml"}),
        (["audit", "verify", "--an"], {"--anchor"}),
        (["models", "--j"], {"--json"}),
        (["bench", "--prompt"], {"--prompt", "--prompt-words"}),
    ],
)
def test_bash_offers_what_may_follow(typed, offered, script):
    assert in_bash(str(script), *typed, cwd=str(script.parent)) == offered


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")
def test_bash_uses_it_for_both_names(script):
    text = f"source {script}; complete -p hoosh-trio hoosh"
    done = subprocess.run(["bash", "--norc", "-c", text], capture_output=True, text=True, check=True)
    assert done.stdout.count("-F _hoosh_trio") == 2


@pytest.mark.parametrize("shell", WRITERS)
def test_every_command_and_every_option_is_in_every_script(shell):
    text = WRITERS[shell](TREE)
    for node in walk(TREE):
        assert all(name in text for name in node.path)
        for option in node.options:
            for flag in option.flags:
                if flag.startswith("--"):
                    assert (f"-l {flag[2:]}" if shell == "fish" else flag) in text


@pytest.mark.parametrize("shell", WRITERS)
def test_every_shell_can_read_its_script(shell, tmp_path):
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell} here")
    path = tmp_path / "script"
    path.write_text(WRITERS[shell](TREE))
    done = subprocess.run([shell, "-n", str(path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(shutil.which("fish") is None, reason="there is no fish here")
@pytest.mark.parametrize(
    ("typed", "offered"),
    [("hoosh-trio co", {"costs", "completion"}), ("hoosh-trio audit ", {"verify", "export"}),
     ("hoosh-trio serve --log-level w", {"warning"}), ("hoosh-trio requests cancel --a", {"--all"})],
)  # fmt: skip
def test_fish_offers_what_may_follow(typed, offered, tmp_path):
    path = tmp_path / "script.fish"
    path.write_text(WRITERS["fish"](TREE))
    text = f"source {path}; complete -C '{typed}'"
    env = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "TERM": "dumb"}
    done = subprocess.run(["fish", "--no-config", "-c", text], capture_output=True, text=True, check=True, env=env)
    assert {line.partition("\t")[0] for line in done.stdout.splitlines()} == offered


ZSH = """\
compdef() {{ }}; compadd() {{ shift; print -l -- $@ }}; _files() {{ print FILES }}; _describe() {{ print -l -- $known }}
source {script}
words=({words}); CURRENT={count}
_hoosh_trio
"""


@pytest.mark.skipif(shutil.which("zsh") is None, reason="there is no zsh here")
@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ([""], COMMANDS | {"--help", "--version"}),
        (["audit", ""], {"verify", "export", "--help"}),
        (["completion", ""], {"bash", "zsh", "fish", "--help"}),
        (["serve", "--server", ""], {"hoosh", "hypercorn"}),
        (["check", "-c", ""], {"FILES"}),
        (["requests", "--of", ""], set()),
        (["audit", "export", ""], {"FILES", "--help"}),
    ],
)
def test_zsh_offers_what_may_follow(typed, offered, tmp_path):
    """Its completion system needs somebody at a terminal, so the four functions that we call are stood in for."""
    path = tmp_path / "script"
    path.write_text(WRITERS["zsh"](TREE))
    words = " ".join(f"'{word}'" for word in ("hoosh-trio", *typed))
    text = ZSH.format(script=path, words=words, count=len(typed) + 1)
    done = subprocess.run(["zsh", "-f", "-c", text], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert {line.partition(":")[0] for line in done.stdout.splitlines() if line} == offered
