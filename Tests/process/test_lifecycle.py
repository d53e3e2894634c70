"""Starting, stopping, and what happens to everybody meanwhile."""

import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time

import httpx
import pytest

from clients import LongPoll, Ramen, RawSSE, WebSocket
from server import Server, binary, clean_environment, unique, wait_until


def run(*arguments, timeout=20):
    return subprocess.run([binary(), *arguments], capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL)


def test_dev_refuses_to_listen_to_the_network(tmp_path):
    for address in ("0.0.0.0:0", "[::]:0", "192.0.2.1:0"):
        result = run("serve", "--dev", "--listen", address, "--data", str(tmp_path / "data"))
        assert result.returncode == 1, address
        assert "loopback" in result.stderr.lower()


def test_says_so_when_the_port_is_taken(server, tmp_path):
    result = run("serve", "--dev", "--listen", f"127.0.0.1:{server.port}", "--data", str(tmp_path / "other"))
    assert result.returncode not in (0, -6, -11)
    assert str(server.port) in result.stderr


def test_says_so_when_the_data_is_in_use(server):
    result = run("serve", "--dev", "--listen", "127.0.0.1:0", "--data", str(server.data))
    assert result.returncode not in (0, -6, -11)
    assert str(server.data) in result.stderr or "use" in result.stderr


def test_refuses_a_damaged_file(server):
    server.terminate()
    server.wait()
    files = [path for path in server.data.iterdir() if path.stat().st_size > 4096 and not path.name.endswith(("-wal", "-shm"))]
    assert files
    for path in files:
        with open(path, "r+b") as file:
            file.write(b"this is not a database any more" * 10)
    result = run("serve", "--dev", "--listen", "127.0.0.1:0", "--data", str(server.data))
    assert result.returncode not in (0, -4, -5, -6, -11)
    assert result.stderr.strip()


@pytest.mark.parametrize("left", [["martlet.sqlite"], ["martlet.sqlite", "directory.db"], ["martlet.sqlite", "martlet.sqlite-wal"], ["martlet.sqlite-wal"]])
def test_refuses_an_emptied_store(server, left):
    """A file of 0 bytes was a store once; what is left beside it, or only its log, makes no difference."""
    server.publish("alice", data=1)
    server.kill9()
    assert (server.data / "martlet.sqlite-wal").stat().st_size > 0
    for path in server.data.iterdir():
        if path.name == "martlet.sqlite" and path.name in left:
            os.truncate(path, 0)
        elif path.name not in left and path.is_file():
            path.unlink()
    result = run("serve", "--dev", "--listen", "127.0.0.1:0", "--data", str(server.data))
    assert result.returncode == 1
    assert "restore the newest backup" in result.stderr and "martlet.sqlite" in result.stderr
    if "martlet.sqlite" in left:
        assert "it is empty" in run("doctor", "--data", str(server.data)).stdout


def test_a_crash_in_the_very_first_moment_is_not_an_emptied_store(tmp_path):
    """SQLite makes a file of 0 bytes first: killed there, whether keys were made before or not, the next start goes on."""
    for number, keys in enumerate((False, True)):
        data = tmp_path / f"data{number}"
        if keys:
            assert run("key", "create", "--data", str(data)).returncode == 0
        else:
            data.mkdir(mode=0o700)
        if strace := shutil.which("strace"):
            subprocess.run(
                [strace, "-f", "-o", "/dev/null", "-P", str(data / "martlet.sqlite"), "-e", "inject=pwrite64:signal=SIGKILL", binary(), "serve", "--dev",
                 "--listen", "127.0.0.1:0", "--data", str(data)], capture_output=True, timeout=30, env=clean_environment())
        else:  # what that leaves
            (data / "martlet.sqlite").touch()
            (data / "martlet.new").touch()
        assert (data / "martlet.sqlite").stat().st_size == 0
        server = Server(data).start()
        server.publish("alice", data=1)
        assert not (data / "martlet.new").exists()
        server.stop()


def test_version():
    result = run("version")
    assert result.returncode == 0
    assert result.stdout.strip()


def test_health(hub):
    answer = hub.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    answer = hub.get("/readyz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ready"})


def test_the_dev_page_is_there(hub):
    answer = hub.get("/")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert "Martlet" in answer.text


def test_a_clean_restart_keeps_everything(server):
    with WebSocket(server, "alice", "d1") as client:
        for n in range(3):
            server.publish("alice", data=n)
        client.take(3)
        client.send({"ack": 2})
        client.send({"ping": 1})
        client.notice("pong")
        server.terminate()
        assert server.wait() == 0
    server.restart()
    with WebSocket(server, "alice", "d1") as client:
        message = client.next()
        assert (message["data"], message["redelivered"]) == (2, True)
        server.publish("alice", data=3)
        message = client.next()
        assert message["data"] == 3
        assert "redelivered" not in message


@pytest.mark.parametrize("durability", ["full", "normal", "memory"])
def test_each_durability_survives_a_clean_restart_with_its_cursors(tmp_path, durability):
    server = Server(tmp_path / "data", "--durability", durability).start()
    try:
        with RawSSE(server, "alice", "d1") as client:
            server.publish("alice", data=1)
            server.publish("alice", data=2)
            position = client.next()["_position"]
        server.terminate()
        assert server.wait() == 0
        server.restart()
        with RawSSE(server, "alice", "d1", resume=position) as client:
            assert client.next()["data"] == 2
            server.publish("alice", data=3)
            assert client.next()["data"] == 3
            assert client.notices.empty()
    finally:
        server.stop()


