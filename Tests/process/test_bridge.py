"""Bridges to polled URLs: polled once for all, pushed when changed, answered to those who still poll."""

import email.utils
import os
import shutil
import ssl
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import metrics
from access import Guarded, bearer, token
from clients import RawSSE, WebSocket
from server import Server, wait_until
from tls import make_pair
from topics import ask
from upstream import Upstream


def bridge(name: str, **options) -> list[str]:
    """Options of `serve`, as flags; `_` for `-`."""
    return [text for option, value in options.items() for text in (f"--bridges-{name}-{option.replace('_', '-')}", str(value))]


@pytest.fixture
def upstream():
    with Upstream() as upstream:
        yield upstream


@pytest.fixture
def serve(tmp_path):
    """Starts servers with bridges, and stops them."""
    started = []

    def start(upstream: Upstream, *options: str, kind=Server, **scores) -> Server:
        scores = {"url": upstream.url + "/scores", "topic": "live/scores", "path": "/feed/scores", "interval": "300ms", "jitter": "0"} | scores
        given = {name: value for name, value in scores.items() if value is not None}
        server = kind(
            tmp_path / f"data{len(started)}", "--drain-seconds", "2", "--limits-subscribe-rate", "0", "--bridge-allowed-hosts", upstream.host,
            *bridge("scores", **given), *options)
        started.append(server)
        return server.start()

    yield start
    for server in started:
        server.stop()


def polls(server: Server, result: str, name: str = "scores") -> float:
    return metrics.numbers(server)[f'martlet_bridge_polls_total{{bridge="{name}",result="{result}"}}']


def everyone(server: Server, topic: str = "live/scores") -> RawSSE:
    """Somebody without a name who subscribes to a topic."""
    return RawSSE(server, None, None, topics=topic)


# ------------------------------------------------------------ topics


def test_nobody_subscribed_no_polls(upstream, serve):
    server = serve(upstream, interval="100ms")
    with everyone(server, "another/topic"):
        # As many seconds as would be many intervals.
        time.sleep(0.5)
        assert upstream.count() == 0
    with everyone(server) as client:
        assert client.next()["data"] == 0
        wait_until(lambda: upstream.count() >= 4, what="polls")
    # One that was under way may still end.
    wait_until(lambda: metrics.numbers(server)['martlet_bridge_urls{bridge="scores"}'] == 0, what="nobody")
    time.sleep(0.2)
    count = upstream.count()
    time.sleep(0.5)
    assert upstream.count() == count


def test_a_filter_counts_as_a_subscriber_and_a_late_one_gets_the_value_at_once(upstream, serve):
    server = serve(upstream, interval="60s")
    with RawSSE(server, None, None, topics="live/#") as first:
        assert first.next()["data"] == 0
        with everyone(server) as late:
            assert late.next(1)["data"] == 0
    assert upstream.count() == 1


@pytest.mark.parametrize("how", ["etag", "last-modified", "bytes"])
def test_an_answer_that_did_not_change_is_not_pushed(upstream, serve, how):
    upstream.validates = how == "etag"
    if how == "last-modified":
        upstream.fields = {"Last-Modified": "Mon, 06 Jan 2020 11:00:00 GMT"}
    server = serve(upstream, interval="100ms")
    with everyone(server) as client:
        assert client.next()["data"] == 0
        if how == "last-modified":
            wait_until(lambda: upstream.count() > 1, what="a second poll")
            assert upstream.requests[1].headers["if-modified-since"] == upstream.fields["Last-Modified"]
            upstream.behave = "304"
        result = "unchanged" if how == "bytes" else "not_modified"
        wait_until(lambda: polls(server, result) >= 5, what=result)
        client.silent(0.1)
        upstream.behave, upstream.body = "well", b"1"
        upstream.fields = {}
        assert client.next()["data"] == 1
    assert metrics.numbers(server)['martlet_bridge_pushes_total{bridge="scores",result="stored"}'] == 2


def test_two_changes_within_one_second_of_last_modified(upstream, serve):
    upstream.validates = False
    now = email.utils.formatdate(usegmt=True)
    upstream.fields = {"Last-Modified": now, "Date": now}
    server = serve(upstream, interval="100ms")
    with everyone(server) as client:
        assert client.next()["data"] == 0
        upstream.body = b"1"
        assert client.next()["data"] == 1
    assert not any("if-modified-since" in request.headers for request in upstream.requests)
    assert "last-modified" not in server.get("/feed/scores").headers


