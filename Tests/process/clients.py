"""Receivers over every transport with one shape, so that one test body can run on each of them.

`next` gives the next message as a dict; `_raw` is its JSON as it came, `_position` what to present when resuming after it.
"""

import json
import queue
import socket
import threading
import time
from urllib.parse import urlencode

import httpx
import httpx_sse
import sseclient
import websockets.exceptions
import websockets.sync.client

import sse
from server import Server


class Refused(AssertionError):
    """The server answered something else than a stream."""

    def __init__(self, status: int, body: str):
        super().__init__(f"{status} {body}")
        self.status = status
        self.body = body


class Receiver:
    path = ""
    # Whether messages come in answers, between which nobody is connected.
    polls = False
    # Whether a second session ends the first.
    takes_over = True
    # What the line breaks of a message's JSON have become in `_raw`.
    line_break = "\n"

    def __init__(self, server: Server, user: str | None, device: str | None, resume: str | None = None, **query):
        self.server, self.user, self.device = server, user, device
        self.messages: queue.Queue = queue.Queue()
        self.notices: queue.Queue = queue.Queue()
        self.ended = threading.Event()
        self.opened = threading.Event()
        self.failure: BaseException | None = None
        self.welcome: dict = {}
        self.last: dict | None = None
        self.position = resume
        self.query = ({"user": user} if user is not None else {}) | ({"device": device} if device is not None else {}) | query
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        assert self.opened.wait(10), "no welcome within 10 s"
        if self.failure:
            raise self.failure

    # ------------------------------------------------------------ for tests

    def next(self, timeout: float = 15) -> dict:
        try:
            message = self.messages.get(timeout=timeout)
        except queue.Empty:
            raise AssertionError(f"{self}: no message within {timeout} s (ended: {self.ended.is_set()})") from None
        self.last = message
        self.position = message["_position"]
        return message

    def take(self, count: int, timeout: float = 15) -> list[dict]:
        end = time.monotonic() + timeout
        return [self.next(max(0.05, end - time.monotonic())) for _ in range(count)]

    def data(self, count: int, timeout: float = 15) -> list:
        return [message["data"] for message in self.take(count, timeout)]

    def silent(self, seconds: float = 0.3) -> None:
        """Fails if a message comes within the time."""
        try:
            message = self.messages.get(timeout=seconds)
        except queue.Empty:
            return
        raise AssertionError(f"unexpected message {message}")

    def notice(self, name: str, timeout: float = 15) -> dict:
        """The data of the next notice of this name: gap, drain, close, hb, ping, pong, error, :."""
        end = time.monotonic() + timeout
        seen = []
        while (left := end - time.monotonic()) > 0:
            try:
                got, value = self.notices.get(timeout=left)
            except queue.Empty:
                break
            if got == name:
                return value
            seen.append((got, value))
        raise AssertionError(f"no {name} within {timeout} s, only {seen}")

    def acknowledge(self) -> None:
        """Says that everything up to the last message taken was handled."""
        answer = self.server.ack(self.user, self.device, {"cursor": self.position})
        assert answer.status_code == 204, answer.text

    def wait_ended(self, timeout: float = 15) -> None:
        assert self.ended.wait(timeout), f"{self} still open after {timeout} s"

    def drop(self) -> None:
        """Ends the connection without a word and waits until the reader noticed."""
        for _ in range(25):
            self._shutdown()
            if self.ended.wait(0.2):  # a poll may have been between two requests
                return

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.drop()

    def __repr__(self):
        return f"{type(self).__name__}({self.user}, {self.device})"

    # ------------------------------------------------------------ inside

    def _run(self) -> None:
        try:
            self._receive()
        except Refused as refusal:
            self.failure = refusal
        except (OSError, httpx.HTTPError, websockets.exceptions.WebSocketException, ValueError) as error:
            self.failure = None if self.opened.is_set() else error
        finally:
            self.ended.set()
            self.opened.set()

    def _receive(self) -> None:
        raise NotImplementedError

    def _shutdown(self) -> None:
        raise NotImplementedError

    def _message(self, raw: str, position: str) -> None:
        message = json.loads(raw)
        self.messages.put(message | {"_raw": raw, "_position": position})

    def _event(self, kind: str, data: str, event_id: str, retry: int | None = None) -> None:
        if kind == "message":
            self._message(data, event_id)
        elif kind == "welcome":
            self.welcome = json.loads(data) | {"_id": event_id, "_retry": retry}
            self.opened.set()
        else:
            self.notices.put((kind, json.loads(data) if data and kind != ":" else data))

    def _path(self) -> str:
        return f"{self.path}?{urlencode(self.query)}"

    def _headers(self) -> dict[str, str]:
        return {"Last-Event-ID": self.position} if self.position else {}

    def _open(self, content_type: str, fields: dict[str, str]) -> bytes:
        """Connects a socket and asks for a stream; returns what came after the head of the answer."""
        self.socket = self.server.connect(receive_buffer=self.query.pop("receive_buffer", None))
        extra = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        self.socket.sendall(f"GET {self._path()} HTTP/1.1\r\nHost: localhost\r\n{extra}\r\n".encode())
        received = b""
        while b"\r\n\r\n" not in received:
            chunk = self.socket.recv(65536)
            if not chunk:
                raise Refused(0, received.decode(errors="replace"))
            received += chunk
        head, _, rest = received.partition(b"\r\n\r\n")
        self.head = sse.parse_head(head)
        if self.head.status != 200 or content_type not in self.head.headers.get("content-type", ""):
            length = int(self.head.headers.get("content-length", 0))
            while len(rest) < length:
                rest += self.socket.recv(65536)
            raise Refused(self.head.status, rest.decode())
        self.socket.settimeout(None)
        return rest


