"""Sessions: clean start, expiry, resuming, what is in flight when a connection or the server ends, take-over."""

import time

import pytest

from mqtt import PING, Type, Will, Wire, ack, connect, disconnect, publish
from mqtt_tools import REFERENCE, mosquitto_deviates, only_martlet
from server import unique

VERSIONS = pytest.mark.parametrize("version", [4, 5])


@pytest.fixture
def client():
    return unique("client")


def kept(version: int, seconds: int = 60) -> dict:
    """What makes a session outlive its connection."""
    return {"session_expiry": seconds} if version == 5 else {"clean": False}


def back(broker, client: str, version: int = 5, seconds: int = 60, **values) -> Wire:
    """The next connection of a session, which must be there."""
    wire = Wire.connected(broker, client, version, **(kept(version, seconds) | {"clean": False} | values))
    assert wire.connack.present
    return wire


# ---------------------------------------------------------------- whether there is one


@VERSIONS
def test_a_session_stays(broker, client, topic, version):
    """MQTT-3.1.2-5, -6, -25, MQTT-3.2.2-3, MQTT-4.1.0-1, MQTT-4.5.0-1: subscriptions and what came for them."""
    with Wire.connected(broker, client, version, clean=False, **({"session_expiry": 60} if version == 5 else {})) as wire:
        assert not wire.connack.present
        wire.subscribe((topic, 2))
        wire.leave()
    with Wire.connected(broker) as other:
        for qos in (1, 2, 1):
            other.publish(topic, str(qos), qos)
    with back(broker, client, version) as wire:
        assert wire.messages(3) == ["1", "2", "1"]
        wire.silent()


@VERSIONS
def test_a_clean_start_forgets(broker, client, topic, version):
    """MQTT-3.1.2-4, MQTT-3.1.4-4, MQTT-3.2.2-2."""
    with Wire.connected(broker, client, version, **kept(version)) as wire:
        wire.subscribe(topic)
        wire.leave()
    with Wire.connected(broker) as other:
        other.publish(topic, "waits", 1)
        with Wire.connected(broker, client, version, clean=True) as wire:
            assert not wire.connack.present
            other.publish(topic, "later", 1)
            wire.silent()


@VERSIONS
def test_a_session_without_expiry_ends_with_its_connection(broker, client, topic, version):
    """§3.1.2.11.2: absent is 0. In 3.1.1 a clean session is what this is."""
    with Wire.connected(broker, client, version) as wire:
        wire.subscribe(topic)
        wire.leave()
    with Wire.connected(broker, client, version, clean=False) as wire:
        assert not wire.connack.present


def test_a_session_expires(broker, client):
    """MQTT-4.1.0-2: a second after the end of the connection, not before."""
    with Wire.connected(broker, client, session_expiry=1) as wire:
        wire.leave()
    with back(broker, client, seconds=1):
        pass
    time.sleep(3)  # what is awaited is the server's clock
    with Wire.connected(broker, client, clean=False) as wire:
        assert not wire.connack.present


@pytest.mark.parametrize("before, after, present", [(60, 0, False), (1, 60, True), (60, None, True), (60, 0xFFFFFFFF, True)])
def test_the_expiry_may_change_at_the_end(broker, client, before, after, present):
    """§3.14.2.2.2; MQTT-3.14.2-2 is the server's part: it says none."""
    with Wire.connected(broker, client, session_expiry=before) as wire:
        wire.send(disconnect(0, session_expiry=after))
        assert wire.ended() is None
    if before == 1:
        time.sleep(3)
    with Wire.connected(broker, client, clean=False) as wire:
        assert wire.connack.present == present


def test_the_expiry_of_the_last_connection_counts(broker, client):
    with Wire.connected(broker, client, session_expiry=60) as wire:
        wire.leave()
    with back(broker, client, seconds=0) as wire:
        wire.leave()
    with Wire.connected(broker, client, clean=False) as wire:
        assert not wire.connack.present


def test_a_session_passes_from_version_to_version(broker, client, topic):
    """A device that is updated loses nothing."""
    with Wire.connected(broker, client, 4, clean=False) as wire:
        wire.subscribe((topic, 1))
        wire.leave()
    with Wire.connected(broker) as other:
        other.publish(topic, "to 5", 1)
        with back(broker, client) as wire:
            assert wire.message().text == "to 5"
            wire.leave()
        other.publish(topic, "to 4", 1)
        with back(broker, client, 4) as wire:
            assert wire.message().text == "to 4"


# ---------------------------------------------------------------- take-over


@VERSIONS
@pytest.mark.parametrize("clean", [True, False])
def test_the_newer_connection_wins(broker, client, topic, version, clean):
    """MQTT-3.1.4-3: the older one is told (5.0: 0x8E) and closed; the session goes over unless a clean one was asked for."""
    with Wire.connected(broker, client, version, **kept(version)) as old, Wire.connected(broker) as other:
        old.subscribe((topic, 1))
        with Wire.connected(broker, client, version, **(kept(version) | {"clean": clean})) as new:
            said = old.ended(0x8E)
            assert said or version == 4 or REFERENCE
            assert new.connack.present != clean
            other.publish(topic, "m", 1)
            if clean:
                new.silent()
            else:
                assert new.message().text == "m"


