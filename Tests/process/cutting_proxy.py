"""A TCP proxy that does to connections what proxies on the way do: it ends silent ones, and lets no WebSocket through."""

import select
import socket
import threading
import time


class CuttingProxy:
    """Ends a connection over which nothing went for `idle_seconds`; with `upgrades` false answers 403 to a WebSocket's request."""

    def __init__(self, port: int, idle_seconds: float = 3_600, upgrades: bool = True):
        self.target = port
        self.idle_seconds = idle_seconds
        self.upgrades = upgrades
        self.cuts = 0
        self.refused = 0
        self.is_open = True
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while self.is_open:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        far = None
        try:
            first = near.recv(65_536)
            if not self.upgrades and b"upgrade: websocket" in first.lower():
                self.refused += 1
                near.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
                return
            far = socket.create_connection(("127.0.0.1", self.target))
            far.sendall(first)
            self._pass(near, far)
        except OSError:
            pass
        finally:
            near.close()
            if far:
                far.close()

    def _pass(self, near: socket.socket, far: socket.socket) -> None:
        other = {near: far, far: near}
        until = time.monotonic() + self.idle_seconds
        while self.is_open:
            readable, _, _ = select.select([near, far], [], [], max(0, min(0.5, until - time.monotonic())))
            if not readable and time.monotonic() >= until:
                self.cuts += 1
                return
            for source in readable:
                data = source.recv(65_536)
                if not data:
                    return
                other[source].sendall(data)
                until = time.monotonic() + self.idle_seconds

    def stop(self) -> None:
        self.is_open = False
        self.listener.close()
