"""Topics on every transport that takes them: the same messages, byte for byte; resuming; frames of a WebSocket."""

import json
import threading

import pytest

import sse
from clients import RawSSE, WebSocket
from server import unique, wait_until
from topics import ask, options, put, say
from transports import TRANSPORTS

# All that take topics.
RECEIVERS = {name: kind for name, kind in TRANSPORTS.items() if name != "ramen"}


@pytest.fixture(params=RECEIVERS, ids=list(RECEIVERS))
def receiver(request):
    return RECEIVERS[request.param]


@pytest.fixture
def space(hub):
    """A namespace whose topics keep history."""
    namespace = unique("space")
    options(hub, namespace, history={"messages": 1_000})
    return namespace


def test_what_is_published_on_one_arrives_on_all_byte_for_byte(hub, space):
    topic = f"{space}/bytes"
    data = '{"z":12345678901234567890.0100,"a":"\\u00e9 é 🐦 <b>","nested":[ 1,2 ,{}]}'
    binary = bytes(range(256))
    everyone = [kind(hub, None, None, topics=topic, since="earliest") for kind in RECEIVERS.values()]
    with WebSocket(hub, "someone", None, topics="") as sender:
        ids = [put(hub, topic, data, "application/json").json()["id"], put(hub, topic, binary, "application/octet-stream").json()["id"]]
        ids.append(put(hub, topic, "é\n\"text\"\t".encode()).json()["id"])
        ids.append(hub.post('{"to":{"topic":"%s"},"type":"t","data":%s}' % (topic, data)).json()["id"])
        sender.send('{"publish":{"topic":"%s","data":%s,"ref":[1, 2]}}' % (topic, data))
        published = sender.notice("published")
        assert published["ref"] == [1, 2]
        ids.append(published["id"])
    fragments = []
    for client in everyone:
        messages = client.take(5)
        assert [m["id"] for m in messages] == ids
        assert all(m["topic"] == topic and "priority" not in m and "seq" not in m for m in messages)
        if client.polls:  # there the message is not seen as text of its own
            continue
        assert all(data in m["_raw"] for m in (messages[0], messages[3], messages[4]))
        if messages[0]["_raw"] != data:  # protobuf has the data alone
            fragments.append([m["_raw"][m["_raw"].index('"id"'):] for m in messages])
    for client in everyone:
        client.drop()
    assert all(other == fragments[0] for other in fragments)
    history = hub.get(f"/v1/topics/{topic}/history").text
    assert all(fragment in history for fragment in fragments[0])
    assert "retained" not in history


def test_inbox_and_topics_on_one_connection(hub, user, space, receiver):
    topic = f"{space}/a"
    with receiver(hub, user, f"{user}-d1", topics=f"{topic},{space}/b") as client:
        if receiver.polls:
            say(hub, topic, 0)  # there is no welcome to wait for
            client.next(10)
        hub.publish(user, data="inbox")
        assert client.next()["data"] == "inbox"
        say(hub, f"{space}/b", "b")
        say(hub, f"{space}/c", "not asked for")
        say(hub, topic, "a")
        got = [(m["topic"], m["data"]) for m in client.take(2)]
        # A poll catches up with each topic by itself.
        assert (sorted(got, reverse=True) if receiver.polls else got) == [(f"{space}/b", "b"), (topic, "a")]
        client.silent(0.1)


def test_resuming_brings_what_was_missed(hub, space, receiver):
    topics = f"{space}/a,{space}/x/#"
    with receiver(hub, None, None, topics=topics, since="earliest") as client:
        for n in range(4):
            say(hub, f"{space}/a" if n % 2 else f"{space}/x/{n}", n)
        messages = client.take(4)
        # Order is promised within a topic; a poll catches up with each by itself.
        assert sorted(m["data"] for m in messages) == [0, 1, 2, 3]
        assert [m["data"] for m in messages if m["topic"] == f"{space}/a"] == [1, 3]
        position = client.position
    missed = [say(hub, f"{space}/x/y", n) for n in range(4, 6)] + [say(hub, f"{space}/a", 6)]
    with receiver(hub, None, None, resume=position, topics=topics) as client:
        # Topics are read one after the other when they catch up; each by itself is in order.
        messages = client.take(3)
        assert sorted(m["id"] for m in messages) == missed
        assert [m["data"] for m in messages if m["topic"] == f"{space}/x/y"] == [4, 5]
        assert all("redelivered" not in m for m in messages)
        client.silent(0.2)


