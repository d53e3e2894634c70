"""The PROXY protocol and X-Forwarded-For: a client's address from those who may say it, and from nobody else."""

import socket
import struct

import pytest

from wire import Wire, request
from test_limits import ending, error, limited  # noqa: F401
from tls import client_context, make_pair, tls_options

V2 = b"\r\n\r\n\x00\r\nQUIT\n"


def v2(address: str, extra: bytes = b"") -> bytes:
    if ":" in address:
        family, rest = 0x21, socket.inet_pton(socket.AF_INET6, address) + socket.inet_pton(socket.AF_INET6, "::1") + struct.pack(">HH", 1, 2)
    else:
        family, rest = 0x11, socket.inet_aton(address) + socket.inet_aton("127.0.0.1") + struct.pack(">HH", 1, 2)
    return V2 + bytes([0x21, family]) + struct.pack(">H", len(rest + extra)) + rest + extra


HEALTH = request("GET", "/healthz")


@pytest.mark.parametrize("head", [
    b"PROXY TCP4 203.0.113.9 127.0.0.1 4711 80\r\n", b"PROXY TCP6 2001:db8::9 ::1 4711 80\r\n", b"PROXY UNKNOWN\r\n", v2("203.0.113.9"),
    v2("2001:db8::9"), v2("203.0.113.9", b"\x04\x00\x03abc"), V2 + b"\x20\x00\x00\x00",
], ids=["v1-4", "v1-6", "v1-unknown", "v2-4", "v2-6", "v2-extra", "v2-local"])
def test_a_proxy_header_comes_before_the_request(limited, head):
    server = limited("--proxy-protocol", "--trusted-proxies", "127.0.0.0/8")
    with Wire(server) as whole, Wire(server) as pieces:
        whole.send(head + HEALTH)
        assert whole.answer()[0] == 200
        for byte in head + HEALTH:
            pieces.send(bytes([byte]))
        assert pieces.answer()[0] == 200


@pytest.mark.parametrize("head", [
    HEALTH, b"PROXY TCP4 203.0.113.9 127.0.0.1 4711\r\n", b"PROXY TCP4 nonsense 127.0.0.1 1 2\r\n", b"PROXY " + b"x" * 300 + b"\r\n",
    V2 + b"\x21\x11\xff\xff", V2 + b"\x21\x11\x00\x04abcd", V2 + b"\x31\x11\x00\x0c" + b"a" * 12, b"\x00" * 50, b"\r\n\r\nGET / HTTP/1.1\r\n\r\n",
    b"\x16\x03\x01\x00\x05hello",
], ids=["none", "short", "no-address", "long", "v2-huge", "v2-short", "v2-version", "zeros", "lines", "tls"])
def test_without_a_proxy_header_the_connection_ends(limited, head):
    server = limited("--proxy-protocol", "--trusted-proxies", "127.0.0.0/8")
    with Wire(server) as wire:
        wire.send(head + HEALTH)
        assert ending(wire) == b""
    with Wire(server) as good:
        good.send(v2("203.0.113.9") + HEALTH)
        assert good.answer()[0] == 200


def test_only_trusted_proxies_may_connect_with_the_proxy_protocol(limited):
    server = limited("--proxy-protocol", "--trusted-proxies", "127.9.9.0/24")
    with Wire(server) as stranger, Wire(server, source="127.9.9.1") as proxy:
        try:
            stranger.send(v2("203.0.113.9") + HEALTH)
        except OSError:
            pass
        assert ending(stranger) == b""
        proxy.send(v2("203.0.113.9") + HEALTH)
        assert proxy.answer()[0] == 200
    assert "not a trusted proxy" in server.log.read_text()


def test_the_proxied_address_is_counted(limited):
    server = limited("--proxy-protocol", "--trusted-proxies", "127.0.0.0/8", "--limits-connections-per-address", "2")
    held = [Wire(server).send(v2("203.0.113.9") + HEALTH) for _ in range(2)]
    assert [wire.answer()[0] for wire in held] == [200, 200]
    with Wire(server) as third, Wire(server) as other:
        third.send(v2("203.0.113.9") + HEALTH)
        assert error(third.answer()[1]) == "too_many_connections"
        other.send(v2("203.0.113.8") + HEALTH)
        assert other.answer()[0] == 200
    for wire in held:
        wire.close()


def test_a_proxy_header_comes_before_tls(limited, tmp_path):
    server = limited("--proxy-protocol", "--trusted-proxies", "127.0.0.0/8", *tls_options(make_pair(tmp_path)))
    plain = server.connect()
    plain.sendall(v2("203.0.113.9"))
    with client_context().wrap_socket(plain, server_hostname="localhost") as secure:
        secure.sendall(HEALTH)
        assert secure.recv(65536).startswith(b"HTTP/1.1 200")


def streams(server, *headers: str) -> Wire:
    return Wire(server).send(request("GET", "/v1/sse?user=forwarded", *headers))


def test_forwarded_addresses_of_trusted_proxies_are_counted(limited):
    server = limited("--trusted-proxies", "127.0.0.0/8,10.0.0.0/8", "--limits-connections-per-address", "2")
    held = []
    # What the client wrote itself, left of what the proxies wrote, does not make it another.
    for forwarded in ("203.0.113.9", "1.1.1.1, 203.0.113.9, 10.0.0.7"):
        held.append(streams(server, f"X-Forwarded-For: {forwarded}"))
        assert held[-1].head().status == 200
    refused = streams(server, "X-Forwarded-For: 2.2.2.2", "X-Forwarded-For: 203.0.113.9")
    status, body = refused.answer()
    assert (status, error(body)) == (503, "too_many_connections")
    # The proxy's connection itself goes on, for another client.
    refused.send(request("GET", "/healthz", "X-Forwarded-For: 203.0.113.8"))
    assert refused.answer()[0] == 200
    other = streams(server, "X-Forwarded-For: 203.0.113.8")
    assert other.head().status == 200
    for wire in (*held, refused, other):
        wire.close()


def test_forwarded_addresses_of_others_do_not_count(limited):
    server = limited("--trusted-proxies", "10.0.0.0/8", "--limits-connections-per-address", "2")
    held = [streams(server, f"X-Forwarded-For: 203.0.113.{number}") for number in range(2)]
    assert [wire.head().status for wire in held] == [200, 200]
    with Wire(server) as refused:
        assert error(refused.answer()[1]) == "too_many_connections"
    for wire in held:
        wire.close()


@pytest.mark.parametrize("value", [
    "", ",", ", , ,", "unknown", "203.0.113.9:99999", "[2001:db8::1", "::ffff:203.0.113.9", "a" * 5_000, "1.1.1.1," * 1_000, "<script>", "203.0.113.9\t,\t",
    "\u0661.\u0662.3.4", "-1", "0x7f000001", "203.0.113.9%00", '"203.0.113.9"',
])
def test_hostile_forwarded_addresses(limited, value):
    server = limited("--trusted-proxies", "127.0.0.0/8", "--limits-connections-per-address", "2")
    for _ in range(3):
        with Wire(server) as wire:
            wire.send(f"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: {value}\r\n\r\n".encode())
            assert wire.answer()[0] == 200
