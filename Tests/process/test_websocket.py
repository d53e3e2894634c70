"""GET /v1/ws beyond what every transport does."""

import base64
import os
import struct
import time

import pytest

from clients import Refused, WebSocket


def close_of(client, timeout=5):
    return client.notice("close", timeout)["code"]


def test_the_welcome(hub, user):
    with WebSocket(hub, user, f"{user}-d1") as client:
        welcome = client.welcome
    assert welcome["ack"] == "explicit"
    assert welcome["window"] == {"messages": 64, "bytes": 65_536}
    assert welcome["heartbeatMs"] == 25_000
    assert (welcome["user"], welcome["device"]) == (user, f"{user}-d1")
    assert welcome["cursor"] and welcome["session"]


def test_seq_counts_from_1_in_each_session(hub, user):
    for _ in range(2):
        with WebSocket(hub, user, f"{user}-d1") as client:
            for n in range(3):
                hub.publish(user, data=n)
            assert [message["seq"] for message in client.take(3)] == [1, 2, 3]
            client.acknowledge()


def test_cumulative_acks_open_the_window(hub, user):
    with WebSocket(hub, user, f"{user}-d1", window=4) as client:
        for n in range(12):
            hub.publish(user, data=n, priority="high")
        client.take(4)
        client.silent(0.2)
        client.send({"ack": 3})
        assert client.data(3) == [4, 5, 6]
        client.silent(0.1)


def test_single_acks_move_the_position_over_the_acked_prefix(hub, user):
    with WebSocket(hub, user, f"{user}-d1") as client:
        for n in range(4):
            hub.publish(user, data=n)
        client.take(4)
        client.send({"ack": [1, 3, 4]})
        client.send({"ping": 1})
        client.notice("pong")
    with WebSocket(hub, user, f"{user}-d1") as client:
        # 1 was acked; 2 was not, so what follows it may come again.
        assert client.next()["data"] == 1
        assert client.last["redelivered"] is True


def test_an_ack_by_cursor(hub, user):
    with WebSocket(hub, user, f"{user}-d1") as client:
        for n in range(3):
            hub.publish(user, data=n)
        client.take(2)
        client.send({"ack": client.position})
        client.send({"ping": 1})
        client.notice("pong")
    with WebSocket(hub, user, f"{user}-d1") as client:
        assert client.next()["data"] == 2


def test_acks_that_cannot_be(hub, user):
    for ack, expected in ((99, "seq_unknown"), ([1, 99], "seq_unknown"), ("garbage", "invalid_cursor")):
        with WebSocket(hub, user, f"{user}-d1") as client:
            client.send({"ack": ack})
            assert client.notice("error")["code"] == expected
            assert close_of(client) == 1008


def test_no_acks_if_asked_for(hub, user):
    with WebSocket(hub, user, f"{user}-d1", ack="none", window=2) as client:
        assert client.welcome["ack"] == "none"
        for n in range(20):
            hub.publish(user, data=n)
        assert client.data(20) == list(range(20))


def test_pings_are_echoed(hub, user):
    with WebSocket(hub, user, f"{user}-d1") as client:
        for value in (1, "text", None, {"a": [1, 2.50]}):
            client.send({"ping": value})
            assert client.notice("pong") == value
        waiter = client.connection.ping()  # the protocol's own
        assert waiter.wait(5)
        client.send("{}")  # a client's heartbeat
        client.send({"ping": "still here"})
        assert client.notice("pong") == "still here"


@pytest.mark.parametrize("frame", ["hello", "7", "[]", '{"ack":-1}', '{"ack":1.5}', '{"ack":{}}', '{"nack":1}', '{"ack":1,"ping":2}', ""])
def test_bad_frames(hub, user, frame):
    with WebSocket(hub, user, f"{user}-d1") as client:
        client.send(frame)
        assert client.notice("error")["code"] in ("bad_request", "invalid_json")
        assert close_of(client) == 1008


def test_binary_frames_are_not_taken(hub, user):
    with WebSocket(hub, user, f"{user}-d1") as client:
        client.send(b"\x00")
        assert close_of(client) == 1003


