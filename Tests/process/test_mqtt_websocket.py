"""MQTT over WebSocket: frames cut anywhere, the sub-protocol, and a page in a real browser."""

import functools
import http.server
import threading

import pytest

from mqtt import PING, Ended, Type, Wire, connect, publish, subscribe
from mqtt_tools import REFERENCE, mosquitto_deviates, only_martlet
from mqtt_websocket import WebSocketLink
from server import unique
from wire import frame, handshake

PATHS = ["/mqtt"] if REFERENCE else ["/mqtt", "/v1/ws"]


def port(broker) -> int:
    return broker.websocket_port if REFERENCE else broker.port


def enter(broker, version: int = 5, path: str = "/mqtt", cut: int = 0, together: bool = False, **values) -> Wire:
    return Wire.connected(broker, version=version, link=WebSocketLink(port(broker), path, cut=cut, together=together), **values)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("version", [4, 5])
def test_like_on_tcp(broker, topic, version, path):
    """MQTT-6.0.0-1, -3, -4: binary frames in both directions, and `mqtt` is what the server chooses."""
    with enter(broker, version, path) as wire, Wire.connected(broker) as tcp:
        assert wire.link.status == 101 and wire.link.headers["sec-websocket-protocol"] == "mqtt"
        wire.subscribe((topic, 2))
        tcp.subscribe((topic, 2))
        for qos in (0, 1, 2):
            tcp.publish(topic, f"tcp {qos}", qos)
            wire.publish(topic, f"ws {qos}", qos)
        assert wire.messages(6) == tcp.messages(6)
        assert set(wire.link.opcodes) <= {0, 2}
        wire.silent()


@pytest.mark.parametrize("cut", [1, 2, 3, 7, 50])
@pytest.mark.parametrize("together", [False, True])
def test_frames_are_not_packets(broker, topic, cut, together):
    """MQTT-6.0.0-2: a frame may hold a part of a packet, or several."""
    with enter(broker, cut=cut, together=together) as wire:
        wire.send(subscribe(1, (topic, 1)) + publish(topic, "x" * 300, 1, 2) + PING + PING)
        kinds = sorted(wire.packet().type for _ in range(5))
        assert kinds == sorted([Type.SUBACK, Type.PUBACK, Type.PUBLISH, Type.PINGRESP, Type.PINGRESP])


def test_a_message_in_fragments_and_pings_between(broker, topic):
    """RFC 6455 §5.4: fragments of a binary message with a ping between them; empty ones too."""
    with enter(broker) as wire:
        data = publish(topic, "y" * 100, 1, 7)
        first = bytearray(frame(data[:20], 2))
        first[0] &= 0x7F
        middle = bytearray(frame(b"", 0))
        middle[0] &= 0x7F
        wire.link.socket.sendall(bytes(first) + frame(b"ping", 9) + bytes(middle) + frame(data[20:], 0))
        assert wire.expect(Type.PUBACK).id == 7


@mosquitto_deviates("reads text as it reads bytes")
@pytest.mark.parametrize("version", [4, 5])
def test_text_is_the_end(broker, version):
    """MQTT-6.0.0-1."""
    with enter(broker, version) as wire:
        wire.link.socket.sendall(frame(PING, 1))
        with pytest.raises(Ended):
            while wire.packet().type == Type.DISCONNECT:
                pass


@pytest.mark.parametrize("size", [100, 200, 70_000])
def test_large_ones(broker, topic, size):
    with enter(broker) as wire:
        if size > wire.connack.properties.get("maximum_packet", 1 << 20) - 1_000:
            size = wire.connack.properties["maximum_packet"] - 1_000
        wire.subscribe((topic, 1))
        wire.publish(topic, b"z" * size, 1)
        assert wire.message().payload == b"z" * size


@only_martlet
def test_errors_close_the_websocket(broker):
    """The DISCONNECT comes, then a proper close."""
    with enter(broker) as wire:
        wire.send(connect("again"))
        assert wire.ended(0x82).reason == 0x82
        assert wire.link.code in (1000, 1002, 1008)


