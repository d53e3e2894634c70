"""Logs: one line per event, in both formats, without what a client sent."""

import json
import re
import subprocess

import pytest

from clients import RawSSE, WebSocket
from server import ROOT, Server, wait_until

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
    assert [message.split(" ")[0] for message in messages] == ["starting", "ready", "draining", "stopped"]
    assert f"data={server.data}" in messages[0] and "version=0.1.0" in messages[0] and "durability=full" in messages[0]
    assert f"address=127.0.0.1:{server.port}" in messages[1]


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


def test_nothing_of_clients_reaches_the_log_even_at_trace(tmp_path):
    server = Server(tmp_path / "data", "--drain-seconds", "3", "--log-level", "trace").start()
    secrets = ["s3cret-payload", "mk_abcdefgh_s3cret", "eyJhbGciOiJIUzI1NiJ9.s3cret.sig", "s3cret-name", "s3cret-key"]
    try:
        with RawSSE(server, secrets[3], "d", token=secrets[2]) as client:
            server.publish(secrets[3], data=secrets[0])
            client.next()
        for headers in ({"Authorization": f"Bearer {secrets[1]}"}, {"X-API-Key": secrets[1]}, {"Cookie": f"martlet_token={secrets[2]}"}):
            server.http.get(server.url + "/v1/messages/garbage", headers=headers)
            server.http.get(server.url + "/metrics", headers=headers)
        server.post({"to": {"user": "x"}, "data": secrets[0]}, Idempotency_Key=secrets[4])
        server.post(f'{{"data":"{secrets[0]}')
        server.get("/v1/sse", params={"user": "x", "cursor": secrets[0]})
        server.get("/v1/sse", params={"token": secrets[2]})
    finally:
        server.stop()
    log = server.log.read_text()
    assert "s3cret" not in log, log


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
        assert told == ["store unavailable", "store available again"]
    finally:
        server.stop()


def test_every_event_is_documented():
    """docs/logging.md lists each message that the source can log, and no other."""
    found = set()
    for file in (ROOT / "Sources").rglob("*.swift"):
        found |= set(re.findall(r'[lL]og(?:ger)?\.(?:info|notice|warning|error|critical)\(\s*"([^"]+)"', file.read_text()))
    documented = set(re.findall(r"^\| `([^`]+)` \|", (ROOT / "docs" / "logging.md").read_text(), re.M))
    assert found == documented