def test_large_frames_are_not_taken(hub, user):
    with WebSocket(hub, user, f"{user}-d1") as client:
        client.send('{"ping":"' + "x" * 5_000_000 + '"}')
        assert close_of(client) == 1009


def test_a_fragmented_frame_is_put_together(hub, user):
    with WebSocket(hub, user, f"{user}-d1") as client:
        client.connection.send(iter(['{"ping":', '"in ', 'pieces"}']))
        assert client.notice("pong") == "in pieces"


def test_a_clients_close_is_answered(hub, user):
    with WebSocket(hub, user, f"{user}-d1") as client:
        client.connection.close(1000, "bye")
        assert close_of(client) == 1000


def test_taken_over_may_return_with_its_cursor(hub, user):
    with WebSocket(hub, user, f"{user}-d1") as first:
        hub.publish(user, data=1)
        first.next()
        with WebSocket(hub, user, f"{user}-d1") as second:
            closed = first.notice("close")
            assert (closed["code"], closed["reason"]) == (4500, "taken over")
            with WebSocket(hub, user, f"{user}-d1", resume=first.position) as third:
                assert close_of(second) == 4500
                hub.publish(user, data=2)
                assert third.next()["data"] == 2


def test_heartbeats_are_pings(hub, user):
    connection = handshake(hub, f"/v1/ws?user={user}&device={user}-d1&heartbeat=1")
    opcodes = [read_frame(connection)[0] for _ in range(2)]
    assert opcodes == [1, 9]  # the welcome, then a ping
    connection.close()


def test_heartbeats_can_be_seen_by_javascript(hub, user):
    with WebSocket(hub, user, f"{user}-d1", heartbeat=1, hb="visible") as client:
        assert client.notice("hb", 3) == {}


def test_an_answered_heartbeat_keeps_the_session(hub, user):
    with WebSocket(hub, user, f"{user}-d1", heartbeat=1) as client:  # the library answers pings
        time.sleep(3.2)
        hub.publish(user, data=1)
        assert client.next()["data"] == 1


def test_a_dead_client_is_closed_after_two_intervals(hub, user):
    connection = handshake(hub, f"/v1/ws?user={user}&device={user}-d1&heartbeat=1")
    begin = time.monotonic()
    while True:
        opcode, payload = read_frame(connection)
        if opcode == 8:
            break
        assert time.monotonic() - begin < 6
    assert struct.unpack("!H", payload[:2])[0] == 4000
    assert 1.8 < time.monotonic() - begin < 4.5
    connection.close()


def test_garbage_and_missing_names_are_refused(hub, user):
    for query, status in (({"cursor": "garbage"}, 400), ({"ack": "maybe"}, 400)):
        with pytest.raises(Refused) as refused:
            WebSocket(hub, user, f"{user}-d1", **query)
        assert refused.value.status == status
        assert '"error"' in refused.value.body


def test_a_plain_get_and_another_version_are_told_to_upgrade(hub, user):
    answer = hub.get(f"/v1/ws?user={user}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (426, "upgrade_required")
    answer = hub.get(f"/v1/ws?user={user}", headers={
        "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "8", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    })
    assert (answer.status_code, answer.headers.get("sec-websocket-version")) == (426, "13")


def test_the_echo_for_conformance_suites(hub):
    import websockets.sync.client

    with websockets.sync.client.connect(f"ws://127.0.0.1:{hub.port}/dev/echo", compression=None, proxy=None) as connection:
        for payload in ("text", b"\x00\xff", "é" * 10_000):
            connection.send(payload)
            assert connection.recv(5) == payload


# ---------------------------------------------------------------- a client that answers nothing


def handshake(server, path):
    connection = server.connect()
    key = base64.b64encode(os.urandom(16)).decode()
    connection.sendall(
        f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
    )
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += connection.recv(1)
    assert b" 101 " in head.split(b"\r\n")[0]
    return connection


def read_frame(connection):
    def read(count):
        data = b""
        while len(data) < count:
            chunk = connection.recv(count - len(data))
            assert chunk, "closed without a close frame"
            data += chunk
        return data

    first, length = read(2)
    if length == 126:
        length, = struct.unpack("!H", read(2))
    elif length == 127:
        length, = struct.unpack("!Q", read(8))
    return first & 15, read(length)
