"""Wills: when they are published, when not, and as what."""

import time

import pytest

from mqtt import Type, Will, Wire, connect, disconnect, publish
from mqtt_tools import mosquitto_deviates
from server import unique

VERSIONS = pytest.mark.parametrize("version", [4, 5])


@pytest.fixture
def watch(broker, topic):
    """Who sees what the tests' wills say."""
    with Wire.connected(broker) as wire:
        wire.subscribe((topic, 2))
        yield wire


@VERSIONS
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_lost_connection_publishes_it(broker, watch, topic, qos, version):
    """MQTT-3.1.2-7, -8, -14, -16."""
    with Wire.connected(broker, version=version, will=Will(topic, b"gone", qos)) as wire:
        watch.silent(0.1)
        wire.drop()
        got = watch.message()
        assert (got.text, got.qos, got.retain) == ("gone", qos, False)
        watch.silent()


@VERSIONS
def test_a_proper_end_does_not(broker, watch, topic, version):
    """MQTT-3.1.2-10, MQTT-3.14.4-3."""
    with Wire.connected(broker, version=version, will=Will(topic, b"gone")) as wire:
        wire.leave()
    watch.silent()


ONLY_4 = mosquitto_deviates("publishes it after 0x04 only")


@pytest.mark.parametrize("reason", [0x04, *(pytest.param(reason, marks=ONLY_4) for reason in (0x80, 0x82, 0x93))])
def test_an_end_with_the_will_does(broker, watch, topic, reason):
    """MQTT-3.14.4-3, §3.14.2.1: 0x04, and every other reason that is not 0."""
    with Wire.connected(broker, will=Will(topic, b"gone")) as wire:
        wire.send(disconnect(reason))
        assert watch.message(2).text == "gone"
    watch.silent()


FORGETS = mosquitto_deviates("forgets the will with the second CONNECT")


@VERSIONS
@pytest.mark.parametrize("what", ["a bad topic", pytest.param("a second CONNECT", marks=FORGETS)])
def test_an_error_of_the_client_does(broker, watch, topic, version, what):
    """MQTT-3.1.2-8 with §4.13: the server closes, and it was no proper end."""
    with Wire.connected(broker, version=version, will=Will(topic, b"gone")) as wire:
        wire.send(connect("again", version) if what == "a second CONNECT" else publish("a/#", "x", version=version))
        wire.ended()
    assert watch.message(2).text == "gone"


@VERSIONS
def test_silence_does(broker, watch, topic, version):
    """MQTT-3.1.2-24: the keep alive is over."""
    with Wire.connected(broker, version=version, will=Will(topic, b"silent"), keep_alive=1):
        assert watch.message(9).text == "silent"


@VERSIONS
def test_a_taken_over_connection_does(broker, watch, topic, version):
    """MQTT-3.1.4-3 and §3.1.2.5: the older connection's will, when there is no delay."""
    client = unique("client")
    with Wire.connected(broker, client, version, will=Will(topic, b"old")), Wire.connected(broker, client, version, will=Will(topic, b"new")) as new:
        assert watch.message().text == "old"
        new.leave()
    watch.silent()


def test_a_retained_will(broker, watch, topic):
    """MQTT-3.1.2-17."""
    with Wire.connected(broker, will=Will(topic, b"kept", 1, True)) as wire:
        wire.drop()
    assert watch.message().text == "kept"
    with Wire.connected(broker) as later:
        later.subscribe(topic)
        got = later.message()
        assert (got.text, got.retain) == ("kept", True)
        later.publish(topic, "", 1, retain=True)