class RawSSE(Receiver):
    """A socket and the parser of sse.py."""

    path = "/v1/sse"

    def _receive(self) -> None:
        rest = self._open("text/event-stream", self._headers())
        parser = sse.Parser()
        while True:
            for event in parser.feed(rest):
                self._event(event.type, event.data, event.id, event.retry)
            rest = self.socket.recv(65536)
            if not rest:
                return

    def _shutdown(self) -> None:
        shut(self.socket)


class HTTPXStream(Receiver):
    """What the two SSE libraries have in common: httpx underneath."""

    path = "/v1/sse"

    def _receive(self) -> None:
        with httpx.Client(timeout=None, trust_env=False) as client:
            headers = self._headers() | {"Accept": "text/event-stream"}
            with client.stream("GET", self.server.url + self._path(), headers=headers) as response:
                if response.status_code != 200:
                    response.read()
                    raise Refused(response.status_code, response.text)
                self.socket = response.extensions["network_stream"].get_extra_info("socket")
                self._events(response)

    def _events(self, response: httpx.Response) -> None:
        raise NotImplementedError

    def _shutdown(self) -> None:
        shut(self.socket)


class HTTPXSSE(HTTPXStream):
    """The httpx-sse library."""

    def _events(self, response: httpx.Response) -> None:
        for event in httpx_sse.EventSource(response).iter_sse():
            self._event(event.event, event.data, event.id, event.retry)


class SSEClientPy(HTTPXStream):
    """The sseclient-py library."""

    def _events(self, response: httpx.Response) -> None:
        for event in sseclient.SSEClient(response.iter_raw()).events():
            self._event(event.event, event.data, event.id, event.retry)


