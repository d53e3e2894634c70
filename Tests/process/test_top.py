"""`martlet top`: in a terminal, in a pipe, as JSON, and without a server."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

import pytest

from clients import WebSocket
from server import Server, binary


class Screen:
    """Runs a command on a terminal of its own, and knows what it shows."""

    def __init__(self, *arguments: str, columns: int = 100, rows: int = 30, **environment: str):
        self.controller, terminal = pty.openpty()
        self.resize(columns, rows)
        self.before = termios.tcgetattr(terminal)
        self.process = subprocess.Popen(
            [binary(), "top", *arguments], stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0), env=os.environ | {"TERM": "xterm-256color"} | environment)
        self.terminal = terminal
        self.raw = ""

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self.controller, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def wait(self, pattern: str, timeout: float = 10, since: int = 0) -> str:
        """The last whole picture in which the pattern stands."""
        end = time.monotonic() + timeout
        while True:
            for picture in reversed(self.raw[since:].split("\x1b[H")):
                if "\x1b[J" in picture and re.search(pattern, plain(picture)):
                    return plain(picture.split("\x1b[J")[0])
            left = end - time.monotonic()
            assert left > 0, f"no {pattern!r} in:\n{plain(self.raw[-4_000:])}"
            self.feed(left)

    def feed(self, timeout: float) -> None:
        if select.select([self.controller], [], [], timeout)[0]:
            try:
                self.raw += os.read(self.controller, 65_536).decode(errors="replace")
            except OSError:
                pass

    def key(self, key: bytes) -> None:
        os.write(self.controller, key)

    def ended(self, timeout: float = 15) -> int:
        code = self.process.wait(timeout)
        while select.select([self.controller], [], [], 0.1)[0]:
            before = len(self.raw)
            self.feed(0.1)
            if len(self.raw) == before:
                break
        return code

    def assert_restored(self) -> None:
        assert "\x1b[?1049h" in self.raw and "\x1b[?25l" in self.raw
        assert self.raw.rindex("\x1b[?1049l") > self.raw.rindex("\x1b[?1049h")
        assert self.raw.rindex("\x1b[?25h") > self.raw.rindex("\x1b[?25l")
        assert termios.tcgetattr(self.terminal)[3] == self.before[3]

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.controller)
        os.close(self.terminal)


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r", "")


@pytest.fixture
def screen(server):
    screen = Screen("--url", server.url, "--interval", "0.3")
    yield screen
    screen.close()


def once(server: Server, *options: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [binary(), "top", "--url", server.url, "--once", *options], capture_output=True, text=True, timeout=30)


def test_it_shows_what_happens(server, user, screen):
    picture = screen.wait(r"nothing")
    assert f"martlet 0.1.0   {server.url}" in picture
    with WebSocket(server, user, "d1", ack="explicit") as client:
        picture = screen.wait(r"sessions +1 .*websocket 1")
        since = len(screen.raw)
        for n in range(20):
            server.publish(user, data=n)
            client.next()
            client.acknowledge()
        server.get("/v1/sse")
        picture = screen.wait(r"refused +unauthorized", since=since)
        for pattern in (
            r"published +\d+(\.\d)? /s   ▁*[▂▃▄▅▆▇█]", r"delivered +\d+(\.\d)? /s   ▁*[▂▃▄▅▆▇█]", r"acked +\d+(\.\d)? /s",
            r"publish→deliver +\d+\.\d\d ms +\d+\.\d+ ms", r"publish→ack +\d+\.\d+ ms", r"store commit +\d+\.\d+ ms",
            r"event loop lag", r"store +writable +\d+ messages", r"cpu \d+ %   memory \d+ MB   files \d+ of ",
        ):
            screen.wait(pattern, since=since)
    screen.key(b"q")
    assert screen.ended() == 0
    screen.assert_restored()


@pytest.mark.parametrize("how", ["ctrl-c", "sigterm"])
def test_the_terminal_is_put_back(screen, how):
    screen.wait("nothing")
    if how == "ctrl-c":
        screen.key(b"\x03")
    else:
        screen.process.send_signal(signal.SIGTERM)
    assert screen.ended() == 0
    screen.assert_restored()


@pytest.mark.parametrize(("columns", "rows"), [(40, 10), (20, 3), (200, 60)])
def test_it_fits_any_size(screen, columns, rows):
    screen.wait("nothing")
    since = len(screen.raw)
    screen.resize(columns, rows)
    picture = screen.wait("martlet", since=since).split("\n")
    assert len(picture) <= rows
    assert max(len(line) for line in picture) <= columns
    screen.wait("martlet", since=len(screen.raw))  # And it goes on.


def test_a_server_that_goes_and_comes_back(server, screen):
    screen.wait("nothing")
    server.kill9()
    screen.wait(r"trying again every 0.3 s: cannot reach")
    since = len(screen.raw)
    server.restart()
    screen.wait(r"(?s)\A(?!.*trying again).*up [0-9] s", since=since)
    assert screen.process.poll() is None


def test_no_colour_where_none_is_wanted(server):
    screen = Screen("--url", server.url, "--interval", "0.2", NO_COLOR="1")
    try:
        screen.wait("nothing")
        assert "\x1b[1m" not in screen.raw and "\x1b[32m" not in screen.raw
    finally:
        screen.close()


def test_once_prints_a_table_and_ends(server):
    done = once(server, "--interval", "0.2")
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    assert re.search(r"store +writable", done.stdout)


def test_json_has_the_numbers(server, user):
    with WebSocket(server, user, "d1", ack="explicit") as client:
        measuring = subprocess.Popen(
            [binary(), "top", "--url", server.url, "--once", "--json", "--interval", "2"], stdout=subprocess.PIPE, text=True)
        sent = 0
        while measuring.poll() is None:  # Between its two readings, too, whenever it comes to them.
            server.publish(user, data=sent)
            client.next()
            client.acknowledge()
            sent += 1
        figures = json.loads(measuring.communicate(timeout=20)[0])
    assert measuring.returncode == 0
    assert figures["sessions"] == {"sse": 0, "websocket": 1, "stream": 0, "ramen": 0, "poll": 0, "jsonp": 0, "exchange": 0, "mqtt": 0, "grpc": 0}
    # What was published before the first reading is not in it.
    assert 0 < figures["publishesPerSecond"] * figures["seconds"] <= sent + 0.001
    assert 0 < figures["deliveriesPerSecond"] * figures["seconds"] <= sent + 0.001
    assert 0 < figures["publishToDeliverMs"]["p50"] <= figures["publishToDeliverMs"]["p99"] < 5_000
    assert figures["store"]["writable"] is True
    assert figures["process"]["memoryBytes"] > 1e6
    assert figures["refusedPerSecond"] == {}


def test_a_pipe_gets_a_line_per_interval(server):
    running = subprocess.Popen(
        [binary(), "top", "--url", server.url, "--interval", "0.2"], stdout=subprocess.PIPE, text=True)
    try:
        lines = [running.stdout.readline() for _ in range(4)]
        assert lines[0].split()[:2] == ["time", "sessions"]
        assert all(re.match(r" *\d\d:\d\d:\d\d +0 ", line) for line in lines[1:]), lines
        assert not any("\x1b" in line for line in lines)
        running.send_signal(signal.SIGINT)
        assert running.wait(5) == 0
    finally:
        running.kill()


def test_a_server_with_keys_wants_one(tmp_path):
    class Production(Server):
        mode = ()

    server = Production(tmp_path / "data").start()
    try:
        done = once(server)
        assert done.returncode == 1 and "API key" in done.stderr
        made = subprocess.run(
            [binary(), "key", "create", "--data", str(server.data), "--scope", "read"], capture_output=True, text=True)
        key = re.search(r"mk_\S+", made.stdout)[0]
        assert once(server, "--interval", "0.2", "--key", key).returncode == 0
        other = subprocess.run(
            [binary(), "key", "create", "--data", str(server.data), "--scope", "publish"], capture_output=True, text=True)
        done = once(server, "--key", re.search(r"mk_\S+", other.stdout)[0])
        assert done.returncode == 1 and "scope read" in done.stderr
    finally:
        server.stop()


def test_without_a_server_once_fails(server):
    server.stop()
    done = once(server)
    assert done.returncode == 1
    assert "cannot reach" in done.stderr and done.stdout == ""
