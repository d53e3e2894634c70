"""HTTP/2: every path over it, streams as sessions of their own, flow control, going down."""

import json
import shutil
import subprocess
import time

import httpx
import pytest

import metrics
from access import Guarded
from http2 import Client
from server import Server, unique, wait_until
from tls import client_context, connect_tls, make_pair, tls_options


@pytest.fixture(scope="module")
def secure(tmp_path_factory):
    folder = tmp_path_factory.mktemp("http2")
    server = Server(folder / "data", *tls_options(make_pair(folder)), "--limits-subscribe-rate", "0", "--drain-seconds", "3").start()
    yield server
    server.stop()


def streams(server) -> float:
    return metrics.Numbers(metrics.text(server))["martlet_http2_streams"]


def publish(server, topic: str, data) -> None:
    server.http.post(f"{server.url}/v1/topics/{topic}", json=data).raise_for_status()


def texts(answer) -> list:
    """The data of the messages on an event stream."""
    lines = answer.body.decode().split("\n")
    return [json.loads(line[6:])["data"] for line in lines if line.startswith('data: {"id"')]


# ---------------------------------------------------------------- what is agreed on


def test_alpn(secure):
    for offered, chosen in (["h2", "http/1.1"], "h2"), (["http/1.1", "h2"], "h2"), (["http/1.1"], "http/1.1"), ([], None):
        context = client_context()
        context.set_alpn_protocols(offered) if offered else None
        if not offered:
            context.set_alpn_protocols([])
        with connect_tls(secure, context) as connection:
            assert connection.selected_alpn_protocol() == chosen


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_a_client_with_a_library(hub, secure, tls):
    server = secure if tls else hub
    with httpx.Client(http2=True, http1=tls, verify=False, trust_env=False, base_url=server.url) as client:
        user, topic = unique("h2-user"), unique("h2")
        answer = client.post("/v1/messages", json={"to": {"user": user}, "data": {"a": 1}})
        assert (answer.status_code, answer.http_version) == (202, "HTTP/2")
        message = answer.json()["id"]
        polled = client.get("/v1/poll", params={"user": user, "device": f"{user}-1"})
        assert [entry["data"] for entry in polled.json()["messages"]] == [{"a": 1}]
        assert client.get(f"/v1/messages/{message}").json()["devices"]
        assert client.post("/v1/ack", params={"user": user, "device": f"{user}-1"}, json={"cursor": polled.json()["cursor"]}).status_code == 204
        assert client.get("/v1/poll", params={"user": user, "device": f"{user}-1", "cursor": polled.json()["cursor"]}).json()["messages"] == []
        with client.stream("GET", "/v1/sse", params={"topics": topic}) as stream:
            assert stream.headers["content-type"] == "text/event-stream"
            lines = stream.iter_lines()
            while not next(lines).startswith("data:"):
                pass
            for n in range(3):
                assert client.post(f"/v1/topics/{topic}", json=n).status_code == 202
            got = []
            while len(got) < 3:
                line = next(lines)
                if line.startswith('data: {"id"'):
                    got.append(json.loads(line[6:])["data"])
            assert got == [0, 1, 2]


def test_curl_and_nghttp(hub, secure):
    for command in (
        ["curl", "-sk", "--http2", "-o", "/dev/null", "-w", "%{http_version} %{http_code}", f"{secure.url}/healthz"],
        ["curl", "-s", "--http2-prior-knowledge", "-o", "/dev/null", "-w", "%{http_version} %{http_code}", f"{hub.url}/healthz"],
    ):
        assert subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout == "2 200"
    if not shutil.which("h2load"):
        pytest.skip("no h2load here: apt-get install nghttp2-client")
    for url in hub.url, secure.url:
        done = subprocess.run(["h2load", "-n", "2000", "-c", "20", "-m", "50", f"{url}/healthz"], capture_output=True, text=True, timeout=60)
        assert "2000 succeeded, 0 failed, 0 errored" in done.stdout, done.stdout


