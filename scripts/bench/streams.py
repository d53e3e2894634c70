"""Memory and CPU of many streams: WebSockets with and without compression, SSE over HTTP/1.1 and HTTP/2.

    . scripts/lib.sh; need_venv; .venv/bin/python scripts/bench/streams.py deflate | http2

Starts a server of its own for each line. All streams subscribe to one topic; some messages are published to it, one after the
other, while this process takes what arrives. RSS is the growth per stream; CPU is the server's, all of it.
"""

import base64
import os
import resource
import socket
import sys
import tempfile
import time
from pathlib import Path

import hpack
from hyperframe.frame import HeadersFrame, SettingsFrame, WindowUpdateFrame

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "Tests" / "process"))
from server import Server  # noqa: E402

MESSAGES = 20
OFFER = "permessage-deflate; client_max_window_bits"


def cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def websocket(port: int, offer: str | None) -> bytes:
    extension = f"Sec-WebSocket-Extensions: {offer}\r\n" if offer else ""
    key = base64.b64encode(os.urandom(16)).decode()
    return (f"GET /v1/ws?topics=t HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n{extension}\r\n").encode()


def http2(port: int, streams: int) -> bytes:
    encoder = hpack.Encoder()
    fields = [(":method", "GET"), (":scheme", "http"), (":authority", f"localhost:{port}"), (":path", "/v1/sse?topics=t")]
    out = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SettingsFrame(0, settings={4: 1 << 30}).serialize()
    out += WindowUpdateFrame(0, window_increment=1 << 30).serialize()
    for n in range(streams):
        out += HeadersFrame(2 * n + 1, encoder.encode(fields), flags=["END_HEADERS", "END_STREAM"]).serialize()
    return out + SettingsFrame(0, flags=["ACK"]).serialize()


class Run:
    def __init__(self, opening, per: int, *options: str):
        self.server = Server(Path(tempfile.mkdtemp()) / "data", "--limits-subscribe-rate", "0", *options).start()
        self.opening, self.per = opening, per
        self.connections: list[socket.socket] = []

    def open(self, count: int) -> None:
        for n in range(count):
            connection = socket.socket()
            connection.bind((f"127.0.{n // 20_000 + 1}.{n % 200 + 1}", 0))
            connection.connect(("127.0.0.1", self.server.port))
            connection.sendall(self.opening(self.server.port))
            connection.setblocking(False)
            self.connections.append(connection)
            if n % 200 == 199:
                self.take()
        end = time.monotonic() + 30
        while self.sessions() < len(self.connections) * self.per:
            assert time.monotonic() < end, "not all sessions opened"
            self.take()

    def sessions(self) -> float:
        text = self.server.get("/metrics").text
        return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith("martlet_sessions{"))

    def take(self) -> int:
        """What has arrived, in bytes."""
        count = 0
        for connection in self.connections:
            try:
                while data := connection.recv(1 << 18):
                    count += len(data)
            except BlockingIOError:
                pass
        return count

    def publish(self, data, each: int) -> int:
        """Bytes that all streams got; waits until each has had at least so many of each message."""
        got = 0
        for n in range(MESSAGES):
            self.server.http.post(f"{self.server.url}/v1/topics/t", json=data + [n]).raise_for_status()
            end, part = time.monotonic() + 10, 0
            while part < each * len(self.connections) * self.per and time.monotonic() < end:
                part += self.take()
            got += part
        return got

    def line(self, name: str, count: int, data, each: int) -> None:
        self.open(max(1, 200 // self.per))
        before, first = self.server.rss_kb(), len(self.connections)
        self.open(count // self.per)
        opened = (len(self.connections) - first) * self.per
        idle = (self.server.rss_kb() - before) / opened
        start = cpu(self.server.pid)
        got = self.publish(data, each)
        total = len(self.connections) * self.per * MESSAGES
        print(f"{name:32} {idle:6.2f} KB idle {(self.server.rss_kb() - before) / opened:6.2f} KB after use "
              f"{(cpu(self.server.pid) - start) / total * 1e6:6.2f} us and {got / total:5.0f} bytes a delivery", flush=True)
        self.server.kill9()
        for connection in self.connections:
            connection.close()


def main() -> None:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    trips = [{"trip": n * 7919 % 100_003, "state": "arrived", "lat": n * 1.37} for n in range(16)]
    match sys.argv[1:]:
        case ["deflate"]:
            for name, offer, options in (
                ("not asked for", None, ()), ("shared", OFFER, ()), ("shared, level 6", OFFER, ("--websocket-compression-level", "6")),
                ("shared, a window of 512 bytes", OFFER + "; server_max_window_bits=9", ()),
                ("context", OFFER, ("--websocket-compression", "context")),
            ):
                Run(lambda port, offer=offer: websocket(port, offer), 1, *options).line(name, 4_000, trips, 50)
        case ["http2"]:
            data = ["x" * 300]
            Run(lambda port: b"GET /v1/sse?topics=t HTTP/1.1\r\nHost: localhost\r\n\r\n", 1).line("HTTP/1.1", 8_000, data, 300)
            for per, count in (100, 8_000), (10, 8_000), (1, 4_000):
                Run(lambda port, per=per: http2(port, per), per).line(f"HTTP/2, {per} on a connection", count, data, 300)
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
