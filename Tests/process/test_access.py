"""API keys and apps from the command line, seen by a running server; the command line's own credentials."""

import json
import os
import sqlite3
import stat
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from access import SECRET, Guarded, bearer, martlet, token
from server import binary, clean_environment, wait_until

MESSAGE = {"json": {"to": {"user": "alice"}, "data": 1}}


@pytest.fixture
def guarded(tmp_path):
    server = Guarded(tmp_path / "data", "--drain-seconds", "2").start()
    yield server
    server.stop()


def publishes(server, key: str) -> int:
    return server.request("POST", "/v1/messages", key, **MESSAGE).status_code


def test_a_key_works_at_once_and_is_refused_within_a_second_of_its_revocation(guarded):
    """Also while somebody guesses keys, each of which makes the server look for new ones."""
    stop = threading.Event()

    def guess() -> None:
        with httpx.Client(trust_env=False) as http:
            while not stop.is_set():
                assert http.post(guarded.url + "/v1/messages", headers=bearer(f"mk_q7n2x8m4kd3a_{'A' * 43}"), **MESSAGE).status_code == 401

    with ThreadPoolExecutor(1) as pool:
        guessing = pool.submit(guess)
        try:
            for _ in range(5):
                key = guarded.key()
                assert publishes(guarded, key) == 202  # the first request already
                guarded.revoke(key)
                begin = time.monotonic()
                wait_until(lambda: publishes(guarded, key) == 401, 2)
                assert time.monotonic() - begin < 1
        finally:
            stop.set()
        guessing.result(10)


def test_only_making_makes_a_folder(tmp_path):
    """A folder's name with a mistake is told, not made."""
    folder = tmp_path / "typo"
    for words in (("key", "list"), ("key", "revoke", "q7n2x8m4kd3a"), ("app", "list")):
        result = martlet(*words, "--data", str(folder))
        assert result.returncode == 1 and f"There is no folder {folder}" in result.stderr
        assert not folder.exists()
    folder.mkdir()
    assert "No keys were made" in martlet("key", "list", "--data", str(folder)).stderr
    assert list(folder.iterdir()) == []
    for command in (("key", "create"), ("app", "create", "acme")):
        new = tmp_path / command[0]
        made = martlet(*command, "--data", str(new))
        assert made.returncode == 0 and f"there was no folder {new}: made a new one" in made.stderr
        assert "made a new one" not in martlet("key", "create", "--data", str(new)).stderr


