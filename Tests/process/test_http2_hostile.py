"""HTTP/2 clients that do not behave: floods, malformed requests, what takes memory or time."""

import socket
import time

import pytest

from http2 import Client
from server import Server, wait_until
from test_http2 import streams

DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
ENHANCE_YOUR_CALM = 11


def still_alive(server) -> None:
    with Client(server) as client:
        assert client.get("/healthz").status == 200


def flood(client: Client, count: int, send) -> int | None:
    """Sends until the server has enough; the code that it says."""
    client.listens = False
    for n in range(count):
        send(n)
        if n % 50 == 0:
            client.receive(0.001)
        if client.closed:
            break
    return client.end()


def header_block(client: Client, *more) -> bytes:
    fields = [(":method", "GET"), (":scheme", "http"), (":authority", "localhost"), (":path", "/healthz"), *more]
    return client.h2.encoder.encode(fields)


def test_rapid_reset(hub):
    """CVE-2023-44487: requests that are taken back at once."""
    with Client(hub) as client:
        def send(n):
            client.raw(HEADERS, 5, 2 * n + 1, header_block(client))
            client.raw(RST, 0, 2 * n + 1, b"\0\0\0\x08")

        assert flood(client, 5_000, send) == ENHANCE_YOUR_CALM
    wait_until(lambda: streams(hub) == 0, what="no streams left")
    still_alive(hub)


def test_continuation_flood(hub):
    with Client(hub) as client:
        client.raw(HEADERS, 1, 1, header_block(client))
        assert flood(client, 1_000, lambda n: client.raw(CONTINUATION, 0, 1, b"\0\x01a\x01b")) is not None
    still_alive(hub)


@pytest.mark.parametrize("kind, payload", [(PING, b"12345678"), (SETTINGS, b""), (PRIORITY, b"\0\0\0\0\x10")], ids=["ping", "settings", "priority"])
def test_control_frame_floods(hub, kind, payload):
    with Client(hub) as client:
        assert flood(client, 20_000, lambda n: client.raw(kind, 0, 1 if kind == PRIORITY else 0, payload)) == ENHANCE_YOUR_CALM
    still_alive(hub)


def test_empty_frames(hub):
    with Client(hub) as client:
        client.raw(HEADERS, 4, 1, client.h2.encoder.encode(
            [(":method", "POST"), (":scheme", "http"), (":authority", "localhost"), (":path", "/v1/topics/a")]))
        assert flood(client, 5_000, lambda n: client.raw(DATA, 0, 1, b"")) == ENHANCE_YOUR_CALM
    still_alive(hub)


def test_a_long_header_list(hub):
    with Client(hub) as client:
        client.listens = False
        client.raw(HEADERS, 1, 1, header_block(client, *[(f"x-{n}", "a" * 1_000) for n in range(15)]))
        for _ in range(3):
            client.raw(CONTINUATION, 0, 1, b"\0\x01a\x7f\x80\x80\x01" + b"a" * 9_000)
        assert client.end() is not None
    still_alive(hub)


def test_many_fields(hub):
    with Client(hub) as client:
        stream = client.request("GET", "/healthz", [(f"x-{n}", "1") for n in range(120)])
        client.until(lambda: client.answers[stream].ended)
        assert client.answers[stream].status == 431
        assert client.get("/healthz").status == 200


def test_a_bomb_of_fields(hub):
    """One byte for each repeat of a long field in the table of HPACK."""
    with Client(hub) as client:
        client.listens = False
        block = header_block(client, ("x-bomb", "a" * 3_500))
        client.raw(HEADERS, 5, 1, block + b"\xbe" * 10_000)
        assert client.end() is not None
    assert hub.rss_kb() < 400_000
    still_alive(hub)


def test_more_streams_than_may_be(hub):
    with Client(hub) as client:
        client.until(lambda: client.h2.remote_settings.max_concurrent_streams == 100)
        for n in range(100):
            client.request("GET", f"/v1/sse?topics=t{n}")
        client.until(lambda: sum(b"welcome" in answer.body for answer in client.answers.values()) == 100)
        assert streams(hub) == 100
        # The settings said so.
        client.listens = False
        client.raw(HEADERS, 5, 201, header_block(client))
        assert client.end() == 1
    wait_until(lambda: streams(hub) == 0, what="no streams left")


@pytest.mark.parametrize("fields", [
    [("connection", "close")],
    [("transfer-encoding", "chunked")],
    [("X-Upper", "1")],
    [("te", "gzip")],
    [("x-break", "a\r\nb: c")],
    [(":path", "/again")],
    [(":protocol", "websocket")],
], ids=lambda fields: fields[0][0])
def test_a_malformed_request_ends_only_its_stream(hub, fields):
    with Client(hub) as client:
        client.request("GET", "/v1/sse?topics=malformed")
        client.until(lambda: b"welcome" in client.answers[1].body)
        stream = client.request("GET", "/healthz", fields)
        client.until(lambda: client.answers[stream].ended)
        assert client.answers[stream].reset == 1 and client.answers[stream].status == 0
        assert client.get("/healthz").status == 200
        assert not client.answers[1].ended


def test_not_http2_after_the_preface(hub):
    for junk in b"\xff" * 100, b"GET / HTTP/1.1\r\n\r\n", b"\0\0\0\0\0\0\0\0\0":
        with hub.connect() as connection:
            connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + junk)
            connection.settimeout(5)
            try:
                while connection.recv(4096):
                    pass
            except ConnectionResetError:
                pass
    with hub.connect() as connection:
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n")
        connection.settimeout(5)
        try:
            while connection.recv(4096):
                pass
        except ConnectionResetError:
            pass
    still_alive(hub)


def test_half_a_head_ends(tmp_path):
    server = Server(tmp_path / "data", "--limits-head-seconds", "1", "--limits-body-seconds", "1").start()
    try:
        with Client(server) as head, Client(server) as body:
            head.listens = False
            head.raw(HEADERS, 0, 1, header_block(head)[:3])
            stream = body.request("POST", "/v1/topics/a", body=b"begun", end=False)
            body.until(lambda: body.answers[stream].ended)
            assert body.answers[stream].status == 408
            assert body.get("/healthz").status == 200
            head.end()
    finally:
        server.stop()


def test_a_client_that_reads_no_answers(hub):
    """Answers wait in the window of their stream; nothing grows."""
    with Client(hub, window=0) as client:
        before = hub.rss_kb()
        for _ in range(100):
            client.request("GET", "/openapi.yaml")
        client.until(lambda: sum(answer.status == 200 for answer in client.answers.values()) == 100)
        assert not any(answer.body for answer in client.answers.values())
        assert hub.rss_kb() - before < 20_000
        still_alive(hub)
    wait_until(lambda: streams(hub) == 0, what="no streams left")


def test_gone_without_a_word(hub):
    for _ in range(20):
        client = Client(hub)
        for n in range(10):
            client.request("GET", f"/v1/sse?topics=t{n}")
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.socket.close()
    wait_until(lambda: streams(hub) == 0, what="no streams left")
    still_alive(hub)
