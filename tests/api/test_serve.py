"""Small promises of the command's process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import trustme

from hoosh.api.serve import build_server
from hoosh.config import Config, Server
from hoosh.gateway.assembly import open_gateway

PROGRAM = """
import resource
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
from hoosh.api.serve import raise_file_limit
raise_file_limit()
print(resource.getrlimit(resource.RLIMIT_NOFILE)[0] == hard)
"""


def test_the_limit_of_open_files_is_raised_as_far_as_it_goes():
    # In a process of its own: the limit is one for all of it.
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"


GREETING_WITHOUT_FILES = """
import errno, os, resource, trio
from pathlib import Path
from hoosh.api import serve
from hoosh.config import Config, Discovery, Server

async def main():
    house = serve.House(Config(server=Server(port=0), discovery=Discovery(local=False, environment=False)))
    async with trio.open_nursery() as nursery:
        await nursery.start(house.run)
        await house.cold.wait_up()
        taken = []
        try:
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        except OSError as full:
            assert full.errno == errno.EMFILE
        await serve._greet(house, None)
        serve.start_screen = None  # what would be a bug in it
        await serve._greet(house, None)
        for file in taken:
            os.close(file)
        nursery.cancel_scope.cancel()

resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
trio.run(main)
print("still here")
"""


def test_a_house_without_a_file_left_greets_and_one_whose_greeting_fails_goes_on():
    done = subprocess.run([sys.executable, "-c", GREETING_WITHOUT_FILES], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "echo" in done.stdout
    assert done.stdout.endswith("still here\n")
    assert "start screen not shown" in done.stderr
    assert "models.json" not in done.stderr


def test_another_certificate_can_be_undone(tmp_path: Path):
    issued = trustme.CA().issue_cert("localhost")
    issued.private_key_and_cert_chain_pem.write_to_path(tmp_path / "all.pem")
    path = str(tmp_path / "all.pem")
    config = Config(server=Server(tls_cert=path, tls_key=path))
    gateway = open_gateway(config, environ={}).gateway
    server, _ = build_server(gateway)
    before = server.tls
    (prepare,) = gateway.preparations
    step = prepare(config)
    step.take()
    assert server.tls is not before
    step.undo()
    assert server.tls is before


def test_without_tls_there_is_no_certificate_to_be_read():
    gateway = open_gateway(Config(), environ={}).gateway
    server, _ = build_server(gateway)
    assert (server.tls, gateway.preparations) == (None, [])
