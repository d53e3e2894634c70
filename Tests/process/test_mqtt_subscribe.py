"""Which messages a subscription brings and what is said of them: filters, identifiers, options, unsubscribing, properties that pass through."""

import time

import pytest

from mqtt import Type, Wire, ack, options, publish, subscribe, unsubscribe
from mqtt_tools import REFERENCE, only_martlet
from server import unique

VERSIONS = pytest.mark.parametrize("version", [4, 5])


# ---------------------------------------------------------------- filters

# filter, topic, whether it matches; % stands for a name of the test's own.
MATCHES = [
    ("%", "%", True), ("%/#", "%", True), ("%/#", "%/a", True), ("%/#", "%/a/b/c", True), ("%/#", "%a", False), ("%/+", "%/a", True),
    ("%/+", "%", False), ("%/+", "%/", True), ("%/+", "%/a/b", False), ("%/+/c", "%/a/c", True), ("%/+/c", "%/a/b/c", False), ("+/%/#", "a/%", True),
    ("%/+/+", "%/a", False), ("%/a/+/#", "%/a/b", True), ("%/a/+/#", "%/a", False), ("/%", "/%", True), ("/%", "%", False), ("+/%", "/%", True),
    ("%/", "%", False), ("%/", "%/", True), ("%//a", "%//a", True), ("%/+/a", "%//a", True), ("%/A", "%/a", False), ("%/ä", "%/ä", True),
    ("%/e\u0301", "%/\u00e9", False), ("%/\ufeffa", "%/a", False), ("%/\ufeffa", "%/\ufeffa", True), ("%/a b", "%/a b", True), ("%/$a", "%/$a", True), ("%/+", "%/$a", True),
    ("%/\U0001f600", "%/\U0001f600", True),
]


@VERSIONS
def test_what_filters_match(broker, version):
    """§4.7.1; MQTT-4.7.3-4: no normalisation; MQTT-1.5.4-3: U+FEFF is a character."""
    with Wire.connected(broker, version=version) as wire, Wire.connected(broker, version=version) as other:
        for filter, topic, matches in MATCHES:
            name, end = unique("match"), unique("end")
            filter, topic = filter.replace("%", name), topic.replace("%", name)
            wire.subscribe((filter, 0), (end, 0))
            other.publish(topic, "m")
            other.publish(end, "end")
            got = [wire.message().text]
            while got[-1] != "end":
                got.append(wire.message().text)
            assert got == (["m", "end"] if matches else ["end"]), (filter, topic)
            wire.send(unsubscribe(9, filter, end, version=version)).expect(Type.UNSUBACK)


@VERSIONS
def test_wildcards_match_nothing_of_the_servers_own(broker, version):
    """MQTT-4.7.2-1: $SYS comes only to who names it."""
    with Wire.connected(broker, version=version) as wire:
        wire.subscribe(("#", 0), ("+/broker/#", 0))
        end = time.monotonic() + 2.2  # $SYS is told every second
        while time.monotonic() < end:
            try:
                got = wire.message(max(0.01, end - time.monotonic()))
            except TimeoutError:
                break
            assert not got.topic.startswith("$"), got
    with Wire.connected(broker, version=version) as wire:
        wire.send(subscribe(1, ("$SYS/broker/#", 0), version=version))
        seen = [wire.packet().type for _ in range(2)]
        assert sorted(seen) == [Type.PUBLISH, Type.SUBACK]


# ---------------------------------------------------------------- several at once


@VERSIONS
def test_each_filter_is_answered_in_its_place(broker, version):
    """MQTT-3.8.4-1, -2, -5, -6, -7, MQTT-3.9.3-1, -2."""
    name = unique("several")
    with Wire.connected(broker, version=version) as wire:
        wire.send(subscribe(77, (name, 0), (f"{name}/1", 1), (f"{name}/2", 2), (f"{name}/0", 0), version=version))
        got = wire.expect(Type.SUBACK)
        assert (got.id, got.reasons) == (77, [0, 1, 2, 0])


def test_unsubscribing(broker):
    """MQTT-3.10.4-1, -2, -4, -5, -6, MQTT-3.11.3-1, -2: compared letter by letter, answered in order."""
    name = unique("several")
    with Wire.connected(broker) as wire, Wire.connected(broker) as other:
        wire.subscribe((f"{name}/+", 1), (f"{name}/a", 1), (f"{name}/#", 0))
        wire.send(unsubscribe(300, f"{name}/b", f"{name}/a", f"{name}/+", f"{name}/+"))
        got = wire.expect(Type.UNSUBACK)
        assert (got.id, got.reasons) == (300, [0x11, 0, 0, 0x11])
        other.publish(f"{name}/a", "1", 1)
        assert wire.message().qos == 0
        wire.silent()
        wire.send(unsubscribe(301, f"{name}/#")).expect(Type.UNSUBACK)
        other.publish(f"{name}/a", "2", 1)
        wire.silent()
    with Wire.connected(broker, version=4) as wire:
        assert wire.send(unsubscribe(5, "never", version=4)).expect(Type.UNSUBACK).reasons == []


@pytest.mark.parametrize("qos", [1, 2])
def test_unsubscribing_lets_what_was_begun_go_on(broker, topic, qos):
    """MQTT-3.10.4-3."""
    with Wire.connected(broker) as wire, Wire.connected(broker) as other:
        wire.subscribe(topic)
        other.publish(topic, "begun", qos)
        got = wire.expect(Type.PUBLISH)
        wire.send(unsubscribe(2, topic)).expect(Type.UNSUBACK)
        if qos == 1:
            wire.send(ack(Type.PUBACK, got.id))
        else:
            wire.send(ack(Type.PUBREC, got.id))
            assert wire.expect(Type.PUBREL).id == got.id
            wire.send(ack(Type.PUBCOMP, got.id))
        wire.silent()


