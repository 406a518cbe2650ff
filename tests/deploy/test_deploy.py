"""examples/deploy/ is what people put on their machines: real parsers read it, and it fits what hoosh does."""

from __future__ import annotations

import configparser
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml

from hoosh.api.health import OPEN_PATHS
from hoosh.config import Config, loads

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "examples" / "deploy"
PATIENCE_S = 60.0
ENVIRON = {"HOOSH_KEY": "sk-owner", "OPENAI_API_KEY": "sk-openai"}
SPARE_S = 5.0
"""After the drain: for the last words (0.4 s) and the books."""


def load(text: str) -> Config:
    return loads(text, "hoosh.toml", ENVIRON)


def read(name: str) -> str:
    return (DEPLOY / name).read_text()


@pytest.mark.parametrize("path", sorted(DEPLOY.glob("*.toml")), ids=lambda path: path.name)
def test_every_configuration_loads(path: Path):
    load(path.read_text())


# -- nginx ---------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("nginx") is None, reason="no nginx here")
def test_nginx_takes_its_configuration(tmp_path: Path):
    ca = trustme.CA()
    certificate = ca.issue_cert("llm.example.com")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    certificate.private_key_pem.write_to_path(tmp_path / "cert.key")
    text = read("nginx.conf")
    text = text.replace("/etc/nginx/tls/llm.example.com.pem", str(tmp_path / "cert.pem"))
    text = text.replace("/etc/nginx/tls/llm.example.com.key", str(tmp_path / "cert.key"))
    (tmp_path / "hoosh.conf").write_text(text)
    temporary = "".join(
        f"{name}_temp_path {tmp_path}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    main = f"pid {tmp_path}/pid; events {{}} http {{ access_log off; {temporary} include {tmp_path}/hoosh.conf; }}"
    (tmp_path / "nginx.conf").write_text(main)
    done = subprocess.run(
        ["nginx", "-t", "-q", "-p", str(tmp_path), "-e", "stderr", "-c", str(tmp_path / "nginx.conf")],
        capture_output=True, text=True, check=False, timeout=PATIENCE_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_nginx_waits_longer_than_hoosh_and_closes_idle_connections_sooner():
    text, server = read("nginx.conf"), load(read("hoosh.toml")).server
    seconds = {name: int(value) for name, value in re.findall(r"(\w+_timeout)\s+(\d+)s;", text)}
    assert seconds["proxy_read_timeout"] > server.request_timeout_s
    assert seconds["keepalive_timeout"] < server.keepalive_s
    assert f"server {server.bind}:{server.port};" in text
    assert re.search(r"client_max_body_size (\d+)m;", text)[1] == str(server.max_body_bytes // 1024 // 1024)
    assert "proxy_buffering off;" in text


# -- systemd -------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
def test_systemd_takes_the_unit(tmp_path: Path):
    unit = tmp_path / "hoosh.service"
    unit.write_text(read("hoosh.service").replace("/opt/hoosh/bin/hoosh-trio", "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)],
        capture_output=True, text=True, check=False, timeout=PATIENCE_S,
    )  # fmt: skip
    told = [line for line in done.stderr.splitlines() if "hoosh.service" in line]
    assert told == []


def test_the_unit_waits_for_the_drain():
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(read("hoosh.service"))
    service = parser["Service"]
    assert int(service["TimeoutStopSec"].removesuffix("s")) >= load(read("hoosh.toml")).server.drain_s + SPARE_S
    assert service["Environment"] == f"HOOSH_STATE_DIR=%S/{service['StateDirectory']}"


# -- the image -----------------------------------------------------------------------------------------------------


def instructions() -> list[tuple[str, str]]:
    """The Containerfile, a line an instruction.  Source: containerfile(5)."""
    text = re.sub(r"^#.*\n", "", read("Containerfile"), flags=re.MULTILINE).replace("\\\n", " ")
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in text.splitlines() if line)]


def last_stage() -> list[tuple[str, str]]:
    lines = instructions()
    starts = [number for number, (word, _) in enumerate(lines) if word == "FROM"]
    return lines[starts[-1] :]


def said(word: str) -> list[str]:
    return [rest for name, rest in last_stage() if name == word]


def test_the_image_copies_what_is_there():
    for word, rest in instructions():
        if word == "COPY" and not rest.startswith("--from"):
            *sources, _ = rest.split()
            assert all((ROOT / source).exists() for source in sources), rest


def test_the_image_is_built_in_two_stages_and_runs_as_nobody():
    assert sum(word == "FROM" for word, _ in instructions()) == 2
    assert said("USER") == ["10001:10001"]
    assert any("--uid 10001" in rest for rest in said("RUN"))
    assert said("VOLUME") == ["/var/lib/hoosh"]
    assert "HOOSH_STATE_DIR=/var/lib/hoosh" in said("ENV")[0].split()
    assert said("EXPOSE") == [str(load(read("container.toml")).server.port)]


def test_what_the_image_runs_is_well_by_its_own_healthcheck(tmp_path: Path):
    """Its ENTRYPOINT, CMD and HEALTHCHECK word for word, with the port and the paths of a test."""
    config = tmp_path / "hoosh.toml"
    text = read("container.toml").replace('"0.0.0.0"', '"127.0.0.1"').replace("8088", "0")
    config.write_text(text)
    (entry,), command = json.loads(said("ENTRYPOINT")[0]), json.loads(said("CMD")[0])
    assert entry == "hoosh-trio"
    command = [str(config) if word == "/etc/hoosh/hoosh.toml" else word for word in command]
    env = {"PATH": os.environ["PATH"], "HOOSH_KEY": "sk-owner", "HOOSH_STATE_DIR": str(tmp_path), "HOME": str(tmp_path)}
    out = tmp_path / "out"
    with out.open("wb") as stdout:
        process = subprocess.Popen(
            [sys.executable, "-m", "hoosh", *command],
            stdout=stdout, stderr=subprocess.DEVNULL, env={**env, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
    try:
        check = json.loads(said("HEALTHCHECK")[0].partition("CMD ")[2])
        assert check[0] == "python"
        assert subprocess.run([sys.executable, *check[1:2], check[2].replace("8088", "1")], check=False,
                              capture_output=True, timeout=PATIENCE_S).returncode == 1  # fmt: skip
        port = port_in(process, out)
        done = subprocess.run(
            [sys.executable, *check[1:2], check[2].replace("8088", port)],
            check=False, capture_output=True, timeout=PATIENCE_S,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        process.send_signal(getattr(signal, said("STOPSIGNAL")[0]))
        assert process.wait(PATIENCE_S) == 0
    finally:
        process.kill()
        process.wait()
    assert (tmp_path / "hoosh.db").exists()


def port_in(process: subprocess.Popen[bytes], out: Path) -> str:
    give_up = time.monotonic() + PATIENCE_S
    while time.monotonic() < give_up and process.poll() is None:
        found = re.search(r"http://127\.0\.0\.1:(\d+)", out.read_text())
        if found:
            return found[1]
        time.sleep(0.01)
    pytest.fail(f"the gateway does not start: {out.read_text()}")


# -- kubernetes ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def objects() -> dict[str, dict[str, Any]]:
    return {each["kind"]: each for each in yaml.safe_load_all(read("kubernetes.yaml"))}


@pytest.fixture(scope="module")
def pod(objects: dict[str, Any]) -> Any:
    return objects["Deployment"]["spec"]["template"]["spec"]


def test_the_manifest_has_all_that_is_needed(objects: dict[str, Any]):
    assert set(objects) == {"ConfigMap", "PersistentVolumeClaim", "Deployment", "Service"}
    spec = objects["Deployment"]["spec"]
    assert (spec["replicas"], spec["strategy"]["type"]) == (1, "Recreate")
    labels = spec["template"]["metadata"]["labels"]
    assert labels == spec["selector"]["matchLabels"] == objects["Service"]["spec"]["selector"]


def test_the_pod_is_given_time_for_the_drain(objects: dict[str, Any], pod: Any):
    config = load(objects["ConfigMap"]["data"]["hoosh.toml"])
    container = pod["containers"][0]
    pause_s = int(re.search(r"sleep\((\d+)\)", container["lifecycle"]["preStop"]["exec"]["command"][-1])[1])
    assert pod["terminationGracePeriodSeconds"] >= pause_s + config.server.drain_s + SPARE_S
    assert container["ports"][0]["containerPort"] == config.server.port


def test_the_probes_ask_what_is_open(pod: Any):
    container = pod["containers"][0]
    asked = {name: container[f"{name}Probe"]["httpGet"] for name in ("startup", "readiness", "liveness")}
    assert {probe["path"] for probe in asked.values()} <= OPEN_PATHS
    assert asked["liveness"]["path"] == "/livez"
    assert asked["readiness"]["path"] == "/readyz"
    assert {probe["port"] for probe in asked.values()} == {container["ports"][0]["name"]}


def test_the_books_are_on_the_claim_and_the_rest_is_read_only(objects: dict[str, Any], pod: Any):
    container = pod["containers"][0]
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    claim = volumes[mounts["/var/lib/hoosh"]]["persistentVolumeClaim"]["claimName"]
    assert claim == objects["PersistentVolumeClaim"]["metadata"]["name"]
    assert volumes[mounts["/etc/hoosh"]]["configMap"]["name"] == objects["ConfigMap"]["metadata"]["name"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert pod["securityContext"]["runAsUser"] == 10001