@pytest.mark.parametrize("since, expected", [("latest", []), ("earliest", [0, 1, 2]), ("last:2", [1, 2]), ("last:0", []), ("0", [0, 1, 2])])
def test_where_they_begin(hub, space, receiver, since, expected):
    if receiver.polls and not expected:
        pytest.skip("a poll has no welcome after which to publish")
    topic = f"{space}/{unique('t')}"
    for n in range(3):
        say(hub, topic, n)
    with receiver(hub, None, None, topics=topic, since=since) as client:
        assert [m["data"] for m in client.take(len(expected))] == expected
        say(hub, topic, "live")
        assert client.next()["data"] == "live"


def test_a_gap_says_what_is_gone(hub, receiver):
    namespace = unique("few")
    options(hub, namespace, history={"messages": 2})
    topic = f"{namespace}/a"
    with receiver(hub, None, None, topics=topic, since="earliest") as client:
        say(hub, topic, 0)
        client.next()
        position = client.position
    for n in range(1, 6):
        say(hub, topic, n)
    with receiver(hub, None, None, resume=position, topics=topic) as client:
        gap = client.notice("gap")
        assert (gap["reason"], gap["topic"]) == ("trimmed", topic)
        assert gap["to"] > gap["from"] and "scope" not in gap
        assert [m["data"] for m in client.take(2)] == [4, 5]


def test_many_topics_on_one_connection(hub, space):
    names = [f"{space}/{n}" for n in range(300)]
    with RawSSE(hub, None, None, topics=",".join(names)) as client:
        assert len(client.welcome["topics"]) == 300
        sent = [say(hub, name, name) for name in names[::30]]
        messages = client.take(len(sent))
        assert [m["id"] for m in messages] == sent
        assert all(len(m["_position"]) < 512 for m in messages)
        position = client.position
    missed = {say(hub, name, name) for name in names[::25]}
    with RawSSE(hub, None, None, resume=position, topics=",".join(names)) as client:
        assert {m["id"] for m in client.take(len(missed))} == missed
        client.silent(0.1)


def test_names_in_the_url(hub):
    names = [unique("a,b"), unique("50%"), unique("é ü"), unique("%2C")]
    value = ",".join(name.replace("%", "%25").replace(",", "%2C") for name in names)
    with RawSSE(hub, None, None, topics=value) as client:
        assert [entry["topic"] for entry in client.welcome["topics"]] == names
        for name in names:
            say(hub, name, name)
            assert client.next()["topic"] == name


def test_what_is_refused(hub):
    def code(path: str, **query) -> tuple[int, str]:
        answer = hub.get(path, params=query)
        return answer.status_code, answer.json()["error"]["code"]

    for path in ("/v1/sse", "/v1/poll"):
        assert code(path) == (401, "unauthorized")
        assert code(path, topics="") == (401, "unauthorized")
        for bad in ("a,,b", "a#", "#/a", "a/b+", "x" * 257, "a\nb", "a%", "a%zz", "50%,b", "a%2"):
            assert code(path, topics=bad) == (400, "bad_request"), bad
        assert code(path, topics=",".join(str(n) for n in range(513))) == (403, "too_many_topics")
        assert code(path, user="u", since="latest") == (400, "bad_request")
        assert code(path, topics="a", since="yesterday") == (400, "bad_request")
        assert code(path, topics="a", presence="yes") == (400, "bad_request")
    assert code("/ramen/receive", seq=0, user="u", device="d", topics="a") == (400, "bad_request")


