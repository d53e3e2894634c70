"""What MQTT forbids, statement by statement: the bytes that are sent, and how the server must end the connection."""

import pytest

from mqtt import PING, Ended, Type, Will, Wire, ack, connect, disconnect, length, options, packet, properties, publish, subscribe, text, two, unsubscribe
from mqtt_tools import REFERENCE, mosquitto_deviates, only_martlet
from server import unique

MALFORMED, PROTOCOL, NAME, FILTER, ALIAS = 0x81, 0x82, 0x90, 0x8F, 0x94
WRONG = (MALFORMED, PROTOCOL)
T = "packets/a"


def raw(kind: int, flags: int, body: bytes = b"") -> bytes:
    return packet(kind, body, flags)


def row(id: str, what: str, data: bytes, *reasons: int, marks=()):
    return pytest.param(data, reasons or WRONG, id=f"{id} {what}", marks=marks)


def with_properties(kind: int, flags: int, before: bytes, written: bytes, after: bytes = b"") -> bytes:
    """A packet whose properties are these bytes, right or wrong."""
    return packet(kind, before + written + after, flags)


TWICE = bytes([0x23, 0, 1, 0x23, 0, 1])

# ---------------------------------------------------------------- after CONNECT, in both versions

BOTH = {
    # id, what: built for a version
    ("MQTT-2.1.2", "type 0"): lambda v: raw(0, 0),
    ("MQTT-2.1.2", "CONNACK"): lambda v: raw(2, 0, b"\0\0" + (b"\0" if v == 5 else b"")),
    ("MQTT-2.1.2", "SUBACK"): lambda v: raw(9, 0, two(1) + (b"\0" if v == 5 else b"") + b"\0"),
    ("MQTT-2.1.2", "UNSUBACK"): lambda v: raw(11, 0, two(1) + (b"\0\0" if v == 5 else b"")),
    ("MQTT-2.1.2", "PINGRESP"): lambda v: raw(13, 0),
    ("MQTT-2.1.3-1", "PUBACK with a flag"): lambda v: raw(4, 1, two(1)),
    ("MQTT-2.1.3-1", "PUBREC with a flag"): lambda v: raw(5, 2, two(1)),
    ("MQTT-2.1.3-1", "PUBCOMP with a flag"): lambda v: raw(7, 8, two(1)),
    ("MQTT-2.1.3-1", "PINGREQ with a flag"): lambda v: raw(12, 1),
    ("MQTT-2.1.4", "a length of five bytes"): lambda v: b"\x30\x80\x80\x80\x80\x01",
    ("MQTT-2.2.1-3", "PUBLISH with id 0"): lambda v: publish(T, b"x", 1, 0, v),
    ("MQTT-2.2.1-3", "SUBSCRIBE with id 0"): lambda v: subscribe(0, T, version=v),
    ("MQTT-2.2.1-3", "UNSUBSCRIBE with id 0"): lambda v: unsubscribe(0, T, version=v),
    ("MQTT-3.1.0-2", "a second CONNECT"): lambda v: connect("again", v),
    ("MQTT-3.3.1-2", "DUP with QoS 0"): lambda v: publish(T, b"x", 0, None, v, dup=True),
    ("MQTT-3.3.1-4", "QoS 3"): lambda v: publish(T, b"x", 3, 1, v),
    ("MQTT-3.3.2-1", "a topic that is not UTF-8"): lambda v: publish(b"a/\xff\xfe", b"x", 0, None, v),
    ("MQTT-3.3.2-1", "a topic beyond the packet"): lambda v: raw(3, 0, b"\0\x09short"),
    ("MQTT-3.3.2-2", "# in a topic"): lambda v: publish("a/#", b"x", 0, None, v),
    ("MQTT-3.3.2-2", "+ in a topic"): lambda v: publish("+/a", b"x", 1, 1, v),
    ("MQTT-1.5.4-1", "a surrogate"): lambda v: publish(b"a/\xed\xa0\x80", b"x", 0, None, v),
    ("MQTT-1.5.4-1", "an overlong form"): lambda v: publish(b"a/\xc0\xaf", b"x", 0, None, v),
    ("MQTT-1.5.4-2", "U+0000 in a topic"): lambda v: publish("a/\0", b"x", 0, None, v),
    ("MQTT-1.5.4-2", "U+0000 in a filter"): lambda v: subscribe(1, "a/\0", version=v),
    ("MQTT-3.6.1-1", "PUBREL without its bit"): lambda v: raw(6, 0, two(1)),
    ("MQTT-3.8.1-1", "SUBSCRIBE without its bit"): lambda v: raw(8, 0, subscribe(1, T, version=v)[2:]),
    ("MQTT-3.8.3-1", "a filter that is not UTF-8"): lambda v: subscribe(1, b"\xff\xff", version=v),
    ("MQTT-3.8.3-2", "SUBSCRIBE without a filter"): lambda v: subscribe(1, version=v),
    ("MQTT-3.8.3-5", "QoS 3 in SUBSCRIBE"): lambda v: subscribe(1, (T, 3), version=v),
    ("MQTT-3.8.3-5", "reserved bits in SUBSCRIBE"): lambda v: subscribe(1, (T, 0xC0), version=v),
    ("MQTT-3.10.1-1", "UNSUBSCRIBE without its bit"): lambda v: raw(10, 0, unsubscribe(1, T, version=v)[2:]),
    ("MQTT-3.10.3-1", "UNSUBSCRIBE, not UTF-8"): lambda v: unsubscribe(1, b"\xc3\x28", version=v),
    ("MQTT-3.10.3-2", "UNSUBSCRIBE without a filter"): lambda v: unsubscribe(1, version=v),
    ("MQTT-3.14.1-1", "DISCONNECT with a flag"): lambda v: raw(14, 1),
    ("MQTT-3.15.1-1", "AUTH with a flag, or any in 3.1.1"): lambda v: raw(15, 1),
    ("MQTT-4.13.1-1", "SUBSCRIBE that ends in its id"): lambda v: raw(8, 2, b"\0"),
    ("MQTT-4.13.1-1", "PUBACK that ends in its id"): lambda v: raw(4, 0, b"\0"),
    ("MQTT-4.7.3-1", "an empty topic"): lambda v: publish("", b"x", 0, None, v),
}
# What mosquitto 2.0.11 takes no notice of.
GOES_ON = {
    "SUBACK", "UNSUBACK", "PINGRESP", "PUBACK with a flag", "PUBREC with a flag", "PUBCOMP with a flag", "PINGREQ with a flag", "DUP with QoS 0",
}


