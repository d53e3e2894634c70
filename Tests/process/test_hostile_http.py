"""Clients that are hostile, broken or merely unusual: none crashes the server, leaks, or gets a corrupt answer."""

import base64
import json
import os
import random
import socket
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import sse
from clients import RawSSE
from server import Server, unique, wait_until


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
    length = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + struct.pack(">H", len(payload))
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


@pytest.fixture
def unhurt(server):
    """After the test the server lives, holds no socket more than before and knows no session."""
    server.get("/healthz")
    before = sockets(server)
    yield server
    assert server.process.poll() is None, server.tail()
    wait_until(lambda: sockets(server) <= before, 10, f"{sockets(server)} sockets, {before} before")
    # A session ends a moment after its socket did.
    wait_until(lambda: live_sessions(server) == 0, 10, "sessions that are over")
    assert sessions_at_drain(server) == 0


def test_requests_before_and_after_a_stream(unhurt, user):
    """What is pipelined before a stream is answered before it; what comes after belongs to nobody."""
    with Wire(unhurt) as wire:
        wire.send(
            request("GET", "/healthz"), request("POST", "/v1/messages", "Content-Length: 2", body="{}"),
            request("GET", f"/v1/sse?user={user}&device=d"), request("GET", "/healthz"))
        assert wire.answer()[0] == 200
        assert wire.answer()[0] == 400
        assert wire.head().headers["content-type"] == "text/event-stream"
        wire.until(b"event: welcome")
        unhurt.publish(user, data="through")
        assert b"through" in wire.until(b'"through"')
        assert b"HTTP/1.1" not in wire.rest


def test_a_body_on_a_stream_request(unhurt, user):
    with Wire(unhurt) as wire:
        wire.send(request("GET", f"/v1/sse?user={user}&device=d", "Content-Length: 5", body="hello"))
        assert wire.head().status == 200
    with Wire(unhurt) as wire:
        wire.send(request("GET", f"/v1/sse?user={user}&device=d", "Transfer-Encoding: chunked", body="5\r\nhello\r\n0\r\n\r\n"))
        assert wire.head().status == 200
    with Wire(unhurt) as wire:
        wire.send(handshake(f"/v1/ws?user={user}&device=d", "Content-Length: 5"), b"hello", frame(b'{"ping":1}'))
        assert wire.head().status == 101
        assert "welcome" in wire.text()
        assert wire.text() == {"pong": 1}


@pytest.mark.parametrize("path", ["/healthz", "/", "/v1/sse?user=u", "/v1/ws?user=u", "/v1/poll?user=u", "/v1/messages", "/nothing"])
@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT", "TRACE", "BREW"])
def test_other_methods_are_answered_and_the_connection_goes_on(hub, method, path):
    with Wire(hub) as wire:
        wire.send(request(method, path))
        head = wire.head()
        assert head.status in (200, 400, 404, 405), head
        if method == "BREW":  # not HTTP to the parser: the connection ends
            return
        if method != "HEAD":
            wire.exactly(int(head.headers.get("content-length", 0)))
        wire.send(request("GET", "/healthz"))
        assert wire.answer() == (200, b'{"status":"ok"}\n')


def test_a_chunked_publish(unhurt, user):
    with Wire(unhurt) as wire:
        body = json.dumps({"to": {"user": user}, "data": "chunked"})
        chunks = "".join(f"{len(part):x}\r\n{part}\r\n" for part in (body[:5], body[5:6], body[6:])) + "0\r\n\r\n"
        wire.send(request("POST", "/v1/messages", "Transfer-Encoding: chunked", body=chunks))
        assert wire.answer()[0] == 202


def test_expect_continue(unhurt, user):
    body = json.dumps({"to": {"user": user}, "data": "expected"})
    with Wire(unhurt) as wire:
        wire.send(request("POST", "/v1/messages", "Expect: 100-continue", f"Content-Length: {len(body)}"))
        assert wire.head().status == 100
        wire.send(body.encode())
        assert wire.answer()[0] == 202
    with Wire(unhurt) as wire:
        wire.send(request("POST", "/v1/messages", "Expect: 100-continue", "Content-Length: 1000000"))
        assert wire.answer()[0] == 413


