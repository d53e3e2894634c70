"""permessage-deflate (RFC 7692) on /v1/ws: asked for or not, with every parameter, and what hostile input does."""

import base64
import json
import os
import socket
import struct
import zlib

import pytest
import websockets.sync.client
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

import metrics
from server import Server, unique

PLAIN = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
SECRET = os.urandom(300).hex()
LONG = [{"trip": 42, "state": "arrived", "driver": "a name"}] * 40


class Raw:
    """A WebSocket by hand: sees the frames as they are on the wire."""

    def __init__(self, server, path="/v1/ws?topics=", offer=None):
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout=10)
        key = base64.b64encode(os.urandom(16)).decode()
        extension = f"Sec-WebSocket-Extensions: {offer}\r\n" if offer is not None else ""
        self.socket.sendall(
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n{extension}\r\n".encode())
        self.file = self.socket.makefile("rb")
        self.status = int(self.file.readline().split()[1])
        self.headers = {}
        while (line := self.file.readline().strip()):
            name, _, value = line.decode().partition(":")
            self.headers[name.lower()] = value.strip()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self) -> None:
        self.file.close()
        self.socket.close()

    def send(self, first: int, payload: bytes) -> None:
        size = len(payload)
        length = bytes([0x80 | size]) if size < 126 else bytes([0x80 | 126]) + struct.pack(">H", size) if size < 65_536 else \
            bytes([0x80 | 127]) + struct.pack(">Q", size)
        self.socket.sendall(bytes([first]) + length + b"\0\0\0\0" + payload)

    def frame(self) -> tuple[int, bytes]:
        first, size = self.file.read(2)
        if size == 126:
            size, = struct.unpack(">H", self.file.read(2))
        elif size == 127:
            size, = struct.unpack(">Q", self.file.read(8))
        return first, self.file.read(size)

    def message(self) -> tuple[bool, object]:
        """The next frame of JSON, and whether it was compressed."""
        while True:
            first, payload = self.frame()
            if first & 0x0f == 1:
                return bool(first & 0x40), json.loads(inflate(payload) if first & 0x40 else payload)

    def close_code(self) -> int:
        while True:
            first, payload = self.frame()
            if first & 0x0f == 8:
                return struct.unpack(">H", payload[:2])[0]


def inflate(payload: bytes, bits: int = 15) -> bytes:
    return zlib.decompressobj(-bits).decompress(payload + b"\0\0\xff\xff")


def deflate(payload: bytes) -> bytes:
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH)
    return data.removesuffix(b"\0\0\xff\xff")


def publish(server, topic: str, data) -> None:
    server.http.post(f"{server.url}/v1/topics/{topic}", json=data).raise_for_status()


@pytest.fixture(scope="module")
def keeping(tmp_path_factory):
    """A server whose connections keep their context."""
    server = Server(
        tmp_path_factory.mktemp("context") / "data", "--limits-subscribe-rate", "0", "--websocket-compression", "context").start()
    yield server
    server.stop()


@pytest.mark.parametrize("offer, answer", [
    (None, None),
    ("permessage-bzip2", None),
    ("permessage-deflate; unknown", None),
    ("permessage-deflate; server_max_window_bits=8", None),
    ("permessage-deflate", PLAIN),
    ("permessage-deflate; client_max_window_bits", PLAIN),
    ("permessage-deflate; unknown, permessage-deflate; server_max_window_bits=10", PLAIN + "; server_max_window_bits=10"),
])
def test_offers(hub, offer, answer):
    with Raw(hub, offer=offer) as client:
        assert client.status == 101
        assert client.headers.get("sec-websocket-extensions") == answer


def test_a_field_that_is_no_list_of_extensions(hub):
    with Raw(hub, offer="permessage-deflate; =") as client:
        assert client.status == 400


def test_who_does_not_ask_gets_nothing_compressed(hub):
    topic = unique("deflate")
    with Raw(hub, f"/v1/ws?topics={topic}") as client:
        client.message()
        publish(hub, topic, LONG)
        assert client.message()[0] is False
        # Nor may it send so.
        client.send(0xc1, deflate(b'{"ping":1}'))
        assert client.close_code() == 1002


@pytest.mark.parametrize("bits", [9, 11, 15])
def test_topics_and_inbox(hub, bits):
    topic, user = unique("deflate"), unique("deflate-user")
    offer = f"permessage-deflate; server_max_window_bits={bits}"
    with Raw(hub, f"/v1/ws?user={user}&device={user}-1&topics={topic}", offer) as client, \
            Raw(hub, f"/v1/ws?user={user}-b&device={user}-2&topics={topic}", "permessage-deflate") as other:
        client.message(), other.message()
        for _ in range(2):
            publish(hub, topic, LONG)
            for one in client, other:
                first, payload = one.frame()
                assert first == 0xc1 and len(payload) < 500
                assert json.loads(inflate(payload, bits if one is client else 15))["message"]["data"] == LONG
        hub.publish(user, data=LONG)
        isDeflated, frame = client.message()
        assert isDeflated and frame["message"]["data"] == LONG and frame["message"]["seq"] == 1
        # What is short is not worth it.
        hub.publish(user, data=1)
        isDeflated, frame = client.message()
        assert not isDeflated and frame["message"]["seq"] == 2


def test_what_clients_send(hub):
    with Raw(hub, offer="permessage-deflate") as client:
        client.message()
        for n in range(3):
            client.send(0xc1, deflate(b'{"ping":%d}' % n))
            assert client.message()[1] == {"pong": n}
        # In fragments, with a ping between.
        data = deflate(b'{"ping":"' + b"x" * 500 + b'"}')
        client.send(0x41, data[:5])
        client.send(0x89, b"")
        client.send(0x80, data[5:])
        assert client.frame()[0] == 0x8a
        assert client.message()[1] == {"pong": "x" * 500}


