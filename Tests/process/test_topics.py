"""Topics over HTTP: publishing with any body, history, retained values, info, presence."""

import base64
import json
import subprocess

import pytest

from clients import RawSSE, WebSocket
from server import unique, wait_until
from topics import ask, options, put, say


@pytest.fixture
def room(hub):
    """A topic whose namespace keeps history and knows who is there."""
    namespace = unique("room")
    options(hub, namespace, history={"messages": 100}, presence=True)
    return f"{namespace}/lobby"


def test_the_first_five_minutes(hub):
    topic = unique("demo")
    curl = subprocess.Popen(["curl", "-sN", f"{hub.url}/v1/sse?topics={topic}"], stdout=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: ask(hub, topic)["subscribers"] == 1)
        said = subprocess.run(["curl", "-s", "-d", "hi", f"{hub.url}/v1/topics/{topic}"], capture_output=True, text=True, timeout=10)
        line = next(line for line in curl.stdout if line.startswith('data: {"id"'))
    finally:
        curl.terminate()
        curl.wait()
    message = json.loads(line.removeprefix("data: "))
    assert message == {"id": json.loads(said.stdout)["id"], "at": message["at"], "topic": topic, "data": "hi"}


@pytest.mark.parametrize(
    "content_type, body, members",
    [
        (None, b"plain", {"data": "plain"}),
        ("text/plain; charset=UTF-8", 'é "q"\n\\'.encode(), {"data": 'é "q"\n\\'}),
        ("application/x-www-form-urlencoded", b"a=1&b=%20", {"data": "a=1&b=%20"}),
        ("application/json", b' {"n": 1.50, "s": "\\u00e9"} ', {"data": {"n": 1.5, "s": "é"}}),
        ("application/json; charset=utf-8", b"null", {"data": None}),
        ("image/png", b"\x89PNG\x00\xff", {"dataBase64": "iVBORwD/", "contentType": "image/png"}),
        ("application/octet-stream", b"", {"dataBase64": "", "contentType": "application/octet-stream"}),
        ("text/plain", b"", {"data": ""}),
    ],
)
def test_any_body(hub, content_type, body, members):
    topic = unique("any")
    with RawSSE(hub, None, None, topics=topic) as client:
        answer = put(hub, topic, body, content_type)
        assert answer.status_code == 202, answer.text
        message = client.next()
    got = {name: value for name, value in message.items() if name not in ("_raw", "_position", "at")}
    assert got == {"id": answer.json()["id"], "topic": topic} | members


def test_headers_and_query_say_the_same(hub):
    topic = unique("said")
    with RawSSE(hub, None, None, topics=topic) as client:
        assert put(hub, topic, b"1", Message_Type="t", TTL="60").status_code == 202
        assert put(hub, topic, b"2", query={"type": "tü", "ttl": "60"}).status_code == 202
        assert [client.next()["type"] for _ in range(2)] == ["t", "tü"]
    for bad in (
        {"TTL": "x"}, {"TTL": "-1"}, {"TTL": "2592001"}, {"Retain": "yes"}, {"Message_Type": ""}, {"TTL": "1", "query": {"ttl": "1"}},
        {"query": {"retain": ""}}, {"query": {"priority": "high"}},
    ):
        answer = put(hub, topic, b"x", **bad)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_request"), bad


def test_idempotency(hub, room):
    first = put(hub, room, b"1", Idempotency_Key="k-1")
    again = put(hub, room, b"1", query={"idempotencyKey": "k-1"})
    assert again.json() == first.json()
    assert again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers
    other = put(hub, room, b"2", Idempotency_Key="k-1")
    assert (other.status_code, other.json()["error"]["code"]) == (409, "idempotency_conflict")
    assert [m["data"] for m in ask(hub, room, "history")["messages"]] == ["1"]


def test_a_batch(hub, room):
    answer = put(hub, room, b'1\n\n{"a": 2}\r\nbad\n"4"', "application/x-ndjson", Message_Type="t")
    assert answer.status_code == 202
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert ["id" in line for line in lines] == [True, True, False, True]
    assert lines[2]["error"]["code"] == "invalid_json"
    messages = ask(hub, room, "history")["messages"]
    assert [(m["type"], m["data"]) for m in messages] == [("t", 1), ("t", {"a": 2}), ("t", "4")]
    assert put(hub, room, b"1\n", "application/x-ndjson", Idempotency_Key="k").status_code == 400
    assert put(hub, room, b"\n", "application/x-ndjson").status_code == 400