@pytest.mark.parametrize("head", ["Content-Length: 30000000", "Transfer-Encoding: chunked"])
@pytest.mark.parametrize("kind", ["application/json", "application/x-ndjson"])
def test_a_body_over_the_limit_gets_its_answer(unhurt, head, kind):
    """Also when the client does not look at the answer before everything is sent."""
    for _ in range(5):
        with Wire(unhurt) as wire:
            wire.send(request("POST", "/v1/messages", f"Content-Type: {kind}", head))
            chunk = b"x" * 100_000
            part = (b"%x\r\n" % len(chunk)) + chunk + b"\r\n" if "chunked" in head else chunk
            try:
                for _ in range(120):
                    wire.send(part)
            except OSError:
                pass  # The server need not read all of it.
            status, body = wire.answer()
            assert status == 413
            assert json.loads(body)["error"]["limit"] > 0


def test_frames_with_the_handshake_and_before_its_answer(unhurt, user):
    """Frames that do not wait for the 101 are read after it, and nothing comes before it."""
    for _ in range(30):
        with Wire(unhurt) as wire:
            wire.send(handshake(f"/v1/ws?user={user}&device=d"), frame(b'{"ping":1}'))
            wire.send(frame(b'{"ping":2}'), frame(b"x", 9))
            assert wire.head().status == 101
            assert "welcome" in wire.text()
            assert wire.text() == {"pong": 1}
            assert wire.text() == {"pong": 2}
            assert wire.frame() == (10, b"x")
    # Without a device the session is there at once.
    with Wire(unhurt) as wire:
        wire.send(handshake(f"/v1/ws?user={user}"), frame(b'{"ping":1}'))
        assert wire.head().status == 101
        assert "welcome" in wire.text()
        assert wire.text() == {"pong": 1}
    with Wire(unhurt) as wire:
        wire.send(handshake("/dev/echo"), frame(b"hello"))
        assert wire.head().status == 101
        assert wire.frame() == (1, b"hello")


def test_a_close_with_the_handshake(unhurt, user):
    for payload in (b"", struct.pack(">H", 1000), struct.pack(">H", 1000) + b"bye", b"\x03"):
        with Wire(unhurt) as wire:
            wire.send(handshake(f"/v1/ws?user={user}&device=d"), frame(payload, 8))
            assert wire.head().status == 101
            assert b"welcome" in wire.to_end()
    with Wire(unhurt) as wire:  # after a close nothing counts
        wire.send(handshake(f"/v1/ws?user={user}&device=d"), frame(b"", 8), frame(b'{"ping":1}'))
        assert b"pong" not in wire.to_end()


def test_a_reset_while_the_answer_is_written(unhurt):
    """The write fails, and the frames that lie unread are read within it."""
    bad = b"\x81\x05hello"  # without a mask
    for round in range(600):
        with Wire(unhurt) as wire:
            wire.send(handshake(f"/v1/ws?user=reset&device=d{round}"))
            time.sleep(round % 20 / 20_000)  # the reset is to meet the answer: every moment is tried
            wire.send(bad)
            wire.reset()


def test_a_flood_before_the_answer_to_a_handshake(unhurt, user):
    with Wire(unhurt) as wire:
        try:
            wire.send(handshake(f"/v1/ws?user={user}&device=d"), frame(b'{"ping":1}') * 50_000)
        except OSError:
            pass
        wire.reset()


def test_an_unread_pong_is_not_hoarded(unhurt, user):
    """Who pings for ever and never reads is not read for ever."""
    unhurt.get("/healthz")
    before = unhurt.rss_kb()
    for path in (f"/v1/ws?user={user}&device=d", "/dev/echo"):
        with Wire(unhurt, timeout=1, receive_buffer=4096) as wire:
            wire.send(handshake(path))
            pings = frame(b"x" * 120, 9) * 2_000
            with pytest.raises(OSError):
                for _ in range(400):
                    wire.send(pings)
        assert unhurt.rss_kb() - before < 20_000


