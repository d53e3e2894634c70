"""The exchanges of QoS 0, 1 and 2 in both directions: packet ids, duplicates, windows, order."""

import itertools
import time

import pytest

from mqtt import PING, Ended, Type, Wire, ack, publish
from mqtt_tools import REFERENCE, mosquitto_deviates
from server import unique

VERSIONS = pytest.mark.parametrize("version", [4, 5])


@pytest.mark.parametrize("granted", [0, 1, 2])
@pytest.mark.parametrize("sent", [0, 1, 2])
@VERSIONS
def test_the_smaller_qos_counts(broker, topic, sent, granted, version):
    """MQTT-3.8.4-8, MQTT-3.3.4-1, MQTT-4.3.1-1, MQTT-4.3.2-4, MQTT-4.3.3-8, -11."""
    with Wire.connected(broker, version=version) as wire, Wire.connected(broker, version=version) as other:
        assert wire.subscribe((topic, granted)).reasons == [granted]
        other.publish(topic, "m", sent)
        got = wire.message()
        assert (got.text, got.qos, got.dup, got.retain) == ("m", min(sent, granted), False, False)
        assert got.qos == 0 or got.id  # MQTT-2.2.1-2, -4
        wire.silent()


@pytest.mark.parametrize("id", [1, 255, 256, 65_535])
@VERSIONS
def test_acknowledgements_say_the_id(broker, topic, id, version):
    """MQTT-2.2.1-5; ids of the two QoS are one space, of the two directions they are not."""
    with Wire.connected(broker, version=version) as wire:
        assert wire.send(publish(topic, "1", 1, id, version)).expect(Type.PUBACK).id == id
        assert wire.send(publish(topic, "2", 2, id, version)).expect(Type.PUBREC).id == id
        assert wire.send(ack(Type.PUBREL, id, version=version)).expect(Type.PUBCOMP).id == id


# ---------------------------------------------------------------- to the server


@VERSIONS
def test_qos_1_again_is_a_new_message(broker, topic, version):
    """MQTT-4.3.2-5, and MQTT-3.3.1-3: the DUP of who publishes is not passed on."""
    with Wire.connected(broker, version=version) as wire, Wire.connected(broker, version=version) as other:
        wire.subscribe(topic)
        for number in range(2):
            assert other.send(publish(topic, str(number), 1, 7, version, dup=True)).expect(Type.PUBACK).id == 7
        for number in range(2):
            got = wire.message()
            assert (got.text, got.dup) == (str(number), False)


@mosquitto_deviates("ends the connection at the second repeat")
@VERSIONS
def test_qos_2_again_is_the_same_until_it_is_released(broker, topic, version):
    """MQTT-4.3.3-10, -12: one message however often it is sent before PUBREL; after PUBCOMP a new one."""
    with Wire.connected(broker, version=version) as wire, Wire.connected(broker, version=version) as other:
        wire.subscribe(topic)
        for number in range(3):
            assert other.send(publish(topic, "one", 2, 7, version, dup=number > 0)).expect(Type.PUBREC).id == 7
        for _ in range(2):
            assert other.send(ack(Type.PUBREL, 7, version=version)).expect(Type.PUBCOMP).id == 7
        assert wire.message().text == "one"
        wire.silent()
        assert other.send(publish(topic, "two", 2, 7, version)).expect(Type.PUBREC).id == 7
        other.send(ack(Type.PUBREL, 7, version=version)).expect(Type.PUBCOMP)
        assert wire.message().text == "two"
        wire.silent()


def test_qos_2_over_a_new_connection(broker, topic):
    """MQTT-4.3.3-10, MQTT-4.4.0-1: what the session has seen it has seen, on whatever connection it is repeated."""
    client = unique("client")
    with Wire.connected(broker) as wire:
        wire.subscribe(topic)
        with Wire.connected(broker, client, session_expiry=60) as other:
            assert other.send(publish(topic, "one", 2, 9)).expect(Type.PUBREC).reason < 0x80
        with Wire.connected(broker, client, clean=False, session_expiry=60) as other:
            assert other.connack.present
            assert other.send(publish(topic, "one", 2, 9, dup=True)).expect(Type.PUBREC).reason < 0x80
            assert other.send(ack(Type.PUBREL, 9)).expect(Type.PUBCOMP).reason == 0
            assert wire.message().text == "one"
            wire.silent()


@VERSIONS
def test_a_release_of_what_is_unknown(broker, version):
    """MQTT-4.3.3-11: answered all the same (5.0: 0x92), so that the client comes to its end."""
    with Wire.connected(broker, version=version) as wire:
        got = wire.send(ack(Type.PUBREL, 4242, version=version)).expect(Type.PUBCOMP)
        assert got.id == 4242 and got.reason in (0, 0x92)
        wire.silent()


def test_nobody_is_there(broker):
    """§3.4.2.1: success, or 0x10 for no subscribers."""
    with Wire.connected(broker) as wire:
        assert wire.send(publish(unique("nobody"), "m", 1, 1)).expect(Type.PUBACK).reason in (0, 0x10)
        assert wire.send(publish(unique("nobody"), "m", 2, 2)).expect(Type.PUBREC).reason in (0, 0x10)


