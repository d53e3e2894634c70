"""MQTT and every other way: one set of topics, whoever publishes and whoever subscribes by what."""

import json
import time

import pytest

import metrics
from clients import RawSSE, WebSocket
from mqtt import Type, Will, Wire, publish
from mqtt_tools import MQTTServer, only_martlet
from server import unique, wait_until
from streams import NDJSON
from topics import ask, options, put, say

pytestmark = only_martlet

BINARY = {"dataBase64": "/wCA", "contentType": "application/octet-stream"}
# payload, content type, what others see
TO_JSON = [
    (b'{"a": [1, 2.50]}', None, {"data": {"a": [1, 2.5]}}), (b"[]", None, {"data": []}), (b"hello", None, {"data": "hello"}), (b"", None, {"data": ""}),
    (b'"quoted"', None, {"data": '"quoted"'}), (b"12", None, {"data": "12"}), (b"true", None, {"data": "true"}), (b"null", None, {"data": "null"}),
    (b"{broken", None, {"data": "{broken"}), (b'{"a":1} and more', None, {"data": '{"a":1} and more'}), ('"é\u2028\\\n\t\0'.encode(), None, {"data": '"é\u2028\\\n\t\0'}),
    (b"\xff\0\x80", None, BINARY), (b"\xed\xa0\x80", None, {"dataBase64": "7aCA", "contentType": "application/octet-stream"}),
    (b"12", "application/json", {"data": 12}), (b"null", "application/json", {"data": None}), (b'"text"', "application/json", {"data": "text"}),
    (b'{"a":{"a":1}}', "application/json", {"data": {"a": {"a": 1}}}), (b"[[[[1]]]]", None, {"data": [[[[1]]]]}), (b"[" * 3_000, None, {"data": "[" * 3_000}),
    (b'{"a":1}\n', "application/json", {"data": '{"a":1}\n'}), (b"", "application/json", {"data": ""}), (b" [1]", "application/json", {"data": " [1]"}),
]


@pytest.mark.parametrize("transport", [RawSSE, WebSocket, NDJSON])
def test_what_mqtt_publishes_is_json_for_others(broker, transport):
    name = unique("to")
    with transport(broker, None, None, topics=f"{name}/#") as client, Wire.connected(broker) as wire, Wire.connected(broker) as back:
        back.subscribe((f"{name}/#", 0))
        for number, (payload, content_type, members) in enumerate(TO_JSON):
            wire.publish(f"{name}/{number}", payload, number % 3, content_type=content_type)
            assert back.message().payload == payload
            message = client.next()
            got = {key: value for key, value in message.items() if key not in ("_raw", "_position", "at", "id", "topic")}
            if content_type:
                assert got.pop("contentType") == content_type
            assert message["topic"] == f"{name}/{number}"
            assert got == members, payload[:40]


def test_a_body_with_a_type_of_its_own(broker, topic):
    with RawSSE(broker, None, None, topics=topic) as client, Wire.connected(broker) as wire:
        wire.publish(topic, b"\x89PNG\xff", 1, content_type="image/png")
        got = client.next()
        assert got["dataBase64"] == "iVBOR/8=" and got["contentType"] in ("image/png", "application/octet-stream")


# content type, body, payload
FROM_HTTP = [
    ("text/plain", "héllo".encode(), "héllo".encode()), ("text/plain", b"", b""), (None, b'{"a":1}', b'{"a":1}'), ("application/json", b'"text"', b"text"),
    ("application/json", b'"\\u00e9\\n"', "é\n".encode()), ("application/json", b'{"n": 1.50, "s": "\\u00e9"}', b'{"n": 1.50, "s": "\\u00e9"}'),
    ("application/json", b"12", b"12"), ("application/json", b"null", b"null"), ("image/png", b"\x89PNG\x00\xff", b"\x89PNG\x00\xff"),
    ("application/octet-stream", b"", b""),
]


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("content_type, body, payload", FROM_HTTP)
def test_what_http_publishes_is_bytes_on_mqtt(broker, topic, content_type, body, payload, version):
    with Wire.connected(broker, version=version) as wire:
        wire.subscribe((topic, 1))
        answer = put(broker, topic, body, content_type, {"type": "tü"})
        assert answer.status_code == 202, answer.text
        got = wire.message()
        assert (got.topic, got.payload, got.retain) == (topic, payload, False)
        if version == 5:
            said = dict(got.user)
            assert (said["id"], said["type"]) == (answer.json()["id"], "tü") and abs(int(said["at"]) / 1_000 - time.time()) < 60
            if content_type == "image/png":
                assert got.properties["content_type"] == "image/png"


def test_properties_that_martlet_adds(broker, topic):
    """The same id and time on both sides, of what was not published by MQTT; no type where none was said."""
    with RawSSE(broker, None, None, topics=topic) as client, Wire.connected(broker) as wire:
        wire.subscribe((topic, 1))
        assert put(broker, topic, b"m", "text/plain").status_code == 202
        got, seen = dict(wire.message().user), client.next()
        assert (got["id"], int(got["at"])) == (seen["id"], seen["at"]) and "type" not in got and "type" not in seen
        wire.publish(topic, "m", 1)
        assert not wire.message().user


def test_what_other_clients_publish(broker, topic):
    """A frame of a WebSocket and a message of POST /v1/messages."""
    with Wire.connected(broker) as wire, WebSocket(broker, unique("user"), unique("device")) as socket:
        wire.subscribe((topic, 2))
        socket.send({"publish": {"topic": topic, "data": {"by": "websocket"}}})
        assert json.loads(wire.message().payload) == {"by": "websocket"}
        broker.publish(to={"topic": topic}, data="by http", type="t")
        assert wire.message().text == "by http"


