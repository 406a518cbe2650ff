from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

import hoosh.config
from hoosh import __version__
from hoosh.cli import main
from hoosh.config import load
from hoosh.gateway.config_watch import look_at


def test_no_command_prints_help(capsys):
    assert main([]) == 0
    assert "serve" in capsys.readouterr().out


@pytest.mark.parametrize("argv", [["nonsense"], ["serve", "--port", "x"], ["models", "extra"], ["infer"], ["--zzz"]])
def test_wrong_usage_exits_2(argv, capsys):
    assert main(argv) == 2
    assert "usage:" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["serve", "check", "models", "infer", "health", "keys", "version"])
def test_every_command_has_help(command, capsys, monkeypatch):
    monkeypatch.setenv("HOOSH_API_KEY", "hunter2")
    assert main([command, "--help"]) == 0
    out = capsys.readouterr().out
    assert f"hoosh-trio {command}" in out
    assert "hunter2" not in out


def test_version_is_printed(capsys):
    assert main(["version"]) == 0
    assert capsys.readouterr().out.startswith(f"hoosh-trio {__version__} (python ")
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"hoosh-trio {__version__}\n"
    assert main(["version", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["hoosh"] == __version__


def test_the_module_is_the_command():
    done = subprocess.run([sys.executable, "-m", "hoosh", "version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("hoosh-trio ")


def test_the_command_line_loads_nothing_heavy_before_it_must():
    code = (
        "import sys; from hoosh.cli import main; main(['--help'])\n"
        "heavy = {'httpx', 'trio', 'quart', 'h2', 'msgspec', 'hypercorn'} & set(sys.modules); assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_output_that_nobody_reads_any_more_is_no_traceback():
    code = "import sys; from hoosh.cli import main; sys.exit(main(['--help']))"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    error = process.stderr.read().decode()
    process.stderr.close()
    process.wait()
    assert "Traceback" not in error


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a disk that is always full is Linux's")
def test_output_that_a_full_disk_does_not_take_is_one_line_and_a_failure():
    with open("/dev/full", "wb") as full:
        argv = [sys.executable, "-m", "hoosh", "version"]
        done = subprocess.run(argv, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "hoosh-trio: the output is not whole: No space left on device\n"


# -- check -------------------------------------------------------------------------------------------


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """A working directory and a home without any configuration, and no keys in the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    for name in ("OPENAI", "DEEPSEEK", "MISTRAL", "GROQ", "XAI", "OPENROUTER"):
        monkeypatch.delenv(f"{name}_API_KEY", raising=False)
    return tmp_path


def test_check_is_content_with_no_configuration(nowhere, capsys):
    assert main(["check"]) == 0
    out = capsys.readouterr().out
    assert "no configuration (looked for " in out
    assert "http://127.0.0.1:8088" in out


def test_check_prints_every_mistake_and_fails(nowhere, capsys):
    (nowhere / "hoosh.toml").write_text('[server]\nprot = 1\nport = "x"\n')
    assert main(["check"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{nowhere}/hoosh.toml:2: server.prot: unknown key")
    assert lines[1].startswith(f"{nowhere}/hoosh.toml:3: server.port: is text")
    assert lines[2] == "2 mistakes"
    assert main(["check", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["mistakes"] == lines[:2]


def test_check_sums_up_a_good_configuration_without_its_secrets(nowhere, capsys, monkeypatch):
    monkeypatch.setenv("GROQ_API_KEY", "gsk-hunter2")
    path = nowhere / "my.toml"
    path.write_text(
        '[server]\nbind = "0.0.0.0"\n[[keys]]\nname = "ada"\nkey = "hunter2"\n[[providers]]\ntype = "vLLM"\n'
        'models = ["a", "b", "c", "d", "e"]\nenabled = false\n[[models]]\nname = "fast"\ntargets = ["vllm/a"]\n'
    )
    assert main(["check", "--config", str(path)]) == 0
    out = capsys.readouterr().out
    assert f"{path}: no mistakes" in out
    assert "http://0.0.0.0:8088" in out
    assert "keys      ada" in out
    assert "vllm at http://localhost:8000 (priority 10; models a, b, c, d, ...; switched off)" in out
    assert "groq at https://api.groq.com/openai" in out
    assert "fast = vllm/a" in out
    assert "hunter2" not in out
    assert main(["check", "-c", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"ok": True, "file": str(path), "mistakes": []}


def test_check_sums_up_the_books(nowhere, capsys, monkeypatch):
    monkeypatch.setenv("HOOSH_STATE_DIR", str(nowhere / "state"))
    monkeypatch.setenv("SIGN", "hunter2-hunter2-hunter2")
    path = nowhere / "hoosh.toml"
    path.write_text(
        '[[budgets]]\nname = "team"\ncapacity = 18446744073709551615\nwindow = "day"\n'
        '[[budgets]]\nname = "money"\ncapacity = 12.5\nunit = "usd"\n[limits]\nrpm = 60\nmax_concurrent = 4\n'
        '[[limits.models]]\nname = "gpt-*"\ntpm = 9\n[audit]\nenabled = true\nsigning_key = "$SIGN"\n'
    )
    assert main(["check"]) == 0
    out = capsys.readouterr().out
    for line in (
        "budget    team: 18446744073709551615 tokens a day",
        "budget    money: 12.5 USD",
        "limits    60 requests a minute, 4 at once for each key that says nothing else",
        "limits    9 tokens a minute for gpt-*",
        "audit     on, without prompts and replies",
        f"ledger    {nowhere}/state/hoosh.db",
    ):
        assert f"  {line}\n" in out
    assert "hunter2" not in out
    assert not (nowhere / "state").exists()


@pytest.mark.parametrize(("url", "place"), [("memory:", "in memory"), ("sqlite:///a.db", "{}/a.db\n")])
def test_check_says_where_the_ledger_will_be(url, place, nowhere, capsys):
    (nowhere / "hoosh.toml").write_text(f'[storage]\nurl = "{url}"')
    assert main(["check"]) == 0
    assert f"ledger    {place.format(nowhere)}" in capsys.readouterr().out


def test_a_configuration_that_was_asked_for_must_be_there(nowhere, capsys):
    assert main(["check", "--config", "other.toml"]) == 1
    assert "other.toml: cannot be read" in capsys.readouterr().out


# -- serve -------------------------------------------------------------------------------------------


@pytest.fixture
def served(monkeypatch):
    """What run_server is called with; it does not run."""
    import types

    calls = []
    stub = types.ModuleType("hoosh.api.serve")
    stub.run_server = lambda config, *, file, read, server: calls.append((config, file, server)) or 7
    monkeypatch.setitem(sys.modules, "hoosh.api.serve", stub)
    return calls


def test_serve_needs_no_configuration(nowhere, served):
    assert main(["serve"]) == 7
    [(config, file, server)] = served
    assert (config.server.port, file, server) == (8088, None, "hoosh")


def test_flags_of_serve_override_the_file(nowhere, served):
    (nowhere / "hoosh.toml").write_text('[server]\nport = 1\nbind = "::1"\n[logging]\nformat = "text"\n')
    argv = ["serve", "-p", "0", "--bind", "localhost", "--server", "hypercorn", "--log-format", "json"]
    assert main([*argv, "--log-level", "debug"]) == 7
    [(config, file, server)] = served
    assert (config.server.port, config.server.bind, config.logging.format) == (0, "localhost", "json")
    assert (config.logging.level, file.path, server) == ("debug", nowhere / "hoosh.toml", "hypercorn")


def test_what_changes_the_file_behind_its_reading_is_a_change(nowhere, served, monkeypatch):
    place = nowhere / "hoosh.toml"
    place.write_text("[server]\nport = 1\n")

    def load_and_write(*args):
        config = load(*args)
        place.write_text("[server]\nport = 20000\n")
        return config

    monkeypatch.setattr(hoosh.config, "load", load_and_write)
    assert main(["serve"]) == 7
    [(config, file, _)] = served
    assert config.server.port == 1
    assert look_at(place) not in (None, file.known)


def test_serve_does_not_start_with_a_mistake(nowhere, served, capsys):
    assert main(["serve", "--bind", "0.0.0.0", "--port", "70000"]) == 1
    err = capsys.readouterr().err.splitlines()
    assert err[0].startswith("command line: server.")
    assert len(err) == 2
    assert not served