def both():
    for id, what in BOTH:
        marks = mosquitto_deviates("goes on") if what in GOES_ON else ()
        yield pytest.param(id, what, id=f"{id} {what}", marks=marks)


def check(wire: Wire, data: bytes, reasons: tuple) -> None:
    wire.send(data)
    said = wire.ended(*reasons, timeout=1 if REFERENCE else None)
    # 5.0 leaves it to the server whether it says why. Martlet does.
    assert said or wire.version == 4 or REFERENCE, "closed without a DISCONNECT"


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("id, what", list(both()))
def test_forbidden_in_both_versions(broker, id, what, version):
    with Wire.connected(broker, version=version) as wire:
        check(wire, BOTH[id, what](version), (MALFORMED, PROTOCOL, NAME))


# ---------------------------------------------------------------- after CONNECT, in 5.0

GOES = mosquitto_deviates("goes on")
FIVE = [
    row("MQTT-2.2.2-1", "PUBLISH without a property length", packet(3, text(T))),
    row("MQTT-2.2.2-1", "properties beyond the packet", packet(3, text(T) + b"\x05\x01")),
    row("MQTT-2.2.2.2", "an unknown property", packet(3, text(T) + b"\x02\x7e\x00")),
    row("MQTT-2.2.2.2", "a property of another packet", publish(T, session_expiry=1)),
    row("MQTT-2.2.2.2", "a property twice", with_properties(3, 0, text(T), length(6) + TWICE)),
    row("MQTT-2.2.2.2", "a property cut short", packet(3, text(T) + b"\x02\x02\x00")),
    row("MQTT-1.5.5-1", "a length of five bytes within", packet(8, two(1) + b"\x06\x0b\x80\x80\x80\x80\x01" + text(T) + b"\0", 2)),
    row("MQTT-1.5.7-1", "a user property that is not UTF-8", publish(T, user=("a", b"\xff"))),
    row("MQTT-3.3.2.3.2", "payload format 2", publish(T, payload_format=2), marks=GOES),
    row("MQTT-3.3.2-8", "alias 0", publish(T, alias=0), ALIAS, *WRONG),
    row("MQTT-3.3.2-9", "alias 65535", publish(T, alias=65_535), ALIAS, *WRONG),
    row("MQTT-3.3.2.3.4", "an alias that stands for nothing", publish("", alias=1), *WRONG, ALIAS),
    row("MQTT-3.3.2-13", "a response topic that is not UTF-8", publish(T, response_topic=b"\xff")),
    row("MQTT-3.3.2-14", "a response topic with a wildcard", publish(T, response_topic="a/#"), *WRONG, NAME, marks=GOES),
    row("MQTT-3.3.2-19", "a content type that is not UTF-8", publish(T, content_type=b"\xff")),
    row("MQTT-3.3.4-6", "a subscription identifier in PUBLISH", publish(T, subscription=1), marks=GOES),
    row("MQTT-3.4.2-1", "PUBACK with a reason that is none", ack(Type.PUBACK, 1, 0x42),
        marks=GOES),
    row("MQTT-3.5.2-1", "PUBREC with a reason that is none", ack(Type.PUBREC, 1, 0x42), marks=GOES),
    row("MQTT-3.6.2-1", "PUBREL with a reason that is none", ack(Type.PUBREL, 1, 0x42), marks=GOES),
    row("MQTT-3.7.2-1", "PUBCOMP with a reason that is none", ack(Type.PUBCOMP, 1, 0x42), marks=GOES),
    row("MQTT-3.8.3-4", "no local on a shared subscription", subscribe(1, (f"$share/g/{T}", options(1, no_local=True))), marks=GOES),
    row("MQTT-3.8.3-5", "retain handling 3", subscribe(1, (T, 0x30))),
    row("MQTT-3.8.2.1.2", "subscription identifier 0", subscribe(1, T, subscription=0)),
    row("MQTT-3.8.2.1.2", "two subscription identifiers", subscribe(1, T, subscription=[1, 2])),
    row("MQTT-3.14.2-1", "DISCONNECT with a reason that is none", disconnect(0x42)),
    row("MQTT-3.14.2.2.2", "an expiry at the end where there was none", disconnect(0, session_expiry=60)),
    row("MQTT-4.12.0-7", "AUTH without a method in CONNECT", packet(15)),
]