class WebSocket(Receiver):
    """The websockets library, acking explicitly when told to."""

    path = "/v1/ws"

    def _receive(self) -> None:
        if self.position:
            self.query["cursor"] = self.position
        try:
            self.connection = websockets.sync.client.connect(
                f"ws://127.0.0.1:{self.server.port}{self._path()}", compression=None, ping_interval=None, proxy=None,
                open_timeout=30, close_timeout=1, legacy=True,
            )
        except websockets.exceptions.InvalidStatus as error:
            raise Refused(error.response.status_code, error.response.body.decode()) from None
        try:
            for frame in self.connection:
                self._frame(frame)
        except websockets.exceptions.ConnectionClosed:
            pass
        self.notices.put(("close", {"code": self.connection.close_code, "reason": self.connection.close_reason}))

    def _frame(self, frame: str) -> None:
        value = json.loads(frame)
        if not value:
            self.notices.put(("hb", {}))
            return
        (name, content), = value.items()
        if name == "message":
            self._message(frame.removeprefix('{"message":').removesuffix("}"), content.get("cursor", self.position))
        elif name == "welcome":
            self.welcome = content | {"_id": content["cursor"]}
            self.opened.set()
        else:
            self.notices.put((name, content))

    def send(self, value) -> None:
        self.connection.send(value if isinstance(value, (str, bytes)) else json.dumps(value))

    def acknowledge(self) -> None:
        self.send({"ack": self.last["seq"]})
        self.send({"ping": "acked"})  # the answer shows that the ack was taken
        self.notice("pong")

    def _shutdown(self) -> None:
        shut(self.connection.socket)


class LongPoll(Receiver):
    """Polls again with the cursor of the last answer as soon as the test has acked what it held."""

    path = "/v1/poll"
    polls = True

    def __init__(self, *arguments, automatic: bool = True, **query):
        self.automatic = automatic
        self.allowed = threading.Event()
        self.stopped = False
        super().__init__(*arguments, **query)

    def _receive(self) -> None:
        cursor = self.position
        with httpx.Client(timeout=None, trust_env=False) as client:
            self.client = client
            while not self.stopped:
                answer = self._ask(client, cursor)
                cursor = answer["cursor"]
                for gap in answer.get("gaps", []):
                    self.notices.put(("gap", gap))
                for event in answer.get("presence", []):
                    self.notices.put(("presence", event))
                if answer.get("takenOver"):
                    self.notices.put(("close", {"code": 4500}))
                    return
                for message in answer["messages"]:
                    raw = json.dumps(message)
                    self.messages.put(message | {"_raw": raw, "_position": cursor})
                if answer["messages"] and not self.automatic:
                    self.allowed.wait()
                    self.allowed.clear()

    def _ask(self, client: httpx.Client, cursor: str | None) -> dict:
        """The next answer."""
        query = {"wait": 10} | self.query | ({"cursor": cursor} if cursor else {})
        with client.stream("GET", self.server.url + self.path + "?" + urlencode(query)) as response:
            self.opened.set()
            text = response.read().decode()
        if response.status_code != 200:
            raise Refused(response.status_code, text)
        return self._answer(text)

    def _answer(self, text: str) -> dict:
        return json.loads(text)

    def acknowledge(self) -> None:
        if self.automatic:
            super().acknowledge()
        else:
            self.allowed.set()

    def _run(self) -> None:
        # The first poll has no welcome to wait for; it stands when the request was sent.
        threading.Timer(0.25, self.opened.set).start()
        super()._run()

    def _shutdown(self) -> None:
        self.stopped = True
        self.allowed.set()
        # Waiting for the answer's head, httpx has not given its socket away yet: take it from the pool.
        for connection in getattr(self.client, "_transport")._pool.connections:
            stream = getattr(getattr(connection, "_connection", None), "_network_stream", None)
            if stream:
                shut(stream.get_extra_info("socket"))


class Ramen(RawSSE):
    """Uber's protocol: the position is the largest sequence number seen."""

    path = "/ramen/receive"

    def _path(self) -> str:
        return f"{self.path}?{urlencode({'seq': self.position or 0} | self.query)}"

    def _headers(self) -> dict[str, str]:
        return {}

    def acknowledge(self) -> None:
        query = {"seq": self.position, "user": self.user, "device": self.device}
        answer = self.server.get("/ramen/ack", params=query)
        assert answer.status_code == 204, answer.text


def shut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