def test_to_a_topic_in_a_message(hub, room):
    with RawSSE(hub, None, None, topics=room) as client:
        sent = hub.publish(to={"topic": room}, data=1, notification={"title": "t"})
        message = client.next()
        assert (message["id"], message["topic"], message["notification"]) == (sent, room, {"title": "t"})
        assert "priority" not in message
    for members in ({"priority": "high"}, {"collapseKey": "k"}, {"to": {"topic": "a/+"}}, {"to": {"user": "u"}, "retain": True}):
        assert hub.post({"to": {"topic": room}, "data": 1} | members).status_code == 400
    lines = hub.batch([json.dumps({"to": {"topic": room}, "data": 2}), json.dumps({"to": {"user": "u"}, "data": 3})]).text.splitlines()
    assert all("id" in json.loads(line) for line in lines)


def test_history_by_pages(hub, room):
    assert ask(hub, room, "history") == {"messages": []}
    sent = [say(hub, room, n) for n in range(25)]
    got, query = [], {}
    while True:
        page = ask(hub, room, "history", limit=10, **query)
        got += [m["id"] for m in page["messages"]]
        if "next" not in page:
            break
        query = {"cursor": page["next"]}
    assert got == sent
    assert [m["data"] for m in ask(hub, room, "history", since="last:3")["messages"]] == [22, 23, 24]
    at = ask(hub, room, "history", since="last:1")["messages"][0]["at"]
    assert ask(hub, room, "history", since=at)["messages"][-1]["data"] == 24
    assert ask(hub, room, "history", since=at + 60_000)["messages"] == []
    assert ask(hub, room, "history", since="latest")["messages"] == []
    for query in ({"cursor": "x"}, {"cursor": page.get("next", "AAAA")}, {"since": "x"}, {"limit": 0}, {"since": "latest", "cursor": "AAAA"}):
        assert hub.get(f"/v1/topics/{room}/history", params=query).status_code == 400, query


def test_a_page_of_another_topic_is_no_page_of_this(hub, room):
    for n in range(2):
        say(hub, room, n)
    page = ask(hub, room, "history", limit=1)
    answer = hub.get(f"/v1/topics/{room}-2/history", params={"cursor": page["next"]})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_cursor")


def test_history_that_is_trimmed_is_a_gap(hub):
    namespace = unique("short")
    options(hub, namespace, history={"messages": 3})
    topic = f"{namespace}/a"
    for n in range(3):
        say(hub, topic, n)
    page = ask(hub, topic, "history", limit=1)
    for n in range(3, 8):
        say(hub, topic, n)
    rest = ask(hub, topic, "history", cursor=page["next"])
    assert [m["data"] for m in rest["messages"]] == [5, 6, 7]
    assert (rest["gap"]["reason"], rest["gap"]["topic"]) == ("trimmed", topic)
    assert rest["gap"]["to"] > rest["gap"]["from"]


def test_a_retained_value(hub):
    topic = unique("lamp")
    assert hub.get(f"/v1/topics/{topic}/retained").status_code == 404
    say(hub, topic, "on", Retain="true")
    say(hub, topic, "not kept")
    assert ask(hub, topic, "retained")["data"] == "on"
    assert ask(hub, topic)["retained"] is True
    for client_type in (RawSSE, WebSocket):
        with client_type(hub, None, None, topics=topic) as client:
            message = client.next()
            assert (message["retained"], message["data"]) == (True, "on")
            sent = say(hub, topic, "off", Retain="true")
            message = client.next()
            assert (message["id"], message["data"], "retained" in message) == (sent, "off", False)
            say(hub, topic, "on", Retain="true")
            client.next()
    assert put(hub, topic, b"", Retain="true").status_code == 202
    assert hub.get(f"/v1/topics/{topic}/retained").status_code == 404
    assert ask(hub, topic)["retained"] is False


@pytest.mark.parametrize("storage", ["memory", "durable"])
def test_what_is_not_kept_cannot_be_retained(hub, storage):
    namespace = unique("lamp")
    options(hub, namespace, history={"messages": 5}, storage=storage)
    say(hub, namespace, "on", Retain="true")
    answers = [
        put(hub, namespace, '"off"', "application/json", Retain="true", TTL="0"),
        hub.post({"to": {"topic": namespace}, "data": "off", "retain": True, "ttl": 0}),
        put(hub, namespace, b"", Retain="true", TTL="0"),
    ]
    for answer in answers:
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_request")
        assert "retain" in answer.json()["error"]["message"]
    assert ask(hub, namespace, "retained")["data"] == "on"


