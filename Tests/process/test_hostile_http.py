"""Requests that are hostile, broken or merely unusual: none crashes the server, leaks, or gets a corrupt answer."""

import json
import os
import random
import socket
import struct
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from clients import RawSSE
from wire import Wire, frame, handshake, request


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
