"""MQTT's own ports behind what comes before a protocol: TLS, the PROXY protocol; and the end of the server, with all that it keeps."""

import socket
import ssl

import pytest

from mqtt import Ended, Type, Will, Wire, ack, connect
from mqtt_tools import MQTTServer, free_ports, only_martlet
from server import unique
from tls import client_context, make_pair, tls_options

pytestmark = only_martlet

CONNACK_UNAVAILABLE = b"\x20\x02\x00\x03"


@pytest.fixture
def started(tmp_path):
    """Starts a server with more options."""
    servers = []

    def start(*options: str) -> MQTTServer:
        servers.append(MQTTServer(tmp_path / f"data{len(servers)}", "--drain-seconds", "3", *options).start())
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


def link(port: int, head: bytes = b"", source: str | None = None) -> socket.socket:
    made = socket.create_connection(("127.0.0.1", port), 5, source_address=(source, 0) if source else None)
    made.sendall(head)
    return made


def rest(connection: socket.socket) -> bytes:
    """What comes before the end."""
    data = b""
    try:
        while chunk := connection.recv(4_096):
            data += chunk
    except ConnectionError:
        pass
    return data


# ---------------------------------------------------------------- TLS


@pytest.fixture
def secure(started, tmp_path):
    (port,) = free_ports(1)
    server = started("--mqtt-tls-listen", f"127.0.0.1:{port}", *tls_options(make_pair(tmp_path)))
    server.tls_port = port
    return server


def test_tls_and_plain_are_one_server(secure, topic):
    plain_context = client_context()
    plain_context.set_alpn_protocols(["mqtt"])
    with Wire.connected(secure, link=plain_context.wrap_socket(link(secure.tls_port), server_hostname="localhost")) as inside, Wire.connected(secure) as outside:
        inside.subscribe(topic)
        outside.publish(topic, "in the open", 1)
        assert inside.message().text == "in the open"


@pytest.mark.parametrize("said", [connect("plain"), connect("plain", 4), b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"], ids=["MQTT 5", "MQTT 3.1.1", "HTTP"])
def test_plain_text_on_the_tls_port_ends(secure, said):
    """No word of MQTT answers it, and TLS goes on for others."""
    with link(secure.tls_port, said) as connection:
        connection.settimeout(5)
        answer = rest(connection)
        assert b"MQTT" not in answer and not answer.startswith(b"\x20"), answer
    wrapped = client_context().wrap_socket(link(secure.tls_port), server_hostname="localhost")
    with Wire.connected(secure, link=wrapped):
        pass


def test_tls_on_the_plain_port_ends(secure):
    with pytest.raises((ssl.SSLError, ConnectionError, EOFError)):
        client_context().wrap_socket(link(secure.mqtt_port), server_hostname="localhost")
    with Wire.connected(secure):
        pass


# ---------------------------------------------------------------- the PROXY protocol

PROXY = ("--proxy-protocol", "--trusted-proxies", "127.0.0.0/8")


def v2(address: str) -> bytes:
    return b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + socket.inet_aton(address) + socket.inet_aton("127.0.0.1") + b"\x12\x67\0\x50"


@pytest.mark.parametrize("head", [b"PROXY TCP4 203.0.113.9 127.0.0.1 4711 1883\r\n", v2("203.0.113.9")], ids=["version 1", "version 2"])
@pytest.mark.parametrize("pieces", [False, True])
def test_a_proxy_header_comes_before_connect(started, topic, head, pieces):
    server = started(*PROXY)
    made = link(server.mqtt_port)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for part in [head[at:at + 1] for at in range(len(head))] if pieces else [head]:
        made.sendall(part)
    with Wire.connected(server, link=made) as wire:
        wire.subscribe(topic)
        wire.publish(topic, "m", 2)
        assert wire.message().text == "m"


@pytest.mark.parametrize("head", [b"", b"PROXY TCP4 nonsense 127.0.0.1 1 2\r\n", b"PROXY " + b"x" * 300 + b"\r\n"], ids=["none", "malformed", "long"])
def test_without_a_proxy_header_there_is_no_mqtt(started, head):
    server = started(*PROXY)
    with link(server.mqtt_port, head + connect("nobody")) as connection:
        connection.settimeout(5)
        assert rest(connection) == b""
    with Wire.connected(server, link=link(server.mqtt_port, v2("203.0.113.9"))):
        pass


def test_only_trusted_proxies_say_who_it_is(started):
    server = started("--proxy-protocol", "--trusted-proxies", "127.9.9.0/24")
    with link(server.mqtt_port, v2("203.0.113.9") + connect("stranger")) as connection:
        connection.settimeout(5)
        assert rest(connection) == b""
    with Wire.connected(server, link=link(server.mqtt_port, v2("203.0.113.9"), "127.9.9.1")):
        pass


def test_the_address_of_the_header_counts(started):
    server = started(*PROXY, "--limits-connections-per-address", "2")
    wires = [Wire.connected(server, link=link(server.mqtt_port, v2("203.0.113.9"))) for _ in range(2)]
    with link(server.mqtt_port, v2("203.0.113.9") + connect("third")) as connection:
        connection.settimeout(5)
        assert rest(connection) in (b"", CONNACK_UNAVAILABLE)
    with Wire.connected(server, link=link(server.mqtt_port, v2("203.0.113.10"))):
        pass
    for wire in wires:
        wire.close()


# ---------------------------------------------------------------- the end of the server


@pytest.mark.parametrize("version", [4, 5])
def test_a_drain_keeps_what_is_kept(started, topic, version):
    """Clients are told (0x9C with the reference); wills come once, as for each lost connection; sessions and what is under way are there after it."""
    server = started("--mqtt-server-reference", "other.example:1883")
    how = {"clean": False} | ({"session_expiry": 600} if version == 5 else {})
    client, watcher = unique("client"), unique("watch")
    with Wire.connected(server, watcher, version, **how) as watch:
        watch.subscribe((topic + "/will/#", 2))
        watch.leave()
    with (
        Wire.connected(server, client, version, will=Will(topic + "/will/kept", b"kept", 1), **how) as kept,
        Wire.connected(server, version=version, will=Will(topic + "/will/plain", b"plain", 2)) as plain,
        Wire.connected(server, version=version, will=Will(topic + "/will/left", b"left", 1)) as left,
    ):
        left.leave()
        kept.subscribe((topic, 2))
        plain.publish(topic, "under way", 2)
        number = kept.expect(Type.PUBLISH).id
        server.terminate()
        for wire in (kept, plain):
            said = wire.ended(0x9C)
            assert version == 4 or said.properties["server_reference"] == "other.example:1883"
        with pytest.raises((OSError, Ended)):
            Wire.connected(server, version=version, reason=0)
    assert server.wait() == 0, server.tail()
    server.restart()
    with Wire.connected(server, watcher, version, **how) as watch:
        assert watch.connack.present
        assert sorted(watch.messages(2)) == ["kept", "plain"]
        watch.silent(1.5)
    with Wire.connected(server, client, version, **how) as kept:
        assert kept.connack.present
        again = kept.expect(Type.PUBLISH)
        assert (again.text, again.id, again.dup) == ("under way", number, True)
        kept.send(ack(Type.PUBREC, number, version=version))
        assert kept.expect(Type.PUBREL).id == number
        kept.send(ack(Type.PUBCOMP, number, version=version))
        kept.silent()
