"""What `config` and `serve` say of bridges before anything is polled."""

import json
import subprocess

import pytest

from server import binary, clean_environment
from test_bridge import bridge
from upstream import Upstream


@pytest.fixture
def upstream():
    with Upstream() as upstream:
        yield upstream


def check(tmp_path, text: str) -> tuple[int, str]:
    file = tmp_path / "martlet.yaml"
    file.write_text(text)
    done = subprocess.run([binary(), "config", "check", str(file)], capture_output=True, text=True, timeout=30, env=clean_environment())
    return done.returncode, done.stdout + done.stderr


def test_config_check_knows_bridges(tmp_path):
    code, text = check(tmp_path, """
bridge.allowedHosts: [api.example.com, "10.0.0.7:8000"]
bridges:
  good: {url: https://api.example.com/scores, topic: live/scores, path: /feed/scores, interval: 5s}
  mine: {url: "http://10.0.0.7:8000/users/{user}", type: feed}
""")
    assert code == 0, text
    code, text = check(tmp_path, """
bridge.allowedHosts: [api.example.com, "no/host"]
bridges:
  a: {url: "https://evil.example/scores", topic: live/a, path: /v1/sse}
  b: {url: "https://u:p@api.example.com/", topic: live/b}
  c: {url: "https://api.example.com/", path: /feed/c, access: public, topic: x, intervall: 5s}
  d: {url: "https://api.example.com/", path: /feed/c, topic: "x/#", interval: 1ms}
  e: {url: "https://api.example.com/", type: feed, authorizationFile: missing}
""")
    assert code == 1
    for part in (
        "no/host", "bridges.a.url", "bridge.allowedHosts does not name", "Martlet's own", "without user name", "did you mean bridges.c.interval?",
        "/feed/c is the path of the bridge c already", "bridges.d.topic", "bridges.d.interval must be", "put {user} into the url", "missing: there is no such file",
    ):
        assert part in text, f"{part}\n{text}"
    assert "u:p" not in text


def test_an_app_that_there_is_not(tmp_path, upstream):
    done = subprocess.run(
        [binary(), "serve", "--dev", "--listen", "127.0.0.1:0", "--data", str(tmp_path / "data"), "--bridge-allowed-hosts", upstream.host,
         *bridge("x", url=upstream.url, topic="a", app="nobody")],
        capture_output=True, text=True, timeout=30, env=clean_environment())
    assert done.returncode != 0 and "martlet app create nobody" in done.stdout + done.stderr


def test_config_print_shows_it(upstream, tmp_path):
    done = subprocess.run(
        [binary(), "config", "print", "--json", "--bridge-allowed-hosts", upstream.host, *bridge("x", url=upstream.url, topic="a", max_bytes="1KiB")],
        capture_output=True, text=True, timeout=30, env=clean_environment())
    printed = json.loads(done.stdout)
    assert printed["bridges.x.maxBytes"] == {"value": 1024, "source": "--bridges-x-max-bytes"}
