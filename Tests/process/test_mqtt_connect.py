"""What the server says of itself and keeps to while a connection lasts: CONNACK, keep alive, packet sizes, topic aliases, reasons."""

import time

import pytest

from mqtt import Ended, Type, Will, Wire, connect, disconnect, options, packet, publish, subscribe, unsubscribe
from mqtt_tools import REFERENCE, mosquitto_deviates, only_martlet
from server import unique

VERSIONS = pytest.mark.parametrize("version", [4, 5])


# ---------------------------------------------------------------- CONNACK


@VERSIONS
@pytest.mark.parametrize("client", ["a", "0123456789abcdefghijklm", "nopqrstuvwxyzABCDEFGHIJ", "KLMNOPQRSTUVWXYZ"])
def test_client_ids_that_every_server_takes(broker, client, version):
    """MQTT-3.1.3-5, MQTT-3.1.4-5, MQTT-3.2.2-1, -2."""
    with Wire.connected(broker, client, version) as wire:
        assert not wire.connack.present
        assert "assigned_client" not in wire.connack.properties


def test_a_client_id_is_given_to_who_has_none(broker):
    """MQTT-3.1.3-6, -7, MQTT-3.2.2-16."""
    with Wire.connected(broker, "") as one, Wire.connected(broker, "") as other:
        names = [wire.connack.properties["assigned_client"] for wire in (one, other)]
        assert all(names) and names[0] != names[1]
        # It is a name like any other: who says it takes the session over.
        with Wire.connected(broker, names[0], clean=False):
            assert one.ended(0x8E) or REFERENCE
    with Wire.connected(broker, "", 4) as old:
        old.silent()


def test_what_connack_says_is_in_its_bounds(broker):
    """§3.2.2.3: what is left out has its default, and nothing says that a feature is missing."""
    said = Wire.connected(broker, unique("bounds")).connack.properties
    for name in ("retain_available", "wildcards", "subscription_ids", "shared"):
        assert said.get(name, 1) == 1
    assert "maximum_qos" not in said  # MQTT-3.2.2-9: all three are there
    assert said.get("receive_maximum", 65_535) > 0 and said.get("maximum_packet", 1) > 0
    assert "reason_string" not in said and "auth_method" not in said  # MQTT-4.12.0-6
    assert "response_information" not in said  # MQTT-3.1.2-31


@VERSIONS
def test_one_connack(broker, version):
    """MQTT-3.2.0-2, MQTT-3.12.4-1."""
    with Wire.connected(broker, version=version) as wire:
        for _ in range(3):
            wire.send(packet(Type.PINGREQ)).expect(Type.PINGRESP)
        wire.silent()


def test_a_small_client_is_told_little(broker):
    """MQTT-3.2.2-19, -20: nothing optional that passes its maximum packet size."""
    with Wire.connected(broker, unique("small"), maximum_packet=64) as wire:
        assert wire.connack.size <= 64


# ---------------------------------------------------------------- keep alive


@VERSIONS
def test_silence_ends_the_connection(broker, version):
    """MQTT-3.1.2-24: after one and a half times the keep alive, and not before it."""
    start = time.monotonic()
    with Wire.connected(broker, version=version, keep_alive=1) as wire:
        said = wire.ended(0x8D, timeout=8)
    assert 1.3 <= time.monotonic() - start < (8 if REFERENCE else 4)  # mosquitto looks every five seconds
    assert version == 4 or said or REFERENCE


def test_any_packet_keeps_alive(broker, topic):
    """MQTT-3.1.2-24: not only pings."""
    with Wire.connected(broker, keep_alive=1) as wire:
        end = time.monotonic() + 2.4
        while time.monotonic() < end:
            wire.publish(topic, b"x")
            with pytest.raises(TimeoutError):
                wire.packet(0.4)
        wire.silent()


@only_martlet
def test_the_servers_own_keep_alive(broker):
    """MQTT-3.2.2-21, -22: at most ten minutes; who asks for less has what it asked for."""
    for asked, said in ((0, 600), (65_535, 600), (601, 600), (600, None), (30, None)):
        with Wire.connected(broker, keep_alive=asked) as wire:
            assert wire.connack.properties.get("server_keep_alive") == said, asked


# ---------------------------------------------------------------- leaving


@VERSIONS
def test_disconnect_is_the_end(broker, topic, version):
    """MQTT-3.14.4-1, -2: nothing that comes after it counts."""
    with Wire.connected(broker) as other, Wire.connected(broker, version=version) as wire:
        other.subscribe(topic)
        wire.send(disconnect(version=version), publish(topic, "late", version=version))
        assert wire.ended() is None
        other.silent()


