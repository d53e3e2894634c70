"""Plain requests are read by a handler of our own, all others by NIO's: a client must not notice which, or when that changes."""

import itertools
import json

import pytest

from wire import Wire, frame, handshake, request

PLAIN = "plain"
OTHERS = ["chunked", "padded", "expect", "long"]


def publish(kind: str, topic: str, text: str) -> bytes:
    path = f"/v1/topics/{topic}"
    if kind == "chunked":
        return request("POST", path, "Transfer-Encoding: chunked", body=f"{len(text):x}\r\n{text}\r\n0\r\n\r\n")
    if kind == "padded":
        return request("POST", path, "X-Padded:  a  ", f"Content-Length: {len(text)}", body=text)
    if kind == "expect":
        return request("POST", path, "Expect: 100-continue", f"Content-Length: {len(text)}", body=text)
    if kind == "long":
        return request("POST", path, "X-Long: " + "y" * 5_000, f"Content-Length: {len(text)}", body=text)
    return request("POST", path, f"Content-Length: {len(text)}", body=text)


def accepted(wire: Wire) -> None:
    head = wire.head()
    while head.status == 100:
        head = wire.head()
    assert head.status == 202, head
    wire.exactly(int(head.headers["content-length"]))


@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.parametrize("piece", [1, 7, 64, 1 << 20])
def test_each_request_is_answered_once_whichever_reads_it(hub, kind, piece):
    topic = f"lanes/{kind}/{piece}"
    kinds = [PLAIN, PLAIN, kind, PLAIN, kind, PLAIN]
    with Wire(hub) as listener, Wire(hub) as wire:
        listener.send(request("GET", f"/v1/sse?topics={topic}"))
        listener.until(b"event: welcome")
        sent = b"".join(publish(each, topic, f"{number}-" + "x" * number) for number, each in enumerate(kinds))
        for start in range(0, len(sent), piece):
            wire.send(sent[start:start + piece])
        for _ in kinds:
            accepted(wire)
        for number, _ in enumerate(kinds):
            listener.until(f'"data":"{number}-{"x" * number}"'.encode())


def test_what_follows_a_handshake_at_once_belongs_to_the_stream(hub):
    for piece in (1 << 20, 50, 3):
        with Wire(hub) as wire:
            sent = request("GET", "/healthz") + handshake("/v1/ws?user=lanes") + frame(b'{"ping":1}') + frame(b'{"ping":2}')
            for start in range(0, len(sent), piece):
                wire.send(sent[start:start + piece])
            assert wire.answer()[0] == 200
            assert wire.head().status == 101
            assert "welcome" in wire.text()
            assert [wire.text() for _ in range(2)] == [{"pong": 1}, {"pong": 2}]


def test_a_refused_upgrade_ends_the_connection(hub):
    with Wire(hub) as wire:
        wire.send(request("GET", "/v1/ws?user=lanes", "Connection: Upgrade", "Upgrade: websocket"), request("GET", "/healthz"))
        head = wire.head()
        assert head.status == 426 and head.headers["connection"] == "close"
        wire.exactly(int(head.headers["content-length"]))
        assert wire.to_end() == b""


def test_methods_and_bodies_that_nobody_asked_for(hub):
    """A body is read to its end, whatever it is for: what follows it is the next request."""
    hidden = "GET /v1/poll?user=x HTTP/1.1\r\nHost: a\r\n\r\n"
    for method, kind in itertools.product(["GET", "DELETE", "OPTIONS", "PUT", "POST"], ["/healthz", "/nothing", "/v1/sse"]):
        with Wire(hub) as wire:
            wire.send(request(method, kind, f"Content-Length: {len(hidden)}", body=hidden))
            wire.send(request("GET", "/healthz"))
            assert wire.answer()[0] in (200, 204, 401, 404, 405), (method, kind)
            status, body = wire.answer()
            assert status == 200 and json.loads(body) == {"status": "ok"}, (method, kind)
            assert wire.rest == b""


def test_head_has_no_body(hub):
    with Wire(hub) as wire:
        wire.send(request("HEAD", "/healthz"), request("GET", "/healthz"))
        head = wire.head()
        assert head.status == 200 and int(head.headers["content-length"]) > 0
        assert wire.answer()[0] == 200 and wire.rest == b""


def test_a_large_answer_to_who_reads_slowly(hub):
    """More than the socket takes at once: the rest follows, then the next answer."""
    topic = "lanes/large"
    with Wire(hub) as wire:
        for number in range(6):
            text = json.dumps({"n": number, "fill": "z" * 60_000})
            wire.send(request("POST", f"/v1/topics/{topic}?retain=true", "Content-Type: application/json", f"Content-Length: {len(text)}", body=text))
            accepted(wire)
    with Wire(hub, timeout=10) as wire:
        asks = [request("GET", f"/v1/topics/{topic}/retained")] * 200
        wire.send(b"".join(asks))
        lengths = []
        for _ in asks:
            status, body = wire.answer()
            assert status == 200
            lengths.append(len(body))
        assert len(set(lengths)) == 1 and lengths[0] > 60_000
        wire.send(request("GET", "/healthz"))
        assert wire.answer()[0] == 200