def test_disconnects_while_a_session_is_opened(unhurt, user):
    def one(number: int) -> None:
        path = f"user={user}&device=d{number % 7}"
        wire = Wire(unhurt)
        wire.send(random.choice([
            request("GET", f"/v1/sse?{path}"), handshake(f"/v1/ws?{path}"), request("GET", f"/v1/poll?{path}&wait=30"),
            request("GET", f"/ramen/receive?seq=0&{path}"), request("GET", f"/v1/poll?{path}"),
        ]))
        if number % 3 == 0:
            time.sleep(random.random() / 100)
        random.choice([wire.close, wire.reset])()

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(one, range(2_000)))


def test_a_disconnect_while_a_poll_is_held(unhurt, user):
    before = sockets(unhurt)
    for end in ("close", "reset"):
        wire = Wire(unhurt)
        wire.send(request("GET", f"/v1/poll?user={user}&device=d&wait=60"))
        with pytest.raises(TimeoutError):
            wire.socket.settimeout(0.2)
            wire.more()
        getattr(wire, end)()
    # Requests behind a held poll wait, and go with it.
    wait_until(lambda: sockets(unhurt) <= before, 5, "the others' end")
    wire = Wire(unhurt)
    wire.send(request("GET", f"/v1/poll?user={user}&device=d&wait=60"), request("GET", "/healthz") * 500)
    wait_until(lambda: sockets(unhurt) > before, 5, "the server's end of the connection")
    wire.close()


def test_half_closed(unhurt, user):
    """A client that says it has nothing more to say is gone, whatever it was doing."""
    for head in (
        request("GET", f"/v1/sse?user={user}&device=d"), handshake(f"/v1/ws?user={user}&device=e"), b"GET /heal",
        request("GET", f"/v1/poll?user={user}&device=f&wait=60"), request("POST", "/v1/messages", "Content-Length: 10", body="{"), b"",
    ):
        with Wire(unhurt) as wire:
            wire.send(head)
            wire.socket.shutdown(socket.SHUT_WR)
            wire.to_end()


def test_garbage(unhurt):
    generator = random.Random(7)
    for _ in range(300):
        with Wire(unhurt) as wire:
            try:
                wire.send(generator.randbytes(generator.randrange(1, 400)), b"\r\n\r\n")
                wire.socket.shutdown(socket.SHUT_WR)
                wire.to_end()
            except OSError:
                pass


def test_anything_after_anything(unhurt):
    """Pieces that each mean something, in any order and cut anywhere."""
    seed = int(os.environ.get("MARTLET_SEED", random.randrange(1 << 30)))
    print(f"MARTLET_SEED={seed}")
    generator = random.Random(seed)

    def piece() -> bytes:
        query = f"user=fuzz&device=f{generator.randrange(5)}"
        extra = generator.choice([(), (), ("Connection: close",), ("Connection: keep-alive",), ("Content-Length: 3",), ("Transfer-Encoding: chunked",)])
        return generator.choice([
            lambda: request("GET", f"/v1/sse?{query}", *extra), lambda: handshake(f"/v1/ws?{query}", *extra),
            lambda: handshake("/dev/echo", *extra), lambda: handshake("/healthz", *extra), lambda: handshake(f"/v1/sse?{query}", *extra),
            lambda: handshake(f"/v1/ws?{query}").replace(b"HTTP/1.1", b"HTTP/1.0"),
            lambda: request("GET", f"/v1/ws?{query}", *extra), lambda: request("GET", f"/v1/poll?{query}&wait={generator.randrange(2)}", *extra),
            lambda: request("POST", f"/v1/ack?{query}", "Content-Length: 2", body="{}"), lambda: request("GET", "/healthz", *extra),
            lambda: request("POST", "/v1/messages", "Content-Length: 36", body='{"to":{"user":"fuzz"},"data":"fuzz"}'),
            lambda: request("CONNECT", "localhost:1", *extra), lambda: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", lambda: b"abc", lambda: b"3\r\nabc\r\n0\r\n\r\n",
            lambda: frame(b'{"ping":1}'), lambda: frame(b'{"ack":1}'), lambda: frame(b"", generator.randrange(16)),
            lambda: frame(generator.randbytes(20), generator.randrange(16)), lambda: generator.randbytes(10), lambda: b"\r\n",
        ])()

    def one(number: int) -> None:
        with Wire(unhurt) as wire:
            data = b"".join(piece() for _ in range(generator.randrange(1, 5)))
            try:
                while data:
                    cut = generator.choice([len(data), generator.randrange(1, len(data) + 1)])
                    wire.send(data[:cut])
                    data = data[cut:]
                    if generator.randrange(3) == 0:
                        time.sleep(0.002)
                if generator.randrange(2):
                    wire.socket.settimeout(0.01)
                    wire.to_end()
            except OSError:
                pass
            if generator.randrange(2):
                wire.reset()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, range(3_000)))


