"""The command line against a real server that misbehaves: killed, stopped, gone, taken over."""

import json
import os
import re
import signal
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from clients import RawSSE
from server import Server, binary, unique, wait_until


def start(*arguments, **options) -> subprocess.Popen:
    options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | options
    return subprocess.Popen([binary(), *arguments], **options)


def run(*arguments, stdin: str | None = None, timeout: float = 60) -> subprocess.CompletedProcess:
    return subprocess.run(
        [binary(), *arguments], capture_output=True, text=True, timeout=timeout,
        **({"stdin": subprocess.DEVNULL} if stdin is None else {"input": stdin}))


@pytest.fixture
def subscriber(tmp_path):
    """Starts `martlet subscribe` with its output in a file, so that a slow test never blocks it."""
    started = []

    def make(server, *arguments):
        output = open(tmp_path / f"out{len(started)}", "w+b")
        errors = open(tmp_path / f"err{len(started)}", "w+b")
        process = start("subscribe", "--url", server.url, *arguments, stdout=output, stderr=errors)
        process.lines = lambda: [json.loads(line) for line in (tmp_path / os.path.basename(output.name)).read_text().splitlines()]
        process.errors = lambda: (tmp_path / os.path.basename(errors.name)).read_text()
        started.append(process)
        return process

    yield make
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait()


def test_lines_survive_a_crash_in_the_middle(server, tmp_path):
    """100,000 lines while the server is killed and restarted: each once, in order, its id printed."""
    count = 100_000
    (tmp_path / "lines").write_text("".join(f"{n}\n" for n in range(count)))
    with open(tmp_path / "lines") as lines, open(tmp_path / "ids", "w") as ids:
        process = start("publish", "--url", server.url, "--user", "alice", stdin=lines, stdout=ids)
        wait_until(lambda: (tmp_path / "ids").stat().st_size > 200_000, 20, "the first ids")
        server.kill9()
        time.sleep(0.5)
        server.restart()
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "trying again" in errors
    ids = (tmp_path / "ids").read_text().split()
    assert len(set(ids)) == count
    with RawSSE(server, "alice", "d1", window=1024) as client:
        messages = client.take(count, 60)
    assert [message["data"] for message in messages] == list(range(count))
    assert [message["id"] for message in messages] == ids


def test_a_subscriber_prints_each_message_once_through_crashes(server, subscriber, tmp_path):
    process = subscriber(server, "--user", "alice", "--device", "d1", "--cursor-file", str(tmp_path / "cursor"))
    sent = {"high": [], "medium": [], "low": []}
    n = 0
    for round in range(4):
        for _ in range(60):
            priority = ("high", "medium", "low")[n % 3]
            server.publish("alice", data=n, priority=priority, idempotencyKey=f"n{n}")
            sent[priority].append(n)
            n += 1
        server.kill9()
        server.restart()
    wait_until(lambda: len(process.lines()) >= n, 30, "all messages")
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 0
    for priority, expected in sent.items():
        assert [line["data"] for line in process.lines() if line["priority"] == priority] == expected
    assert "connecting again" in process.errors()
    # What was printed does not come again; the file alone is enough to know.
    server.publish("alice", data="after")
    second = subscriber(server, "--user", "alice", "--device", "d1", "--cursor-file", str(tmp_path / "cursor"), "--count", "1")
    assert second.wait(20) == 0
    assert [line["data"] for line in second.lines()] == ["after"]


def test_a_taken_over_subscriber_says_so_and_ends(server, subscriber):
    first = subscriber(server, "--user", "alice", "--device", "d1")
    wait_until(lambda: "connected" in first.errors(), 10, "the first connection")
    second = subscriber(server, "--user", "alice", "--device", "d1", "--count", "1")
    assert first.wait(10) == 1
    assert "another session of this device took over" in first.errors()
    server.publish("alice", data="for the second")
    assert second.wait(10) == 0
    assert [line["data"] for line in second.lines()] == ["for the second"]