@pytest.mark.parametrize("data, reasons", FIVE)
def test_forbidden_in_5(broker, data, reasons):
    with Wire.connected(broker) as wire:
        check(wire, data, reasons)


# ---------------------------------------------------------------- CONNECT itself

CLOSED = None  # an end without a word will do
C = "connect"


def refused(id: str, what: str, data: bytes, *reasons: int | None, version: int = 5, marks=()):
    return pytest.param(data, version, reasons, id=f"{id} {what}", marks=marks)


CONNECTS = [
    refused("MQTT-3.1.2-1", "another protocol name", connect(C, name="MQTX"), 0x84, *WRONG, CLOSED),
    refused("MQTT-3.1.2-1", "a name in small letters", connect(C, name="mqtt"), 0x84, *WRONG, CLOSED),
    refused("MQTT-3.1.2-3", "the reserved flag", connect(C, flags=3), *WRONG, CLOSED),
    refused("MQTT-3.1.2-3", "the reserved flag", connect(C, 4, flags=3), CLOSED, version=4),
    refused("MQTT-3.1.2-9", "a will that is not there", connect(C, flags=6), *WRONG, CLOSED),
    refused("MQTT-3.1.2-13", "will QoS without a will", connect(C, flags=0x0A), *WRONG, CLOSED),
    refused("MQTT-3.1.2-13", "will QoS without a will", connect(C, 4, flags=0x0A), CLOSED, version=4),
    refused("MQTT-3.1.2-14", "will QoS 3", connect(C, will=Will(T), flags=0x1E), *WRONG, 0x9B, CLOSED),
    refused("MQTT-3.1.2-14", "will QoS 3", connect(C, 4, will=Will(T), flags=0x1E), CLOSED, version=4),
    refused("MQTT-3.1.2-15", "will retain without a will", connect(C, flags=0x22), *WRONG, CLOSED),
    refused("MQTT-3.1.2-18", "a user name without its flag", connect(C, user="u", flags=2), *WRONG, CLOSED),
    refused("MQTT-3.1.2-19", "a user name that is not there", connect(C, flags=0x82), *WRONG, CLOSED),
    refused("MQTT-3.1.2-21", "a password that is not there", connect(C, user="u", flags=0xC2), *WRONG, CLOSED),
    refused("MQTT-3.1.2-22", "a password without a user name in 3.1.1", connect(C, 4, password="p"), CLOSED, version=4),
    refused("MQTT-3.1.3-3", "no client id at all", packet(1, text("MQTT") + b"\x05\x02\0\x3c\0"), *WRONG, CLOSED),
    refused("MQTT-3.1.3-4", "a client id that is not UTF-8", connect(b"\xff\xfe"), *WRONG, 0x85, CLOSED),
    refused("MQTT-3.1.3-4", "a client id with U+0000", connect("a\0b"), *WRONG, 0x85, CLOSED),
    refused("MQTT-3.1.3-8", "no client id and no clean session in 3.1.1", connect("", 4, clean=False), 2, version=4),
    refused("MQTT-3.1.3-12", "a user name that is not UTF-8", connect(C, user=b"\xc3"), *WRONG, 0x86, CLOSED),
    refused("MQTT-3.1.3-11", "a will topic with a wildcard", connect(C, will=Will("a/+")), *WRONG, NAME, CLOSED),
    refused("MQTT-3.1.3-11", "a will topic that is not UTF-8", connect(C, will=Will(b"\xff")), *WRONG, NAME, CLOSED),
    refused("MQTT-4.7.3-1", "an empty will topic", connect(C, will=Will("")), *WRONG, NAME, CLOSED),
    refused("MQTT-3.1.4-1", "bytes after the end", packet(1, connect(C)[2:] + b"more"), *WRONG, CLOSED),
    refused("MQTT-3.1.0", "a flag in the fixed header", packet(1, connect(C)[2:], 1), *WRONG, CLOSED),
    refused("MQTT-3.1.2.11.2", "session expiry twice", connect(C, session_expiry=[1, 2]), *WRONG),
    refused("MQTT-3.1.2.11.3", "receive maximum 0", connect(C, receive_maximum=0), *WRONG),
    refused("MQTT-3.1.2.11.4", "maximum packet size 0", connect(C, maximum_packet=0), *WRONG),
    refused("MQTT-3.1.2.11.6", "request response information 2", connect(C, request_response=2), *WRONG),
    refused("MQTT-3.1.2.11.7", "request problem information 2", connect(C, request_problem=2), *WRONG),
    refused("MQTT-3.1.2.11.9", "authentication data without a method", connect(C, auth_data=b"x"), *WRONG, marks=GOES),
    refused("MQTT-2.2.2.2", "a property of PUBLISH", connect(C, alias=1), *WRONG),
    refused("MQTT-2.2.2.2", "an unknown property", packet(1, text("MQTT") + b"\x05\x02\0\x3c\x02\x7e\0" + text(C)), *WRONG, CLOSED),
    refused("MQTT-3.1.3.2", "a property of PUBLISH in the will", connect(C, will=Will(T, properties={"alias": 1})), *WRONG),
    refused("MQTT-4.12.0-1", "an unknown authentication method", connect(C, auth_method="SCRAM-SHA-256"), 0x8C),
]