def test_the_pipe_of_the_readme_with_keys(guarded, tmp_path):
    """publish with a key's file, subscribe with a token's; without, the answer names what to give."""
    key, shown = tmp_path / "key", tmp_path / "token"
    key.write_text(guarded.key() + "\n")
    shown.write_text(token() + "\n")
    one = subprocess.Popen(
        [binary(), "subscribe", "--url", guarded.url, "--token-file", str(shown), "--device", "laptop", "--count", "1"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=clean_environment())
    sent = subprocess.run(
        [binary(), "publish", "--url", guarded.url, "--user", "alice", "--key-file", str(key)], input=b'{"trip": 42}\n', capture_output=True,
        timeout=30, env=clean_environment())
    assert sent.returncode == 0, sent.stderr
    assert json.loads(one.communicate(timeout=20)[0])["data"] == {"trip": 42}
    refused = martlet("publish", "--url", guarded.url, "--user", "alice", "x", "--retry-seconds", "0")
    assert refused.returncode == 1 and "--key-file" in refused.stderr and "MARTLET_KEY" in refused.stderr
    refused = martlet("publish", "--url", guarded.url, "--user", "alice", "x", "--key", "mk_nosuch")
    assert "not an API key" in refused.stderr


def test_a_key_expires(guarded):
    key = guarded.key("--expires", "2s")
    assert publishes(guarded, key) == 202
    wait_until(lambda: publishes(guarded, key) == 401, 4)
    assert "time is over" in guarded.request("POST", "/v1/messages", key, **MESSAGE).json()["error"]["message"]


def test_a_revocation_is_told_once(guarded):
    expired, good, last = guarded.key("--expires", "1s"), guarded.key(), guarded.key()
    wait_until(lambda: publishes(guarded, expired) == 401, 3)
    for key in (expired, good):
        guarded.revoke(key)
    assert martlet("key", "revoke", good, "--data", str(guarded.data)).returncode == 1  # it was before
    wait_until(lambda: revocations(guarded, good), 3)
    # The server is asked to end before it has looked.
    guarded.revoke(last)
    guarded.terminate()
    assert guarded.wait(10) == 0
    assert [revocations(guarded, key) for key in (expired, good, last)] == [1, 1, 1]


def revocations(server, key: str) -> int:
    return sum("key revoked" in line and key.split("_")[1] in line for line in server.log.read_text().splitlines())


def test_keys_survive_a_crash_and_are_kept_as_hashes_only(guarded):
    key = guarded.key("--name", "billing")
    assert publishes(guarded, key) == 202
    guarded.kill9()
    guarded.restart()
    assert publishes(guarded, key) == 202
    secret = key.split("_", 2)[2].encode()
    for file in guarded.data.iterdir():
        assert secret not in file.read_bytes(), file
        assert key.encode() not in file.read_bytes(), file
    assert stat.S_IMODE(os.stat(guarded.data / "directory.db").st_mode) == 0o600
    # The log does not know it either.
    publishes(guarded, key[:-1])
    guarded.request("GET", "/v1/poll", token(secret="x" * 32))
    assert secret not in guarded.log.read_bytes() and b"eyJ" not in guarded.log.read_bytes()


def test_the_list_shows_everything_but_the_secrets(tmp_path):
    data = ("--data", str(tmp_path / "data"))
    assert martlet("app", "create", "acme", *data).returncode == 0
    first = martlet("key", "create", "--name", "billing", *data).stdout.strip()
    second = martlet("key", "create", "--app", "acme", "--scope", "admin", "--expires", "90d", *data).stdout.strip()
    assert martlet("key", "revoke", first, *data).returncode == 0  # the whole key does as well as its id
    rows = [json.loads(line) for line in martlet("key", "list", "--json", *data).stdout.splitlines()]
    assert [row["id"] for row in rows] == [first.split("_")[1], second.split("_")[1]]
    assert (rows[0]["state"], rows[0]["name"], rows[0]["scopes"]) == ("revoked", "billing", ["publish", "read"])
    assert (rows[1]["state"], rows[1]["app"], rows[1]["scopes"]) == ("good", "acme", ["admin"])
    assert rows[1]["expiresAt"] - rows[1]["createdAt"] == 90 * 86_400_000
    table = martlet("key", "list", *data).stdout
    assert table.splitlines()[0].split() == ["ID", "APP", "NAME", "SCOPES", "STATE", "CREATED", "EXPIRES"]
    for key in (first, second):
        assert key.split("_", 2)[2] not in table
    apps = [line.split() for line in martlet("app", "list", *data).stdout.splitlines()]
    assert [row[:2] for row in apps] == [["NAME", "KEYS"], ["default", "0"], ["acme", "1"]]


@pytest.mark.parametrize("arguments, says", [
    (("key", "create", "--app", "nobody"), "martlet app create nobody"),
    (("key", "create", "--scope", "everything"), "publish, read and admin"),
    (("key", "create", "--expires", "soon"), "--expires"),
    (("key", "revoke", "nosuch"), "martlet key list"),
    (("app", "create", "default"), "already"),
    (("app", "create", "a b"), "letters"),
])
def test_mistakes_are_told(tmp_path, arguments, says):
    assert martlet("key", "create", "--data", str(tmp_path / "data")).returncode == 0
    result = martlet(*arguments, "--data", str(tmp_path / "data"))
    assert result.returncode != 0 and result.stdout == ""
    assert says in result.stderr


def test_many_at_once(guarded):
    processes = [
        subprocess.Popen([binary(), "key", "create", "--data", str(guarded.data)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        for _ in range(12)
    ]
    keys = [process.communicate(timeout=30)[0].strip() for process in processes]
    assert len(set(keys)) == 12
    assert [publishes(guarded, key) for key in keys] == [202] * 12


def test_a_file_that_is_none(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    (data / "directory.db").write_bytes(b"not a database, but long enough to be looked at" * 100)
    for result in (martlet("key", "list", "--data", str(data)), martlet("serve", "--listen", "127.0.0.1:0", "--data", str(data))):
        assert result.returncode == 1
        assert "damaged" in result.stderr and "directory.db" in result.stderr


def test_a_file_of_a_newer_version(tmp_path):
    data = str(tmp_path / "data")
    assert martlet("key", "create", "--data", data).returncode == 0
    with sqlite3.connect(tmp_path / "data" / "directory.db") as db:
        db.execute("PRAGMA user_version = 99")
    result = martlet("key", "list", "--data", data)
    assert result.returncode == 1 and "newer" in result.stderr


def test_publish_and_subscribe_show_what_they_are_given(guarded, tmp_path):
    key = guarded.key()
    (tmp_path / "key").write_text(key + "\n")
    (tmp_path / "secret").write_text(SECRET)
    url = ("--url", guarded.url)
    shown = martlet("token", "--user", "alice", "--device", "a1", "--secret-file", str(tmp_path / "secret")).stdout.strip()
    assert martlet("publish", *url, "--user", "alice", "1", "--key", key).returncode == 0
    assert martlet("publish", *url, "--user", "alice", "2", "--key-file", str(tmp_path / "key")).returncode == 0
    assert martlet("publish", *url, "--user", "alice", "3", MARTLET_KEY=key).returncode == 0
    refused = martlet("publish", *url, "--user", "alice", "4")
    assert refused.returncode == 1 and "API key" in refused.stderr
    missing = martlet("publish", *url, "--user", "alice", "4", "--key-file", str(tmp_path / "nosuch"))
    assert missing.returncode == 1 and "nosuch" in missing.stderr

    received = martlet("subscribe", *url, "--count", "2", "--raw", "--token", shown)
    assert (received.returncode, received.stdout.split()) == (0, ["1", "2"]), received.stderr
    # It acked: the rest comes next.
    received = martlet("subscribe", *url, "--count", "1", "--raw", MARTLET_TOKEN=shown)
    assert (received.returncode, received.stdout.split()) == (0, ["3"]), received.stderr
    refused = martlet("subscribe", *url, "--count", "1", "--token", token(exp=time.time() - 5))
    assert refused.returncode == 1 and "new one" in refused.stderr


def test_dev_mode_asks_for_nothing_and_checks_what_it_is_shown(hub):
    assert hub.post({"to": {"user": "alice"}}).status_code == 202
    for headers in ({"Authorization": "Bearer mk_x_y"}, {"X-API-Key": "x"}, {"Authorization": "Basic eDp5"}):
        assert hub.http.post(hub.url + "/v1/messages", json={"to": {"user": "alice"}}, headers=headers).status_code == 401
    assert hub.get("/v1/poll?user=alice").status_code == 200
    assert hub.get("/v1/poll?user=alice&token=eyJ").status_code == 401
    assert hub.get("/v1/poll?user=alice", headers={"Authorization": "Bearer " + token()}).status_code == 401


def test_the_dev_page_is_dev_only(guarded):
    assert guarded.get("/").status_code == 404
    assert guarded.get("/dev/echo").status_code == 404
    for path in ("/healthz", "/readyz", "/openapi.yaml", "/martlet.js"):
        assert guarded.get(path).status_code == 200


def test_metrics_can_be_open(tmp_path):
    server = Guarded(tmp_path / "data", "--metrics-open").start()
    try:
        assert server.get("/metrics").status_code == 200
    finally:
        server.stop()