def test_a_drained_subscriber_comes_back(server, subscriber):
    process = subscriber(server, "--user", "alice", "--device", "d1", "--count", "2")
    server.publish("alice", data=1)
    wait_until(lambda: process.lines(), 10, "the first message")
    server.terminate()
    assert server.wait() == 0
    server.restart()
    server.publish("alice", data=2)
    assert process.wait(20) == 0
    assert [line["data"] for line in process.lines()] == [1, 2]
    assert "restarting" in process.errors()


def test_subscribe_into_head(hub, user):
    """The pipe's end ends it without another message."""
    hub.publish(user, data="first")
    command = f"{binary()} subscribe --url {hub.url} --user {user} --device {user} --raw | head -1; echo ${{PIPESTATUS[0]}}"
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=20)
    assert result.stdout.split() == ["first", "0"], result.stderr


def test_no_server(tmp_path):
    server = Server(tmp_path / "data").start()
    server.stop()
    result = run("publish", "--url", server.url, "--user", "u", "--retry-seconds", "1", "x")
    assert result.returncode == 1
    assert "is it running?" in result.stderr and "martlet serve --dev" in result.stderr
    process = start("subscribe", "--url", server.url, "--user", "u")
    try:
        assert "is it running?" in process.stderr.readline()
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def test_data_goes_byte_for_byte(hub, user):
    data = '{ "big" : 12345678901234567890123 ,\n\t"b":1.10,\r\n "a":[ ] ,"u":"\\u00e9é" }'
    with RawSSE(hub, user, user) as client:
        result = run("publish", "--url", hub.url, "--user", user, data)
        assert result.returncode == 0, result.stderr
        # A line break within server-sent events is always LF (the SSE parser joins with it).
        assert data.replace("\r\n", "\n") in client.next()["_raw"]
        line = '{"n": 1.0e+2 ,\t"m":  -0}'
        assert run("publish", "--url", hub.url, "--user", user, stdin=line + "\r\n").returncode == 0
        assert line in client.next()["_raw"]
        run("publish", "--url", hub.url, "--user", user, "two\nlines")
        assert client.next()["data"] == "two\nlines"


class Faulty(BaseHTTPRequestHandler):
    """Answers each publish with the next plan: a status, or which lines to fail for now."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        keys = [json.loads(line)["idempotencyKey"] for line in body.splitlines()]
        self.server.requests.append(keys)
        plan = self.server.plans.pop(0) if self.server.plans else ()
        if isinstance(plan, int):
            self.reply(plan, '{"error":{"code":"store_unavailable","message":"disk full"}}', ("Retry-After", "0"))
            return
        failed = '{"error":{"code":"store_unavailable","message":"disk full"}}'
        lines = [failed if index in plan else json.dumps({"id": f"id-{key}"}) for index, key in enumerate(keys)]
        self.reply(202, "\n".join(lines) + "\n")

    def reply(self, status, body, *headers):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_):
        pass


@pytest.fixture
def faulty():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Faulty)
    server.plans, server.requests = [], []
    server.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_a_batch_that_fails_in_part_goes_again_from_there(faulty):
    """Lines behind the failed one go again too, with the same keys, so that none can overtake it."""
    faulty.plans = [503, (1,), (0,), ()]
    result = run("publish", "--url", faulty.url, "--user", "u", "--idempotency-key", "k", stdin="a\nb\nc\nd\n")
    assert result.returncode == 0, result.stderr
    assert faulty.requests == [["k-1", "k-2", "k-3", "k-4"]] * 2 + [["k-2", "k-3", "k-4"]] * 2
    assert result.stdout.split() == ["id-k-1", "id-k-2", "id-k-3", "id-k-4"]
    assert "disk full; trying again" in result.stderr


def test_a_server_that_cannot_store_is_given_up_after_a_while(faulty):
    faulty.plans = [503] * 1_000
    result = run("publish", "--url", faulty.url, "--user", "u", "--retry-seconds", "1", stdin="a\nb\n")
    assert result.returncode == 1
    assert result.stdout == ""
    assert re.search(r"line 1: .*disk full", result.stderr) and re.search(r"line 2: .*disk full", result.stderr)
