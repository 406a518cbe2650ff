from __future__ import annotations

import io
import json
import signal
import socket
import subprocess
import sys

import pytest

from hoosh.cli import main

CHAT = "/v1/chat/completions"


def delta(text: str | None, **more: object) -> dict[str, object]:
    return {"choices": [{"index": 0, "delta": {"content": text}, **more}]}


# -- models ------------------------------------------------------------------------------------------


def test_models_are_listed(gateway, capsys):
    gateway.json("/v1/models", {"data": [{"id": "echo", "owned_by": "hoosh"}, {"id": "llama3:8b", "owned_by": "x"}]})
    assert main(["models"]) == 0
    assert capsys.readouterr().out == "echo       hoosh\nllama3:8b  x\n"
    assert main(["models", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["data"][0]["id"] == "echo"


def test_no_models_say_what_to_do(gateway, capsys):
    gateway.json("/v1/models", {"data": []})
    assert main(["models"]) == 0
    assert "OPENAI_API_KEY" in capsys.readouterr().out


# -- keys, servers and errors ------------------------------------------------------------------------


def test_a_key_comes_from_the_flag_or_the_environment(gateway, monkeypatch):
    gateway.json("/v1/models", {"data": []})
    main(["models"])
    monkeypatch.setenv("HOOSH_API_KEY", "from-env")
    main(["models"])
    main(["models", "--key", "from-flag"])
    sent = [headers.get("authorization") for _, _, headers, _ in gateway.asked]
    assert sent == [None, "Bearer from-env", "Bearer from-flag"]


@pytest.mark.parametrize("form", ["{url}", "{url}/", "{url}/v1", "{host}"])
def test_a_server_may_be_written_in_several_ways(gateway, form):
    gateway.json("/v1/models", {"data": []})
    server = form.format(url=gateway.url, host=gateway.url.removeprefix("http://"))
    assert main(["models", "--server", server]) == 0
    assert gateway.asked[0][1] == "/v1/models"


@pytest.mark.parametrize("server", ["ftp://x", "http://", ":::", "http://x:port"])
def test_a_server_that_is_none_is_wrong_usage(server, capsys):
    assert main(["models", "--server", server]) == 2
    assert "write it like http://127.0.0.1:8088" in capsys.readouterr().err


def test_a_key_with_impossible_signs_is_wrong_usage_and_not_shown(capsys):
    assert main(["models", "--key", "hünter2\n"]) == 2
    assert "nter2" not in capsys.readouterr().err


def test_nobody_there_says_how_to_start_the_gateway(capsys):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound, not listening: refused, and nobody else's
        server = f"http://127.0.0.1:{unused.getsockname()[1]}"
        assert main(["health", "--server", server]) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "is the gateway running? start it with `hoosh-trio serve`" in err


def test_a_password_in_the_servers_url_is_not_shown(gateway, capsys):
    gateway.json("/v1/health", {"status": "ok", "version": "9"})
    gateway.json("/v1/health/providers", [])
    gateway.json("/v1/health/heartbeat", {"nodes": []})
    assert main(["health", "--server", gateway.url.replace("//", "//ada:hunter2@")]) == 0
    assert capsys.readouterr().out.splitlines()[0] == f"ok: hoosh 9 at {gateway.url}"


def test_no_unix_socket_says_how_to_start_the_gateway(tmp_path, capsys):
    assert main(["health", "--server", f"unix:{tmp_path}/no.sock"]) == 1
    assert "start it with" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (401, {"error": {"message": "Incorrect API key provided."}}, "Incorrect API key provided; pass --key or set"),
        (403, {"error": {"message": "no"}}, "403: no; use a key that may do this"),
        (404, {"error": {"message": "The model `x` does not exist"}}, "`hoosh-trio models` lists what there is"),
        (404, {}, "404: Not Found; is this a hoosh gateway?"),
        (503, {"error": {"message": "two\nlines"}}, "503: two lines"),
        (502, {"error": "text"}, "502: text"),
        (301, {}, "301: Moved Permanently"),
    ],
)
def test_an_error_of_the_gateway_is_one_line_that_says_what_to_do(gateway, capsys, status, body, says):
    gateway.json("/v1/models", body, status)
    assert main(["models"]) == 1
    err = capsys.readouterr().err
    assert says in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("command", [["models"], ["health"], ["infer", "m", "p"]])
@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"data":3}', b"\xff"])
def test_something_that_is_no_gateway_is_told_apart(gateway, capsys, command, body):
    gateway.json("/v1/models", None)
    for path in ("/v1/models", "/v1/health", CHAT):
        gateway.json(path, None)
        gateway.answers[path].body = body
    assert main(command) == 1
    assert "hoosh gateway" in capsys.readouterr().err