def test_switched_off(tmp_path):
    server = Server(tmp_path / "data", "--http2=false").start()
    try:
        with server.connect() as connection:
            connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            assert connection.recv(100).startswith(b"HTTP/1.1 400")
    finally:
        server.stop()


def test_switched_off_in_tls(tmp_path):
    server = Server(tmp_path / "data", *tls_options(make_pair(tmp_path)), "--http2=false").start()
    try:
        context = client_context()
        context.set_alpn_protocols(["h2", "http/1.1"])
        with connect_tls(server, context) as connection:
            assert connection.selected_alpn_protocol() == "http/1.1"
    finally:
        server.stop()


def test_a_preface_in_pieces(hub):
    with Client.__new__(Client) as client:
        whole = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\x04\0\0\0\0\0"
        client.socket = hub.connect()
        for byte in whole:
            client.socket.sendall(bytes([byte]))
            time.sleep(0.002)
        # SETTINGS
        assert client.socket.recv(9)[3] == 4


# ---------------------------------------------------------------- requests and answers


def test_answers_have_no_fields_of_a_connection(hub):
    with Client(hub) as client:
        for path in "/healthz", "/v1/ws", "/nothing", "/v1/poll":
            answer = client.get(path)
            assert answer.ended and answer.reset is None
            names = {name for name, _ in answer.fields}
            assert not names & {"connection", "keep-alive", "transfer-encoding", "upgrade", "proxy-connection"}, names
            assert all(name == name.lower() for name in names)


def test_methods(hub):
    with Client(hub) as client:
        head = client.until(lambda s=client.request("HEAD", "/healthz"): client.answers[s].ended) or client.answers[1]
        assert (head.status, head.body, int(head.headers["content-length"])) == (200, b"", 16)
        stream = client.request("CONNECT", "", end=False)
        client.until(lambda: client.answers[stream].ended)
        assert client.answers[stream].status == 404
        stream = client.request("OPTIONS", "/v1/messages", [("origin", "http://localhost"), ("access-control-request-method", "POST")])
        client.until(lambda: client.answers[stream].ended)
        assert client.answers[stream].status == 204
        assert client.get("/v1/ws").status == 426
        assert client.get("/healthz").status == 200


def test_bodies(hub):
    topic = unique("h2")
    with Client(hub) as client:
        # In parts, without a length, with trailers.
        stream = client.request("POST", f"/v1/topics/{topic}", body=b"one ", end=False)
        client.h2.send_data(stream, b"two")
        client.h2.send_headers(stream, [("x-trailer", "1")], end_stream=True)
        client.flush()
        client.until(lambda: client.answers[stream].ended)
        assert client.answers[stream].status == 202
        # An interim answer first.
        stream = client.request("POST", f"/v1/topics/{topic}", [("expect", "100-continue")], end=False)
        client.until(lambda: client.answers[stream].interim)
        assert client.answers[stream].interim[0][":status"] == "100"
        client.h2.send_data(stream, b"three", end_stream=True)
        client.flush()
        client.until(lambda: client.answers[stream].ended)
        assert client.answers[stream].status == 202
        # Too long: answered at once, and the client need not send the rest.
        stream = client.request("POST", f"/v1/topics/{topic}", [("content-length", "10000000")], end=False)
        client.until(lambda: client.answers[stream].reset is not None)
        assert (client.answers[stream].status, client.answers[stream].reset) == (413, 0)
        assert client.get("/healthz").status == 200


def test_a_large_batch_goes_through_the_window(hub):
    user = unique("h2-batch")
    lines = "\n".join(json.dumps({"to": {"user": user}, "data": "x" * 1_000}) for _ in range(1_000))
    with httpx.Client(http2=True, http1=False, trust_env=False, base_url=hub.url, timeout=30) as client:
        answer = client.post("/v1/messages", content=lines, headers={"content-type": "application/x-ndjson"})
    assert answer.status_code == 202 and len(answer.text.splitlines()) == 1_000


