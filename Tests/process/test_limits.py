"""Connections, sessions, heads, bodies and rates over their limits: the documented answer, and nobody else is hurt."""

import json
import os
import resource
import socket
import time

import pytest

from server import Server, unique, wait_until
from wire import Wire, frame, handshake, request
from tls import connect_tls, make_pair, read_all, tls_options


@pytest.fixture
def limited(tmp_path):
    """Starts servers with options; stops them all."""
    servers = []

    def start(*options: str) -> Server:
        server = Server(tmp_path / f"data{len(servers)}", "--drain-seconds", "1", *options).start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        assert server.process.poll() is None, server.tail()
        server.stop()


def error(body: bytes) -> str:
    return json.loads(body)["error"]["code"]


def ending(wire: Wire) -> bytes:
    """What comes until the end; an end without a word is none."""
    try:
        return wire.to_end()
    except ConnectionError:
        return wire.rest


# ---------------------------------------------------------------- connections


def test_more_connections_than_allowed_are_refused_and_the_others_stay(limited):
    server = limited("--limits-connections", "20")
    streams = [Wire(server) for _ in range(18)]
    for number, wire in enumerate(streams):
        wire.send(request("GET", f"/v1/sse?user=u{number}"))
        wire.until(b"event: welcome")
    with Wire(server) as ready, Wire(server) as last:
        ready.send(request("GET", "/readyz"))
        status, body = ready.answer()
        assert status == 503
        assert json.loads(body) == {"status": "too_many_connections", "connections": 20, "limit": 20}
        for _ in range(3):
            with Wire(server) as refused:
                refused.send(request("GET", "/healthz"))
                head = refused.head()
                assert head.status == 503 and head.headers["retry-after"] == "1" and head.headers["connection"] == "close"
                assert error(refused.to_end()) == "too_many_connections"
        last.send(request("POST", "/v1/messages", "Content-Length: 33", body='{"to":{"user":"u3"},"data":"here"}'[:33]))
        assert last.answer()[0] == 400  # not JSON, but answered
        body = '{"to":{"user":"u3"},"data":"here"}'
        last.send(request("POST", "/v1/messages", f"Content-Length: {len(body)}", body=body))
        assert last.answer()[0] == 202
        streams[3].until(b'"here"')
    for wire in streams:
        wire.close()
    wait_until(lambda: server.get("/readyz").status_code == 200, 5, "readiness after the others left")
    assert "connections refused" in server.log.read_text()


def test_refused_tls_connections_are_closed_without_a_handshake(limited, tmp_path):
    server = limited("--limits-connections", "3", *tls_options(make_pair(tmp_path)))
    held = [connect_tls(server) for _ in range(3)]
    with server.connect() as refused:
        assert read_all(refused) == b""
    for client in held:
        client.close()


def test_one_address_cannot_take_all_connections(limited):
    server = limited("--limits-connections-per-address", "5")
    held = [Wire(server, source="127.0.7.1").send(request("GET", "/healthz")) for _ in range(5)]
    assert [wire.answer()[0] for wire in held] == [200] * 5
    with Wire(server, source="127.0.7.1") as refused, Wire(server, source="127.0.7.2") as other:
        assert error(refused.answer()[1]) == "too_many_connections"
        other.send(request("GET", "/healthz"))
        assert other.answer()[0] == 200
    held.pop().close()

    def again() -> bool:
        with Wire(server, source="127.0.7.1") as wire:
            wire.send(request("GET", "/healthz"))
            return wire.answer()[0] == 200

    wait_until(again, 5, "the place that was given back")
    for wire in held:
        wire.close()


def test_descriptors_run_short(limited):
    """Near RLIMIT_NOFILE new connections are refused, existing ones stay, and the server does not spin."""
    server = limited("--limits-reserved-files", "19960")
    held = []
    for _ in range(60):
        held.append(Wire(server, source="127.0.8.1"))
    answers = []
    for wire in held:
        wire.send(request("GET", "/v1/poll?user=fd&wait=0"))
        answers.append(wire.answer()[0])
    assert (answers.count(200), answers.count(503)) == (40, 20)
    ticks = cpu_ticks(server)
    time.sleep(1)  # the time over which CPU is measured
    assert cpu_ticks(server) - ticks < 30
    for wire in held:
        wire.close()