def test_many_take_overs_at_once(broker, client):
    """Whatever their order, one is left."""
    wires = [Wire(broker) for _ in range(30)]
    for wire in wires:
        wire.send(connect(client, clean=False, session_expiry=60))
    # All are accepted one after the other, so when the last is, all but one have been ended.
    for wire in wires:
        assert wire.expect(Type.CONNACK).reason == 0
    alive = []
    for wire in wires:
        try:
            alive.append(wire.send(PING).expect(Type.PINGRESP))
        except (AssertionError, OSError):
            pass
        wire.close()
    assert len(alive) == 1


# ---------------------------------------------------------------- in flight


@VERSIONS
def test_what_was_not_acknowledged_comes_again(broker, client, topic, version):
    """MQTT-4.4.0-1, MQTT-3.3.1-1, MQTT-4.3.2-3, MQTT-4.3.3-3: with DUP, the same ids, in order; before what is new."""
    with Wire.connected(broker, client, version, **kept(version)) as wire, Wire.connected(broker) as other:
        wire.subscribe((topic, 2))
        for number, qos in enumerate((1, 2, 1, 2)):
            other.publish(topic, str(number), qos)
        first = [wire.expect(Type.PUBLISH) for _ in range(4)]
        assert not any(got.dup for got in first)
        wire.drop()
        other.publish(topic, "4", 1)
    for _ in range(2):
        with back(broker, client, version) as wire:
            again = [wire.expect(Type.PUBLISH) for _ in range(5)]
            assert [(got.text, got.id, got.qos) for got in again[:4]] == [(got.text, got.id, got.qos) for got in first]
            assert [got.dup for got in again[:4]] == [True] * 4 and again[4].text == "4"
    with back(broker, client, version) as wire:
        assert wire.messages(5) == ["0", "1", "2", "3", "4"]
        wire.silent()
        wire.leave()
    with back(broker, client, version) as wire:
        wire.silent()


@VERSIONS
def test_a_release_comes_again(broker, client, topic, version):
    """MQTT-4.3.3-5, -6: after PUBREC it is PUBREL that is repeated, and the message no more."""
    with Wire.connected(broker, client, version, **kept(version)) as wire, Wire.connected(broker) as other:
        wire.subscribe((topic, 2))
        other.publish(topic, "m", 2)
        id = wire.expect(Type.PUBLISH).id
        wire.send(ack(Type.PUBREC, id, version=version))
        assert wire.expect(Type.PUBREL).id == id
    with back(broker, client, version) as wire:
        assert wire.expect(Type.PUBREL).id == id
        wire.send(ack(Type.PUBCOMP, id, version=version))
        wire.silent()
        wire.leave()
    with back(broker, client, version) as wire:
        wire.silent()


@mosquitto_deviates("sends everything again at once")
def test_the_window_of_the_new_connection_counts(broker, client, topic):
    """MQTT-3.3.4-9 over a resumption: a smaller receive maximum holds for what is sent again."""
    with Wire.connected(broker, client, session_expiry=60) as wire, Wire.connected(broker) as other:
        wire.subscribe((topic, 1))
        for number in range(6):
            other.publish(topic, str(number), 1)
        for _ in range(6):
            wire.expect(Type.PUBLISH)
    with back(broker, client, receive_maximum=2) as wire:
        got = [wire.expect(Type.PUBLISH) for _ in range(2)]
        wire.silent()
        for one in got:
            wire.send(ack(Type.PUBACK, one.id))
        assert [one.text for one in got] + wire.messages(4) == [str(number) for number in range(6)]


def test_qos_0_waits_for_nobody(broker, client, topic):
    """§4.5: what is sent at most once may be left out for who is away; what is QoS 1 beside it comes."""
    with Wire.connected(broker, client, session_expiry=60) as wire:
        wire.subscribe((topic, 0), (topic + "/1", 1))
        wire.leave()
    with Wire.connected(broker) as other:
        other.publish(topic, "zero", 1)
        other.publish(topic + "/1", "one", 1)
    with back(broker, client) as wire:
        assert wire.messages(1) == ["one"]
        wire.silent()


# ---------------------------------------------------------------- the server ends


def stop(broker, how: str) -> None:
    if how == "kill -9":
        broker.kill9()
    else:
        broker.stop()
    broker.restart()


HOW = pytest.mark.parametrize("how", ["stop", pytest.param("kill -9", marks=mosquitto_deviates("writes its store now and then", run=False))])