def test_a_subscription_replaces_the_same(broker, topic):
    """MQTT-3.8.4-3: its QoS, its options and its identifier."""
    with Wire.connected(broker) as wire, Wire.connected(broker) as other:
        wire.subscribe((topic, options(2)), subscription=1)
        wire.subscribe((topic, options(0)), subscription=2)
        other.publish(topic, "once", 2)
        got = wire.message()
        assert (got.text, got.qos, got.properties["subscription"]) == ("once", 0, [2])
        wire.subscribe((topic, options(1)))
        other.publish(topic, "again", 2)
        got = wire.message()
        assert (got.text, got.qos) == ("again", 1) and "subscription" not in got.properties
        wire.silent()


def test_filters_that_overlap(broker):
    """MQTT-3.3.4-2 to -5: one copy with all identifiers and the highest QoS, or one for each subscription."""
    name = unique("overlap")
    with Wire.connected(broker) as wire, Wire.connected(broker) as other:
        wire.subscribe((f"{name}/#", 1), subscription=1)
        wire.subscribe((f"{name}/+", 2), subscription=268_435_455)
        wire.subscribe((f"{name}/a", 0))
        other.publish(f"{name}/a", "m", 2)
        got = [wire.message()]
        while sum(len(one.properties.get("subscription", [])) for one in got) < 2:
            got.append(wire.message())
        assert sorted(id for one in got for id in one.properties.get("subscription", [])) == [1, 268_435_455]
        assert max(one.qos for one in got) == 2 and {one.text for one in got} == {"m"}
        if not REFERENCE:
            assert len(got) == 1
            wire.silent()


def test_no_local(broker, topic):
    """MQTT-3.8.3-3: not to who published it, whatever else it subscribed to; to others it goes."""
    with Wire.connected(broker) as wire, Wire.connected(broker) as other:
        wire.subscribe((topic, options(1, no_local=True)))
        other.subscribe((topic, options(1, no_local=True)))
        wire.publish(topic, "mine", 1)
        assert other.message().text == "mine"
        other.publish(topic, "yours", 1)
        assert wire.message().text == "yours"
        wire.silent()
        other.silent()


# ---------------------------------------------------------------- what passes through


def test_properties_pass_unaltered(broker, topic):
    """MQTT-3.3.2-4, -15, -16, -17, -18, -20; MQTT-1.5.4-3. Martlet's own id, type and time may stand beside them."""
    said = [("b", "2"), ("a", "1"), ("b", "2"), ("", ""), ("\ufeffé", "\U0001f600")]
    with Wire.connected(broker) as wire, Wire.connected(broker) as other:
        wire.subscribe(topic)
        for qos in (0, 1, 2):
            other.publish(
                topic, '"text"', qos, payload_format=1, content_type="application/json; x", response_topic="back/here", correlation=b"\0\1\xff", user=said)
            got = wire.message()
            own = [pair for pair in got.user if pair not in said]
            assert [pair for pair in got.user if pair in said] == said
            assert {name for name, _ in own} <= (set() if REFERENCE else {"id", "type", "at"})
            rest = {name: value for name, value in got.properties.items() if name != "user"}
            assert rest == {"payload_format": 1, "content_type": "application/json; x", "response_topic": "back/here", "correlation": b"\0\1\xff"}


@pytest.mark.parametrize("payload", [b"", b"\0", b"\xff\xfe", "é".encode(), b"{", b"[1, 2", b'{"a":  1}', b"null", b"1.50", b'"text"', b" text ", bytes(range(256))])
@VERSIONS
def test_payloads_pass_byte_by_byte(broker, topic, payload, version):
    """Whatever they become on other transports."""
    with Wire.connected(broker, version=version) as wire, Wire.connected(broker, version=4) as old:
        wire.subscribe(topic)
        old.subscribe(topic)
        wire.send(publish(topic, payload, 0, None, version))
        assert wire.message().payload == payload
        assert old.message().payload == payload


def test_expiry(broker, topic):
    """MQTT-3.3.2-5, -6: what waited is told with what is left, and after it not at all."""
    client = unique("client")
    with Wire.connected(broker, client, session_expiry=60) as wire:
        wire.subscribe(topic)
        wire.leave()
    with Wire.connected(broker) as other:
        other.publish(topic, "short", 1, message_expiry=1)
        other.publish(topic, "long", 1, message_expiry=100)
        other.publish(topic, "ever", 1)
    time.sleep(2.1)  # what is awaited is a second of the server's clock
    with Wire.connected(broker, client, clean=False) as wire:
        got = [wire.message(), wire.message()]
        assert [one.text for one in got] == ["long", "ever"]
        assert 90 <= got[0].properties["message_expiry"] <= 98
        assert "message_expiry" not in got[1].properties
        wire.silent()


@only_martlet
def test_granted_qos(broker, topic):
    """§3.9.3: shared subscriptions and the inbox are granted QoS 1 at most."""
    with Wire.connected(broker) as wire:
        assert wire.subscribe((topic, 2), (f"$share/g/{topic}", 2), ("$inbox", 2), (f"$share/h/{topic}", 0)).reasons == [2, 1, 1, 0]