@mosquitto_deviates("refuses what is beyond it by PUBREC 0x97, and goes on")
def test_the_window_of_the_server(broker, topic):
    """MQTT-3.3.4-7: what it says it takes it takes, and beyond it the connection ends with 0x93."""
    with Wire.connected(broker) as wire:
        most = wire.connack.properties.get("receive_maximum", 65_535)
        wire.send(*(publish(topic, "m", 2, id) for id in range(1, most + 1)))
        assert [wire.expect(Type.PUBREC).id for _ in range(most)] == list(range(1, most + 1))
        wire.send(publish(topic, "m", 2, 1, dup=True)).expect(Type.PUBREC)
        if most < 65_535:
            wire.send(publish(topic, "m", 2, most + 1))
            assert wire.ended(0x93).reason == 0x93


@pytest.mark.parametrize("qos", [1, 2])
def test_many_at_once(broker, topic, qos):
    """A window full, and full again, without waiting for each: nothing is lost, and in order."""
    with Wire.connected(broker) as wire, Wire.connected(broker) as other:
        wire.subscribe(topic)
        most = min(20, other.connack.properties.get("receive_maximum", 65_535))
        for turn in range(5):
            other.send(*(publish(topic, f"{turn}.{id}", qos, id) for id in range(1, most + 1)))
            for id in range(1, most + 1):
                assert other.expect(Type.PUBACK if qos == 1 else Type.PUBREC).id == id
            if qos == 2:
                other.send(*(ack(Type.PUBREL, id) for id in range(1, most + 1)))
                assert [other.expect(Type.PUBCOMP).id for _ in range(most)] == list(range(1, most + 1))
            assert wire.messages(most) == [f"{turn}.{id}" for id in range(1, most + 1)]


# ---------------------------------------------------------------- from the server


SENDS_MORE = mosquitto_deviates("sends all that waits when the first of several exchanges of QoS 2 is over")


@pytest.mark.parametrize("most, qos", [(1, 1), (3, 1), (1, 2), pytest.param(3, 2, marks=SENDS_MORE)])
def test_the_window_of_the_client(broker, topic, qos, most):
    """MQTT-3.3.4-9, -10, MQTT-4.9.0-1 to -3, MQTT-4.3.2-1, MQTT-4.3.3-1: no more than it takes, each with an id of its own; other packets do not wait."""
    with Wire.connected(broker, receive_maximum=most) as wire, Wire.connected(broker) as other:
        wire.subscribe(topic)
        for number in range(most + 3):
            other.publish(topic, str(number), qos)
        open_ones = [wire.expect(Type.PUBLISH) for _ in range(most)]
        assert len({got.id for got in open_ones}) == most and all(got.id for got in open_ones)
        wire.silent()
        seen = [got.text for got in open_ones]
        while open_ones:
            got = open_ones.pop(0)
            if qos == 1:
                wire.send(ack(Type.PUBACK, got.id))
            else:
                wire.send(ack(Type.PUBREC, got.id))
                assert wire.expect(Type.PUBREL).id == got.id
                wire.silent(0.05)  # a PUBREC makes no room
                wire.send(ack(Type.PUBCOMP, got.id))
            if len(seen) < most + 3:
                got = wire.expect(Type.PUBLISH)
                assert got.id not in [one.id for one in open_ones]
                seen.append(got.text)
                open_ones.append(got)
        assert seen == [str(number) for number in range(most + 3)]
        wire.silent()


def test_a_refusal_of_the_client_makes_room(broker, topic):
    """MQTT-4.4.0-2, MQTT-4.9.0-2: PUBACK and PUBREC with 0x80 end the exchange, and the message comes no more."""
    client = unique("client")
    with Wire.connected(broker, client, receive_maximum=1, session_expiry=60) as wire, Wire.connected(broker) as other:
        wire.subscribe(topic)
        for qos, kind in ((1, Type.PUBACK), (2, Type.PUBREC)):
            other.publish(topic, "no", qos)
            other.publish(topic, "yes", qos)
            wire.send(ack(kind, wire.expect(Type.PUBLISH).id, 0x83))
            assert wire.message().text == "yes"
    with Wire.connected(broker, client, clean=False) as wire:
        assert wire.connack.present
        wire.silent()


@VERSIONS
def test_nothing_is_sent_again_on_the_same_connection(broker, topic, version):
    """MQTT-4.4.0-1: whatever time passes."""
    with Wire.connected(broker, version=version) as wire, Wire.connected(broker) as other:
        wire.subscribe(topic)
        for qos in (1, 2):
            other.publish(topic, "m", qos)
            wire.expect(Type.PUBLISH)
        wire.silent(1.5)