@HOW
@VERSIONS
def test_sessions_survive_the_server(own_broker, client, topic, how, version):
    """Subscriptions with their options, messages that wait, and what is in flight in both directions."""
    if REFERENCE and version == 5:
        pytest.xfail("mosquitto: forgets sessions of 5.0 when it is stopped")
    watcher = f"{client}-watch"
    with Wire.connected(own_broker, watcher, version, **kept(version, 600)) as watch:
        watch.subscribe((topic + "/x", 2))
        watch.leave()
    with Wire.connected(own_broker, client, version, **kept(version, 600)) as wire, Wire.connected(own_broker, version=version) as other:
        wire.subscribe((topic, 2))
        other.publish(topic, "unanswered", 1)
        other.publish(topic, "received", 2)
        one, two = wire.expect(Type.PUBLISH), wire.expect(Type.PUBLISH)
        wire.send(ack(Type.PUBREC, two.id, version=version))
        assert wire.expect(Type.PUBREL).id == two.id
        # Of the other direction: accepted, and not released.
        assert wire.send(publish(topic + "/x", "held", 2, 77, version)).expect(Type.PUBREC).id == 77
        wire.drop()
        other.publish(topic, "waits 1", 1)
        other.publish(topic, "waits 2", 2)
    stop(own_broker, how)
    with back(own_broker, client, version, 600) as wire, Wire.connected(own_broker) as other:
        seen = [wire.packet() for _ in range(4)]
        assert [(got.type, got.id) for got in seen[:2]] in ([(Type.PUBLISH, one.id), (Type.PUBREL, two.id)], [(Type.PUBREL, two.id), (Type.PUBLISH, one.id)])
        assert [got.text for got in seen if got.type == Type.PUBLISH] == ["unanswered", "waits 1", "waits 2"]
        assert next(got for got in seen if got.text == "unanswered").dup
        assert wire.send(publish(topic + "/x", "held", 2, 77, version, dup=True)).expect(Type.PUBREC).reason < 0x80
        assert wire.send(ack(Type.PUBREL, 77, version=version)).expect(Type.PUBCOMP).reason == 0
        with back(own_broker, watcher, version, 600) as watch:
            assert watch.message().text == "held"
            watch.silent()
        other.publish(topic, "after", 1)
        assert wire.expect(Type.PUBLISH).text == "after"


@only_martlet
@pytest.mark.parametrize("qos", [1, 2])
def test_what_was_acknowledged_is_not_lost_by_kill_9(own_broker, client, topic, qos):
    """Ten rounds: everything that the server has acknowledged arrives, and QoS 2 only once."""
    with Wire.connected(own_broker, client, session_expiry=3_600) as wire:
        wire.subscribe((topic, qos))
        wire.leave()
    accepted, number = [], 0
    for _ in range(10):
        with Wire.connected(own_broker, f"{client}-publisher", clean=False, session_expiry=3_600) as other:
            for _ in range(20):
                other.publish(topic, str(number), qos)
                accepted.append(str(number))
                number += 1
            own_broker.kill9()
        own_broker.restart()
    with back(own_broker, client, seconds=3_600) as wire:
        got = wire.messages(len(accepted))
        assert got == accepted
        wire.silent()


@only_martlet
def test_an_expiry_goes_on_while_the_server_is_away(own_broker, client):
    with Wire.connected(own_broker, client, session_expiry=1) as wire:
        wire.leave()
    with Wire.connected(own_broker, client + "-2", session_expiry=600) as wire:
        wire.leave()
    own_broker.kill9()
    time.sleep(2.5)  # what is awaited is the clock
    own_broker.restart()
    with Wire.connected(own_broker, client, clean=False) as wire:
        assert not wire.connack.present
    with back(own_broker, client + "-2"):
        pass


@only_martlet
def test_a_will_with_a_delay_survives_kill_9(own_broker, client, topic):
    """Its time begins when the server is back or began when the connection ended; either way it comes once."""
    will = Will(topic, b"gone", 1, properties={"will_delay": 1})
    with Wire.connected(own_broker, client, session_expiry=600, will=will) as wire:
        with Wire.connected(own_broker, client + "-watch", session_expiry=600) as watch:
            watch.subscribe((topic, 1))
        wire.drop()
    own_broker.kill9()
    own_broker.restart()
    with back(own_broker, client + "-watch", seconds=600) as watch:
        assert watch.message(10).text == "gone"
        watch.silent(1.5)


@only_martlet
def test_unknown_sessions_after_a_clean_end_by_kill_9(own_broker, client):
    """A session without expiry is over when its connection is, also if the server went with it."""
    with Wire.connected(own_broker, client):
        own_broker.kill9()
    own_broker.restart()
    with Wire.connected(own_broker, client, clean=False) as wire:
        assert not wire.connack.present


def test_the_session_ends_while_it_is_away_with_its_messages(broker, client, topic):
    """What waited for a session that is gone goes nowhere: not to who comes with its name."""
    with Wire.connected(broker, client, session_expiry=1) as wire:
        wire.subscribe((topic, 1))
        wire.leave()
    with Wire.connected(broker) as other:
        other.publish(topic, "m", 1)
    time.sleep(3)  # what is awaited is the server's clock
    with Wire.connected(broker, client, clean=False) as wire:
        wire.silent()
        assert not wire.connack.present
