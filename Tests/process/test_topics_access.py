"""Who may do what with topics: keys, tokens and their claims, namespaces, pages of elsewhere."""

import json
import time

import pytest
import websockets.exceptions

from access import ACME_SECRET, Guarded, bearer, token
from server import Server, unique
from test_isolation_table import unsigned

JSON = {"Content-Type": "application/json"}


class World:
    def __init__(self, server: Guarded):
        self.server = server
        self.keys = {
            "all": server.key("--scope", "publish,read,admin"), "publish": server.key("--scope", "publish"),
            "read": server.key("--scope", "read"), "admin": server.key("--scope", "admin"),
            "acme": server.key("--app", "acme", "--scope", "publish,read,admin"),
        }

    def publish(self, topic: str, credential: str | None, data=1, **options):
        return self.server.request("POST", f"/v1/topics/{topic}", credential, content=json.dumps(data), headers=JSON, **options)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    server = Guarded(tmp_path_factory.mktemp("topics") / "data", "--limits-subscribe-rate", "0").start()
    world = World(server)
    for name, values in (
        ("open", {"subscribe": "all", "publish": "all", "history": {"messages": 10}, "presence": True}),
        ("closed", {"subscribe": "none", "publish": "none", "history": {"messages": 10}, "presence": True}),
        ("chat", {"history": {"messages": 10}, "presence": True}),
    ):
        for key in ("all", "acme"):
            answer = server.request("PUT", f"/v1/namespaces/{name}", world.keys[key], json=values)
            assert answer.status_code == 200, answer.text
    yield world
    assert server.process.poll() is None, server.tail()
    server.stop()


# What a client may do in each topic, by its token's claim. The actions: subscribe, publish, presence.
CLAIMS = {
    "unsaid": None,
    "nothing": [],
    "nothing, as an object": {},
    "a list": ["chat/#"],
    "chat": {"chat/+/alice": ["subscribe", "publish", "presence"], "chat/news": ["subscribe"], "chat/in": ["publish"]},
    "everything": {"#": ["subscribe", "publish", "presence"]},
}
TOPICS = ("open/a", "closed/a", "chat/a/alice", "chat/a/bob", "chat/news", "chat/in", "other/a")
ALLOWED = {
    "unsaid": {"open/a": {"subscribe", "publish", "presence"}},
    "nothing": {},
    "nothing, as an object": {},
    "a list": {topic: {"subscribe"} for topic in TOPICS if topic.startswith("chat/")},
    "chat": {"chat/a/alice": {"subscribe", "publish", "presence"}, "chat/news": {"subscribe"}, "chat/in": {"publish"}},
    "everything": {
        topic: {"subscribe", "publish", "presence"} if topic != "other/a" else {"subscribe", "publish"} for topic in TOPICS
        if not topic.startswith("closed/")
    },
}


@pytest.mark.parametrize("topic", TOPICS)
@pytest.mark.parametrize("claim", CLAIMS)
def test_what_a_token_allows(world, claim, topic):
    claims = {} if CLAIMS[claim] is None else {"topics": CLAIMS[claim]}
    shown = token("alice", **claims)
    may = ALLOWED[claim].get(topic, set())

    def check(answer, action, good):
        wanted = good if action in may else (403, "forbidden")
        code = answer.json()["error"]["code"] if answer.status_code >= 400 else None
        assert (answer.status_code, code) == wanted, (action, answer.text)

    get = lambda what: world.server.request("GET", f"/v1/topics/{topic}{what}", shown)  # noqa: E731
    check(world.publish(topic, shown), "publish", (202, None))
    check(get(""), "subscribe", (200, None))
    check(get("/history"), "subscribe", (200, None))
    check(get("/retained"), "subscribe", (404, "not_found"))
    check(get("/presence"), "presence", (200, None))
    for path in (f"/v1/sse?topics={topic}", f"/v1/poll?topics={topic}"):
        status, code, _ = world.server.status_of("GET", path, headers=bearer(shown))
        assert (status, code) == ((200, None) if "subscribe" in may else (403, "forbidden"))
    status, code, _ = world.server.status_of("GET", f"/v1/sse?topics={topic}&presence=1", headers=bearer(shown))
    assert (status, code) == ((200, None) if {"subscribe", "presence"} <= may else (403, "forbidden"))
    with world.server.websocket(headers=bearer(shown)) as socket:
        assert "welcome" in json.loads(socket.recv(5))
        socket.send(json.dumps({"subscribe": topic}))
        answer = json.loads(socket.recv(5))
        assert ("subscribed" in answer) == ("subscribe" in may), answer
        if "error" in answer:
            assert (answer["error"]["code"], answer["error"]["topic"]) == ("forbidden", topic)
        socket.send(json.dumps({"publish": {"topic": topic, "data": 2, "ref": 1}}))
        while True:
            answer = json.loads(socket.recv(5))
            if "published" in answer or "error" in answer:
                break
            assert "message" in answer
        assert ("published" in answer) == ("publish" in may), answer
        if "error" in answer:
            assert (answer["error"]["code"], answer["error"]["ref"]) == ("forbidden", 1)