def test_disconnect_says_why(broker):
    """§3.14.2.1: the reasons that a client may give, with a text and properties."""
    for reason in (0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99):
        with Wire.connected(broker) as wire:
            wire.send(disconnect(reason, reason_string="because", user=[("a", "b")]))
            assert wire.ended() is None, reason


# ---------------------------------------------------------------- sizes


@pytest.mark.parametrize("qos", [0, *(pytest.param(qos, marks=mosquitto_deviates("leaves its place in the window taken")) for qos in (1, 2))])
def test_what_is_too_large_for_the_client_is_left_out(broker, topic, qos):
    """MQTT-3.1.2-27, -28: as if it had been sent; what comes after it comes."""
    with Wire.connected(broker, maximum_packet=200, receive_maximum=1) as wire, Wire.connected(broker) as other:
        wire.subscribe(topic)
        other.publish(topic, "x" * 300, qos)
        other.publish(topic, "y", qos, user=[("k", "v" * 300)])
        other.publish(topic, "small", qos)
        assert wire.message().text == "small"
        wire.silent()


def test_a_packet_beyond_what_the_server_takes(broker):
    """MQTT-3.2.2-15: what the server says it takes it takes; beyond it the connection ends with 0x95."""
    with Wire.connected(broker) as wire:
        most = wire.connack.properties.get("maximum_packet")
        if REFERENCE and most is None:
            pytest.skip("mosquitto as it comes has no limit")
        name = unique("large")
        wire.send(publish(name, b"x" * (most - len(publish(name, b"x" * 70_000)) + 70_000), 0))
        wire.silent()
    with Wire.connected(broker) as wire:
        wire.send(b"\x30" + b"\xff\xff\xff\x7f")  # 256 MB are announced; the head is enough
        assert wire.ended(0x95).reason == 0x95


# ---------------------------------------------------------------- aliases


def test_aliases_of_the_client(broker):
    """MQTT-3.3.2-12: all up to the maximum; a new topic takes the place of the old one."""
    a, b = unique("alias"), unique("alias")
    with Wire.connected(broker) as wire, Wire.connected(broker) as other:
        most = wire.connack.properties["alias_maximum"]
        other.subscribe(a, b)
        for alias in (1, most):
            wire.publish(a, "1", alias=alias)
            wire.publish("", "2", 1, alias=alias)
            wire.publish(b, "3", 2, alias=alias)
            wire.publish("", "4", 2, alias=alias)
            got = [other.message() for _ in range(4)]
            assert [(one.topic, one.text) for one in got] == [(a, "1"), (a, "2"), (b, "3"), (b, "4")]
            assert not any("alias" in one.properties for one in got)
        wire.send(publish(a, "5", alias=most + 1))
        assert wire.ended(0x94).reason == 0x94


def test_an_alias_is_of_one_connection(broker):
    """MQTT-3.3.2-7: not of the session, and not of another client."""
    name, client = unique("alias"), unique("client")
    with Wire.connected(broker, client, session_expiry=60) as wire:
        wire.publish(name, "1", alias=1)
        with Wire.connected(broker) as other:
            other.send(publish("", "2", alias=1))
            other.ended(0x82, 0x94)
        wire.publish("", "3", 1, alias=1)
        wire.leave()
    with Wire.connected(broker, client, clean=False, session_expiry=60) as wire:
        assert wire.connack.present
        wire.send(publish("", "4", alias=1))
        wire.ended(0x82, 0x94)


@pytest.mark.parametrize("most", [0, 2])
def test_aliases_of_the_server(broker, most):
    """MQTT-3.1.2-29, -30, MQTT-3.3.2-11: none beyond what the client takes, and each stands for the right topic."""
    root = unique("alias")
    with Wire.connected(broker, **({"alias_maximum": most} if most else {})) as wire, Wire.connected(broker) as other:
        wire.subscribe(f"{root}/#")
        known: dict[int, str] = {}
        short = 0
        for number in range(20):
            name = f"{root}/{number % 3}"
            other.publish(name, str(number), number % 3)
            got = wire.message()
            alias = got.properties.get("alias")
            if alias is not None:
                assert 0 < alias <= most
                if got.topic:
                    known[alias] = got.topic
                else:
                    short += 1
                    got.topic = known[alias]
            assert (got.topic, got.text) == (name, str(number))
        assert REFERENCE or not most or short, "no topic was left out"