@pytest.mark.parametrize("data, version, reasons", CONNECTS)
def test_refused_connects(broker, data, version, reasons):
    """MQTT-3.2.2-6, -7: without a session, and closed. MQTT-3.14.0-1: no DISCONNECT to who was not accepted."""
    with Wire(broker, version) as wire:
        wire.send(data)
        try:
            got = wire.packet()
        except Ended:
            assert CLOSED in reasons or REFERENCE, "closed without a CONNACK"
            return
        assert got.type == Type.CONNACK and got.reason in reasons and not got.present, got
        with pytest.raises(Ended):
            wire.packet()


@pytest.mark.parametrize("level", [0, 6, 42, 255])
def test_an_unknown_version(broker, level):
    """MQTT-3.1.2-2: refused in a form that every version reads (3.1.1: 1, 5.0: 0x84), and closed."""
    with Wire(broker) as wire:
        wire.send(connect(C, 4, level=level))
        received = b""
        while chunk := wire.link.recv(100):
            received += chunk
    assert received in (b"", b"\x20\x02\0\x01", b"\x20\x03\0\x84\0"), received


FIRST = {"PINGREQ": PING, "PUBLISH": publish(T, b"x"), "SUBSCRIBE": subscribe(1, T), "DISCONNECT": disconnect(), "AUTH": packet(15), "CONNACK": packet(2, b"\0\0\0")}


