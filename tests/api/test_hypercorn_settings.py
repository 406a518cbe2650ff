"""Hypercorn gets our settings, and asks for what we ask for."""

from __future__ import annotations

import ssl
from pathlib import Path

import trustme

from hoosh.api.hypercorn import adjust, hypercorn_config
from hoosh.config import Config, Server


def test_hypercorn_asks_for_client_certificates_where_we_do(tmp_path: Path) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    files = {"tls_cert": str(tmp_path / "cert.pem"), "tls_key": str(tmp_path / "key.pem")}
    wanted = {
        ssl.CERT_NONE: Server(**files),
        ssl.CERT_REQUIRED: Server(**files, tls_client_ca=str(tmp_path / "ca.pem")),
    }
    for mode, server in wanted.items():
        context = hypercorn_config(Config(server=server)).create_ssl_context()
        assert context is not None
        assert context.verify_mode is mode


def test_what_it_looks_at_anew_for_each_connection_changes_with_the_configuration() -> None:
    settings = hypercorn_config(Config())
    adjust(settings, Config(server=Server(port=1, keepalive_s=7, max_streams=8, drain_s=9)))
    assert (settings.keep_alive_timeout, settings.h2_max_concurrent_streams) == (7, 8)
    assert 9 < settings.graceful_timeout < 10
    assert settings.bind == ["127.0.0.1:8088"]
