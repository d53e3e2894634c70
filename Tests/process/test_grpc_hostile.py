"""Clients of gRPC that do not behave, frame by frame."""

import gzip
import socket
import struct
import time

import grpc
import pytest

from grpc_push import Ask, Session, channel, grpc_port, pb
from http2 import Client
from server import Server, wait_until
from test_grpc import live, metric
from test_http2_hostile import CONTINUATION, DATA, ENHANCE_YOUR_CALM, HEADERS, PING, RST, SETTINGS, flood

CONNECT = "/martlet.v1.Push/Connect"
GRPC = [("content-type", "application/grpc"), ("te", "trailers")]


class Port:
    """What of a server the HTTP/2 client needs: its port for gRPC."""

    def __init__(self, server: Server):
        self.port = grpc_port(server)

    def connect(self, receive_buffer=None, timeout: float = 10) -> socket.socket:
        connection = socket.socket()
        if receive_buffer:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection.settimeout(timeout)
        connection.connect(("127.0.0.1", self.port))
        return connection


def message(content, flag: int = 0) -> bytes:
    payload = content if isinstance(content, bytes) else content.SerializeToString()
    return bytes([flag]) + struct.pack(">I", len(payload)) + payload


HELLO = message(Ask(hello=Ask.Hello(user="hostile", device="h1")))


def still_alive(server: Server) -> None:
    assert server.process.poll() is None, server.tail()
    with channel(server) as wire, Session(wire, Ask.Hello(user="well-behaved")) as session:
        session.expect("welcome")


def block(client: Client, *more) -> bytes:
    fields = [(":method", "POST"), (":scheme", "http"), (":authority", "localhost"), (":path", CONNECT), *GRPC, *more]
    return client.h2.encoder.encode(fields)


def status_of(client: Client, stream: int) -> int:
    client.until(lambda: client.answers[stream].ended)
    return int(client.answers[stream].headers["grpc-status"])


@pytest.mark.parametrize("sent, status", [
    (b"\0\xff\xff\xff\xff", 8), (b"\0\x7f\xff\xff\xffx", 8), (b"\x02\0\0\0\0", 13), (b"\x01\0\0\0\x01x", 13),
    (message(b"\xff\xff\xff"), 3), (message(b"\x0a\xff"), 3), (message(b"\x0b"), 3),
], ids=["giant", "large", "flag", "compressed", "garbage", "cut", "group"])
def test_messages_that_are_none(server, sent, status):
    with Client(Port(server)) as client:
        stream = client.request("POST", CONNECT, GRPC, sent, end=False)
        assert status_of(client, stream) == status
        # The other calls of the connection go on.
        other = client.request("POST", CONNECT, GRPC, HELLO, end=False)
        client.until(lambda: client.answers[other].body)
    still_alive(server)


def test_a_call_that_ends_within_a_message(server):
    with Client(Port(server)) as client:
        stream = client.request("POST", CONNECT, GRPC, HELLO[:-3])
        assert status_of(client, stream) == 13


def test_every_cut_of_a_message(server):
    data = HELLO + message(Ask(ping=pb.Ping(id=7)))
    with Client(Port(server)) as client:
        for cut in range(1, len(data)):
            stream = client.request("POST", CONNECT, GRPC, end=False)
            for part in (data[:cut], data[cut:]):
                client.h2.send_data(stream, part)
                client.flush()
            pong = message(pb.ConnectResponse(pong=pb.Pong(id=7)))
            client.until(lambda: client.answers[stream].body.endswith(pong))
            client.h2.reset_stream(stream, 8)
            client.flush()


@pytest.mark.parametrize("fields, http, status", [
    ({":method": "GET"}, 405, None), ({"content-type": "application/json"}, 415, None), ({"content-type": "application/grpc-web"}, 415, None),
    ({":path": "/x"}, 200, 12), ({"grpc-encoding": "zstd"}, 200, 12), ({"grpc-timeout": "1"}, 200, 3), ({"grpc-timeout": "123456789S"}, 200, 3),
    ({"content-type": "application/grpc+proto", "grpc-timeout": "1n"}, 200, 4), ({"authorization": "Basic x"}, 200, 16),
])
def test_heads(server, fields, http, status):
    with Client(Port(server)) as client:
        head = {":method": "POST", ":scheme": "http", ":authority": "localhost", ":path": CONNECT} | dict(GRPC) | fields
        stream = client.h2.get_next_available_stream_id()
        client.h2.send_headers(stream, list(head.items()))
        client.flush()
        client.until(lambda: client.answers[stream].ended)
        headers = client.answers[stream].headers
        assert int(headers[":status"]) == http
        assert headers.get("grpc-status") == (None if status is None else str(status))
        if fields.get("grpc-encoding"):
            assert headers["grpc-accept-encoding"] == "identity,gzip"


