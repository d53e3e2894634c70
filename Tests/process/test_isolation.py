"""One slow, dead or hostile client delays no other."""

import json
import time

from clients import RawSSE, WebSocket


def test_a_slow_reader_delays_nobody_and_costs_no_memory(server):
    line = json.dumps({"to": {"user": "alice"}, "type": "t", "data": "x" * 10_000})

    def publish_1_mb(quick) -> float:
        server.batch([line] * 100)
        begin = time.monotonic()
        quick.take(100, 30)
        return time.monotonic() - begin

    with RawSSE(server, "alice", "quick") as quick:
        # Until the store's own caches are as large as they get.
        slowest_alone = max(publish_1_mb(quick) for _ in range(80))
        before = server.rss_kb()
        stuck = server.connect(receive_buffer=4096)
        stuck.sendall(b"GET /v1/sse?user=alice&device=stuck&from=now HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert stuck.recv(1024).startswith(b"HTTP/1.1 200")
        slowest = max(publish_1_mb(quick) for _ in range(50))
        grown = server.rss_kb() - before
    # 50 MB were published meanwhile; what waits for the slow one waits in the log.
    assert grown < 16_000, f"{grown} KB more"
    assert slowest < max(2, 3 * slowest_alone)
    # It reads on, and gets everything.
    received = 0
    stuck.settimeout(10)
    while received < 5_000 * 10_000:
        chunk = stuck.recv(1 << 20)
        assert chunk, f"closed after {received} bytes"
        received += len(chunk)
    stuck.close()


def test_a_reader_that_never_acks_is_held_at_its_window(hub, user):
    with WebSocket(hub, user, f"{user}-silent", window=8) as silent, WebSocket(hub, user, f"{user}-quick") as quick:
        for n in range(50):
            hub.publish(user, data=n, priority="high")
            assert quick.next()["data"] == n
            quick.send({"ack": quick.last["seq"]})
        silent.take(8)
        silent.silent(0.2)


def test_hostile_bytes_end_one_connection_only(hub, user):
    hostile = [
        b"\x00\x01\x02\x03" * 100,
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /v1/sse?user=x HTTP/1.1\r\n" + b"A: " + b"x" * 200_000,
        b"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999\r\n\r\n",
        b"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nzzz\r\n",
        b"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
        b"GET /v1/ws?user=x HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"GET /v1/messages/%ff%fe HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ]
    with RawSSE(hub, user, f"{user}-d1") as client:
        for payload in hostile:
            connection = hub.connect(timeout=3)
            try:
                connection.sendall(payload)
                connection.recv(65536)
            except OSError:
                pass
            connection.close()
            hub.publish(user, data=1)
            assert client.next()["data"] == 1


def test_pipelined_requests_are_answered_in_order(hub, user):
    connection = hub.connect()
    body = json.dumps({"to": {"user": user}, "data": 1}).encode()
    post = b"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    connection.sendall(post + b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n" + post + b"GET /v1/nothing HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    received = b""
    while chunk := connection.recv(65536):
        received += chunk
    assert [part.split(b" ")[0] for part in received.split(b"HTTP/1.1 ")[1:]] == [b"202", b"200", b"202", b"404"]


def test_a_body_may_come_slowly_and_after_100_continue(hub, user):
    connection = hub.connect()
    body = json.dumps({"to": {"user": user}, "data": 1}).encode()
    connection.sendall(
        b"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body))
    assert connection.recv(100).startswith(b"HTTP/1.1 100")
    for byte in body:
        connection.sendall(bytes([byte]))
    received = b""
    while chunk := connection.recv(65536):
        received += chunk
    assert received.startswith(b"HTTP/1.1 202")


def test_names_that_look_alike_are_two(hub, user):
    """Unicode calls an é of one and of two characters equivalent; to a server they are two users."""
    one, two = f"{user}-caf\u00e9", f"{user}-cafe\u0301"
    with RawSSE(hub, one, f"{user}-1") as first, RawSSE(hub, two, f"{user}-2") as second:
        hub.publish(one, data="one")
        hub.publish(two, data="two")
        both = hub.publish(to={"users": [one, two]}, data="both")
        assert first.data(2) == ["one", "both"]
        assert second.data(2) == ["two", "both"]
        first.silent()
        second.silent()
    assert hub.status(both)["to"] == {"users": [one, two]}
    for name, data in ((one, "one"), (two, "two")):
        held = hub.get("/v1/poll", params={"user": name, "device": f"{user}-{data}"}).json()["messages"]
        assert [message["data"] for message in held] == [data, "both"]
