"""What a configuration says of connections: TLS files are tried, pins and proxies read, private addresses refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import trustme

from hoosh.cli import main
from hoosh.config import Config, Provider, loads
from hoosh.config.address import Place, place_of, url_mistake
from hoosh.errors import ConfigError

PIN = "sha256/RRM1dGqnDFsCJXBTHky16vi1obOlCgFFn/yOhI/y+ho="
P = '[[providers]]\ntype = "openai-compatible"\nbase_url = "https://api.example"\n'
HTTP = P.replace("https", "http")
PROXY = "http://me:hunter2@proxy:3128"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """cert.pem and key.pem belong together, other.pem is another key, ca.pem an authority, junk.pem nothing."""
    folder = tmp_path_factory.mktemp("pem")
    authority = trustme.CA()
    issued, other = authority.issue_cert("localhost"), authority.issue_cert("localhost")
    issued.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    issued.private_key_pem.write_to_path(folder / "key.pem")
    other.private_key_pem.write_to_path(folder / "other.pem")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    (folder / "junk.pem").write_text("junk")
    (folder / "cut.pem").write_bytes(issued.cert_chain_pems[0].bytes()[:300])
    return folder


def load(text: str, folder: Path, environ: dict[str, str] | None = None) -> Config:
    return loads(text, str(folder / "hoosh.toml"), environ or {})


def mistakes(text: str, folder: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(text, folder)
    return [found.removeprefix(f"{folder}/hoosh.toml:") for found in caught.value.mistakes]


def provider(text: str, folder: Path, environ: dict[str, str] | None = None) -> Provider:
    return load(text, folder, environ).providers[0]


def test_what_is_right_is_read(folder: Path):
    text = (
        '[server]\ntls_cert = "cert.pem"\ntls_key = "key.pem"\ntls_client_ca = "ca.pem"\n'
        f'{P}tls_pinned_certs = ["ca.pem"]\nspki_pins = ["{PIN}"]\nclient_cert = "cert.pem"\nclient_key = "key.pem"\n'
        f'proxy = "{PROXY}"\nallow_private = true'
    )
    config = load(text, folder)
    found = config.providers[0]
    assert config.server.tls_client_ca == str(folder / "ca.pem")
    assert found.trust == (str(folder / "ca.pem"),)
    assert (found.client_cert, found.client_key) == (str(folder / "cert.pem"), str(folder / "key.pem"))
    assert (found.spki_pins, found.allow_private) == ((PIN,), True)
    assert found.proxy is not None
    assert found.proxy.reveal() == PROXY
    assert "hunter2" not in repr(config)


def test_pins_may_stand_beside_any_trust(folder: Path):
    for verify in ("true", "false", '"ca.pem"'):
        assert provider(f'{P}verify = {verify}\nspki_pins = ["{PIN}"]', folder).spki_pins == (PIN,)


WRONG = [
    # (document, the mistake's beginning, a part of what follows)
    (
        '[server]\ntls_cert = "junk.pem"\ntls_key = "key.pem"',
        "2: server.tls_cert: the TLS certificate",
        "no certificate",
    ),
    ('[server]\ntls_cert = "cut.pem"\ntls_key = "key.pem"', "3: server.tls_key: the TLS certificate and", "be used"),
    ('[server]\ntls_cert = "cert.pem"\ntls_key = "junk.pem"', "3: server.tls_key: the TLS key", "no private key"),
    ('[server]\ntls_cert = "cert.pem"\ntls_key = "cert.pem"', "3: server.tls_key: the TLS key", "no private key"),
    ('[server]\ntls_cert = "cert.pem"\ntls_key = "other.pem"', "3: server.tls_key: ", "belongs to another certificate"),
    (
        '[server]\ntls_cert = "cert.pem"\ntls_key = "key.pem"\ntls_client_ca = "junk.pem"',
        "4: server.tls_client_ca: the certificate bundle",
        "no certificate in PEM form; give a PEM file",
    ),
    (P + 'verify = "junk.pem"', "4: providers[0].verify: the certificate bundle", "no certificate"),
    (P + 'tls_pinned_certs = ["ca.pem",\n"cut.pem"]', "5: providers[0].tls_pinned_certs[1]: ", "cannot be used"),
    (P + 'tls_pinned_certs = ["no.pem"]', "4: providers[0].tls_pinned_certs[0]: there is no file", "create it"),
    (P + 'tls_pinned_certs = "ca.pem"', "4: providers[0].tls_pinned_certs: is text", "a list of paths"),
    (P + "tls_pinned_certs = [3]", "4: providers[0].tls_pinned_certs[0]: is 3", "the path of a file"),
    (P + 'tls_pinned_certs = ["ca.pem"]\nverify = false', "4: providers[0].tls_pinned_certs: says", "keep one"),
    (P + 'client_cert = "cert.pem"', "4: providers[0].client_cert: needs client_key", "add client_key"),
    (P + 'client_key = "key.pem"', "4: providers[0].client_key: needs client_cert", "add client_cert"),
    (P + 'client_cert = "cert.pem"\nclient_key = "other.pem"', "5: providers[0].client_key: ", "key values mismatch"),
    (P + 'client_cert = "cert.pem"\nclient_key = "no.pem"', "5: providers[0].client_key: there is no file", "create"),
    (P + f'spki_pins = ["{PIN}",\n"sha256/AAAA"]', "5: providers[0].spki_pins[1]: is 3 bytes long", "sha256/"),
    (P + 'spki_pins = ["hunter2"]', "4: providers[0].spki_pins[0]: is no pin", "write sha256/"),
    (P + "spki_pins = []", "4: providers[0].spki_pins: is empty", "any key"),
    (P + f'spki_pins = "{PIN}"', "4: providers[0].spki_pins: is text", "must be a list"),
    (HTTP + f'spki_pins = ["{PIN}"]', "4: providers[0].spki_pins: needs TLS", "use https"),
    (HTTP + 'client_cert = "cert.pem"\nclient_key = "key.pem"', "4: providers[0].client_cert: needs TLS", "use https"),
    (HTTP + 'verify = "ca.pem"', "4: providers[0].verify: needs TLS", "use https"),
    (HTTP + 'tls_pinned_certs = ["ca.pem"]', "4: providers[0].tls_pinned_certs: needs TLS", "use https"),
    (P + 'proxy = "hunter2:3128"', "4: providers[0].proxy: is no proxy's address", "http://user:password@host:port"),
    (P + 'proxy = "socks5://me:hunter2@x"', "4: providers[0].proxy: must be socks5h://", "looks names up"),
    (P + 'proxy = "http://me:hunter2@x/y"', "4: providers[0].proxy: has something behind", "write http://"),
    (P + 'proxy = "$NOWHERE"', "4: providers[0].proxy: the environment variable NOWHERE", "set it"),
    (P + "proxy = true", "4: providers[0].proxy: is true", "must be text"),
    (P + "local = 1", "4: providers[0].local: is 1", "true or false"),
    (P + "allow_private = 1", "4: providers[0].allow_private: is 1", "true or false"),
    (
        P.replace("api.example", "10.0.0.5:8000"),
        "3: providers[0].base_url: is a private address",
        "allow_private = true",
    ),
    (P.replace("api.example", "[fd00::1]"), "3: providers[0].base_url: is a private address", "allow_private = true"),
    (P.replace("api.example", "169.254.169.254"), "3: providers[0].base_url: ", "no provider can be"),
    (
        P.replace("api.example", "169.254.169.254") + "allow_private = true",
        "3: providers[0].base_url: ",
        "no provider can be",
    ),
    (P.replace("https://api.example", "unix:engine.sock"), "3: providers[0].base_url: names no socket", "unix:/run/"),
    (P.replace("https://api.example", "unix://host/x"), "3: providers[0].base_url: names no socket", "unix:/run/"),
    (P.replace("https://api.example", "http+unix://run/v1"), "3: providers[0].base_url: names no", "%2Frun%2F"),
    (P.replace("https://api.example", "unix:/" + "x" * 107), "3: providers[0].base_url: is longer", "shorten it"),
    (P.replace("https://api.example", "unix:/x?y"), "3: providers[0].base_url: holds a query", "write unix:"),
    (
        P.replace("https://api.example", "unix:/x") + f'proxy = "{PROXY}"',
        "4: providers[0].proxy: cannot lead to a unix socket",
        "remove it",
    ),
]


@pytest.mark.parametrize(("text", "begins", "says"), WRONG)
def test_a_mistake_has_its_line_its_key_and_what_would_be_right(folder: Path, text: str, begins: str, says: str):
    found = mistakes(text, folder)[0]
    assert found.startswith(begins)
    assert says in found
    assert "hunter2" not in found


@pytest.mark.parametrize(
    "text",
    [
        P.replace("api.example", "10.0.0.5:8000") + "allow_private = true",
        P.replace("api.example", "8.8.8.8"),
        P.replace("api.example", "127.0.0.1:9"),
        P.replace("api.example", "127.0.0.1:9") + "local = false",
        P.replace("api.example", "10.0.0.5:8000") + "local = true",
        '[[providers]]\ntype = "ollama"\nbase_url = "http://192.168.1.9:11434"',
    ],
)
def test_private_addresses_are_fine_where_somebody_has_said_so(folder: Path, text: str):
    assert load(text, folder).providers


def test_a_unix_socket_is_on_this_machine(folder: Path):
    found = provider(P.replace("https://api.example", "unix:/run/engine.sock"), folder)
    assert found.is_local
    assert place_of(found.base_url) == Place("http", "localhost", 80, "", "/run/engine.sock")
    url = "http+unix://%2Frun%2FMy.sock/api/v1/"
    assert url_mistake(url) is None
    assert place_of(url) == Place("http", "localhost", 80, "/api/v1", "/run/My.sock")


# -- proxy = "env" -------------------------------------------------------------------------------------------------

ENV = P + 'proxy = "env"'


def proxy_of(text: str, folder: Path, environ: dict[str, str]) -> str | None:
    found = provider(text, folder, environ).proxy
    return None if found is None else found.reveal()


def test_the_environments_proxy_is_used_only_where_it_is_asked_for(folder: Path):
    environ = {"HTTPS_PROXY": PROXY, "https_proxy": PROXY, "ALL_PROXY": PROXY}
    assert proxy_of(P, folder, environ) is None
    assert proxy_of(ENV, folder, environ) == PROXY
    assert proxy_of(ENV, folder, {}) is None


@pytest.mark.parametrize(
    ("text", "environ", "proxy"),
    [
        (ENV, {"https_proxy": "http://a", "HTTPS_PROXY": "http://b", "ALL_PROXY": "http://c"}, "http://a"),
        (ENV, {"HTTPS_PROXY": "http://b", "all_proxy": "http://c"}, "http://b"),
        (ENV, {"all_proxy": "http://c", "ALL_PROXY": "http://d"}, "http://c"),
        (ENV, {"http_proxy": "http://a", "HTTP_PROXY": "http://b"}, None),
        (HTTP + 'proxy = "env"', {"http_proxy": "http://a", "https_proxy": "http://b"}, "http://a"),
        (ENV, {"https_proxy": "proxy:3128"}, "http://proxy:3128"),
        (ENV, {"https_proxy": "  "}, None),
        (ENV.replace("api.example", "127.0.0.1"), {"https_proxy": "http://a"}, None),
        (ENV.replace("api.example", "localhost"), {"https_proxy": "http://a"}, None),
        (ENV.replace("https://api.example", "unix:/x"), {"https_proxy": "http://a", "all_proxy": "http://a"}, None),
    ],
)
def test_which_variable_counts(folder: Path, text: str, environ: dict[str, str], proxy: str | None):
    assert proxy_of(text, folder, environ) == proxy


@pytest.mark.parametrize(
    ("host", "exempt", "is_exempt"),
    [
        ("api.example", "api.example", True),
        ("api.example", "API.Example", True),
        ("api.example", "x.org, .example", True),
        ("api.example", "*.example", True),
        ("api.example", "*", True),
        ("api.example", "api.example:443", True),
        ("api.example", "api.example:8443", False),
        ("api.example", "pi.example", False),
        ("api.example", "example.org,,", False),
        ("8.8.8.8", "8.8.0.0/16", True),
        ("8.8.8.8", "8.8.8.8", True),
        ("8.8.8.8", "8.8.8.8:443", True),
        ("8.8.8.8", "9.0.0.0/8", False),
        ("[2606:4700::1]", "2606:4700::/32", True),
        ("[2606:4700::1]", "[2606:4700::1]:443", True),
    ],
)
def test_no_proxy_names_hosts_domains_and_networks(folder: Path, host: str, exempt: str, is_exempt: bool):
    environ = {"https_proxy": "http://a", "no_proxy": exempt}
    assert proxy_of(ENV.replace("api.example", host), folder, environ) == (None if is_exempt else "http://a")


# -- the commands --------------------------------------------------------------------------------------------------


@pytest.fixture
def broken(folder: Path) -> Path:
    path = folder / "broken.toml"
    path.write_text('[server]\nport = 0\ntls_cert = "cert.pem"\ntls_key = "other.pem"\n' + P + 'spki_pins = ["x"]\n')
    return path


def test_a_house_with_a_broken_certificate_does_not_start(broken: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["serve", "--config", str(broken)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert f"{broken}:4: server.tls_key: " in err
    assert "give a PEM file" in err
    assert f"{broken}:8: providers[0].spki_pins[0]: is no pin" in err


def test_check_finds_it_too(broken: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["check", "--json", "--config", str(broken)]) == 1
    found = json.loads(capsys.readouterr().out)["mistakes"]
    assert [text.removeprefix(f"{broken}:").partition(" ")[0] for text in found] == ["4:", "8:"]
