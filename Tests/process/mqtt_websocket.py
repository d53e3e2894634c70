"""A connection for `mqtt.Wire` that is a WebSocket, with frames cut wherever a test wants."""

import socket
import struct

from wire import frame, handshake


class WebSocketLink:
    """Looks like a socket. What is sent goes in binary frames of `cut` bytes each (0: one frame for all of it)."""

    def __init__(self, port: int, path: str = "/mqtt", protocol: str | None = "mqtt", cut: int = 0, together: bool = False, headers: tuple[str, ...] = ()):
        self.socket = socket.create_connection(("127.0.0.1", port), 5)
        self.cut, self.together = cut, together
        self.received = b""
        self.opcodes: list[int] = []
        # The code that the server closed with.
        self.code: int | None = None
        offer = [f"Sec-WebSocket-Protocol: {protocol}"] if protocol else []
        self.socket.sendall(handshake(path, *offer, *headers))
        while b"\r\n\r\n" not in self.received:
            chunk = self.socket.recv(4096)
            assert chunk, f"closed within {self.received!r}"
            self.received += chunk
        head, _, self.received = self.received.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        self.status = int(lines[0].split()[1])
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}

    def sendall(self, data: bytes) -> None:
        size = self.cut or len(data)
        frames = [frame(data[start:start + size], 2) for start in range(0, len(data), size)]
        if self.together:
            self.socket.sendall(b"".join(frames))
        else:
            for one in frames:
                self.socket.sendall(one)

    def recv(self, _: int) -> bytes:
        """The payload of the next data frame; nothing when the server closes."""
        while True:
            opcode, payload = self._frame()
            if opcode == 8 or opcode is None:
                self.code = struct.unpack(">H", payload[:2])[0] if payload else None
                return b""
            if opcode == 9:
                self.socket.sendall(frame(payload, 10))
            elif opcode in (0, 1, 2):
                self.opcodes.append(opcode)
                if payload:
                    return payload

    def _frame(self) -> tuple[int | None, bytes]:
        head = self._exactly(2)
        if not head:
            return None, b""
        size = head[1] & 0x7F
        if size >= 126:
            size = int.from_bytes(self._exactly(2 if size == 126 else 8), "big")
        return head[0] & 0xF, self._exactly(size)

    def _exactly(self, count: int) -> bytes:
        while len(self.received) < count:
            chunk = self.socket.recv(65536)
            if not chunk:
                return b""
            self.received += chunk
        part, self.received = self.received[:count], self.received[count:]
        return part

    def setsockopt(self, *arguments) -> None:
        self.socket.setsockopt(*arguments)

    def settimeout(self, seconds: float) -> None:
        self.socket.settimeout(seconds)

    def close(self) -> None:
        self.socket.close()
