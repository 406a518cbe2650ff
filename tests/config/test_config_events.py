"""What is configured about events and webhooks, and what is wrong with it."""

from __future__ import annotations

import base64

import pytest

from hoosh.config import Config, Events, Webhook, loads
from hoosh.errors import ConfigError
from hoosh.values import Secret

SECRET = "whsec_" + base64.b64encode(b"hunter2-" * 4).decode()
URL = "https://example.com/in?token=hunter2"
HOOK = '[[webhooks]]\nname = "oncall"\nurl = "$URL"\nsecret = "$SECRET"\ntopics = ["providers/#"]\n'


def config(text: str) -> Config:
    return loads(text, "hoosh.toml", {"URL": URL, "SECRET": SECRET})


def mistakes(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        config(text)
    assert "hunter2" not in str(caught.value)
    return [mistake.removeprefix("hoosh.toml:") for mistake in caught.value.mistakes]


def test_everything_there_is_to_say():
    read = config(
        "[events]\nenabled = true\nkeep = 128\nbuffer = 10\nmax_listeners = 0\n"
        + HOOK
        + "enabled = true\ntimeout_s = 2.5\nmax_retries = 0\nqueue = 7\nverify = false\n"
    )
    assert read.events == Events(keep=128, buffer=10, max_listeners=0)
    assert read.webhooks == (
        Webhook(
            name="oncall",
            url=Secret(URL),
            secret=Secret(SECRET),
            topics=("providers/#",),
            timeout_s=2.5,
            max_retries=0,
            queue=7,
            verify=False,
        ),
    )
    assert "hunter2" not in repr(read)


WRONG: list[tuple[str, str, str]] = [
    ("[events]\nkeep = 0", "2: events.keep:", ""),
    ("[events]\nkept = 3", "2: events.kept: unknown key", "keep"),
    (HOOK.replace("oncall", "on call"), "2: webhooks[0].name:", "64 letters"),
    (HOOK.replace("$URL", "ftp://hunter2"), "3: webhooks[0].url:", "http://"),
    (HOOK.replace("$URL", "http://a:hunter2@b"), "3: webhooks[0].url:", "user name"),
    (HOOK.replace("$URL", "http://b/x?y#z"), "3: webhooks[0].url:", "fragment"),
    (HOOK.replace("$SECRET", "hunter2"), "4: webhooks[0].secret:", "openssl"),
    (HOOK.replace("providers/#", "provider/#"), "5: webhooks[0].topics[0]:", "providers/health"),
    (HOOK.replace('"providers/#"', ""), "5: webhooks[0].topics:", "name at least one"),
    (HOOK.replace("topics", "topic"), "5: webhooks[0].topic:", "topics"),
    (HOOK + "max_retries = 21", "6: webhooks[0].max_retries:", ""),
    (HOOK + 'verify = "/nowhere.pem"', "6: webhooks[0].verify:", "no file"),
    (HOOK + HOOK, "webhooks[1].name: the webhook name `oncall` is taken", "line"),
    ("[events]\nenabled = false\n" + HOOK, "webhooks[0].enabled:", "no events"),
]


@pytest.mark.parametrize(("text", "where", "advice"), WRONG, ids=[where for _, where, _ in WRONG])
def test_a_mistake_is_told_with_its_line_and_without_secrets(text: str, where: str, advice: str):
    found = mistakes(text)
    assert any(where in each and advice in each for each in found), found


def test_a_hook_that_is_switched_off_needs_no_secret():
    read = loads(HOOK + "enabled = false\n", "hoosh.toml", {"URL": URL, "SECRET": SECRET})
    assert read.webhooks[0].enabled is False