def test_keys_are_asked_for_before_the_body(tmp_path):
    server = Guarded(tmp_path / "data").start()
    try:
        with Client(server) as client:
            stream = client.request("POST", "/v1/messages", end=False)
            client.until(lambda: client.answers[stream].reset is not None)
            assert (client.answers[stream].status, client.answers[stream].reset) == (401, 0)
            assert client.get("/healthz").status == 200
    finally:
        server.stop()


def test_cookies_in_parts_are_one(tmp_path):
    server = Guarded(tmp_path / "data").start()
    try:
        with Client(server) as client:
            stream = client.request("GET", "/v1/poll", [("cookie", "a=1"), ("cookie", "martlet_token=x.y.z"), ("cookie", "b=2")])
            client.until(lambda: client.answers[stream].ended)
            assert client.answers[stream].status == 401 and b"token" in client.answers[stream].body
    finally:
        server.stop()


def test_another_host_than_the_authority_is_refused(hub):
    with Client(hub) as client:
        stream = client.request("GET", "/healthz", [("host", "example.com")])
        client.until(lambda: client.answers[stream].ended)
        assert client.answers[stream].status == 400
        assert client.get("/healthz", host="example.com").status == 403


# ---------------------------------------------------------------- streams


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_streams_of_a_connection_are_sessions_of_their_own(hub, secure, tls):
    server = secure if tls else hub
    users = [unique("h2-user") for _ in range(10)]
    with Client(server, tls) as client:
        for user in users:
            client.request("GET", f"/v1/sse?user={user}&device={user}-1")
        client.until(lambda: all(b"welcome" in answer.body for answer in client.answers.values()))
        assert streams(server) == 10
        sessions = {json.loads(answer.body.decode().split("data: ")[1].split("\n")[0])["session"] for answer in client.answers.values()}
        assert len(sessions) == 10
        for n, user in enumerate(users):
            server.publish(user, data=n)
        client.until(lambda: all(texts(answer) for answer in client.answers.values()))
        assert [texts(answer) for answer in client.answers.values()] == [[n] for n in range(10)]
        # One leaves, the others stay.
        client.h2.reset_stream(1)
        client.flush()
        wait_until(lambda: streams(server) == 9, what="a stream less")
        server.publish(users[9], data="more")
        client.until(lambda: len(texts(client.answers[19])) == 2)
    wait_until(lambda: streams(server) == 0, what="no streams")


@pytest.mark.parametrize("query", ["format=ndjson", "format=multipart", "format=iframe&callback=cb"])
def test_every_format_of_streams(hub, query):
    """They write HTTP/1.1 by themselves; nothing of its framing may be left."""
    topic = unique("h2")
    with Client(hub) as client:
        client.request("GET", f"/v1/stream?{query}&topics={topic}")
        client.until(lambda: b"welcome" in client.answers[1].body)
        assert client.answers[1].status == 200 and not client.answers[1].body.startswith(b"HTTP")
        publish(hub, topic, "hello")
        client.until(lambda: b"hello" in client.answers[1].body)


def test_a_stream_that_is_not_read_holds_up_nobody(hub):
    slow, fast = unique("h2-slow"), unique("h2-fast")
    with Client(hub) as client:
        client.request("GET", f"/v1/sse?topics={slow}")
        client.request("GET", f"/v1/sse?topics={fast}")
        client.consume = {3}
        client.until(lambda: all(b"welcome" in answer.body for answer in client.answers.values()))
        before = hub.rss_kb()
        text = "x" * 10_000
        for n in range(1_000):
            publish(hub, slow, text)
            if n % 20 == 0:
                publish(hub, fast, n)
        client.until(lambda: len(texts(client.answers[3])) == 50)
        # 10 MB were published: of these the window and a few KiB are on their way.
        assert 40_000 < len(client.answers[1].body) <= 65_535
        assert hub.rss_kb() - before < 6_000
        # It reads again, and is told what it missed.
        client.consume = None
        client.h2.acknowledge_received_data(len(client.answers[1].body), 1)
        client.flush()
        client.until(lambda: b"event: gap" in client.answers[1].body)