def test_headers_without_end(unhurt):
    with Wire(unhurt) as wire, pytest.raises((OSError, EOFError, AssertionError)):
        wire.send(b"GET / HTTP/1.1\r\n")
        for _ in range(3_000):
            wire.send(b"X-Y: " + b"z" * 1_000 + b"\r\n")
        assert wire.answer()[0] in (400, 431)
        raise EOFError


def test_acks_of_garbage(unhurt, user):
    bodies = [
        b"", b"{", b"[]", b"7", b"null", b'{"cursor":7}', b'{"cursor":""}', b'{"cursor":"AAAA"}', b'{"ack":7}',
        b'{"session":"x","ack":-1}', b'{"session":"x","ack":1e99}', b'{"session":"x","ack":18446744073709551616}',
        b'{"session":"x","ack":[1,"2"]}', b'{"session":7,"ack":7}', b'{"cursor":"%s"}' % (b"A" * 3_000), b"\xff\xfe", b'{"ack":[' * 400,
    ]
    with RawSSE(unhurt, user, "d") as client:
        session = client.welcome["session"].encode()
        bodies += [b'{"session":"%s","ack":%s}' % (session, ack) for ack in (b"7", b"18446744073709551615", b"[0]", b"[]", b"0")]
        for body in bodies:
            answer = unhurt.http.post(f"{unhurt.url}/v1/ack?user={user}&device=d", content=body)
            assert answer.status_code in (204, 400, 404), (body, answer.text)
            if answer.status_code != 204:
                assert answer.json()["error"]["message"]
        for seq in ("", "x", "-1", "1", "18446744073709551615", "18446744073709551616"):
            assert unhurt.get(f"/ramen/ack?user={user}&device=d&seq={seq}").status_code in (204, 400)
            assert unhurt.get(f"/ramen/receive?user={user}&device=e&seq={seq}").status_code == 400
    for text in ('{"ack":99}', '{"ack":-1}', '{"ack":[1,2]}', '{"ack":"x"}', '{"ack":{}}', "[", "7", '{"x":1}', '{"ack":18446744073709551615}'):
        with Wire(unhurt) as wire:
            wire.send(handshake(f"/v1/ws?user={user}&device=w"))
            assert wire.head().status == 101
            assert "welcome" in wire.text()
            wire.send(frame(text.encode()))
            assert wire.text()["error"]["code"], text
            assert wire.frame()[1][:2] == struct.pack(">H", 1008)