@pytest.mark.parametrize(
    "claim, topics, may",
    [
        (["chat/#"], "chat/+", True), (["chat/#"], "chat/#", True), (["chat/+"], "chat/#", False), (["chat/a", "chat/b"], "chat/+", False),
        (["#"], "#", False), (["chat/#"], "chat/a,other/b", False), (["+/a"], "+/a", False), (["chat/+/a"], "chat/x/a,chat/+/a", True),
        (None, "open/#", True), (None, "+/a", False), (["#"], "$sys/a", False),
    ],
)
def test_filters(world, claim, topics, may):
    shown = token("alice", **({} if claim is None else {"topics": claim}))
    query = topics.replace("+", "%2B").replace("#", "%23").replace("$", "%24")
    status, code, _ = world.server.status_of("GET", f"/v1/sse?topics={query}", headers=bearer(shown))
    # A filter over every namespace may do only what all of them allow; "closed" allows nobody.
    assert (status, code) == ((200, None) if may else (403, "forbidden"))


KEYS = {
    # name: (publish, read)
    "all": (202, 200), "publish": (202, 403), "read": (403, 200), "admin": (403, 403), "acme": (202, 200),
}


@pytest.mark.parametrize("how", ["authorization", "x-api-key"])
@pytest.mark.parametrize("name", KEYS)
def test_keys(world, name, how):
    headers = JSON | (bearer(world.keys[name]) if how == "authorization" else {"X-API-Key": world.keys[name]})
    url = world.server.url
    for topic in ("open/k", "closed/k", "chat/k", "$sys/k"):
        publish, read = KEYS[name]
        assert world.server.http.post(f"{url}/v1/topics/{topic}", content="1", headers=headers).status_code == publish
        for action, status in (("", 200), ("/history", 200), ("/presence", 200), ("/retained", 404)):
            got = world.server.http.get(f"{url}/v1/topics/{topic}{action}", headers=headers).status_code
            assert got == (status if read == 200 else read), (topic, action)


def bad_credentials(world):
    now = int(time.time())
    return {
        "nothing": None, "garbage": "hunter2", "an unknown key": "mk_abcdefghijkm_" + "A" * 43, "expired": token(iat=now - 60, exp=now - 1),
        "wrong signature": token(secret="x" * 32), "alg none": unsigned(), "unknown app": token(app="nobody"), "another app's": token(app="acme"),
        "a bad claim": token(topics={"a": ["fly"]}), "a bad pattern": token(topics=["a#"]), "a claim that is none": token(topics="chat/#"),
    }


def test_bad_credentials(world):
    for name, shown in bad_credentials(world).items():
        code = "token_expired" if name == "expired" else "unauthorized"
        for answer in (world.publish("open/a", shown), world.server.request("GET", "/v1/topics/open/a", shown)):
            assert (answer.status_code, answer.json()["error"]["code"]) == (401, code), name
            assert "www-authenticate" in answer.headers


def test_apps_have_topics_of_their_own(world):
    topic = f"open/{unique('t')}"
    acme = token("alice", secret=ACME_SECRET, app="acme")
    with world.server.websocket(f"?topics={topic}", bearer(acme)) as there:
        assert "welcome" in json.loads(there.recv(5))
        for credential in (world.keys["all"], token("alice")):
            assert world.publish(topic, credential, "not theirs").status_code == 202
        assert world.server.request("GET", f"/v1/topics/{topic}/history", acme).json() == {"messages": []}
        assert world.server.request("GET", f"/v1/topics/{topic}/history", world.keys["acme"]).json() == {"messages": []}
        assert world.server.request("GET", f"/v1/topics/{topic}", acme).json()["subscribers"] == 1
        assert world.server.request("GET", f"/v1/topics/{topic}", world.keys["all"]).json()["subscribers"] == 0
        assert world.publish(topic, world.keys["acme"], "theirs").status_code == 202
        assert json.loads(there.recv(5))["message"]["data"] == "theirs"


def test_outside_dev_mode_topics_need_a_token(world):
    for path in ("/v1/sse?topics=open/a", "/v1/poll?topics=open/a", "/v1/sse?topics=open/a&user=alice"):
        status, code, _ = world.server.status_of("GET", path)
        assert (status, code) == (401, "unauthorized")
    with world.server.websocket("?topics=open/a") as socket:  # waits for a token
        socket.send(json.dumps({"subscribe": "open/a"}))
        assert json.loads(socket.recv(5))["error"]["code"] == "unauthorized"
        with pytest.raises(websockets.exceptions.ConnectionClosed):
            socket.recv(5)