def test_no_descriptor_is_left(limited):
    """What the gate cannot foresee: accepting pauses instead of spinning, open connections go on, and later all is well."""
    server = limited()
    with Wire(server) as stream:
        stream.send(request("GET", "/v1/sse?user=fd"))
        stream.until(b"event: welcome")
        server.publish("fd", data="before")
        stream.until(b'"before"')
        count = len(os.listdir(f"/proc/{server.pid}/fd")) + 20
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (count, count))
        held = [server.connect() for _ in range(60)]
        wait_until(lambda: "cannot be accepted" in server.log.read_text(), 5, "the line about it")
        ticks = cpu_ticks(server)
        time.sleep(1)  # the time over which CPU is measured
        assert cpu_ticks(server) - ticks < 30
        server.publish("fd", data="meanwhile")  # on the connection that the first publish opened
        stream.until(b'"meanwhile"')
        for client in held:
            client.close()
        with Wire(server) as again:
            again.send(request("GET", "/healthz"))
            assert again.answer()[0] == 200


def cpu_ticks(server: Server) -> int:
    with open(f"/proc/{server.pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


# ---------------------------------------------------------------- heads and bodies


def test_heads_over_their_limits(limited):
    server = limited("--limits-header-bytes", "4096", "--limits-header-count", "20")
    for fields, status in (
        (["X: " + "y" * 3_000], 200), (["X: " + "y" * 5_000], 431), ([f"X-{n}: {'y' * 400}" for n in range(15)], 431),
        ([f"X-{n}: y" for n in range(18)], 200), ([f"X-{n}: y" for n in range(25)], 431), (["X" * 5_000 + ": y"], 431), (["X: " + "y" * 90_000], 431),
    ):
        with Wire(server) as wire:
            wire.send(request("GET", "/healthz", *fields))
            answer, body = wire.answer()
            assert answer == status, (fields[0][:20], body)
            if status == 431:
                assert error(body) == "header_too_large" and ending(wire) == b""
    with Wire(server) as wire:
        wire.send(request("GET", "/" + "a" * 5_000))
        assert wire.answer()[0] == 431


def test_80_kilobytes_of_header_get_431_by_default(hub):
    with Wire(hub) as wire:
        wire.send(request("GET", "/healthz", "X: " + "y" * 81_920))
        assert wire.answer()[0] == 431


def test_trailers_count_as_header_fields(limited):
    server = limited("--limits-header-count", "20")
    with Wire(server) as wire:
        trailers = "".join(f"X-{n}: y\r\n" for n in range(30))
        wire.send(request("POST", "/v1/messages", "Transfer-Encoding: chunked", body="2\r\n{}\r\n0\r\n" + trailers + "\r\n"))
        assert wire.answer()[0] == 431


def test_slow_heads_get_408_and_slow_bodies_too(limited):
    server = limited("--limits-head-seconds", "1", "--limits-body-seconds", "2", "--limits-idle-seconds", "3")
    silent, slow, body, idle, second, stream = (Wire(server) for _ in range(6))
    stream.send(request("GET", "/v1/sse?user=slow"))
    stream.until(b"event: welcome")
    idle.send(request("GET", "/healthz"))
    assert idle.answer()[0] == 200
    second.send(request("GET", "/healthz"))
    assert second.answer()[0] == 200
    start = time.monotonic()
    slow.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-")
    second.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-")
    body.send(request("POST", "/v1/messages", "Content-Length: 1000"))

    def drip(wire: Wire, seconds: float) -> None:
        """A byte now and then keeps nothing open."""
        wire.socket.settimeout(0.3)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            try:
                wire.socket.sendall(b"y")
                wire.more()
            except TimeoutError:
                continue
            except (OSError, EOFError):
                return
            if b"\r\n\r\n" in wire.rest:
                return

    drip(slow, 8)
    status, answer = slow.answer()
    assert (status, error(answer)) == (408, "request_timeout")
    assert 0.9 < time.monotonic() - start < 4
    assert second.answer()[0] == 408
    assert ending(silent) == b""
    drip(body, 8)
    status, answer = body.answer()
    assert (status, error(answer)) == (408, "request_timeout")
    assert 1.9 < time.monotonic() - start < 6
    assert ending(idle) == b""
    assert 2.5 < time.monotonic() - start < 8
    server.publish("slow", data="still here")
    stream.until(b'"still here"')
    for wire in (silent, slow, body, idle, second, stream):
        wire.close()


# ---------------------------------------------------------------- sessions


def refusals(server: Server, user: str) -> dict[str, str]:
    """What each transport says to one more session."""
    answers = {}
    for name, data in {
        "sse": request("GET", f"/v1/sse?user={user}"), "websocket": handshake(f"/v1/ws?user={user}"),
        "poll": request("GET", f"/v1/poll?user={user}&wait=1"), "ramen": request("GET", f"/ramen/receive?user={user}&device=r&seq=0"),
    }.items():
        with Wire(server) as wire:
            head = wire.send(data).head()
            if head.status != 429:
                answers[name] = str(head.status)
                continue
            assert int(head.headers["retry-after"]) >= 1
            answers[name] = error(wire.exactly(int(head.headers["content-length"])))
    return answers


def test_sessions_of_one_user(limited):
    server = limited("--limits-sessions-per-user", "5")
    user = unique("many")
    held = []
    for number in range(5):
        wire = Wire(server).send(request("GET", f"/v1/sse?user={user}&device=d{number}"))
        wire.until(b"event: welcome")
        held.append(wire)
    assert refusals(server, user) == dict.fromkeys(("sse", "websocket", "poll", "ramen"), "too_many_sessions")
    # A device takes over its own place, and other users have theirs.
    with Wire(server) as again, Wire(server) as other:
        again.send(request("GET", f"/v1/sse?user={user}&device=d0"))
        again.until(b"event: welcome")
        other.send(request("GET", "/v1/sse?user=somebody-else"))
        other.until(b"event: welcome")
    for wire in held:
        wire.close()
    wait_until(lambda: server.get("/v1/poll", params={"user": user}).status_code == 200, 5, "places given back")


def test_sessions_opened_in_a_second(limited):
    server = limited("--limits-subscribe-rate", "1", "--limits-subscribe-burst", "3")
    user = unique("fast")
    for number in range(3):
        with Wire(server) as wire:
            wire.send(request("GET", f"/v1/sse?user={user}"))
            wire.until(b"event: welcome")
    assert refusals(server, user) == dict.fromkeys(("sse", "websocket", "poll", "ramen"), "rate_limited")
    with Wire(server) as other:
        other.send(request("GET", "/v1/sse?user=patient"))
        other.until(b"event: welcome")
    # A loop of polls goes on with its cursor, and is not counted.
    polled = unique("polled")
    cursor = ""
    for _ in range(20):
        answer = server.get("/v1/poll", params={"user": polled, "device": "p", "cursor": cursor})
        assert answer.status_code == 200, answer.text
        cursor = answer.json()["cursor"]

    def again() -> bool:
        with Wire(server) as wire:
            return wire.send(request("GET", f"/v1/sse?user={user}")).head().status == 200

    wait_until(again, 5, "the rate's next place")


def test_connections_of_an_app(limited):
    server = limited("--apps-default-connections", "3")
    held = [Wire(server).send(request("GET", f"/v1/sse?user=app{number}")) for number in range(3)]
    for wire in held:
        wire.until(b"event: welcome")
    with Wire(server) as refused:
        status, body = refused.send(request("GET", "/v1/sse?user=one-more")).answer()
        assert (status, error(body)) == (503, "too_many_connections")
    assert server.publish("app1", data=1)
    for wire in held:
        wire.close()


# ---------------------------------------------------------------- publish rate


def test_publishes_over_the_rate(limited):
    server = limited("--limits-publish-rate", "2", "--limits-publish-burst", "5")
    one = {"to": {"user": "rate"}, "data": 1}
    assert [server.post(one).status_code for _ in range(5)] == [202] * 5
    refused = server.post(one)
    assert refused.status_code == 429
    assert refused.headers["retry-after"] == "1"
    detail = refused.json()["error"]
    assert (detail["code"], detail["limit"]) == ("rate_limited", 2)
    assert 1 <= detail["retryAfterMs"] <= 500
    time.sleep(detail["retryAfterMs"] / 1_000)  # exactly as long as it said
    assert server.post(one).status_code == 202


def test_a_batch_counts_its_messages(limited):
    server = limited("--limits-publish-rate", "100", "--limits-publish-burst", "50")
    line = json.dumps({"to": {"user": "rate"}, "data": 1})
    assert server.batch([line] * 49).status_code == 202
    refused = server.batch([line] * 50)
    assert refused.status_code == 429
    wait = refused.json()["error"]["retryAfterMs"]
    assert 300 <= wait <= 490
    time.sleep(wait / 1_000)  # exactly as long as it said
    # More than the burst goes when the bucket is full, and is paid for afterwards.
    assert server.batch([line] * 50).status_code == 202
    refused = server.batch([line] * 10)
    assert refused.status_code == 429


def test_an_app_has_a_rate_of_its_own(limited):
    server = limited("--apps-default-publish-rate", "2", "--limits-publish-burst", "5")
    one = {"to": {"user": "rate"}, "data": 1}
    answers = [server.post(one).status_code for _ in range(10)]
    assert answers == [202] * 5 + [429] * 5
    assert "The app" in server.post(one).json()["error"]["message"]