def test_a_stalled_stream_ends_after_two_heartbeats(tmp_path):
    server = Server(tmp_path / "data", "--limits-heartbeat-ms", "500", "--limits-heartbeat-min-ms", "100").start()
    try:
        with Client(server, window=1_000) as client:
            client.request("GET", "/v1/sse?topics=a")
            client.request("GET", "/v1/sse?topics=b")
            client.consume = set()
            client.until(lambda: all(b"welcome" in answer.body for answer in client.answers.values()))
            for _ in range(10):
                publish(server, "a", "x" * 2_000)
            client.until(lambda: client.answers[1].reset is not None)
            assert not client.answers[3].ended
    finally:
        server.stop()


def test_going_down_tells_each_stream(server):
    with Client(server) as client:
        for n in range(3):
            client.request("GET", f"/v1/sse?topics=t{n}")
        client.request("GET", "/v1/poll?user=u&device=d&wait=30")
        client.until(lambda: sum(b"welcome" in answer.body for answer in client.answers.values()) == 3)
        wait_until(lambda: metrics.Numbers(metrics.text(server))['martlet_sessions{transport="poll"}'] == 1, what="the poll is held")
        server.terminate()
        assert client.end() == 0
        for stream in 1, 3, 5:
            answer = client.answers[stream]
            assert b"event: drain" in answer.body and answer.ended and answer.reset is None
        assert client.answers[7].status == 200
        assert server.wait(5) == 0


def test_an_idle_connection_ends(tmp_path):
    server = Server(tmp_path / "data", "--limits-idle-seconds", "1", "--limits-head-seconds", "1").start()
    try:
        with Client(server) as used, Client(server) as unused, Client(server) as busy:
            used.get("/healthz")
            busy.request("GET", "/v1/sse?topics=a")
            assert used.end() == 0
            assert unused.end() == 0
            busy.until(lambda: b"welcome" in busy.answers[1].body)
            publish(server, "a", 1)
            busy.until(lambda: texts(busy.answers[1]) == [1])
    finally:
        server.stop()


def test_the_limits_of_connections_count_streams(tmp_path):
    server = Server(tmp_path / "data", "--limits-connections-per-address", "4").start()
    try:
        with Client(server) as client:
            for n in range(3):
                client.request("GET", f"/v1/sse?topics=t{n}")
            client.until(lambda: sum(b"welcome" in answer.body for answer in client.answers.values()) == 3)
            refused = client.get("/healthz")
            assert refused.status == 503 and b"too_many_connections" in refused.body
            client.h2.reset_stream(1)
            wait_until(lambda: client.get("/healthz").status == 200, what="a place")
    finally:
        server.stop()


def test_behind_a_proxy_each_stream_has_its_client(tmp_path):
    server = Server(tmp_path / "data", "--trusted-proxies", "127.0.0.1", "--limits-connections-per-address", "1").start()
    try:
        with Client(server) as client:
            for client_address in "192.0.2.1", "192.0.2.2":
                client.request("GET", "/v1/sse?topics=t", [("x-forwarded-for", client_address)])
            client.until(lambda: sum(b"welcome" in answer.body for answer in client.answers.values()) == 2)
            again = client.request("GET", "/v1/sse?topics=t", [("x-forwarded-for", "192.0.2.1")])
            client.until(lambda: client.answers[again].ended)
            assert client.answers[again].status == 503
    finally:
        server.stop()


def test_behind_a_proxy_that_names_the_client_first(tmp_path):
    server = Server(
        tmp_path / "data", "--trusted-proxies", "127.0.0.1", "--proxy-protocol", "--limits-connections-per-address", "2").start()
    try:
        with Client.__new__(Client) as client:
            plain = server.connect()
            plain.sendall(b"PROXY TCP4 192.0.2.7 192.0.2.1 1234 80\r\n")
            server.connect, connect = lambda **_: plain, server.connect
            client.__init__(server)
            server.connect = connect
            client.request("GET", "/v1/sse?topics=a")
            client.until(lambda: b"welcome" in client.answers[1].body)
            # The connection and its stream are the two that 192.0.2.7 may have.
            assert client.get("/healthz").status == 503
    finally:
        server.stop()
