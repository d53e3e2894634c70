"""Retained messages: kept, replaced, cleared, and sent to who subscribes, as its options say."""

import pytest

from mqtt import PING, Type, Wire, ack, options, publish, subscribe, unsubscribe
from mqtt_tools import REFERENCE, mosquitto_deviates, only_martlet
from server import unique
from topics import ask, put

VERSIONS = pytest.mark.parametrize("version", [4, 5])


@pytest.fixture
def wire(broker):
    with Wire.connected(broker) as wire:
        yield wire


@pytest.fixture
def other(broker):
    with Wire.connected(broker) as wire:
        yield wire


@VERSIONS
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_the_last_one_is_kept(broker, topic, qos, version):
    """MQTT-3.3.1-5, -8: with its QoS; what is not retained changes nothing. RETAIN says that it was kept."""
    with Wire.connected(broker, version=version) as wire, Wire.connected(broker, version=version) as other:
        other.publish(topic, "first", qos, retain=True)
        other.publish(topic, "second", qos, retain=True)
        other.publish(topic, "passing", qos)
        # QoS 0 has no answer of its own.
        other.send(PING).expect(Type.PINGRESP)
        for granted in (0, 1, 2):
            wire.subscribe((topic, granted))
            got = wire.message()
            assert (got.text, got.retain, got.qos, got.dup) == ("second", True, min(qos, granted), False)
        wire.silent()


@VERSIONS
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_nothing_clears_it(broker, topic, qos, version):
    """MQTT-3.3.1-6, -7: and who is subscribed is told the empty message as any other."""
    with Wire.connected(broker, version=version) as wire, Wire.connected(broker, version=version) as other:
        wire.subscribe(topic)
        other.publish(topic, "kept", qos, retain=True)
        other.publish(topic, "", qos, retain=True)
        got = [wire.message() for _ in range(2)]
        assert [(one.text, one.retain) for one in got] == [("kept", False), ("", False)]
        wire.subscribe(topic)
        wire.silent()


def test_retain_handling(wire, other, topic):
    """MQTT-3.3.1-9, -10, -11, MQTT-3.8.4-4: at every subscribe, at the first, never."""
    other.publish(topic, "kept", 1, retain=True)
    for handling, expected in ((0, [1, 1]), (1, [1, 0]), (2, [0, 0])):
        for count in expected:
            wire.subscribe((topic, options(1, handling=handling)))
            if count:
                assert wire.message().text == "kept"
            wire.silent(0.1)
        wire.send(unsubscribe(90 + handling, topic)).expect(Type.UNSUBACK)
    wire.subscribe((topic, options(1, handling=2)))
    wire.subscribe((topic, options(0, handling=1)))  # with other options it is still the same subscription
    wire.silent(0.1)


@pytest.mark.parametrize("as_published", [False, True])
def test_retain_as_published(wire, other, topic, as_published):
    """MQTT-3.3.1-12, -13: of what is published meanwhile. What was kept always has the flag."""
    wire.subscribe((topic, options(1, as_published=as_published)))
    other.publish(topic, "retained", 1, retain=True)
    other.publish(topic, "passing", 1)
    assert [wire.message().retain for _ in range(2)] == [as_published, False]
    wire.subscribe((topic, options(1, as_published=as_published)))
    assert wire.message().retain


@mosquitto_deviates("changes only the QoS of a subscription that is there")
def test_another_retain_as_published(wire, other, topic):
    """MQTT-3.8.4-3: the option is replaced with the subscription."""
    for as_published in (False, True, False):
        wire.subscribe((topic, options(1, as_published=as_published, handling=2)))
        other.publish(topic, "retained", 1, retain=True)
        assert wire.message().retain == as_published


def test_by_filters(wire, other):
    """MQTT-3.3.1-9: all that match, each once for each subscription."""
    root = unique("kept")
    names = [f"{root}/{number}/x" for number in range(30)] + [f"{root}/y"]
    for name in names:
        other.publish(name, name, 1, retain=True)
    wire.subscribe((f"{root}/+/x", 1))
    assert sorted(wire.messages(30)) == sorted(names[:30])
    wire.silent()
    wire.send(unsubscribe(50, f"{root}/+/x")).expect(Type.UNSUBACK)
    wire.subscribe((f"{root}/#", 1))
    assert sorted(wire.messages(31)) == sorted(names)
    for name in names:
        other.publish(name, "", 1, retain=True)