def test_filters_that_overlap_bring_each_message_once_and_in_order(hub, space, receiver):
    filters = f"{space}/#,{space}/b,{space}/+/c,{space}/+"
    with receiver(hub, None, None, topics=filters, since="earliest") as client:
        expected = [say(hub, f"{space}/b", n) for n in range(3)]
        assert [m["id"] for m in client.take(3)] == expected
        position = client.position
    topics = [f"{space}/b", f"{space}/a/c", f"{space}/x/y/z"]
    missed = {topic: [] for topic in topics}
    for n in range(150):
        missed[topics[n % 3]].append(say(hub, topics[n % 3], "x" * 2_000))  # four windows
    with receiver(hub, None, None, resume=position, topics=filters) as client:
        messages = client.take(150, 30)
        for topic in topics:
            assert [m["id"] for m in messages if m["topic"] == topic] == missed[topic]
        client.silent(0.2)


# ------------------------------------------------------------ frames

def test_the_cursor_of_what_was_subscribed_resumes(hub, space):
    """Who comes back before the first message has come has lost nothing."""
    say(hub, f"{space}/b", "before")
    with WebSocket(hub, None, None, topics="") as client:
        client.send({"subscribe": [f"{space}/a", f"{space}/b"]})
        *_, last = client.notice("subscribed")
    missed = [say(hub, f"{space}/{name}", name) for name in "ab"]
    with WebSocket(hub, None, None, resume=last["cursor"], topics=f"{space}/a,{space}/b") as client:
        assert [m["id"] for m in client.take(2)] == missed
        client.silent(0.1)


def test_the_cursor_of_a_gap_goes_on_after_it(hub):
    namespace = unique("few")
    options(hub, namespace, history={"messages": 2})
    with WebSocket(hub, None, None, topics=f"{namespace}/a", since="earliest") as client:
        say(hub, f"{namespace}/a", 0)
        client.next()
        position = client.position
    for n in range(1, 6):
        say(hub, f"{namespace}/a", n)
    with WebSocket(hub, None, None, resume=position, topics=f"{namespace}/a") as client:
        cursor = client.notice("gap")["cursor"]
    with WebSocket(hub, None, None, resume=cursor, topics=f"{namespace}/a") as client:
        assert [m["data"] for m in client.take(2)] == [4, 5]
        assert client.notices.empty()

def test_frames_of_a_websocket(hub, space):
    a, b = f"{space}/a", f"{space}/b"
    say(hub, a, "before")
    with WebSocket(hub, None, None, topics="") as client:
        client.send({"subscribe": [{"topic": a, "since": "earliest"}, f"{space}/b/#"]})
        first, last = client.notice("subscribed")
        assert first == {"topic": a} and last["topic"] == f"{space}/b/#" and set(last) == {"topic", "cursor"}
        assert client.next()["data"] == "before"
        client.send({"subscribe": a})  # already there: nothing comes again
        client.send({"publish": {"topic": b, "data": 1, "ref": "r"}})
        published = client.notice("published")
        assert published["ref"] == "r"
        message = client.next()
        assert (message["id"], message["topic"], message["data"]) == (published["id"], b, 1)
        client.send({"unsubscribe": [a, "never"]})
        assert client.notice("unsubscribed") == [{"topic": a, "reason": "requested"}]
        assert client.notice("unsubscribed") == [{"topic": "never", "reason": "not_subscribed"}]
        say(hub, a, "unheard")
        say(hub, b, "heard")
        assert client.next()["data"] == "heard"