def test_a_renewed_token_ends_what_it_does_not_allow(world):
    with world.server.websocket("?topics=chat/one,chat/two", bearer(token("alice", topics=["chat/#"]))) as socket:
        assert [entry["topic"] for entry in json.loads(socket.recv(5))["welcome"]["topics"]] == ["chat/one", "chat/two"]
        socket.send(json.dumps({"token": token("alice", topics={"chat/two": ["subscribe"]})}))
        frames = [json.loads(socket.recv(5)) for _ in range(2)]
        assert {"unsubscribed": [{"topic": "chat/one", "reason": "forbidden"}]} in frames
        for name in ("one", "two"):
            assert world.publish(f"chat/{name}", world.keys["all"], name).status_code == 202
        assert json.loads(socket.recv(5))["message"]["data"] == "two"
        socket.send(json.dumps({"subscribe": "chat/one"}))
        assert json.loads(socket.recv(5))["error"]["code"] == "forbidden"


# ------------------------------------------------------------ pages of elsewhere

@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1.evil.example"])
def test_a_page_of_elsewhere_cannot_use_dev_mode(hub, origin):
    """A form of any page can send text without being asked first."""
    topic = unique("form")
    for content_type in ("text/plain", "application/x-www-form-urlencoded"):
        answer = hub.http.post(f"{hub.url}/v1/topics/{topic}", content="hi", headers={"Content-Type": content_type, "Origin": origin})
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")
    for path in (f"/v1/topics/{topic}/history", f"/v1/sse?topics={topic}"):
        assert hub.get(path, headers={"Origin": origin}).status_code == 403


def test_a_page_of_elsewhere_cannot_use_the_cookie(world):
    headers = {"Cookie": f"martlet_token={token('alice')}", "Origin": "https://evil.example", "Content-Type": "text/plain"}
    answer = world.server.http.post(f"{world.server.url}/v1/topics/open/a", content="hi", headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")
    del headers["Origin"]
    assert world.server.http.post(f"{world.server.url}/v1/topics/open/a", content="hi", headers=headers).status_code == 202


def test_a_client_publishes_no_faster_than_it_may(tmp_path):
    server = Guarded(tmp_path / "data", "--limits-publish-rate", "1", "--limits-publish-burst", "3").start()
    try:
        key = server.key("--scope", "admin")
        assert server.request("PUT", "/v1/namespaces/open", key, json={"publish": "all"}).status_code == 200
        answers = [server.request("POST", "/v1/topics/open/a", token("alice"), content="x") for _ in range(5)]
        assert [answer.status_code for answer in answers[:3]] == [202] * 3
        refused = [answer for answer in answers if answer.status_code != 202]
        assert refused and all(answer.json()["error"]["code"] == "rate_limited" for answer in refused)
        assert server.request("POST", "/v1/topics/open/a", token("bob"), content="x").status_code == 202
    finally:
        server.stop()


def test_hostile_frames(tmp_path):
    """None of these ends the server, and each connection gets an answer or an end."""
    server = Server(tmp_path / "data").start()
    try:
        for frame in (
            '{"subscribe":' + "[" * 60 + "]" * 60 + "}", '{"subscribe":"' + "a" * 16_000 + '"}', '{"subscribe":[' + '"a/+/#",' * 1_500 + '"a"]}',
            '{"subscribe":"\\u0000"}', '{"subscribe":"\\ud800"}', '{"publish":{"topic":"a","data":' + "[" * 63 + "]" * 63 + "}}",
            '{"publish":{"topic":"a","data":' + "[" * 80 + "]" * 80 + "}}", '{"publish":{"topic":"a","ref":' + '"x"' * 1 + ',"ttl":1e99}}',
            '{"unsubscribe":["' + '","'.join(str(n) for n in range(512)) + '"]}', '{"publish":{"topic":"a","data":"' + "x" * 16_200 + '"}}',
            '{"subscribe":{"topic":"a","since":"last:999999999999999999999"}}', '{"subscribe":{"topic":"a","since":-1}}',
        ):
            with server_socket(server) as socket:
                socket.recv(5)
                try:
                    socket.send(frame)
                    socket.send('{"ping":1}')
                    while '"pong"' not in socket.recv(5):
                        pass
                except websockets.exceptions.ConnectionClosed as closed:
                    assert closed.rcvd is not None and closed.rcvd.code in (1008, 1009), frame[:40]
        assert server.get("/healthz").status_code == 200
        assert server.process.poll() is None, server.tail()
    finally:
        server.stop()


def server_socket(server: Server):
    return Guarded.websocket(server, "?topics=a")
