"""An HTTP/2 client on the h2 library that shows every frame; nothing is read or acknowledged behind the test's back."""

import socket
import time
from collections import defaultdict

import h2.config
import h2.connection
import h2.events
import h2.settings

from server import Server
from tls import client_context


class Answer:
    def __init__(self):
        self.interim: list[dict[str, str]] = []
        self.headers: dict[str, str] = {}
        self.body = b""
        self.ended = False
        self.reset: int | None = None

    @property
    def status(self) -> int:
        return int(self.headers.get(":status", 0))


class Client:
    """`consume` answers what arrives with window updates, for the streams that it names (or all)."""

    def __init__(self, server: Server, tls: bool = False, window: int = 65_535, **options):
        self.server = server
        self.socket: socket.socket = server.connect(**options)
        if tls:
            context = client_context()
            context.set_alpn_protocols(["h2"])
            self.socket = context.wrap_socket(self.socket, server_hostname="localhost")
            assert self.socket.selected_alpn_protocol() == "h2"
        # What a test sends may be wrong on purpose.
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(
            header_encoding="utf-8", validate_outbound_headers=False, normalize_outbound_headers=False))
        self.h2.local_settings = h2.settings.Settings(
            client=True, initial_values={h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window, h2.settings.SettingCodes.ENABLE_PUSH: 0})
        self.h2.initiate_connection()
        self.h2.increment_flow_control_window(1 << 30)
        self.answers: dict[int, Answer] = defaultdict(Answer)
        self.goaway: int | None = None
        self.pongs = 0
        self.closed = False
        self.rest = b""
        # Whether frames are read; who sends past the library has it read no answers.
        self.listens = True
        self.consume: set[int] | None = None
        self.scheme = "https" if tls else "http"
        self.flush()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_) -> None:
        self.socket.close()

    def flush(self) -> None:
        if data := self.h2.data_to_send():
            self.socket.sendall(data)

    def request(self, method: str, path: str, headers=(), body: bytes | None = None, end: bool = True, host: str | None = None) -> int:
        stream = self.h2.get_next_available_stream_id()
        fields = [(":method", method), (":scheme", self.scheme), (":authority", host or f"127.0.0.1:{self.server.port}"), (":path", path)]
        if method == "CONNECT":
            fields = [(":method", method), (":authority", "localhost:1")]
        self.h2.send_headers(stream, fields + list(headers), end_stream=end and body is None)
        if body is not None:
            self.h2.send_data(stream, body, end_stream=end)
        self.answers[stream]
        self.flush()
        return stream

    def get(self, path: str, **options) -> Answer:
        stream = self.request("GET", path, **options)
        self.until(lambda: self.answers[stream].ended)
        return self.answers[stream]

    def until(self, condition, timeout: float = 5):
        end = time.monotonic() + timeout
        while not condition():
            left = end - time.monotonic()
            assert left > 0, f"not within {timeout} s; goaway {self.goaway}, closed {self.closed}"
            if self.closed:
                raise AssertionError(f"the connection ended (goaway {self.goaway})")
            self.receive(left)

    def receive(self, timeout: float) -> None:
        self.socket.settimeout(max(0.01, timeout))
        try:
            data = self.socket.recv(65_536)
        except TimeoutError:
            return
        except OSError:
            data = b""
        if not data:
            self.closed = True
            return
        self.rest += data
        while len(self.rest) >= 9 and len(self.rest) >= (size := 9 + int.from_bytes(self.rest[:3], "big")):
            frame, self.rest = self.rest[:size], self.rest[size:]
            if frame[3] == 7:
                # The library would take nothing after it.
                self.goaway = int.from_bytes(frame[13:17], "big")
            elif self.listens:
                for event in self.h2.receive_data(frame):
                    self.happened(event)
        if self.listens:
            self.flush()

    def happened(self, event) -> None:
        answer = self.answers[event.stream_id] if getattr(event, "stream_id", None) else None
        match event:
            case h2.events.InformationalResponseReceived():
                answer.interim.append(dict(event.headers))
            case h2.events.ResponseReceived():
                answer.headers = dict(event.headers)
                answer.fields = list(event.headers)
            case h2.events.TrailersReceived():
                answer.headers |= dict(event.headers)
            case h2.events.DataReceived():
                answer.body += event.data
                if event.flow_controlled_length and (self.consume is None or event.stream_id in self.consume):
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case h2.events.StreamEnded():
                answer.ended = True
            case h2.events.StreamReset():
                answer.ended, answer.reset = True, event.error_code
            case h2.events.PingAckReceived():
                self.pongs += 1

    def end(self, timeout: float = 5) -> int | None:
        """Waits for the server to end the connection; the code of its GOAWAY."""
        end = time.monotonic() + timeout
        while not self.closed:
            assert time.monotonic() < end, "the connection goes on"
            self.receive(end - time.monotonic())
        return self.goaway

    def raw(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        """A frame of any kind, past the library; the server may have gone."""
        frame = len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload
        try:
            self.socket.sendall(frame)
        except OSError:
            pass