def test_acknowledgements_of_nothing(broker, topic):
    """Ids that were never sent: ignored, or (PUBREC) answered with a PUBREL of 0x92, or a protocol error; the server is as before."""
    with Wire.connected(broker) as other:
        other.subscribe(topic)
        for kind in (Type.PUBACK, Type.PUBREC, Type.PUBCOMP):
            with Wire.connected(broker) as wire:
                wire.send(ack(kind, 4242), PING)
                try:
                    got = wire.packet()
                    if got.type == Type.PUBREL:
                        assert kind == Type.PUBREC and got.id == 4242 and (got.reason == 0x92 or REFERENCE)
                        got = wire.packet()
                    assert got.type == Type.PINGRESP or got.reason == 0x82, got
                except Ended:
                    assert REFERENCE
        other.publish(topic, "m", 1)
        assert other.message().text == "m"


def test_the_wrong_acknowledgement_is_none(broker, topic):
    """MQTT-4.3.2-3, MQTT-4.3.3-3: a QoS 1 message is not done by PUBCOMP, nor a QoS 2 one by PUBACK."""
    client = unique("client")
    with Wire.connected(broker, client, session_expiry=60) as wire, Wire.connected(broker) as other:
        wire.subscribe(topic)
        other.publish(topic, "one", 1)
        other.publish(topic, "two", 2)
        ids = [wire.expect(Type.PUBLISH).id for _ in range(2)]
        try:
            wire.send(ack(Type.PUBCOMP, ids[0]), ack(Type.PUBACK, ids[1]), PING)
            while wire.packet().type not in (Type.PINGRESP, Type.DISCONNECT):
                pass
        except Ended:
            pass
    with Wire.connected(broker, client, clean=False) as wire:
        got = wire.messages(2)
        assert got == ["one", "two"]


@pytest.mark.parametrize("qos", [0, 1, 2])
@VERSIONS
def test_order(broker, qos, version):
    """MQTT-4.6.0-5, -6: of one publisher, on every topic and through filters."""
    root = unique("order")
    with Wire.connected(broker, version=version) as wire, Wire.connected(broker, version=version) as other:
        wire.subscribe((f"{root}/+", qos))
        for number in range(100):
            other.publish(f"{root}/{number % 2}", str(number), qos)
        got = [wire.message() for _ in range(100)]
        for level in range(2):
            assert [int(one.text) for one in got if one.topic == f"{root}/{level}"] == list(range(level, 100, 2))


@mosquitto_deviates("uses an id again that is still open")
def test_ids_come_around(broker, topic):
    """MQTT-2.2.1-4: after 65,535 messages ids are used again, never 0, and none that is still open."""
    with Wire.connected(broker, receive_maximum=200, timeout=20) as wire, Wire.connected(broker, timeout=20) as other:
        wire.subscribe((topic, 1))
        other.publish(topic, "open", 1)
        kept = wire.expect(Type.PUBLISH).id
        window = min(100, other.connack.properties.get("receive_maximum", 65_535))
        for turn in range(66_000 // window):
            other.send(*(publish(topic, "x", 1, id) for id in range(1, window + 1)))
            acks = []
            for _ in range(window):
                got = wire.expect(Type.PUBLISH)
                assert got.id not in (0, kept)
                acks.append(ack(Type.PUBACK, got.id))
            wire.send(*acks)
            for _ in range(window):
                other.expect(Type.PUBACK)
        wire.send(ack(Type.PUBACK, kept))
        wire.silent()


def test_two_versions_and_every_qos_meet(broker, topic):
    """§1.2: the versions are one server's."""
    pairs = list(itertools.product((4, 5), (0, 1, 2)))
    wires = [Wire.connected(broker, version=version) for version, _ in pairs]
    for wire, (_, qos) in zip(wires, pairs):
        wire.subscribe((topic, qos))
    for wire, (_, qos) in zip(wires, pairs):
        wire.publish(topic, "m", qos)
        for other, (_, granted) in zip(wires, pairs):
            got = other.message()
            assert (got.text, got.qos) == ("m", min(qos, granted))
    for wire in wires:
        wire.close()


@mosquitto_deviates("lets what was sent expire before it is sent again")
def test_an_exchange_that_is_begun_does_not_expire(broker, topic):
    """MQTT-4.3.3-7, -13: an exchange is ended, whatever its expiry. Martlet sends nothing that has expired: it goes on with PUBREL."""
    client = unique("client")
    with Wire.connected(broker, client, session_expiry=60) as wire, Wire.connected(broker) as other:
        wire.subscribe((topic, 2))
        other.publish(topic, "begun", 2, message_expiry=1)
        id = wire.expect(Type.PUBLISH).id
        wire.drop()
        assert other.send(publish(topic + "/x", "m", 2, 50, message_expiry=1)).expect(Type.PUBREC).id == 50
        time.sleep(2.1)  # what is awaited is the server's clock
        assert other.send(ack(Type.PUBREL, 50)).expect(Type.PUBCOMP).reason == 0
    with Wire.connected(broker, client, clean=False, session_expiry=60) as wire:
        got = wire.packet()
        if REFERENCE:
            assert (got.type, got.payload, got.id, got.dup) == (Type.PUBLISH, b"begun", id, True)
        else:
            assert (got.type, got.id) == (Type.PUBREL, id)
            wire.send(ack(Type.PUBCOMP, id, 0x92))
            with Wire.connected(broker) as other:
                other.publish(topic, "next", 2)
            assert wire.message().text == "next"
