"""`hoosh-trio migrate litellm`: where the result goes, what is told, and the exit code."""

from __future__ import annotations

import io
import stat
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from hoosh.cli import main
from hoosh.migration.document import MAX_FILE_BYTES

PLAIN = """
model_list:
- {model_name: m, litellm_params: {model: openai/gpt-4o, api_key: os.environ/OPENAI_API_KEY}}
general_settings: {master_key: os.environ/MASTER}
"""
TOLD = f"{PLAIN}guardrails: [x]\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(PLAIN)
    return path


def test_the_result_goes_to_stdout_and_nothing_to_stderr_when_all_is_the_same(file, capsys):
    assert main(["migrate", "litellm", str(file), "--strict"]) == 0
    said = capsys.readouterr()
    assert 'targets = ["openai/gpt-4o"]' in said.out
    assert said.err == ""


def test_what_is_not_the_same_is_told_on_stderr(file, capsys):
    file.write_text(TOLD)
    assert main(["migrate", "litellm", str(file)]) == 0
    assert capsys.readouterr().err == f"{file}: line 5: guardrails: has no counterpart in hoosh and is left out\n"
    assert main(["migrate", "litellm", str(file), "--strict"]) == 1


def test_an_output_file_is_for_its_owner_and_never_written_over(file, tmp_path, capsys):
    output = tmp_path / "hoosh.toml"
    assert main(["migrate", "litellm", str(file), "-o", str(output)]) == 0
    assert "[[providers]]" in output.read_text()
    assert stat.S_IMODE(output.stat().st_mode) == 0o600
    assert capsys.readouterr().out == ""
    output.write_text("mine")
    assert main(["migrate", "litellm", str(file), "-o", str(output)]) == 1
    assert "is there already" in capsys.readouterr().err
    assert output.read_text() == "mine"


def test_check_takes_what_it_writes(file, tmp_path, monkeypatch, capsys):
    output = tmp_path / "hoosh.toml"
    assert main(["migrate", "litellm", str(file), "-o", str(output)]) == 0
    monkeypatch.setenv("OPENAI_API_KEY", "sk-x")
    monkeypatch.setenv("MASTER", "sk-y")
    assert main(["check", "--config", str(output)]) == 0
    assert "alias     m = openai/gpt-4o" in capsys.readouterr().out


def test_a_dash_reads_stdin(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(TOLD.encode())))
    assert main(["migrate", "litellm", "-"]) == 0
    said = capsys.readouterr()
    assert "Made of stdin" in said.out
    assert said.err.startswith("stdin: line 5")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"a: [", "line 1: not YAML"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"#" * (MAX_FILE_BYTES + 1), "larger than"),
        (b"general_settings: {master_key: 'two words'}", "makes no configuration of hoosh's"),
    ],
)
def test_what_cannot_be_migrated_exits_1_and_says_why(file, content, why, capsys):
    file.write_bytes(content)
    assert main(["migrate", "litellm", str(file)]) == 1
    said = capsys.readouterr()
    assert why in said.err
    assert said.out == ""
    assert "two words" not in said.err


def test_a_file_that_is_not_there_exits_1(tmp_path, capsys):
    assert main(["migrate", "litellm", str(tmp_path / "nowhere.yaml")]) == 1
    assert "cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize("argv", [["litellm"], ["caddy", "file"], ["litellm", "a", "b"]])
def test_wrong_usage_exits_2(argv, capsys):
    assert main(["migrate", *argv]) == 2