# -- infer -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("argv", [["echo", "salam", "donya"], ["-m", "echo", "salam donya"]])
def test_infer_prints_the_answer(gateway, capsys, argv):
    gateway.json(CHAT, {"choices": [{"message": {"role": "assistant", "content": "salam"}}]})
    assert main(["infer", *argv, "--system", "be brief"]) == 0
    assert capsys.readouterr().out == "salam\n"
    _, _, _, body = gateway.asked[0]
    assert body == {
        "model": "echo",
        "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "salam donya"}],
    }


def test_infer_reads_the_prompt_from_stdin(gateway, monkeypatch):
    gateway.json(CHAT, {"choices": [{"message": {"content": "x"}}]})
    monkeypatch.setattr("sys.stdin", io.StringIO("from\nstdin"))
    assert main(["infer", "echo", "-"]) == 0
    assert gateway.asked[0][3] == {"model": "echo", "messages": [{"role": "user", "content": "from\nstdin"}]}


@pytest.mark.parametrize("argv", [["echo"], ["-m", "echo", " "], ["-m", "", "x"]])
def test_infer_without_a_prompt_is_wrong_usage(argv, capsys):
    assert main(["infer", *argv]) == 2
    assert capsys.readouterr().err


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"content": None, "refusal": "no"}, "no"),
        ({"content": [{"type": "thinking"}, {"type": "text", "text": "a"}]}, "a"),
        ({"content": None, "tool_calls": []}, ""),
    ],
)
def test_infer_understands_other_forms_of_answers(gateway, capsys, message, text):
    gateway.json(CHAT, {"choices": [{"message": message}]})
    assert main(["infer", "m", "p"]) == 0
    assert capsys.readouterr().out == f"{text}\n"


def test_a_stream_is_printed_whole_and_ended_with_a_newline(gateway, capsys):
    usage = {"choices": [], "usage": {"total_tokens": 3}}
    gateway.events(CHAT, delta(""), delta("sal"), delta("\u2028ám"), delta(None, finish_reason="stop"), usage, "[DONE]")
    assert main(["infer", "m", "p", "--stream"]) == 0
    assert capsys.readouterr().out == "sal\u2028ám\n"
    assert gateway.asked[0][3]["stream"] is True


def test_a_stream_as_json_is_one_event_a_line(gateway, capsys):
    gateway.events(CHAT, delta("a"), delta("b\n"), "[DONE]")
    assert main(["infer", "m", "p", "--stream", "--json"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line) for line in lines] == [delta("a"), delta("b\n")]


def test_an_error_in_the_stream_is_told_and_fails(gateway, capsys):
    gateway.events(CHAT, delta("half"), {"error": {"message": "upstream broke"}})
    assert main(["infer", "m", "p", "--stream"]) == 1
    out, err = capsys.readouterr()
    assert out == "half\n"
    assert "the answer broke off: upstream broke" in err


@pytest.mark.parametrize("cut", [False, True])
def test_a_stream_without_its_end_fails(gateway, capsys, cut):
    gateway.events(CHAT, delta("half"), delta(None, finish_reason="stop"), cut=cut)
    assert main(["infer", "m", "p", "--stream"]) == 1
    out, err = capsys.readouterr()
    assert out == "half\n"
    assert "cut short" in err or "broke" in err


def test_events_that_are_not_json_fail(gateway, capsys):
    gateway.events(CHAT, "{nonsense", "[DONE]")
    assert main(["infer", "m", "p", "--stream"]) == 1
    assert "cannot be understood" in capsys.readouterr().err


def test_a_server_that_ignores_stream_is_understood(gateway, capsys):
    gateway.json(CHAT, {"choices": [{"message": {"content": "whole"}}]})
    assert main(["infer", "m", "p", "--stream"]) == 0
    assert capsys.readouterr().out == "whole\n"


@pytest.fixture
def heeds_ctrl_c():
    """Whoever runs the tests in the background may ignore Ctrl-C, and a child process inherits that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_ends_quietly_with_130(heeds_ctrl_c):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        argv = [sys.executable, "-m", "hoosh", "infer", "m", "p", "--server", f"127.0.0.1:{silent.getsockname()[1]}"]
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        connection, _ = silent.accept()
        with connection:
            assert connection.recv(4) == b"POST"  # it is waiting for our answer now, or about to
            process.send_signal(signal.SIGINT)
            out, err = process.communicate()
    assert (process.returncode, out, err) == (130, b"", b"")