def test_order_over_both(broker, topic):
    """What one publisher says by turns is in its order for everybody."""
    with RawSSE(broker, None, None, topics=topic) as client, Wire.connected(broker) as one, Wire.connected(broker) as wire:
        wire.subscribe((topic, 1))
        for number in range(0, 60, 2):
            one.publish(topic, f"[{number}]", 1)
            say(broker, topic, [number + 1])
        wanted = [[number] for number in range(60)]
        assert client.data(60) == wanted
        assert [json.loads(text) for text in wire.messages(60)] == wanted


def test_history_holds_what_mqtt_published(broker):
    namespace = unique("history")
    options(broker, namespace, history={"messages": 100})
    topic = f"{namespace}/a"
    with Wire.connected(broker) as wire:
        for number in range(5):
            wire.publish(topic, f'{{"n":{number}}}', number % 3)
    assert [message["data"]["n"] for message in ask(broker, topic, "history")["messages"]] == list(range(5))
    with RawSSE(broker, None, None, topics=topic, since="earliest") as client:
        assert [message["n"] for message in client.data(5)] == list(range(5))


@pytest.mark.parametrize("storage", ["memory", "durable"])
def test_history_and_sessions_are_two_things(broker, storage):
    """A session that was away gets each message once, whether its topic keeps history or not."""
    namespace, client = unique("both"), unique("client")
    options(broker, namespace, history={"messages": 100}, storage=storage)
    with Wire.connected(broker, client, session_expiry=60) as wire:
        wire.subscribe((f"{namespace}/#", 1))
        wire.publish(f"{namespace}/a", "seen", 1)
        assert wire.message().text == "seen"
        wire.leave()
    for number in range(3):
        say(broker, f"{namespace}/a", number)
    with Wire.connected(broker, client, clean=False, session_expiry=60) as wire:
        assert wire.messages(3) == ["0", "1", "2"]
        wire.silent()


def test_subscribers_are_counted(broker, topic):
    """GET /v1/topics/{topic} counts those of MQTT as others."""
    with Wire.connected(broker) as wire:
        wire.subscribe((topic, 1))
        wait_until(lambda: ask(broker, topic)["subscribers"] == 1, what="one subscriber")
        wire.leave()
    wait_until(lambda: ask(broker, topic)["subscribers"] == 0, what="no subscriber")


def test_expiry_is_the_ttl(broker):
    """A message with an expiry is not in the history after it."""
    namespace = unique("expiry")
    options(broker, namespace, history={"messages": 100})
    with Wire.connected(broker) as wire:
        wire.publish(f"{namespace}/a", "short", 1, message_expiry=1)
        wire.publish(f"{namespace}/a", "long", 1)
        wire.subscribe((f"{namespace}/ttl", 1))
        assert put(broker, f"{namespace}/ttl", b"m", "text/plain", TTL="60").status_code == 202
        assert wire.message().properties["message_expiry"] in (59, 60)
    wait_until(lambda: [m["data"] for m in ask(broker, f"{namespace}/a", "history")["messages"]] == ["long"], 5, "the end of the short one")


def test_sys_counts_clients_from_the_start(tmp_path):
    """What counts those who are there is told when it changes, not only every ten seconds."""
    server = MQTTServer(tmp_path / "data").start()
    try:
        start = time.monotonic()
        with Wire.connected(server) as wire, Wire.connected(server):
            wire.subscribe(("$SYS/broker/clients/connected", 0))
            while (got := wire.message(5)).text != "2":
                assert got.text in "01"
        assert time.monotonic() - start < 5
    finally:
        server.stop()


@pytest.mark.parametrize("version", [4, 5])
def test_who_leaves_is_counted_once(tmp_path, version):
    """By DISCONNECT, by a lost connection, by a take-over; with a session that is kept, with a will, with neither."""
    server = MQTTServer(tmp_path / "data").start()
    kept = {"session_expiry": 60} if version == 5 else {"clean": False}
    opened = 0
    try:
        for values in ({}, kept, {"will": Will("a", b"b", 1)}):
            for how in (Wire.leave, Wire.drop):
                how(Wire.connected(server, unique("counted"), version, **values))
            client = unique("counted")
            with Wire.connected(server, client, version, **values) as old, Wire.connected(server, client, version, **values) as new:
                assert old.ended() is None or version == 5
                new.leave()
            opened += 4
        def closed() -> float:
            return sum(value for name, value in metrics.numbers(server).items() if name.startswith("martlet_sessions_closed_total{"))

        wait_until(lambda: closed() >= opened, 5, "all are counted")
        now = metrics.numbers(server)
        assert (now['martlet_sessions_opened_total{transport="mqtt"}'], closed(), now['martlet_sessions{transport="mqtt"}']) == (opened, opened, 0)
    finally:
        server.stop()


def test_sys_is_for_those_who_name_it(broker):
    """$SYS/broker/… in dev mode; nobody publishes there."""
    with Wire.connected(broker) as wire:
        wire.subscribe(("$SYS/broker/#", 0))
        got = wire.message()
        assert got.topic.startswith("$SYS/broker/") and got.payload
        wire.send(publish("$SYS/broker/x", "m", 1, 9))
        assert wire.answer(Type.PUBACK).reason >= 0x80
