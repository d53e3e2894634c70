"""Retained values for clients that do not read: they are not held for them, on no way in."""

import socket
import time

import pytest

from mqtt import Wire, subscribe
from mqtt_tools import MQTTServer, only_martlet
from wire import request

pytestmark = only_martlet
VALUES, SIZE, CLIENTS = 400, 60_000, 25
UPGRADE = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")


@pytest.fixture(scope="module", params=["memory", "durable"])
def filled(request, tmp_path_factory):
    server = MQTTServer(tmp_path_factory.mktemp("retained") / "data", "--limits-subscribe-rate", "0").start()
    server.http.put(server.url + "/v1/namespaces/rt", json={"storage": request.param}).raise_for_status()
    with Wire.connected(server) as wire:
        for number in range(VALUES):
            wire.publish(f"rt/{number:03}", f"{number:03}".encode() * (SIZE // 3), 1, retain=True)
    yield server
    server.stop()


def mqtt(qos: int):
    def join(server) -> socket.socket:
        link = narrow(server.mqtt_port)
        Wire.connected(server, link=link).send(subscribe(1, ("rt/#", qos)))
        return link
    return join


def http(path: str, *fields: str):
    def join(server) -> socket.socket:
        link = narrow(server.port)
        link.sendall(request("GET", path, *fields))
        return link
    return join


def narrow(port: int) -> socket.socket:
    link = socket.socket()
    link.settimeout(20)
    link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    link.connect(("127.0.0.1", port))
    return link


WAYS = {
    "mqtt-0": mqtt(0), "mqtt-1": mqtt(1), "sse": http("/v1/sse?topics=rt%2F%23"), "ndjson": http("/v1/stream?topics=rt%2F%23"),
    "websocket": http("/v1/ws?topics=rt%2F%23", *UPGRADE), "poll": http("/v1/poll?topics=rt%2F%23"),
}


@pytest.mark.parametrize("way", WAYS)
def test_who_does_not_read_is_not_held(filled, way):
    before = filled.rss_kb()
    links = [WAYS[way](filled) for _ in range(CLIENTS)]
    try:
        # What is held grows with each turn of the loops, or not at all.
        time.sleep(2)
        grown = (filled.rss_kb() - before) / 1_024
        print(f"{way}: {grown:.1f} MiB for {CLIENTS} clients and {VALUES * SIZE / 1e6:.0f} MB of values")
        # A window and a message each, and what memory takes beside it; a poll's answer may have four windows.
        assert grown < (40 if way == "poll" else 20)
        if way in ("sse", "ndjson"):
            assert everything(links[0]) == [f"{number:03}" for number in range(VALUES)]
    finally:
        for link in links:
            link.close()


def everything(link: socket.socket) -> list[str]:
    """The values that come, by their first letters, in order."""
    link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    found: list[str] = []
    rest = b""
    while len(found) < VALUES:
        data = link.recv(1 << 20)
        assert data, f"it ended after {len(found)}"
        rest += data
        while (start := rest.find(b'"retained":true')) >= 0 and (end := rest.find(b"\n", start)) >= 0:
            found.append(rest[rest.index(b'"data":"', start) + 8:][:3].decode())
            rest = rest[end:]
    return found


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_who_reads_gets_them_all_once(filled, qos):
    with Wire.connected(filled, timeout=20) as wire:
        wire.subscribe(("rt/#", qos))
        got = [wire.message() for _ in range(VALUES)]
        assert [one.topic for one in got] == [f"rt/{number:03}" for number in range(VALUES)]
        assert all(one.retain and one.qos == min(qos, 1) and one.payload == one.topic[3:].encode() * (SIZE // 3) for one in got)
        wire.silent()


def test_a_poll_says_what_it_leaves_out(filled):
    answer = filled.get("/v1/poll?topics=rt%2F%23").json()
    assert 4 <= len(answer["messages"]) <= 6 and all(one["retained"] for one in answer["messages"])
    assert answer["gaps"] == [{"reason": "slow", "topic": "rt/#"}]
    assert "gaps" not in filled.get("/v1/poll?topics=rt%2F000").json()
