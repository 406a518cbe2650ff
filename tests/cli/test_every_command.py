"""What holds for every command: help with examples that can be typed, exit codes, one line on stderr, no key in it."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import socket
from collections.abc import Iterator

import pytest

from hoosh.cli import GROUPS, build_parser, main
from hoosh.cli.tree import Node, tree_of, walk

NODES = [node for node in walk(tree_of(build_parser())) if node.path]
KEY = "sk-hunter2"
REFUSAL = {"error": {"message": "Incorrect API key provided.", "code": "invalid_api_key"}}

CLIENTS = {
    "models": ("/v1/models",),
    "infer echo hi": ("/v1/chat/completions",),
    "infer --stream echo hi": ("/v1/chat/completions",),
    "embed m text": ("/v1/embeddings",),
    "transcribe /dev/null": ("/v1/audio/transcriptions",),
    "speak salam": ("/v1/audio/speech",),
    "health": ("/v1/health",),
    "requests": ("/v1/admin/requests?limit=1000",),
    "requests cancel --all": ("/v1/admin/requests?all=true",),
    "costs": ("/v1/costs?group_by=provider",),
    "info": ("/v1/health",),
    "bench": ("/v1/chat/completions",),
    "bench --no-stream": ("/v1/chat/completions",),
    "top --once": ("/v1/health",),
    "top --json": ("/v1/health",),
}
"""Every command that asks a gateway, and what it asks first."""

WRONG = (
    *("nonsense", "--zzz", "serve --port x", "serve --log-level loud", "check extra", "models extra", "infer"),
    *("transcribe", "transcribe - -", "transcribe --format x a", "transcribe --output /nowhere a", "speak"),
    *("speak ''", "speak --speed 5 a", "speak --speed x a", "speak --json a", "speak --format x a"),
    *("infer -m", "embed", "embed --dimensions x m t", "health extra", "requests extra", "costs --by colour"),
    *("keys nonsense", "keys new --name ''", "audit nonsense", "audit verify", "audit export", "info extra"),
    *("version extra", "completion", "completion tcsh", "top --every 0", "top --every x", "top extra"),
    *("bench -n 0", "bench -n 1 -d 1", "bench -c x", "bench -c 99999", "bench --seconds nan", "bench --warm-up -1"),
    *("bench a b", "bench ftp://x", "bench 'http://x y'", "bench --key 'h\u00fcnter2'", "top --server ftp://x"),
)


def path_id(node: Node) -> str:
    return " ".join(node.path)


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An address where nobody listens, and nobody else will."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{unused.getsockname()[1]}"


def test_the_table_names_every_command_that_takes_a_server():
    asking = {node.path[0] for node in NODES for option in node.options if "--key" in option.flags}
    assert asking - {"audit"} == {command.split()[0] for command in CLIENTS}  # audit's key is another thing


@pytest.mark.parametrize("node", NODES, ids=path_id)
def test_help_tells_what_it_does_and_shows_no_key(node: Node, capsys, monkeypatch):
    monkeypatch.setenv("HOOSH_API_KEY", KEY)
    assert main([*node.path, "--help"]) == 0
    out = capsys.readouterr().out
    assert f"hoosh-trio {path_id(node)}" in out
    assert "examples:" in out
    assert KEY not in out
    for option in node.options:
        assert option.help, option.flags


@pytest.mark.parametrize("node", NODES, ids=path_id)
def test_every_example_is_a_command_that_is_understood(node: Node, capsys):
    assert node.examples
    parser = build_parser()
    for example in node.examples:
        understood = 0
        for part in re.split(r"\|\||&&|\||<\(|\)", example.partition("   #")[0]):
            words = shlex.split(re.sub(r"[<>] *\S+", "", part).partition("      #")[0])
            if "hoosh-trio" in words:
                parser.parse_args(words[words.index("hoosh-trio") + 1 :])
                understood += 1
        assert understood, example


@pytest.mark.parametrize("words", WRONG)
def test_wrong_usage_is_2_and_says_so_on_stderr(words: str, capsys):
    assert main(shlex.split(words)) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err
    assert "nter2" not in told.err


@pytest.mark.parametrize("command", CLIENTS)
def test_nobody_there_is_1_and_says_what_to_do(command: str, nobody, capsys):
    assert main([*command.split(), "--server", nobody, "--key", KEY]) == 1
    told = capsys.readouterr()
    text = told.out if command == "info" else told.err  # info tells all that it knows
    assert "running?" in text
    if command != "info":
        assert told.out == ""
        assert told.err.count("\n") == 1
    assert KEY not in told.out + told.err


@pytest.mark.parametrize("command", CLIENTS)
def test_a_wrong_key_is_1_and_says_what_to_do(command: str, gateway, capsys):
    for path in CLIENTS[command]:
        gateway.json(path, REFUSAL, 401)
    assert main([*command.split(), "--key", KEY]) == 1
    told = capsys.readouterr()
    text = told.out if command == "info" else told.err
    assert "--key or set HOOSH_API_KEY" in text
    assert "Incorrect API key provided" in text
    assert KEY not in told.out + told.err
    assert all(headers["authorization"] == f"Bearer {KEY}" for _, _, headers, _ in gateway.asked)


@pytest.mark.parametrize("command", CLIENTS)
def test_no_unix_socket_is_1(command: str, tmp_path, capsys):
    assert main([*command.split(), "--server", f"unix:{tmp_path}/no.sock"]) == 1
    assert "running?" in "".join(capsys.readouterr())


def test_the_help_lists_every_command_once_in_its_group(capsys):
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    for title, members in GROUPS:
        assert f"\n{title}:\n" in out
        for module in members:
            name = module.__name__.rpartition(".")[2]
            assert len(re.findall(rf"^  {name} +\w", out, re.MULTILINE)) == 1, name


@pytest.mark.parametrize("node", [node for node in NODES if node.children], ids=path_id)
def test_a_command_with_actions_lists_them(node: Node, capsys):
    with contextlib.suppress(SystemExit):
        main([*node.path, "--help"])
    out = capsys.readouterr().out
    assert all(child.name in out for child in node.children)


def test_json_of_what_is_printed_once_is_one_line(capsys):
    assert main(["info", "--json", "--server", "http://127.0.0.1:9"]) == 1
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert json.loads(out)["gateway"]["version"] is None