@pytest.mark.parametrize(
    "content_type, body, expected",
    [
        ("application/json", b'{"big": 123456789012345678901234567890, "z":1 }', '"data":{"big": 123456789012345678901234567890, "z":1 }'),
        ("text/html; charset=utf-8", b"<b>\n\"</b>", r'"data":"<b>\n\"</b>"'),
        ("image/png", b"\x89PNG", '"dataBase64":"iVBORw==","contentType":"image/png"'),
        (None, b"plain", '"data":"plain"'),
    ])
def test_what_is_pushed_is_what_came(upstream, serve, content_type, body, expected):
    upstream.content_type, upstream.body = content_type, body
    server = serve(upstream, type="scores.changed")
    with everyone(server) as client:
        message = client.next()
        assert expected in message["_raw"] and message["type"] == "scores.changed" and message["topic"] == "live/scores"
    answer = server.get("/feed/scores")
    assert answer.content == body and answer.headers["content-type"] == (content_type or "text/plain; charset=utf-8")
    assert answer.headers["x-content-type-options"] == "nosniff" and "sandbox" in answer.headers["content-security-policy"]


# ------------------------------------------------------------ a bad upstream

BAD = {
    "500": "status", "404": "status", "304": "status", "silent": "timeout", "dripping": "timeout", "endless": "too_large", "giant": "too_large",
    "bomb": "unusable", "garbage": "unusable", "headers": "unusable", "closing": "connect", "cut": "connect",
}


@pytest.mark.parametrize("behave", BAD)
def test_a_bad_upstream_is_survived_and_seen(upstream, serve, behave):
    upstream.behave = behave
    server = serve(upstream, interval="100ms", timeout="400ms")
    before = server.rss_kb()
    with everyone(server) as client:
        wait_until(lambda: polls(server, BAD[behave]) >= 3, timeout=15, what=BAD[behave])
        assert polls(server, "changed") == 0
        assert server.rss_kb() - before < 30_000
        answer = server.get("/feed/scores")
        assert (answer.status_code, answer.json()["error"]["code"]) == (
            (504, "upstream_timeout") if BAD[behave] == "timeout" else (502, "upstream_failed")), answer.text
        assert int(answer.headers["retry-after"]) >= 1
        upstream.behave = "well"
        assert client.next(15)["data"] == 0
    log = server.log.read_text()
    assert log.count("a bridge's URL does not answer") == 1 and "a bridge's URL answers again" in log
    assert "/scores" not in log


def test_what_says_it_is_json_and_is_not(upstream, serve):
    upstream.body = b'1,"to":{"user":"bob"}'
    server = serve(upstream, interval="100ms")
    with everyone(server) as client:
        wait_until(lambda: polls(server, "unusable") >= 2, what="unusable")
        client.silent(0.1)


@pytest.mark.parametrize("location", ["{other}/secret", "http://169.254.169.254/latest", "file:///etc/passwd", "//user@{listed}", "/scores", ""])
def test_redirects_stay_on_the_list(upstream, serve, location):
    with Upstream() as other, Upstream() as listed:
        upstream.behave, upstream.location = "redirect", location.format(other=other.url, listed=listed.host)
        server = serve(upstream, "--bridge-allowed-hosts", listed.host, interval="100ms")
        with everyone(server) as client:
            wait_until(lambda: polls(server, "redirect") >= 2, what="a refused redirect")
            assert other.count() == listed.count() == 0
            upstream.behave = "well"
            assert client.next()["data"] == 0


def test_a_redirect_to_a_listed_host_is_followed(upstream, serve):
    with Upstream() as listed:
        listed.body = b"2"
        upstream.behave, upstream.location = "redirect", listed.url + "/there"
        server = serve(upstream, "--bridge-allowed-hosts", listed.host)
        with everyone(server) as client:
            assert client.next()["data"] == 2
        assert listed.requests[0].path == "/there"


def test_a_certificate_that_nobody_vouches_for(tmp_path, serve):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*make_pair(tmp_path))
    with Upstream(context=context) as upstream:
        server = serve(upstream, interval="100ms")
        with everyone(server):
            wait_until(lambda: polls(server, "tls") >= 2, what="tls")
        assert upstream.count() == 0