def test_who_does_not_speak_http2(server):
    for sent in (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"\x16\x03\x01\0\x05hello", b"PRI * HTTP/1.1\r\n"):
        with Port(server).connect(timeout=5) as connection:
            connection.sendall(sent)
            try:
                assert connection.recv(100) == b""
            except ConnectionResetError:
                pass  # it was closed before all was read


def test_who_says_nothing(tmp_path):
    server = Server(tmp_path / "data", "--limits-head-seconds", "1", "--grpc-listen", "127.0.0.1:0").start()
    try:
        with Port(server).connect(timeout=5) as silent, Client(Port(server)) as empty, Client(Port(server)) as mute:
            stream = mute.request("POST", CONNECT, GRPC, HELLO[:4], end=False)
            assert silent.recv(100) == b""
            assert status_of(mute, stream) == 4  # no hello
            assert mute.answers[stream].headers["martlet-error-code"] == "request_timeout"
            empty.end()
    finally:
        server.stop()


def test_rapid_reset(server):
    """CVE-2023-44487: calls that are taken back at once."""
    with Client(Port(server)) as client:
        def send(n):
            client.raw(HEADERS, 4, 2 * n + 1, block(client))
            client.raw(RST, 0, 2 * n + 1, b"\0\0\0\x08")

        assert flood(client, 10_000, send) == ENHANCE_YOUR_CALM
    wait_until(lambda: metric(server, "martlet_grpc_streams") == 0, what="calls are left")
    still_alive(server)


def test_a_flood_of_pings(server):
    with Client(Port(server)) as client:
        assert flood(client, 50_000, lambda n: client.raw(PING, 0, 0, b"12345678")) == ENHANCE_YOUR_CALM
    still_alive(server)


def test_a_flood_of_settings(server):
    with Client(Port(server)) as client:
        client.listens = False
        for n in range(200_000):
            client.raw(SETTINGS, 0, 0, b"")
            if n % 1_000 == 0:
                client.receive(0.001)
                if client.closed:
                    break
    still_alive(server)


def test_endless_headers(server):
    with Client(Port(server)) as client:
        client.raw(HEADERS, 0, 1, block(client))
        assert flood(client, 1_000, lambda n: client.raw(CONTINUATION, 0, 1, b"\0\x01a\x01b")) is not None
    still_alive(server)


def test_empty_data(server):
    with Client(Port(server)) as client:
        client.raw(HEADERS, 4, 1, block(client))
        assert flood(client, 5_000, lambda n: client.raw(DATA, 0, 1, b"")) == ENHANCE_YOUR_CALM
    still_alive(server)


def test_messages_that_never_end_take_little(server):
    """The beginnings of messages, on all the calls that a connection may have."""
    before = server.rss_kb()
    with Client(Port(server)) as client:
        for n in range(150):
            stream = client.request("POST", CONNECT, GRPC, end=False)
            client.until(lambda: client.h2.outbound_flow_control_window > 17_000)
            client.h2.send_data(stream, b"\0" + struct.pack(">I", 100_000) + b"x" * 16_000)
            client.flush()
        client.until(lambda: sum(a.headers.get("grpc-status") == "8" for a in client.answers.values()) >= 50)
        refused = sum(a.headers.get("grpc-status") == "8" for a in client.answers.values())
        assert refused < 150
        assert server.rss_kb() - before < 30_000
    still_alive(server)