def test_an_offer_to_upgrade_to_something_else(unhurt, user):
    """As Java's HTTP client makes it with every request: answered as HTTP/1.1, and nothing hangs."""
    offer = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__")
    body = json.dumps({"to": {"user": user}, "data": "h2c"})
    with Wire(unhurt) as wire:
        wire.send(request("POST", "/v1/messages", *offer, f"Content-Length: {len(body)}", body=body))
        head = wire.head()
        assert head.status == 202
        wire.exactly(int(head.headers["content-length"]))
        if head.headers.get("connection") != "close":
            wire.send(request("GET", "/healthz"))
            assert wire.answer()[0] == 200
    with Wire(unhurt) as wire:
        wire.send(request("GET", f"/v1/sse?user={user}&device=d", *offer))
        assert wire.head().status == 200
        wire.until(b'"h2c"')


def test_an_absolute_target(unhurt):
    with Wire(unhurt) as wire:
        wire.send(request("GET", "http://localhost/healthz"))
        assert wire.answer() == (200, b'{"status":"ok"}\n')
        wire.send(request("GET", "http://localhost/v1/poll?user=u"))
        assert wire.answer()[0] == 200


def test_a_take_over_storm(unhurt, user):
    """50 connections at once claim one device: one is left, the others are told, and it gets what is published."""
    barrier = threading.Barrier(50)

    def one(number: int, name: str) -> Wire:
        wire = Wire(unhurt, timeout=10)
        query = f"user={name}&device={name}"
        heads = [request("GET", f"/v1/sse?{query}"), handshake(f"/v1/ws?{query}"), request("GET", f"/v1/poll?{query}&wait=60")]
        barrier.wait(10)
        return wire.send(heads[number % 3])

    for round in range(5):
        with ThreadPoolExecutor(50) as pool:
            name = f"{user}-{round}"
            wires = list(pool.map(one, range(50), [name] * 50))
            unhurt.publish(name, data=f"round {round}")

            def outcome(wire: Wire) -> str:
                mark = f"round {round}".encode()
                while True:
                    if mark in wire.rest:
                        return "got"
                    if b"4500" in wire.rest or b"\x11\x94" in wire.rest or b"takenOver" in wire.rest or b" 204 " in wire.rest:
                        return "told"
                    wire.more()

            outcomes = list(pool.map(outcome, wires))
        assert outcomes.count("got") >= 1
        for wire in wires:
            wire.close()


def test_a_taken_over_client_that_does_not_read_is_let_go(unhurt, user):
    """Its unread bytes do not keep its connection for ever."""
    before = sockets(unhurt)
    with Wire(unhurt, receive_buffer=4096) as stuck:
        stuck.send(request("GET", f"/v1/sse?user={user}&device=d&window=1024"))
        stuck.until(b"event: welcome")
        for _ in range(60):
            unhurt.publish(user, data="x" * 60_000)
        with Wire(unhurt) as other:
            other.send(request("GET", f"/v1/sse?user={user}&device=d&from=now"))
            other.until(b"event: welcome")
            wait_until(lambda: sockets(unhurt) <= before + 1, 15, "the stuck connection's end")


def test_connects_and_disconnects(unhurt):
    """1,000 a second: what is held goes back to the start."""
    seconds = float(os.environ.get("MARTLET_CHURN_SECONDS", "3"))

    def churn(worker: int, until: float) -> int:
        count = 0
        while time.monotonic() < until:
            query = f"user=churn{worker}&device=churn{worker}-{count % 10}"
            wire = Wire(unhurt)
            wire.send([request("GET", f"/v1/sse?{query}"), handshake(f"/v1/ws?{query}"), request("GET", f"/v1/poll?{query}")][count % 3])
            wire.more()
            wire.close()
            count += 1
        return count

    def run(duration: float) -> int:
        with ThreadPoolExecutor(16) as pool:
            until = time.monotonic() + duration
            return sum(pool.map(lambda worker: churn(worker, until), range(16)))

    run(1)
    before = unhurt.rss_kb()
    total = run(seconds)
    print(f"{total / seconds:.0f} connects/s, {before} KB before, {unhurt.rss_kb()} KB after")
    assert total > 500 * seconds
    assert unhurt.rss_kb() - before < 10_000