@only_martlet
def test_other_sub_protocols(broker):
    """Several offers: `mqtt` is chosen of them. Without it /v1/ws is Martlet's own, and /mqtt is nobody's."""
    link = WebSocketLink(broker.port, protocol="mqttv3.1, mqtt")
    assert (link.status, link.headers["sec-websocket-protocol"]) == (101, "mqtt")
    link.close()
    link = WebSocketLink(broker.port, protocol=None)
    assert link.status >= 400
    link.close()
    link = WebSocketLink(broker.port, "/v1/ws?user=a", protocol=None)
    assert link.status == 101 and b"welcome" in link.recv(0)
    link.close()


@only_martlet
def test_packets_with_the_handshake(broker):
    """What is sent before the 101 is there counts after it."""
    from wire import Wire as HTTP

    with HTTP(broker) as http:
        http.send(handshake("/mqtt", "Sec-WebSocket-Protocol: mqtt"), frame(connect(unique("early")) + PING, 2))
        assert http.head().status == 101
        opcode, payload = http.frame()
        assert opcode == 2 and payload[0] == 0x20 and payload[3] == 0


@only_martlet
def test_a_flood_on_a_websocket_is_bounded(own_broker):
    own_broker.get("/healthz")
    before = own_broker.rss_kb()
    with enter(own_broker) as wire:
        wire.link.settimeout(2)
        try:
            for _ in range(3_000):
                wire.link.socket.sendall(frame(PING * 60, 2))
        except OSError:
            pass
    assert own_broker.rss_kb() - before < 40_000


# ---------------------------------------------------------------- a browser

# A little client of MQTT 3.1.1: lengths below 128 only, QoS 0 and 1.
SCRIPT = """
(url, user, topic) => new Promise((resolve, reject) => {
  const text = s => { const b = new TextEncoder().encode(s); return [b.length >> 8, b.length & 255, ...b]; };
  const packet = (first, ...body) => new Uint8Array([first, body.length, ...body]);
  const seen = [];
  const socket = new WebSocket(url, ['mqtt']);
  socket.binaryType = 'arraybuffer';
  let bytes = [];
  socket.onopen = () => socket.send(packet(0x10, ...text('MQTT'), 4, 0x82, 0, 60, ...text('page-' + user), ...text(user)));
  socket.onerror = () => reject(new Error('failed'));
  socket.onclose = event => reject(new Error('closed ' + event.code + ' after ' + JSON.stringify(seen)));
  socket.onmessage = event => {
    bytes.push(...new Uint8Array(event.data));
    while (bytes.length > 1 && bytes.length >= 2 + bytes[1]) {
      const [first, , ...body] = bytes.splice(0, 2 + bytes[1]);
      const kind = first >> 4;
      if (kind === 2) socket.send(packet(0x82, 0, 1, ...text(topic), 1));
      if (kind === 9) socket.send(packet(0x32, ...text(topic), 0, 2, ...new TextEncoder().encode('from the page')));
      if (kind === 3) {
        const size = body[0] * 256 + body[1], qos = first >> 1 & 3;
        const start = 2 + size + (qos ? 2 : 0);
        if (qos) socket.send(packet(0x40, body[2 + size], body[3 + size]));
        seen.push(new TextDecoder().decode(new Uint8Array(body.slice(start))));
        if (seen.length === 2) { socket.onclose = null; socket.send(packet(0xe0)); resolve({seen, protocol: socket.protocol}); }
      }
    }
  };
})
"""


@pytest.fixture
def site(broker, tmp_path):
    """Where the page is from: a browser lets only pages of this machine connect to it. mosquitto has none."""
    if not REFERENCE:
        yield broker.url
        return
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("path", PATHS)
def test_a_page(page, broker, site, topic, path):
    page.goto(site)
    with Wire.connected(broker) as wire:
        wire.subscribe((topic, 1))
        values = [SCRIPT, f"ws://127.0.0.1:{port(broker)}{path}", unique("user"), topic]
        page.evaluate("([script, ...values]) => { window.mqtt = eval(script)(...values); }", values)
        assert wire.message().text == "from the page"
        wire.publish(topic, "to the page", 1)
        assert page.evaluate("window.mqtt") == {"seen": ["from the page", "to the page"], "protocol": "mqtt"}