def test_a_few_bytes_do_not_keep_what_they_came_in(server):
    """Two bytes of a message, then a frame of a type that nobody knows, on one call after the other."""
    before = server.rss_kb()
    with Client(Port(server)) as client:
        client.until(lambda: client.h2.remote_settings.max_concurrent_streams == 1_000)
        client.flush()
        for n in range(200):
            client.raw(HEADERS, 4, 2 * n + 1, block(client))
            client.raw(DATA, 0, 2 * n + 1, b"\0\0")
            client.raw(0x55, 0, 0, b"x" * 16_000)
        wait_until(lambda: metric(server, "martlet_grpc_streams") >= 200, 10, "the calls")
        assert server.rss_kb() - before < 60_000
    still_alive(server)


@pytest.mark.parametrize("path", ["/grpc.health.v1.Health/Check", "/martlet.v1.Push/Publish"])
def test_a_call_that_is_never_finished_ends(tmp_path, path):
    server = Server(tmp_path / "data", "--grpc-listen", "127.0.0.1:0", "--limits-body-seconds", "2").start()
    try:
        with Client(Port(server)) as client:
            stream = client.request("POST", path, GRPC, end=False)
            client.h2.send_data(stream, b"\0")
            client.flush()
            assert status_of(client, stream) == grpc.StatusCode.DEADLINE_EXCEEDED.value[0]
    finally:
        server.stop()


def test_a_bomb_in_a_session(server):
    before = server.rss_kb()
    bomb = message(gzip.compress(b"\0" * 8_000_000), flag=1)
    with Client(Port(server)) as client:
        for _ in range(10):
            stream = client.request("POST", CONNECT, [*GRPC, ("grpc-encoding", "gzip")], bomb, end=False)
            assert status_of(client, stream) == 8
        assert server.rss_kb() - before < 20_000
    still_alive(server)


def test_a_client_that_never_reads(server):
    """Its window is closed: what is for it waits in the log, and its answers are bounded."""
    for n in range(200):
        server.publish("hostile", data="x" * 50_000)
    before = server.rss_kb()
    with Client(Port(server), window=0) as client:
        client.consume = set()
        streams = []
        for n in range(20):
            hello = message(Ask(hello=Ask.Hello(user="hostile", device=f"h{n}", window_bytes=1 << 20, window_messages=1_000)))
            streams.append(client.request("POST", CONNECT, GRPC, hello, end=False))
        pings = b"".join(message(Ask(ping=pb.Ping(id=n))) for n in range(2_000))
        for stream in streams:
            at = 0
            while (part := pings[at:at + min(16_000, client.h2.local_flow_control_window(stream))]):
                client.h2.send_data(stream, part)
                at += len(part)
                client.flush()
                client.receive(0.01)
        wait_until(lambda: live(server) == 20, 10, "sessions")
        assert all(not answer.body for answer in client.answers.values())
        time.sleep(0.5)  # what grows without bound would have grown
        assert server.rss_kb() - before < 60_000
        # Others are served.
        still_alive(server)
    wait_until(lambda: live(server) == 0, 10, "sessions are left")


def test_more_calls_than_a_connection_may_have(tmp_path):
    server = Server(tmp_path / "data", "--grpc-streams-per-connection", "10", "--grpc-listen", "127.0.0.1:0").start()
    try:
        with Client(Port(server)) as client:
            client.until(lambda: client.h2.remote_settings.max_concurrent_streams == 10)
        with channel(server) as wire:
            sessions = [Session(wire, Ask.Hello(user=f"u{n}"), timeout=20) for n in range(11)]
            for session in sessions[:10]:
                session.expect("welcome")
            # The library holds the eleventh back until there is room.
            sessions[0].close()
            sessions[10].expect("welcome")
            for session in sessions:
                session.close()
    finally:
        server.stop()


def test_more_connections_than_there_may_be(tmp_path):
    server = Server(tmp_path / "data", "--limits-connections", "5", "--grpc-listen", "127.0.0.1:0").start()
    try:
        with channel(server) as wire:
            sessions = []
            for n in range(3):
                sessions.append(Session(wire, Ask.Hello(user=f"u{n}"), timeout=20))
                sessions[-1].expect("welcome")
            while True:
                session = Session(wire, Ask.Hello(user="more"), timeout=20)
                try:
                    session.expect("welcome")
                except grpc.RpcError as error:
                    assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
                    break
                sessions.append(session)
                assert len(sessions) < 6
            for session in sessions:
                session.close()
    finally:
        server.stop()
