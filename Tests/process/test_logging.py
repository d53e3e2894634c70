"""Logs: one line per event, in both formats, without what a client sent."""

import json
import re
import subprocess

import pytest

from clients import RawSSE, WebSocket
from server import ROOT, Server, binary, wait_until

TEXT = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (trace|debug|info|notice|warning|error|critical) +\S.*$")


def events(server: Server) -> list[dict]:
    return [json.loads(line) for line in server.log.read_text().splitlines()]


@pytest.fixture
def json_server(tmp_path):
    server = Server(tmp_path / "data", "--drain-seconds", "3", "--log-format", "json").start()
    yield server
    server.stop()


def test_a_life_in_text(server):
    server.terminate()
    assert server.wait() == 0
    lines = server.log.read_text().splitlines()
    assert all(TEXT.match(line) for line in lines), lines
    messages = [line.split(None, 2)[2] for line in lines]
    assert [message.split(" ")[0] for message in messages] == ["starting", "listening", "ready", "draining", "stopped"]
    assert f"data={server.data}" in messages[0] and "version=0.1.0" in messages[0] and "durability=full" in messages[0]
    assert f"address=127.0.0.1:{server.port}" in messages[2]


def test_a_life_in_json(json_server):
    with RawSSE(json_server, "alice", "a1"):
        pass
    json_server.terminate()
    assert json_server.wait() == 0
    got = events(json_server)
    assert [event["message"] for event in got] == ["starting", "ready", "draining", "stopped"]
    assert all({"time", "level", "message"} <= set(event) for event in got)
    assert got[0]["data"] == str(json_server.data)
    assert got[1]["address"] == f"127.0.0.1:{json_server.port}"


def test_a_folder_that_others_may_enter_is_told(tmp_path):
    told = "other users may enter the data folder"
    server = Server(tmp_path / "data").start()
    server.stop()
    assert told not in server.log.read_text()
    server.data.chmod(0o755)
    server = Server(tmp_path / "data").start()
    server.stop()
    assert told in server.log.read_text() and f"chmod 700 {server.data}" in server.log.read_text()