@pytest.mark.parametrize("first, payload, code", [
    (0xc1, b"\xff\xff\xff\xff", 1007),
    (0xc1, deflate(b'{"ping":1}')[:-3], 1007),
    (0xc1, deflate(b"\xff\xfe"), 1007),
    (0xc9, b"", 1002),
    (0xd1, b"", 1002),
], ids=["garbage", "cut", "not UTF-8", "a ping", "another bit"])
def test_what_may_not_be(hub, first, payload, code):
    with Raw(hub, offer="permessage-deflate") as client:
        client.message()
        client.send(first, payload)
        assert client.close_code() == code


def test_a_bomb_is_stopped_at_the_limit(hub):
    """16 KiB is what a frame may have; 12 KB on the wire that become 12 MB, and 24 bytes that become 16 KiB and one."""
    before = hub.rss_kb()
    for size in 12_000_000, 16_385:
        for _ in range(20):
            with Raw(hub, offer="permessage-deflate") as client:
                client.message()
                client.send(0xc1, deflate(b" " * size))
                assert client.close_code() == 1009
    assert hub.rss_kb() - before < 4_096
    with Raw(hub, offer="permessage-deflate") as client:
        client.message()
        client.send(0xc1, deflate(b'{"ping":1}' + b" " * 16_374))
        assert client.message()[1] == {"pong": 1}


def test_the_bytes_are_counted(server):
    topic = unique("deflate")
    clients = [Raw(server, f"/v1/ws?topics={topic}", "permessage-deflate") for _ in range(20)]
    for client in clients:
        client.message()
    for n in range(10):
        publish(server, topic, LONG + [n])
    for client in clients:
        for _ in range(10):
            assert client.message()[0]
    numbers = metrics.Numbers(metrics.text(server))
    plain, deflated = (
        numbers[f'martlet_websocket_deflate_bytes_total{{direction="out",form="{form}"}}'] for form in ("plain", "deflated"))
    size = len(json.dumps(LONG))
    # Once for each event loop with receivers, not for each of the twenty.
    assert 10 * size * 0.8 < plain < 10 * size * (os.cpu_count() or 1) * 1.2
    assert deflated < plain / 5
    for client in clients:
        client.close()


def test_off(tmp_path):
    server = Server(tmp_path / "data", "--websocket-compression", "off").start()
    try:
        with Raw(server, offer="permessage-deflate") as client:
            assert client.status == 101
            assert "sec-websocket-extensions" not in client.headers
    finally:
        server.stop()


def test_context_makes_repeats_short(keeping):
    topic = unique("deflate")
    with Raw(keeping, f"/v1/ws?topics={topic}", "permessage-deflate; client_max_window_bits") as client:
        assert client.headers["sec-websocket-extensions"] == \
            "permessage-deflate; server_max_window_bits=11; client_max_window_bits=11"
        window = zlib.decompressobj(-11)
        first, payload = client.frame()
        # It may belong to the context.
        assert b"welcome" in (window.decompress(payload + b"\0\0\xff\xff") if first == 0xc1 else payload)
        sizes = []
        for _ in range(3):
            publish(keeping, topic, SECRET)
            first, payload = client.frame()
            assert first == 0xc1
            assert json.loads(window.decompress(payload + b"\0\0\xff\xff"))["message"]["data"] == SECRET
            sizes.append(len(payload))
        assert sizes[2] < sizes[0] / 3
        # The client's own context.
        compressor = zlib.compressobj(9, zlib.DEFLATED, -11)
        for n in range(3):
            data = compressor.compress(b'{"ping":"%s"}' % (b"abcdefgh" * 50)) + compressor.flush(zlib.Z_SYNC_FLUSH)
            client.send(0xc1, data.removesuffix(b"\0\0\xff\xff"))
            assert json.loads(window.decompress(client.frame()[1] + b"\0\0\xff\xff")) == {"pong": "abcdefgh" * 50}
        assert len(data) < 30


PARAMETERS = [
    {}, {"server_no_context_takeover": True}, {"client_no_context_takeover": True}, {"server_max_window_bits": 9},
    {"server_max_window_bits": 15}, {"client_max_window_bits": True}, {"client_max_window_bits": 9, "server_max_window_bits": 12},
    {"server_no_context_takeover": True, "client_no_context_takeover": True, "server_max_window_bits": 10, "client_max_window_bits": 10},
]


@pytest.mark.parametrize("parameters", PARAMETERS, ids=lambda value: " ".join(value) or "none")
@pytest.mark.parametrize("mode", ["shared", "context"])
def test_the_websockets_library(hub, keeping, mode, parameters):
    """What Autobahn's cases 13 ask, by another implementation: texts of many sizes, echoed."""
    server = hub if mode == "shared" else keeping
    with websockets.sync.client.connect(
        f"ws://127.0.0.1:{server.port}/dev/echo", extensions=[ClientPerMessageDeflateFactory(**parameters)], compression=None, proxy=None,
        max_size=None, ping_interval=None,
    ) as client:
        assert "permessage-deflate" in client.response.headers["Sec-WebSocket-Extensions"]
        for size in 0, 1, 16, 64, 255, 256, 257, 1_000, 8_192, 131_072, 1_000_000:
            for text in ("é🚕abc" * (size // 5 + 1))[:size], os.urandom(size):
                client.send(text)
                assert client.recv() == text