def test_more_than_the_window(broker, other):
    """They wait for room as other messages do, and what is published meanwhile is not lost."""
    root = unique("kept")
    for number in range(20):
        other.publish(f"{root}/{number}", str(number), 1, retain=True)
    with Wire.connected(broker, receive_maximum=2) as wire:
        wire.subscribe((f"{root}/#", 1))
        other.publish(f"{root}/new", "new", 1)
        got = wire.messages(21)
        assert sorted(got) == sorted([str(number) for number in range(20)] + ["new"])
        wire.silent()


def test_its_properties_are_kept(wire, other, topic):
    """MQTT-3.3.2-4, -15 to -20 over time; and the identifier is the subscription's."""
    said = {"payload_format": 1, "content_type": "text/plain", "response_topic": "r", "correlation": b"c", "user": [("a", "1"), ("a", "2")]}
    other.publish(topic, "kept", 1, retain=True, **said)
    wire.subscribe((topic, 1), subscription=5)
    got = wire.message()
    assert got.user[:2] == said.pop("user")
    assert {name: value for name, value in got.properties.items() if name != "user"} == said | {"subscription": [5]}


def test_it_expires(wire, other, topic):
    """MQTT-3.3.2-5, -6 for what is kept."""
    import time

    other.publish(topic, "short", 1, retain=True, message_expiry=1)
    other.publish(topic + "/long", "long", 1, retain=True, message_expiry=100)
    time.sleep(2.1)  # what is awaited is the server's clock
    wire.subscribe((topic, 1), (topic + "/long", 1))
    got = wire.message()
    assert got.text == "long" and 90 <= got.properties["message_expiry"] <= 98
    wire.silent()


def test_it_goes_to_who_published_it_as_no_local_says(wire, topic):
    """MQTT-3.8.3-3 speaks of what is published; what was kept before is sent, or not to its publisher: the flag is there in any case."""
    wire.publish(topic, "mine", 1, retain=True)
    wire.subscribe((topic, options(1, no_local=False)))
    got = wire.message()
    assert got.text == "mine" and got.retain


def test_a_subscribe_of_many(wire, other):
    """MQTT-3.8.4-5: each filter brings what is kept for it, after the SUBACK or before it, as the standard leaves open."""
    root = unique("kept")
    for name in "ab":
        other.publish(f"{root}/{name}", name, 1, retain=True)
    wire.send(subscribe(9, (f"{root}/a", 1), (f"{root}/b", 1), (f"{root}/c", 1)))
    assert wire.answer(Type.SUBACK).reasons == [1, 1, 1]
    assert sorted(wire.messages(2)) == ["a", "b"]


# ---------------------------------------------------------------- under way when the connection ends


def again(broker, client: str, version: int) -> Wire:
    wire = Wire.connected(broker, client, version, **({"session_expiry": 60} if version == 5 else {}), clean=False)
    assert wire.connack.present
    return wire


@VERSIONS
@pytest.mark.parametrize("qos", [1, 2])
def test_what_was_under_way_comes_again(broker, other, version, qos):
    """MQTT-4.4.0-1, MQTT-3.3.1-1: with DUP, under its packet identifier, still as a retained message."""
    root, client = unique("kept"), unique("client")
    for name in "abc":
        other.publish(f"{root}/{name}", name, qos, retain=True)
    with Wire.connected(broker, client, version, **({"session_expiry": 60} if version == 5 else {"clean": False})) as wire:
        wire.subscribe((f"{root}/#", qos))
        first = [wire.expect(Type.PUBLISH) for _ in range(3)]
        assert not any(got.dup for got in first)
        wire.drop()
    with again(broker, client, version) as wire:
        got = [wire.expect(Type.PUBLISH) for _ in range(3)]
        assert [(one.text, one.id, one.qos, one.retain) for one in got] == [(one.text, one.id, qos, True) for one in first]
        assert all(one.dup for one in got)
    with again(broker, client, version) as wire:
        assert wire.messages(3) == [one.text for one in first]
        wire.silent()
        wire.leave()
    with again(broker, client, version) as wire:
        wire.silent()
    for name in "abc":
        other.publish(f"{root}/{name}", "", 1, retain=True)


