"""Requests and frames byte by byte, and what a server holds for who sent them."""

import base64
import json
import os
import socket
import struct
from pathlib import Path

import sse
from server import Server


def request(method: str, path: str, *headers: str, body: str = "") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


def handshake(path: str, *headers: str) -> bytes:
    key = base64.b64encode(os.urandom(16)).decode()
    return request(
        "GET", path, "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}", *headers)


def frame(payload: bytes, opcode: int = 1) -> bytes:
    mask = os.urandom(4)
    masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
    if len(payload) < 126:
        length = bytes([0x80 | len(payload)])
    else:
        length = b"\xfe" + struct.pack(">H", len(payload)) if len(payload) < 65_536 else b"\xff" + struct.pack(">Q", len(payload))
    return bytes([0x80 | opcode]) + length + mask + masked


class Wire:
    """A socket that reads one HTTP answer, one frame, or everything."""

    def __init__(self, server: Server, timeout: float = 5, **options):
        self.socket = server.connect(timeout=timeout, **options)
        self.rest = b""

    def send(self, *parts: bytes) -> "Wire":
        self.socket.sendall(b"".join(parts))
        return self

    def until(self, mark: bytes) -> bytes:
        while mark not in self.rest:
            self.more()
        part, _, self.rest = self.rest.partition(mark)
        return part + mark

    def exactly(self, count: int) -> bytes:
        while len(self.rest) < count:
            self.more()
        part, self.rest = self.rest[:count], self.rest[count:]
        return part

    def more(self) -> None:
        chunk = self.socket.recv(65536)
        if not chunk:
            raise EOFError(self.rest)
        self.rest += chunk

    def head(self) -> sse.Head:
        return sse.parse_head(self.until(b"\r\n\r\n").removesuffix(b"\r\n\r\n"))

    def answer(self) -> tuple[int, bytes]:
        head = self.head()
        return head.status, self.exactly(int(head.headers.get("content-length", 0)))

    def frame(self) -> tuple[int, bytes]:
        first, second = self.exactly(2)
        length = second & 0x7F
        if length == 126:
            (length,) = struct.unpack(">H", self.exactly(2))
        return first & 0xF, self.exactly(length)

    def text(self) -> dict:
        opcode, payload = self.frame()
        assert opcode == 1, (opcode, payload)
        return json.loads(payload)

    def to_end(self) -> bytes:
        try:
            while True:
                self.more()
        except EOFError:
            return self.rest

    def close(self) -> None:
        self.socket.close()

    def reset(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def sockets(server: Server) -> int:
    folder = Path(f"/proc/{server.pid}/fd")
    count = 0
    for name in os.listdir(folder):
        try:
            count += os.readlink(folder / name).startswith("socket:")
        except FileNotFoundError:
            pass
    return count


def live_sessions(server: Server) -> float:
    lines = server.get("/metrics").text.splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith("martlet_sessions{"))


def sessions_at_drain(server: Server) -> int:
    """Stops the server and reads from its log how many sessions it still knew."""
    server.terminate()
    assert server.wait() == 0, server.tail()
    line = next(line for line in server.log.read_text().splitlines() if "draining" in line)
    return int(line.split("sessions=")[1].split()[0])
