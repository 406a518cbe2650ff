"""How a command talks to a running gateway, and how it says why it could not.

The client is httpx's synchronous one: a command does one thing and ends.  Proxies of the environment are not used for
a gateway on this machine.  `unix:PATH` as the server goes through a unix socket.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from hoosh.cli.failure import WRONG_USAGE, Failure

if TYPE_CHECKING:
    import httpx

__all__ = ["NO_GATEWAY", "RefusedByGateway", "Talk", "add_talk_flags", "message_of", "talk_to"]

DEFAULT_SERVER = "http://127.0.0.1:8088"
CONNECT_S = 10.0
READ_S = 30.0
MAX_ERROR_BYTES = 64 * 1024
NO_GATEWAY = "{} does not answer like a hoosh gateway; check --server or HOOSH_SERVER"


def add_talk_flags(parser: argparse.ArgumentParser, *, json: str = "the gateway's answer") -> None:
    # The environment is read when the command runs, and a key from there is never part of a help text.
    parser.add_argument("--server", metavar="URL", help=f"the gateway (default: $HOOSH_SERVER, else {DEFAULT_SERVER})")
    parser.add_argument("--key", metavar="KEY", help="API key (default: $HOOSH_API_KEY)")
    parser.add_argument("--json", action="store_true", help=f"print {json} as JSON")


class RefusedByGateway(Failure):
    """It has answered with an error; `code` is that error's word, "" where it has none."""

    def __init__(self, text: str, code: str) -> None:
        super().__init__(text)
        self.code = code


class Talk:
    """An open client to one gateway.  Every method raises Failure, and nothing else, when the gateway fails."""

    def __init__(self, client: httpx.Client, server: str) -> None:
        self.client = client
        self.server = server

    def get(self, path: str) -> Any:
        """The JSON at `path`."""
        with self.open("GET", path) as response:
            return _json(response.read(), self.server)

    def delete(self, path: str) -> Any:
        """The JSON that is answered to a DELETE of `path`."""
        with self.open("DELETE", path) as response:
            return _json(response.read(), self.server)

    @contextmanager
    def open(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        content: Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        read_s: float = READ_S,
    ) -> Iterator[httpx.Response]:
        """An answer whose status is good; its body may be read as it comes.  Leaving it hangs up.

        `body` is sent as JSON, `content` as it comes.
        """
        import httpx

        timeout = httpx.Timeout(read_s, connect=CONNECT_S)
        try:
            with self.client.stream(
                method, path, json=body, content=content, headers=headers, timeout=timeout
            ) as response:
                if response.status_code >= 300:
                    raise _refused(response)
                yield response
        except httpx.ConnectError as error:
            raise Failure(_unreachable(self.server, error)) from None
        except httpx.TimeoutException:
            raise Failure(
                f"the gateway at {self.server} did not answer in time; try again or look at its log"
            ) from None
        except httpx.HTTPError as error:
            reason = str(error) or type(error).__name__
            raise Failure(f"the connection to {self.server} broke: {reason}; look at the gateway's log") from None


@contextmanager
def talk_to(arguments: argparse.Namespace) -> Iterator[Talk]:
    """Open the client that the flags and the environment describe."""
    server = arguments.server or os.environ.get("HOOSH_SERVER") or DEFAULT_SERVER
    key = arguments.key or os.environ.get("HOOSH_API_KEY")
    if key is not None and not (key.isascii() and key.isprintable()):
        raise Failure("the API key holds signs no key has; check --key or HOOSH_API_KEY", exit_code=WRONG_USAGE)
    headers = {"user-agent": "hoosh-trio", **({"authorization": f"Bearer {key}"} if key else {})}
    with _client(server, headers) as client:
        yield Talk(client, re.sub(r"//[^/@]*@", "//", server))  # this one is shown, and a URL may hold a password


def _client(server: str, headers: Mapping[str, str]) -> httpx.Client:
    import httpx

    if server.startswith("unix:"):
        path = server.removeprefix("unix:")
        if not os.path.exists(path):  # httpcore leaves its socket open when it cannot connect
            raise Failure(_unreachable(server))
        return httpx.Client(transport=httpx.HTTPTransport(uds=path), base_url="http://localhost", headers=headers)
    try:
        url = httpx.URL(server if "://" in server else f"http://{server}")
    except httpx.InvalidURL:
        url = httpx.URL("")
    if url.scheme not in ("http", "https") or not url.host:
        raise Failure(f"the gateway's address is not a URL; write it like {DEFAULT_SERVER}", exit_code=WRONG_USAGE)
    base = url.copy_with(path=url.path.rstrip("/").removesuffix("/v1"), query=None)
    host = f"[{url.host}]" if ":" in url.host else url.host
    is_here = url.host in ("localhost", "::1") or url.host.startswith("127.")
    return httpx.Client(
        base_url=base,
        headers=headers,
        # Redirects are not followed, so plain HTTP stays plain: loading the authorities would only cost time.
        verify=url.scheme == "https",
        mounts={f"all://{host}": None} if is_here else None,
    )


def _unreachable(server: str, error: Exception | None = None) -> str:
    if "CERTIFICATE" in str(error).upper():
        return f"the certificate of {server} is not trusted: {error}; point SSL_CERT_FILE at its authority"
    return f"no gateway answers at {server}; is the gateway running? start it with `hoosh-trio serve`"


def _refused(response: httpx.Response) -> RefusedByGateway:
    """An answer with a bad status as a Failure that says what to do."""
    body = b""
    for chunk in response.iter_bytes():
        body += chunk
        if len(body) > MAX_ERROR_BYTES:
            break
    try:
        answer = _json(body, "")
    except Failure:
        answer = None
    said = message_of(answer)
    status = response.status_code
    advice = {
        401: "; pass --key or set HOOSH_API_KEY",
        403: "; use a key that may do this",
        404: "; `hoosh-trio models` lists what there is" if "model" in said else "; is this a hoosh gateway?",
    }.get(status, "")
    said = said or response.reason_phrase
    text = f"the gateway answered {status}: {said.rstrip('.') if advice else said}{advice}"
    return RefusedByGateway(text, _code_of(answer))


def message_of(answer: Any) -> str:
    """The message of an error body, on one line."""
    error = answer.get("error") if isinstance(answer, dict) else None
    message = error.get("message") if isinstance(error, dict) else error
    return " ".join(str(message).split())[:500] if message else ""


def _code_of(answer: Any) -> str:
    error = answer.get("error") if isinstance(answer, dict) else None
    return str(error.get("code") or "") if isinstance(error, dict) else ""


def _json(body: bytes, server: str) -> Any:
    import json

    try:
        return json.loads(body)
    except ValueError:
        raise Failure(NO_GATEWAY.format(server)) from None