@pytest.mark.parametrize("name", FIRST)
def test_what_comes_before_connect(broker, name):
    """MQTT-3.1.0-1, MQTT-3.2.0-1, MQTT-3.14.0-1: closed, and nothing said."""
    with Wire(broker) as wire, pytest.raises(Ended):
        wire.send(FIRST[name]).packet()


@pytest.mark.parametrize("version", [4, 5])
def test_nothing_after_a_refused_connect_counts(broker, topic, version):
    """MQTT-3.1.4-6."""
    with Wire.connected(broker) as other:
        other.subscribe(topic)
        with Wire(broker, version) as wire:
            wire.send(connect("", version, clean=version == 5, auth_method="none") if version == 5 else connect("", 4, clean=False))
            try:
                wire.send(publish(topic, "bad", version=version))
            except OSError:
                pass
            try:
                assert wire.packet().reason
                wire.packet()
            except Ended:
                pass
        other.silent()


# ---------------------------------------------------------------- filters that are none

FILTERS = {
    "MQTT-4.7.1-1": ["a/#/b", "a#", "#/a", "a/b#", "##"],
    "MQTT-4.7.1-2": ["a+", "+a", "a/+b/c", "++"],
    "MQTT-4.7.3-1": [""],
    "MQTT-4.8.2-1": ["$share/g", "$share//a", "$share/", "$share/g/"],
    "MQTT-4.8.2-2": ["$share/g+/a", "$share/#/a", "$share/a#/b"],
}


def filters():
    for id, names in FILTERS.items():
        for name in names:
            yield pytest.param(id, name, id=f"{id} {name}", marks=mosquitto_deviates("takes it for another filter") if id == "MQTT-4.8.2-1" else ())


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("id, name", list(filters()))
def test_filters_that_are_none(broker, id, name, version):
    """Refused by a SUBACK, or by the end of the connection; Martlet refuses them alone, and takes the good ones beside them."""
    with Wire.connected(broker, version=version) as wire:
        wire.send(subscribe(1, name, "good", version=version))
        try:
            got = wire.packet()
        except Ended:
            got = None
        if got and got.type == Type.SUBACK:
            assert got.reasons == [FILTER if version == 5 else 0x80, 2], got
        else:
            assert not got or got.type == Type.DISCONNECT and got.reason in (*WRONG, FILTER), got
            assert REFERENCE or id == "MQTT-4.7.3-1", "ended for a filter"