def test_below_full_a_crash_begins_a_new_history(tmp_path):
    server = Server(tmp_path / "data", "--durability", "normal").start()
    try:
        with RawSSE(server, "alice", "d1") as client:
            server.publish("alice", data=1)
            position = client.next()["_position"]
        server.kill9()
        server.restart()
        with RawSSE(server, "alice", "d1", resume=position) as client:
            assert client.notice("gap")["reason"] == "epoch"
    finally:
        server.stop()


def test_draining_tells_everybody_and_loses_nothing(server):
    sse = RawSSE(server, "alice", "sse")
    ramen = Ramen(server, "alice", "ramen")
    websocket = WebSocket(server, "alice", "ws")
    poll = LongPoll(server, "alice", "poll")
    receivers = [sse, ramen, websocket, poll]
    sent = server.publish("alice", data="before")
    for receiver in receivers:
        assert receiver.next()["data"] == "before"
    websocket.send({"ack": 1})  # in flight when the signal comes
    begin = time.monotonic()
    server.terminate()
    for receiver in (sse, ramen, websocket):
        assert 0 <= receiver.notice("drain")["reconnectAfterMs"] <= 60_000
    assert websocket.notice("close")["code"] == 1012
    for receiver in receivers:
        receiver.wait_ended(12)
    assert server.wait(15) == 0
    assert time.monotonic() - begin < 14
    server.restart()
    assert server.device_state(sent, "ws") == "delivered"
    server.publish("alice", data="after")
    with WebSocket(server, "alice", "ws") as again:
        assert again.next()["data"] == "after"
    with RawSSE(server, "alice", "sse", resume=sse.position) as again:
        assert again.next()["data"] == "after"


def test_reconnect_times_are_spread(server):
    receivers = [RawSSE(server, "alice", f"d{n}") for n in range(12)]
    server.terminate()
    times = {receiver.notice("drain")["reconnectAfterMs"] for receiver in receivers}
    assert server.wait(15) == 0
    assert len(times) > 3


def test_a_stream_that_does_not_read_does_not_hold_up_the_end(tmp_path):
    server = Server(tmp_path / "data", "--drain-seconds", "2").start()
    try:
        stuck = server.connect(receive_buffer=4096)
        stuck.sendall(b"GET /v1/sse?user=alice&device=stuck HTTP/1.1\r\nHost: localhost\r\n\r\n")
        stuck.recv(10)
        for _ in range(40):
            server.publish("alice", data="x" * 50_000)
        begin = time.monotonic()
        server.terminate()
        assert server.wait(10) == 0
        assert time.monotonic() - begin < 6
        stuck.close()
    finally:
        server.stop()


def test_publishes_during_a_drain_are_stored_or_refused(server):
    answers, stop = [], threading.Event()

    def publish():
        n = 0
        while not stop.is_set():
            try:
                answer = server.post({"to": {"user": "alice"}, "data": n})
            except Exception:  # the connection is refused or cut: nobody was answered
                break
            answers.append((n, answer.status_code, answer.json()))
            n += 1

    # A session that has not left yet keeps the drain going a little.
    with WebSocket(server, "alice", "d1"):
        publisher = threading.Thread(target=publish)
        publisher.start()
        wait_until(lambda: len(answers) > 20)
        server.terminate()
        code = server.wait(15)
    stop.set()
    publisher.join(5)
    assert code == 0
    accepted = [n for n, status, _ in answers if status == 202]
    for _, status, body in answers:
        assert status == 202 or (status == 503 and body["error"]["code"] == "draining"), body
    server.restart()
    with RawSSE(server, "alice", "d2") as client:
        assert client.data(len(accepted)) == accepted


def test_a_second_signal_or_ctrl_c_ends_it_too(tmp_path):
    import signal

    server = Server(tmp_path / "data").start()
    try:
        server.process.send_signal(signal.SIGINT)
        assert server.wait(15) == 0
    finally:
        server.stop()


def test_many_connections_do_not_keep_the_port(server):
    """A restart gets its port back although connections of the old process linger."""
    connections = [server.connect() for _ in range(20)]
    server.kill9()
    server.restart()
    assert server.get("/healthz").status_code == 200
    for connection in connections:
        with pytest.raises(OSError):
            connection.sendall(b"x")
            if connection.recv(1) == b"":
                raise ConnectionResetError
        connection.close()
    assert isinstance(connections[0], socket.socket)


@pytest.mark.parametrize("name", ["file", "abstract"])
def test_tells_systemd_when_it_is_ready_and_when_it_stops(tmp_path, name):
    """sd_notify(3), for a unit with Type=notify."""
    path = str(tmp_path / "notify") if name == "file" else f"@{unique('martlet')}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(path.replace("@", "\0"))
        listener.settimeout(10)
        process = subprocess.Popen(
            [binary(), "serve", "--dev", "--listen", "127.0.0.1:0", "--data", str(tmp_path / "data")],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=clean_environment() | {"NOTIFY_SOCKET": path})
        try:
            assert listener.recv(100) == b"READY=1"
            process.terminate()
            assert listener.recv(100) == b"STOPPING=1"
        finally:
            process.terminate()
            assert process.wait(15) == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be somebody else")
def test_serves_without_any_privilege(user):
    """As a user of its own, as the unit runs it: what only root may do must not be needed for a connection."""
    with tempfile.TemporaryDirectory() as folder:
        os.chown(folder, 65534, 65534)
        process = subprocess.Popen(
            [binary(), "serve", "--dev", "--listen", "127.0.0.1:0", "--data", folder + "/data"], stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True, env=clean_environment(), user=65534, group=65534, extra_groups=[], cwd=folder)
        try:
            url = process.stdout.readline().removeprefix("listening on ").strip()
            message = {"to": {"user": user}, "data": 1}
            assert httpx.post(url + "/v1/messages", json=message, trust_env=False).status_code == 202
        finally:
            process.terminate()
            assert process.wait(15) == 0
