"""A TCP proxy that can hold back everything, as a network that is gone does."""

import socket
import threading


class HoldingProxy:
    """Passes on what comes until `held` is set; nobody is told of that. `cut` ends all connections."""

    def __init__(self, port: int):
        self.target = port
        self.flows = threading.Event()
        self.flows.set()
        self.sockets: set[socket.socket] = set()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.is_open = True
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while self.is_open:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                near.close()
                continue
            self.sockets |= {near, far}
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pass, args=(source, sink), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65_536):
                self.flows.wait()
                sink.sendall(data)
        except OSError:
            pass
        self.flows.wait()
        for end in (source, sink):
            self.sockets.discard(end)
            end.close()

    def hold(self) -> None:
        self.flows.clear()

    def release(self) -> None:
        """What was held back is lost, as packets are: every connection ends."""
        self.cut()
        self.flows.set()

    def cut(self) -> None:
        for one in list(self.sockets):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def stop(self) -> None:
        self.is_open = False
        self.listener.close()
        self.release()