def test_tokens_in_dev_mode_are_told(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("s" * 40)
    server = Server(tmp_path / "data", "--tokens-secret-file", str(secret)).start()
    server.stop()
    assert "dev mode needs no tokens" in server.log.read_text()


def test_an_unclean_stop_is_told_at_the_next_start(server):
    server.publish("alice", data=1)
    server.kill9()
    server.restart()
    assert "the last run did not stop cleanly" in server.log.read_text()


def test_no_line_per_connection_request_or_message(json_server):
    before = len(events(json_server))
    for n in range(20):
        with WebSocket(json_server, f"u{n}", f"d{n}", ack="explicit") as client:
            json_server.publish(f"u{n}", data=n)
            client.next()
            client.acknowledge()
    assert len(events(json_server)) == before


def command(*arguments: str) -> str:
    done = subprocess.run([binary(), *arguments], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_nothing_of_clients_reaches_the_log_even_at_trace(tmp_path):
    (tmp_path / "data").mkdir()
    secret = tmp_path / "secret"
    secret.write_text("s3cret-" * 8)
    key = re.search(r"mk_\S+", command("key", "create", "--data", str(tmp_path / "data")))[0]
    token = command("token", "--user", "s3cret-name", "--device", "d", "--secret-file", str(secret))
    server = Server(
        tmp_path / "data", "--drain-seconds", "3", "--log-level", "trace", "--tokens-secret-file", str(secret)).start()
    payload = "s3cret-payload"
    try:
        with RawSSE(server, "s3cret-name", "d", token=token) as client:
            server.publish("s3cret-name", data=payload)
            client.next()
        for headers in (
            {"Authorization": f"Bearer {key}"}, {"X-API-Key": key}, {"X-API-Key": key + "s3cret"},
            {"Authorization": f"Bearer {token}"}, {"Cookie": f"martlet_token={token}"}, {"Cookie": f"martlet_token={token}s3cret"},
        ):
            for path in ("/v1/messages/garbage", "/metrics", "/v1/poll?device=d"):
                server.http.get(server.url + path, headers=headers)
        server.post({"to": {"user": "x"}, "data": payload}, Idempotency_Key="s3cret-key")
        server.post(f'{{"data":"{payload}')
        server.get("/v1/sse", params={"user": "x", "cursor": payload})
        server.get("/v1/sse", params={"token": token + "s3cret"})
    finally:
        server.stop()
    log = server.log.read_text()
    assert "starting" in log and "stopped" in log
    for text in ("s3cret", key, key.rsplit("_", 1)[1], token, token.split(".")[1], token.split(".")[2]):
        assert text not in log, log


def test_keys_that_come_and_go_are_told(json_server):
    key = re.search(r"mk_([^_]+)_\S+", command("key", "create", "--name", "billing", "--data", str(json_server.data)))
    wait_until(lambda: "key created" in json_server.log.read_text(), what="created")
    command("key", "revoke", key[1], "--data", str(json_server.data))
    wait_until(lambda: "key revoked" in json_server.log.read_text(), what="revoked")
    told = [event for event in events(json_server) if event["message"].startswith("key ")]
    assert [(event["message"], event["key"], event["app"], event["name"]) for event in told] == [
        ("key created", key[1], "default", "billing"), ("key revoked", key[1], "default", "billing")]
    assert key[0] not in json_server.log.read_text()


def test_a_request_cannot_write_a_line_of_its_own(server):
    # Paths and names with line ends, terminal codes and what looks like a line.
    evil = "%0a2026-01-01T00:00:00.000Z%20critical%20fake%1b[2J%0d%0a"
    for path in (f"/{evil}", f"/v1/messages/{evil}", f"/v1/sse?user={evil}", f"/v1/poll?user={evil}&device={evil}", f"/v1/sse?user=x&cursor={evil}"):
        server.get(path)
    server.http.post(server.url + "/v1/ack", params={"user": evil, "device": evil}, json={"cursor": evil})
    server.terminate()
    server.wait()
    lines = server.log.read_bytes().decode().split("\n")[:-1]
    assert all(TEXT.match(line) for line in lines)
    assert not any(" critical " in line.split("=")[0] for line in lines)
    assert all(ord(character) >= 32 for line in lines for character in line)


def test_a_full_disk_is_one_line_until_it_is_over(tmp_path):
    """A file-size limit stands for the full disk: lifted, the store recovers by itself."""
    server = Server(tmp_path / "data", "--log-format", "json").start()
    try:
        pad = "x" * 60_000
        subprocess.run(["prlimit", f"--pid={server.pid}", "--fsize=3000000:unlimited"], check=True)
        wait_until(lambda: server.post({"to": {"user": "a"}, "data": pad}).status_code == 503, timeout=20, what="full")
        for _ in range(5):
            server.post({"to": {"user": "a"}, "data": pad})
        subprocess.run(["prlimit", f"--pid={server.pid}", "--fsize=unlimited:unlimited"], check=True)
        wait_until(lambda: server.post({"to": {"user": "a"}, "data": pad}).status_code == 202, timeout=20, what="recovered")
        wait_until(lambda: "store available again" in server.log.read_text(), what="the line")
        told = [event["message"] for event in events(server) if event["message"].startswith("store ")]
        # On a busy machine the store may find room for a moment and tell of it; how many it refused meanwhile is no line.
        assert told and told == ["store unavailable", "store available again"] * (len(told) // 2)
    finally:
        server.stop()


def test_refusals_are_one_line_however_many(json_server):
    for _ in range(30):
        assert json_server.get("/v1/sse").status_code == 401
    for _ in range(5):
        json_server.get("/nothing")  # Its sender's mistake: not for the log.
    json_server.terminate()
    json_server.wait()
    line, = [event for event in events(json_server) if event["message"] == "refused in the last minute"]
    assert set(line) == {"time", "level", "message", "unauthorized"}
    assert line["unauthorized"] == "30"


def test_every_event_is_documented():
    """docs/logging.md lists each message that the source can log, and no other."""
    found = set()
    for file in (ROOT / "Sources").rglob("*.swift"):
        found |= set(re.findall(r'[lL]og(?:ger)?\.(?:info|notice|warning|error|critical)\(\s*"([^"]+)"', file.read_text()))
    documented = set(re.findall(r"^\| `([^`]+)` \|", (ROOT / "docs" / "logging.md").read_text(), re.M))
    assert found == documented