def test_credentials_go_to_the_one_server_only(upstream, serve, tmp_path):
    secret = tmp_path / "authorization"
    secret.write_text("Bearer upstream-secret\n")
    secret.chmod(0o600)
    with Upstream() as listed:
        server = serve(upstream, "--bridge-allowed-hosts", listed.host, "--log-level", "trace", interval="100ms", authorization_file=secret)
        with everyone(server) as client:
            assert client.next()["data"] == 0
            assert upstream.requests[0].headers["authorization"] == "Bearer upstream-secret"
            upstream.behave, upstream.location = "redirect", listed.url + "/"
            wait_until(lambda: polls(server, "redirect") >= 1, what="a refused redirect")
            assert listed.count() == 0
        assert "upstream-secret" not in server.log.read_text()


METADATA = "169.254.169.254"
INNER = f"""
import sys
from pathlib import Path
from test_bridge import METADATA, bridge, everyone, polls
from server import Server, wait_until
from upstream import Upstream

with Upstream(address=METADATA) as upstream:
    for name, listed, result in [("by-name", [], "address"), ("listed", [upstream.host], "changed")]:
        server = Server(
            Path(sys.argv[1]) / name, "--bridge-allowed-hosts", ",".join([f"metadata.test:{{upstream.port}}"] + listed),
            *bridge("scores", url=f"http://metadata.test:{{upstream.port}}/latest", topic="live/scores", interval="100ms"))
        server.start()
        try:
            with everyone(server):
                wait_until(lambda: polls(server, result) >= 1, timeout=10, what=result)
            assert (upstream.count() > 0) == bool(listed), upstream.requests
        finally:
            server.stop()
print("both as they should")
"""


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("ip"), reason="a network of the test's own needs root and iproute2")
def test_a_name_that_stands_for_a_metadata_address(tmp_path):
    """In a network and with an /etc/hosts of its own."""
    hosts = tmp_path / "hosts"
    hosts.write_text(f"127.0.0.1 localhost\n{METADATA} metadata.test\n")
    script = f'ip link set lo up && ip addr add {METADATA}/32 dev lo && mount --bind "{hosts}" /etc/hosts && exec "$@"'
    done = subprocess.run(
        ["unshare", "-mn", "sh", "-c", script, "sh", sys.executable, "-c", INNER, str(tmp_path)],
        capture_output=True, text=True, timeout=60, cwd=Path(__file__).parent)
    if "ip: " in done.stderr or "unshare: " in done.stderr or "mount: " in done.stderr:
        pytest.skip(f"no network of its own here: {done.stderr.strip()}")
    assert done.stdout == "both as they should\n", done.stderr


# ------------------------------------------------------------ those who still poll