@only_martlet
@pytest.mark.parametrize("name", ["x" * 257, "/".join("x" * 33), "$inbox", "$SYS/a", "$share/g/a", "$other/a"])
def test_topics_that_are_no_ones(broker, name):
    """Too long, too deep, or the server's own: the publish is refused (MQTT-4.13.2), the connection stays."""
    with Wire.connected(broker) as wire:
        wire.send(publish(name, b"x", 1, 1))
        assert wire.expect(Type.PUBACK).reason in (NAME, 0x87)
        wire.send(publish(name, b"x", 2, 2))
        assert wire.expect(Type.PUBREC).reason in (NAME, 0x87)
        wire.publish(unique("good"), b"x", 2)
    with Wire.connected(broker, version=4) as wire:
        wire.send(publish(name, b"x", 1, 1, 4))
        assert wire.expect(Type.PUBACK).id == 1
        wire.silent()


@only_martlet
@pytest.mark.parametrize("name", ["x" * 257, "/".join("x" * 33)])
def test_filters_that_are_too_much(broker, name):
    with Wire.connected(broker) as wire:
        wire.send(subscribe(1, name, "good"))
        assert wire.expect(Type.SUBACK).reasons == [FILTER, 2]


# ---------------------------------------------------------------- bytes on the way


@pytest.mark.parametrize("version", [4, 5])
def test_packets_come_in_any_pieces(broker, topic, version):
    """A stream of bytes has no packets (MQTT-7.1.1-1, §4.2): one byte at a time, and everything at once, CONNECT included (§3.1.4)."""
    whole = (
        connect(unique("pieces"), version) + subscribe(1, topic, version=version) + publish(topic, "x" * 200, 2, 2, version)
        + ack(Type.PUBREL, 2, version=version) + PING)
    for pieces in ([whole], [bytes([byte]) for byte in whole]):
        with Wire(broker, version) as wire:
            for piece in pieces:
                wire.send(piece)
            seen = [wire.packet() for _ in range(6)]
            kinds = [got.type for got in seen]
            assert kinds[0] == Type.CONNACK and kinds[1] == Type.SUBACK
            assert sorted(kinds[2:]) == sorted([Type.PUBREC, Type.PUBCOMP, Type.PUBLISH, Type.PINGRESP])
            assert next(got for got in seen if got.type == Type.PUBLISH).text == "x" * 200
            assert next(got for got in seen if got.type == Type.PUBREC).id == 2


@pytest.mark.parametrize("size", [0, 1, 126, 127, 128, 16_000, 16_383, 16_384, 60_000])
def test_lengths_about_their_limits(broker, topic, size):
    """§2.1.4: a length of one, two and three bytes; MQTT-1.5.5-1: written as short as may be (the reader checks)."""
    with Wire.connected(broker) as wire:
        wire.subscribe((topic, 0))
        wire.publish(topic, b"x" * size)
        assert wire.message().payload == b"x" * size


def test_a_length_that_is_longer_than_needed_in_the_fixed_header(broker):
    """§2.1.4 with MQTT-1.5.5-1: padded with zeros it is malformed, or taken as what it says; nothing else."""
    with Wire.connected(broker) as wire:
        wire.send(b"\xc0\x80\x00")
        try:
            got = wire.packet()
        except Ended:
            return
        assert got.type == Type.PINGRESP or got.reason == MALFORMED


def test_properties_of_none_are_written(broker):
    """MQTT-2.2.2-1: an acknowledgement may leave everything out, or say success with a length of zero."""
    with Wire.connected(broker) as wire:
        for data in (ack(Type.PUBREL, 9), packet(6, two(9) + b"\0", 2), packet(6, two(9) + b"\0\0", 2)):
            assert wire.send(data).expect(Type.PUBCOMP).reason in (0, 0x92)
        assert properties() == b"\0"