def test_info(hub, room):
    info = ask(hub, room)
    assert (info["topic"], info["subscribers"], info["retained"]) == (room, 0, False)
    assert info["history"] == {"messages": 0, "bytes": 0}
    assert info["options"]["presence"] is True
    with RawSSE(hub, None, None, topics=room), WebSocket(hub, "u", None, topics=room.split("/")[0] + "/#"):
        assert ask(hub, room)["subscribers"] == 2
    say(hub, room, 1)
    say(hub, room, 2)
    history = ask(hub, room)["history"]
    assert history["messages"] == 2 and history["bytes"] > 0 and history["first"] < history["last"]
    assert "history" not in ask(hub, unique("none"))


def test_names_in_paths(hub):
    base = unique("Ü b")
    options(hub, base, history={"messages": 5})
    for name in (base, f"{base}/a%2Fb?c", f"{base}//x/", f"{base}/,;&="):
        say(hub, name, name)
        assert [m["topic"] for m in ask(hub, name, "history")["messages"]] == [name]
    for action in ("history", "retained", "presence"):
        name = f"{base}/{action}"
        say(hub, name, action, Retain="true")
        encoded = hub.get("/v1/topics/" + name.replace(" ", "%20").replace("/", "%2F")).json()
        assert (encoded["topic"], encoded["retained"]) == (name, True)
        encoded = hub.get("/v1/topics/" + name.replace(" ", "%20").replace("/", "%2F") + "/history").json()
        assert [m["data"] for m in encoded["messages"]] == [action]
    assert hub.get("/v1/topics/history").json()["topic"] == "history"


@pytest.mark.parametrize("name", ["", "a%zz", "a%", "a/%2", "%", "a/%2/b", "a/%2B", "a/%23", "%00", "a%0Ab", "%FF", "x" * 257, "/".join("x" * 33)])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_names_that_are_none(hub, method, name):
    answer = hub.http.request(method, f"{hub.url}/v1/topics/{name}", content=b"x" if method == "POST" else None)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_request")


def test_other_methods_and_head(hub):
    for method in ("PUT", "DELETE", "PATCH"):
        answer = hub.http.request(method, f"{hub.url}/v1/topics/a")
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, POST")
    answer = hub.http.head(f"{hub.url}/v1/topics/a")
    assert (answer.status_code, answer.content) == (200, b"")


def test_bodies_that_are_refused(hub):
    for content_type, body, status in (
        ("text/plain", b"\xff", 400), ("text/plain; charset=latin-1", b"a", 415), ("application/json", b"{", 400),
        ("application/json", b"", 400), ("text/plain", b"x" * 65_537, 413), ("application/octet-stream", b"x" * 49_200, 413),
        ("application/x-ndjson", b"1\n" * 10_001, 413),
    ):
        assert put(hub, "refused", body, content_type).status_code == status, (content_type, body[:4])
    assert put(hub, "refused", b"x", Content_Encoding="gzip").status_code == 415
    largest = base64.b64encode(b"x" * 49_152).decode()
    with RawSSE(hub, None, None, topics="largest") as client:
        assert put(hub, "largest", b"x" * 49_152, "application/octet-stream").status_code == 202
        assert client.next()["dataBase64"] == largest


def test_presence(hub, room):
    with WebSocket(hub, "watcher", "w1", topics=room, presence="1") as watcher:
        wait_until(lambda: ask(hub, room, "presence")["count"] == 1)
        with RawSSE(hub, "alice", "a1", topics=room), RawSSE(hub, "alice", "a2", topics=room):
            wait_until(lambda: ask(hub, room, "presence")["count"] == 3)
            seen = set()
            while len(seen) < 2:
                event = watcher.notice("presence")
                seen |= {(m.get("user"), m.get("device")) for m in event["joined"]} - {("watcher", "w1")}
            assert seen == {("alice", "a1"), ("alice", "a2")}
            first = ask(hub, room, "presence", limit=2)
            assert first["members"] == [{"user": "alice", "device": "a1"}, {"user": "alice", "device": "a2"}]
            rest = ask(hub, room, "presence", limit=2, after=first["next"])
            assert rest["members"] == [{"user": "watcher", "device": "w1"}] and "next" not in rest
            assert ask(hub, room, "presence", limit=0)["members"] == []
        left = 0
        while left < 2:
            left += watcher.notice("presence")["leftCount"]
    assert hub.get(f"/v1/topics/{room}/presence", params={"after": "!"}).status_code == 400