def test_pollers_share_one_poll_and_its_answer(upstream, serve):
    upstream.delay = 0.3
    server = serve(upstream, interval="5s")
    with ThreadPoolExecutor(30) as pool:
        answers = list(pool.map(lambda _: server.get("/feed/scores"), range(60)))
    assert {(answer.status_code, answer.content) for answer in answers} == {(200, b"0")}
    assert upstream.count() == 1
    answer = server.get("/feed/scores")
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "private, no-cache"
    # A browser's cache looks at the URL: without this the next user of the browser would get what is there.
    assert {"Authorization", "Cookie", "Martlet-Cursor", "Origin"} <= set(answer.headers["vary"].split(", "))
    again = server.get("/feed/scores", headers={"If-None-Match": f'"x", W/{answer.headers["etag"]}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", answer.headers["etag"])
    head = server.http.head(server.url + "/feed/scores")
    assert (head.status_code, head.headers["content-length"], head.content) == (200, "1", b"")
    assert upstream.count() == 1
    refused = server.http.post(server.url + "/feed/scores", content=b"x")
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")
    assert server.get("/feed/scores?league=1").status_code == 400
    assert server.get("/feed/scores?_=123").status_code == 200
    assert server.get("/feed/other").status_code == 404
    number = metrics.numbers(server)
    assert number['martlet_bridge_answers_total{bridge="scores",result="fetched"}'] >= 1
    assert number['martlet_http_requests_total{path="bridge",status="3xx"}'] == 1


def test_pollers_alone_cause_one_request_per_interval(upstream, serve):
    server = serve(upstream, interval="500ms")
    end = time.monotonic() + 3

    def poll(_):
        count = 0
        while time.monotonic() < end:
            assert server.get("/feed/scores").status_code == 200
            count += 1
        return count

    with ThreadPoolExecutor(8) as pool:
        count = sum(pool.map(poll, range(8)))
    assert 4 <= upstream.count() <= 7
    print(f"{count} polls of clients, {upstream.count()} of Martlet's in 3 s at an interval of 0.5 s")


def test_an_old_answer_while_the_upstream_is_away(upstream, serve):
    server = serve(upstream, interval="200ms", stale="2s")
    assert server.get("/feed/scores").content == b"0"
    upstream.behave = "503"
    stale = wait_until(lambda: (answer := server.get("/feed/scores")).headers.get("cache-status") and answer, what="a stale answer")
    assert stale.status_code == 200 and stale.content == b"0"
    assert 'detail="status 503"' in stale.headers["cache-status"] and stale.headers["cache-control"] == "private, no-cache"
    wait_until(lambda: int(server.get("/feed/scores").headers.get("age", 0)) >= 1, what="an age")
    gone = wait_until(lambda: (answer := server.get("/feed/scores")).status_code == 502 and answer, what="502")
    assert gone.json()["error"]["code"] == "upstream_failed" and "503" in gone.json()["error"]["message"]
    upstream.behave = "well"
    wait_until(lambda: server.get("/feed/scores").status_code == 200, timeout=10, what="200")


def test_who_comes_after_pollers_gets_what_they_had(upstream, serve):
    server = serve(upstream, interval="60s")
    assert server.get("/feed/scores").content == b"0"
    with everyone(server) as client:
        assert client.next(1)["data"] == 0
    assert upstream.count() == 1


# ------------------------------------------------------------ users


def users(upstream: Upstream, **options) -> dict:
    return {"url": upstream.url + "/users/{user}/feed", "topic": None, "type": "feed", "path": "/feed/mine"} | options


def test_each_user_has_an_answer_of_their_own_while_connected(upstream, serve):
    upstream.bodies = {"/users/alice/feed": b'"for alice"', "/users/b%C3%B6b%2F..%2F/feed": b'"for bob"'}
    server = serve(upstream, **users(upstream, interval="100ms"))
    with RawSSE(server, "alice", "a1") as alice, WebSocket(server, "böb/../", "b1") as bob:
        first = alice.next()
        assert (first["data"], first["type"]) == ("for alice", "feed")
        assert bob.next()["data"] == "for bob"
        upstream.bodies["/users/alice/feed"] = b'"new for alice"'
        assert alice.next()["data"] == "new for alice"
        bob.silent(0.3)
        # The same user on another transport causes no further polls.
        with WebSocket(server, "alice", "a2") as second:
            assert second.next()["data"] == "new for alice"
        assert metrics.numbers(server)['martlet_bridge_urls{bridge="scores"}'] == 2
    wait_until(lambda: metrics.numbers(server)['martlet_bridge_urls{bridge="scores"}'] == 0, what="nobody")
    time.sleep(0.2)
    count = upstream.count()
    time.sleep(0.3)
    assert upstream.count() == count
    assert server.get("/feed/mine?user=alice").content == b'"new for alice"'
    assert server.get("/feed/mine").status_code == 401


def test_only_the_newest_counts_for_who_was_away(upstream, serve, user):
    server = serve(upstream, **users(upstream, interval="100ms"))
    with RawSSE(server, user, "d1") as there:
        there.next()
        with RawSSE(server, user, "d2") as other:
            other.next()
            other.acknowledge()
        for number in (1, 2, 3):
            upstream.body = str(number).encode()
            assert there.next()["data"] == number
    with RawSSE(server, user, "d2") as back:
        assert back.next()["data"] == 3
        back.silent()


def test_the_header_names_the_user(upstream, serve):
    server = serve(upstream, **users(upstream, url=upstream.url + "/feed", user_header="X-User"))
    assert server.get("/feed/mine", params={"user": "é%x y"}).status_code == 200
    assert upstream.requests[0].headers["x-user"] == "%C3%A9%25x%20y"


def test_a_user_cannot_leave_the_place_of_a_name(upstream, serve):
    server = serve(upstream, **users(upstream))
    assert server.get("/feed/mine", params={"user": ".."}).status_code == 502
    assert server.get("/feed/mine", params={"user": "../../admin?x=#"}).status_code == 200
    assert [request.path for request in upstream.requests] == ["/users/..%2F..%2Fadmin%3Fx%3D%23/feed"]


def test_a_slow_upstream_has_a_bounded_number_of_polls(upstream, serve):
    upstream.delay = 0.2
    server = serve(upstream, **users(upstream, polls=3, interval="60s"))
    clients = [RawSSE(server, f"user-{number}", f"d-{number}") for number in range(20)]
    for client in clients:
        client.next(10)
    assert upstream.most_open == 3 and upstream.count() == 20
    for client in clients:
        client.drop()


# ------------------------------------------------------------ who may ask


def test_in_production_who_asks_shows_who_they_are(upstream, serve):
    server = serve(upstream, "--namespaces-live-subscribe", "token", kind=Guarded)

    def status(credential: str | None, **options) -> tuple[int, str | None]:
        return server.status_of("GET", "/feed/scores", headers=bearer(credential), **options)[:2]

    assert status(None) == (401, "unauthorized")
    assert status(token("alice")) == (403, "forbidden")
    assert status(token("alice", topics={"live/#": ["subscribe"]})) == (200, None)
    assert status(None, params={"token": token("alice", topics=["live/scores"])}) == (200, None)
    assert status(server.key("--scope", "read")) == (200, None)
    assert status(server.key("--scope", "publish")) == (403, "forbidden")
    # An app's own topic does not exist for another.
    acme = token("alice", secret="fedcba9876543210fedcba9876543210", app="acme", topics=["live/scores"])
    assert status(acme) == (404, "not_found")


def test_public_is_for_everybody(upstream, serve):
    server = serve(upstream, kind=Guarded, access="public")
    answer = server.get("/feed/scores")
    assert answer.status_code == 200 and answer.headers["cache-control"].startswith("public, max-age=") and answer.headers["vary"] == "Martlet-Cursor, Origin"


def test_in_production_users_see_their_own(upstream, serve):
    upstream.bodies = {"/users/alice/feed": b'"for alice"', "/users/bob/feed": b'"for bob"'}
    server = serve(upstream, kind=Guarded, **users(upstream))
    assert server.request("GET", "/feed/mine", token("alice")).json() == "for alice"
    assert server.request("GET", "/feed/mine?user=bob", token("alice")).status_code == 403
    assert server.request("GET", "/feed/mine", token("bob")).json() == "for bob"
    assert server.request("GET", "/feed/mine").status_code == 401


# ------------------------------------------------------------ a life


@pytest.mark.parametrize("storage", ["memory", "durable"])
def test_it_goes_on_after_kill_9(upstream, serve, storage):
    server = serve(upstream, "--namespaces-live-storage", storage, interval="100ms")
    with everyone(server) as client:
        first = client.next()
    server.kill9()
    server.restart()
    with everyone(server) as client:
        again = client.next()
        assert again["data"] == 0
        if storage == "durable":
            # The value that was kept: the same answer is not pushed once more.
            assert again["id"] == first["id"] and again["retained"]
            wait_until(lambda: upstream.requests[-1].headers.get("if-none-match"), what="a second poll")
            client.silent(0.3)
        upstream.body = b"1"
        assert client.next()["data"] == 1
    assert ask(server, "live/scores", "retained")["data"] == 1


def test_stopping_does_not_wait_for_the_upstream(upstream, serve):
    upstream.behave = "silent"
    server = serve(upstream, timeout="60s")
    with everyone(server), ThreadPoolExecutor(1) as pool:
        wait_until(lambda: upstream.count() == 1, what="a poll")
        held = pool.submit(server.get, "/feed/scores")
        # The subscriber, the one who asks, and who asks for this number.
        wait_until(lambda: metrics.numbers(server)['martlet_connections{security="plain"}'] >= 3, what="a request that waits")
        began = time.monotonic()
        server.terminate()
        assert held.result(10).json()["error"]["code"] == "draining"
    assert server.wait() == 0 and time.monotonic() - began < 5