def test_topics_that_look_alike_have_aliases_of_their_own(broker):
    root = unique("alias")
    names = [f"{root}/\u00e9", f"{root}/e\u0301"]
    with Wire.connected(broker, alias_maximum=5) as wire, Wire.connected(broker) as other:
        wire.subscribe(f"{root}/#")
        known: dict[int, str] = {}
        for number in range(6):
            other.publish(names[number % 2], str(number), 1)
            got = wire.message()
            if alias := got.properties.get("alias"):
                got.topic = known.setdefault(alias, got.topic)
            assert (got.topic, got.text) == (names[number % 2], str(number))


@pytest.mark.parametrize("qos", [1, 2])
def test_what_is_sent_again_names_its_topic(broker, qos):
    """MQTT-3.3.2-7 for the server: an alias of the connection before is not used after it."""
    root, client = unique("alias"), unique("client")
    with Wire.connected(broker, client, session_expiry=60, alias_maximum=5) as wire, Wire.connected(broker) as other:
        wire.subscribe(f"{root}/#")
        for number in range(3):
            other.publish(f"{root}/a", str(number), qos)
        assert [wire.expect(Type.PUBLISH).text for _ in range(3)] == ["0", "1", "2"]
    with Wire.connected(broker, client, clean=False, session_expiry=60, alias_maximum=5) as wire:
        assert wire.message().topic == f"{root}/a"


# ---------------------------------------------------------------- reasons


@mosquitto_deviates("ends the connection for a bad filter")
def test_no_reasons_for_who_wants_none(broker, topic):
    """MQTT-3.1.2-32: without problem information only PUBLISH, CONNACK and DISCONNECT carry words."""
    long = "x" * 300
    for wanted in (0, 1):
        with Wire.connected(broker, request_problem=wanted) as wire:
            wire.send(subscribe(1, "a#"), unsubscribe(2, "never"), publish(long, b"", 1, 3), publish(long, b"", 2, 4))
            got = [wire.expect(kind) for kind in (Type.SUBACK, Type.UNSUBACK, Type.PUBACK, Type.PUBREC)]
            words = [one for one in got if "reason_string" in one.properties or one.user]
            assert not words if wanted == 0 else all(one.reason >= 0x80 or one.reasons for one in got)


def test_the_way_back_of_a_request(broker):
    """§4.10: request and response find each other by topic and correlation data."""
    question, answers = unique("question"), unique("answers")
    with Wire.connected(broker) as asker, Wire.connected(broker) as answerer:
        asker.subscribe((answers, options(1)))
        answerer.subscribe((question, options(1)))
        asker.publish(question, "6*7", 1, response_topic=answers, correlation=b"\0\xff7")
        got = answerer.message()
        answerer.publish(got.properties["response_topic"], "42", 1, correlation=got.properties["correlation"])
        answer = asker.message()
        assert (answer.text, answer.properties["correlation"]) == ("42", b"\0\xff7")


@only_martlet
def test_the_port_answers_when_http_does(own_broker):
    """Also after a restart; and a user name without a password is no obstacle in dev mode."""
    for _ in range(3):
        with Wire.connected(own_broker, user="alice") as wire:
            wire.silent()
        own_broker.kill9()
        own_broker.restart()


@only_martlet
@pytest.mark.parametrize("reference", [None, "other.example:1883"])
def test_a_drain_says_so(tmp_path, reference):
    """MQTT 5: 0x8B, or 0x9C with where else to go; 3.1.1 is only closed. The will stays unpublished no longer than the session."""
    from mqtt_tools import MQTTServer

    more = ["--mqtt-server-reference", reference] if reference else []
    server = MQTTServer(tmp_path / "data", "--drain-seconds", "2", *more).start()
    try:
        with Wire.connected(server) as five, Wire.connected(server, version=4) as old, Wire(server) as waiting:
            server.terminate()
            said = five.ended(0x9C if reference else 0x8B)
            assert said and said.properties.get("server_reference") == reference
            assert old.ended() is None
            with pytest.raises(Ended):
                waiting.packet()
        assert server.wait() == 0, server.tail()
    finally:
        server.stop()


@VERSIONS
def test_a_will_may_be_anything(broker, version):
    """MQTT-3.1.2-9, MQTT-3.1.3-1: the order of the payload's fields, with all of them."""
    will = Will(unique("will"), b"\0\xff", 2, True, {"will_delay": 0, "content_type": "x", "user": [("a", "b")]})
    with Wire(broker, version) as wire:
        wire.send(connect(unique("all"), version, will=will, user="user", password=b"password\xff" if REFERENCE else "", keep_alive=5))
        assert wire.expect(Type.CONNACK).reason == 0
        wire.leave()