def test_its_properties(broker, watch, topic):
    """§3.1.3.2: as those of a message."""
    said = {"payload_format": 1, "content_type": "text/plain", "response_topic": "r", "correlation": b"\0", "message_expiry": 100, "user": [("b", "1"), ("a", "2")]}
    with Wire.connected(broker, will=Will(topic, "wíll".encode(), 1, properties=dict(said))) as wire:
        wire.drop()
    got = watch.message()
    assert got.user[:2] == said.pop("user") and 98 <= got.properties["message_expiry"] <= 100
    del said["message_expiry"]
    assert {name: value for name, value in got.properties.items() if name not in ("user", "message_expiry")} == said


def test_no_will_no_message(broker, watch):
    """MQTT-3.1.2-12: nor that of the connection before, of the same session."""
    client = unique("client")
    with Wire.connected(broker, client, session_expiry=60, will=Will(unique("x"), b"x")) as wire:
        wire.leave()
    with Wire.connected(broker, client, clean=False, session_expiry=60) as wire:
        wire.drop()
    watch.silent()


def test_a_delay(broker, watch, topic):
    """MQTT-3.1.2-8: when it is over."""
    with Wire.connected(broker, session_expiry=60, will=Will(topic, b"late", properties={"will_delay": 1})) as wire:
        wire.drop()
    start = time.monotonic()
    watch.silent(0.6)
    assert watch.message(4).text == "late"
    assert 0.7 < time.monotonic() - start < 4


@pytest.mark.parametrize("expiry", [pytest.param(None, marks=mosquitto_deviates("waits for the delay")), 1])
def test_the_end_of_the_session_is_the_end_of_the_delay(broker, watch, topic, expiry):
    """§3.1.3.2.2: whichever comes first."""
    with Wire.connected(broker, session_expiry=expiry, will=Will(topic, b"soon", properties={"will_delay": 60})) as wire:
        wire.drop()
    assert watch.message(5).text == "soon"


def test_who_is_back_in_time_has_said_nothing(broker, watch, topic):
    """MQTT-3.1.2-26."""
    client = unique("client")
    with Wire.connected(broker, client, session_expiry=60, will=Will(topic, b"no", properties={"will_delay": 1})) as wire:
        wire.drop()
    with Wire.connected(broker, client, clean=False, session_expiry=60) as wire:
        assert wire.connack.present
        watch.silent(2.5)


@mosquitto_deviates("says nothing")
def test_a_clean_start_ends_the_session_before(broker, watch, topic):
    """§3.1.3.2.2, §3.1.2.5: the session that waited is over, so its will is due."""
    client = unique("client")
    with Wire.connected(broker, client, session_expiry=60, will=Will(topic, b"old", properties={"will_delay": 60})) as wire:
        wire.drop()
    with Wire.connected(broker, client):
        assert watch.message(3).text == "old"


@mosquitto_deviates("waits for the delay")
def test_an_end_without_a_session_publishes_at_once(broker, watch, topic):
    """§3.14.2.2.2 with 0x04: the expiry of the DISCONNECT counts for the delay too."""
    with Wire.connected(broker, session_expiry=60, will=Will(topic, b"now", properties={"will_delay": 60})) as wire:
        wire.send(disconnect(4, session_expiry=0))
        assert watch.message(3).text == "now"


def test_a_will_without_a_payload(broker, watch, topic):
    """§3.1.3.4: zero bytes are a payload."""
    with Wire.connected(broker, will=Will(topic, b"")) as wire:
        wire.drop()
    assert watch.message().payload == b""


def test_the_will_goes_to_its_own_session(broker, topic):
    """It is a message like others: a session that subscribed to it finds it when it is back."""
    client = unique("client")
    with Wire.connected(broker, client, session_expiry=60, will=Will(topic, b"me", 1)) as wire:
        wire.subscribe((topic, 1))
        wire.drop()
    with Wire.connected(broker) as watch:
        watch.subscribe((topic + "/end", 1))
        watch.publish(topic + "/end", "after it", 1)
        watch.message()
    with Wire.connected(broker, client, clean=False, session_expiry=60) as wire:
        assert wire.connack.present
        assert wire.expect(Type.PUBLISH).text == "me"