def test_refusals_leave_the_connection(hub, space):
    with WebSocket(hub, None, None, topics=f"{space}/a") as client:
        for frame, code, members in (
            ({"subscribe": "a#"}, "bad_request", {"topic": "a#"}),
            ({"subscribe": {"since": "x", "topic": "b"}}, "bad_request", {"topic": "b"}),
            ({"subscribe": [{"topic": "b", "since": "last:9999999"}]}, "bad_request", {"topic": "b", "limit": 1_000_000}),
            ({"subscribe": ["a#", "b"]}, "bad_request", {}),
            ({"subscribe": "x" * 257}, "bad_request", {"topic": "x" * 257, "limit": 256}),
            ({"subscribe": "x" * 2_000}, "bad_request", {"limit": 256}),
            ({"subscribe": "/".join("x" * 33)}, "bad_request", {"topic": "/".join("x" * 33), "limit": 32}),
            ({"subscribe": [str(n) for n in range(513)]}, "too_many_topics", {"limit": 512}),
            ({"publish": {"topic": "a/+", "ref": 1}}, "bad_request", {"topic": "a/+", "ref": 1}),
            ({"publish": {"ref": {"n": [1]}, "topic": "a", "priority": "high"}}, "bad_request", {"topic": "a", "ref": {"n": [1]}}),
            ({"publish": {"topic": "a", "retain": True, "ttl": 0, "data": 1, "ref": "r"}}, "bad_request", {"topic": "a", "ref": "r"}),
            ({"publish": {"topic": "a", "ttl": -1, "data": 1}}, "bad_request", {"topic": "a", "limit": 2_592_000}),
            ({"publish": {"data": 1, "ref": None}}, "bad_request", {"ref": None}),
            ({"publish": 7}, "bad_request", {}),
            ({"unsubscribe": 7}, "bad_request", {}),
            ({"unsubscribe": "a#"}, "bad_request", {"topic": "a#"}),
        ):
            client.send(frame)
            error = client.notice("error")
            assert error.pop("message")
            assert error == {"code": code, "frame": next(iter(frame))} | members, frame
        client.send({"ping": 1})
        client.notice("pong")
        say(hub, f"{space}/a", "still here")
        assert client.next()["data"] == "still here"
    with WebSocket(hub, None, None, topics="x") as client:
        client.send({"subscribe": "a", "unsubscribe": "b"})
        assert client.notice("error")["code"] == "bad_request"
        client.wait_ended()


def test_many_publishes_on_one_connection(hub, space):
    topic = f"{space}/many"
    with RawSSE(hub, None, None, topics=topic) as reader, WebSocket(hub, None, None, topics="") as sender:
        def send():
            for n in range(2_000):
                sender.send({"publish": {"topic": topic, "data": n, "ref": n}})

        thread = threading.Thread(target=send)
        thread.start()
        assert [m["data"] for m in reader.take(2_000, 30)] == list(range(2_000))
        assert [sender.notice("published")["ref"] for _ in range(2_000)] == list(range(2_000))
        thread.join()


def test_idempotency_on_a_websocket(hub, space):
    with WebSocket(hub, None, None, topics="") as client:
        ids = []
        for _ in range(2):
            client.send({"publish": {"topic": f"{space}/i", "data": 1, "idempotencyKey": unique("k") if not ids else key}})
            ids.append(client.notice("published")["id"])
            key = "fixed"
        client.send({"publish": {"topic": f"{space}/i", "data": 1, "idempotencyKey": "fixed"}})
        assert client.notice("published")["id"] == ids[1]
        client.send({"publish": {"topic": f"{space}/i", "data": 2, "idempotencyKey": "fixed", "ref": 5}})
        error = client.notice("error")
        assert (error["code"], error["ref"], error["topic"]) == ("idempotency_conflict", 5, f"{space}/i")


def test_a_reader_that_stops_is_told_what_it_missed(hub):
    """Without history there is nothing to catch up with: a gap, and on it goes."""
    topic = unique("fast")
    stopped = hub.connect(receive_buffer=4_096)
    stopped.sendall(f"GET /v1/sse?topics={topic} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    assert b"event: welcome" in stopped.recv(4_096)
    with RawSSE(hub, None, None, topics=topic) as quick:
        sent = []
        for n in range(200):
            sent.append(say(hub, topic, {"n": n, "big": "x" * 60_000}))
            assert quick.next(10)["id"] == sent[-1]
        parser = sse.Parser()
        events, gap = [], None
        while gap is None or events[-1].type != "message":
            for event in parser.feed(stopped.recv(65_536)):
                events.append(event)
                if event.type == "gap":
                    gap = json.loads(event.data)
                    last = say(hub, topic, "after")
    stopped.close()
    assert (gap["reason"], gap["topic"]) == ("slow", topic)
    before = [json.loads(event.data)["id"] for event in events if event.type == "message"]
    # Everything up to the gap, in order and without holes, then what came after it.
    place = [event.type for event in events].index("gap")
    assert before[:place] == sent[:place] and 0 < place < 200
    assert before[-1] == last