@only_martlet
def test_durable_ones_under_way_survive_kill_9(own_broker):
    """QoS 2: the packet identifier is the one of before, so the client takes it once; and what was left follows."""
    from topics import options as set_options

    namespace, client = unique("durable"), unique("client")
    set_options(own_broker, namespace, storage="durable")
    with Wire.connected(own_broker) as other, Wire.connected(own_broker, client, session_expiry=60, receive_maximum=3) as wire:
        for number in range(9):
            other.publish(f"{namespace}/{number}", str(number), 1 if number else 2, retain=True)
        wire.subscribe((f"{namespace}/#", 2))
        first = [wire.expect(Type.PUBLISH) for _ in range(3)]
        assert [one.qos for one in first] == [2, 1, 1]
        # It is answered when it is on disk, with what went out before.
        wire.send(ack(Type.PUBREC, first[0].id)).expect(Type.PUBREL)
        own_broker.kill9()
    own_broker.restart()
    with again(own_broker, client, 5) as wire:
        assert wire.expect(Type.PUBREL).id == first[0].id
        wire.send(ack(Type.PUBCOMP, first[0].id))
        got = [wire.expect(Type.PUBLISH) for _ in range(2)]
        assert [(one.text, one.id, one.dup, one.retain) for one in got] == [(one.text, one.id, True, True) for one in first[1:]]
        wire.send(*(ack(Type.PUBACK, one.id) for one in got))
        assert wire.messages(6) == [str(number) for number in range(3, 9)]
        wire.silent()


# ---------------------------------------------------------------- with the server


@pytest.mark.parametrize("how", ["stop", pytest.param("kill -9", marks=mosquitto_deviates("writes its store now and then", run=False))])
def test_durable_ones_survive_the_server(own_broker, how):
    """In Martlet where the namespace is durable; without that they are in memory."""
    from topics import options as set_options

    namespace = unique("durable")
    if not REFERENCE:
        set_options(own_broker, namespace, storage="durable")
    with Wire.connected(own_broker) as wire:
        wire.publish(f"{namespace}/a", b"\0kept", 1, retain=True, content_type="x/y")
        wire.publish(f"{namespace}/b", "cleared", 1, retain=True)
        wire.publish(f"{namespace}/b", "", 1, retain=True)
    own_broker.kill9() if how == "kill -9" else own_broker.stop()
    own_broker.restart()
    with Wire.connected(own_broker) as wire:
        wire.subscribe((f"{namespace}/#", 1))
        got = wire.message()
        assert (got.payload, got.properties.get("content_type"), got.retain) == (b"\0kept", "x/y", True)
        wire.silent()


@only_martlet
def test_it_is_the_topics_value_on_http(broker, wire, topic):
    """GET …/retained shows it, Retain: true sets it, an empty body clears it; from both sides."""
    wire.publish(topic, '{"n": 1}', 1, retain=True)
    assert ask(broker, topic, "retained")["data"] == {"n": 1}
    assert put(broker, topic, b"text", "text/plain", Retain="true").status_code == 202
    wire.subscribe((topic, 1))
    got = wire.message()
    assert (got.text, got.retain) == ("text", True)
    assert put(broker, topic, b"", "text/plain", Retain="true").status_code == 202
    assert broker.get(f"/v1/topics/{topic}/retained").status_code == 404
    wire.send(publish(topic, "kept", 1, 33, retain=True))
    assert wire.answer(Type.PUBACK).id == 33
    wire.publish(topic, "", 0, retain=True)
    wire.publish(topic, "end", 1)
    assert broker.get(f"/v1/topics/{topic}/retained").status_code == 404
