"""Shared subscriptions: members that do not ack, do not read or have no room, and what becomes of the others."""

import json
import socket
import time

import pytest

from metrics import numbers
from mqtt import PING, Type, Wire, ack, publish, subscribe, unsubscribe
from mqtt_tools import make_broker, only_martlet
from server import unique, wait_until

pytestmark = only_martlet


@pytest.fixture
def small_broker(tmp_path):
    broker = make_broker(tmp_path, "--limits-queue-messages", "10").start()
    yield broker
    broker.stop()


def member(broker, shared: str, qos: int = 1, kept: bool = False, **values) -> Wire:
    wire = Wire.connected(broker, **({"session_expiry": 600, "clean": False} if kept else {}) | values)
    assert wire.subscribe((shared, qos)).reasons == [qos]
    return wire


def publish_all(wire: Wire, topic: str, texts: list[str], **values) -> None:
    """Many at once, and waits until all are acked."""
    for start in range(0, len(texts), 500):
        part = texts[start : start + 500]
        wire.send(*[publish(topic, text, 1, id, **values) for id, text in enumerate(part, 1)])
        for _ in part:
            assert wire.expect(Type.PUBACK).reason == 0


def stuck(wire: Wire, seconds: float = 0.5) -> list[str]:
    """What came, without acks, until nothing more does."""
    got = []
    while True:
        try:
            packet = wire.packet(seconds)
        except TimeoutError:
            return got
        assert packet.type == Type.PUBLISH, packet
        got.append(packet.text)


@pytest.mark.parametrize("kept", [False, True], ids=["clean", "kept"])
@pytest.mark.parametrize("window", [None, 20])
def test_one_who_does_not_ack_stops_nobody(broker, topic, kept, window):
    """It has its window at most, 64 KiB or its receive maximum; all else goes to the other, also what it leaves."""
    shared = f"$share/g/{topic}"
    values = {"receive_maximum": window} if window else {}
    texts = [f"{number} {'x' * 100}" for number in range(3_000)]
    with Wire.connected(broker) as other, member(broker, shared, kept=kept, **values) as silent:
        with member(broker, shared, kept=kept) as healthy:
            got, sent = [], 0
            for start in range(0, len(texts), 100):
                publish_all(other, topic, texts[start : start + 100])
                sent += 100
                while True:
                    try:
                        got.append(healthy.message(0.02).text)
                    except TimeoutError:
                        break
            held = stuck(silent)
            got += healthy.messages(len(texts) - len(held) - len(got))
            assert sorted(held + got) == sorted(texts)
            assert len(held) == window if window else 150 < len(held) < 450
            silent.drop()
            assert sorted(healthy.messages(len(held))) == sorted(held)
            healthy.silent()


@pytest.mark.parametrize("kept", [False, True], ids=["clean", "kept"])
def test_one_with_qos_0_that_does_not_read_takes_no_memory(own_broker, topic, kept):
    shared, text = f"$share/g/{topic}", "x" * 60_000
    link = socket.socket()
    link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    link.settimeout(10)
    link.connect(("127.0.0.1", own_broker.mqtt_port))
    with Wire.connected(own_broker, timeout=30) as other:
        if kept:
            member(own_broker, shared, kept=True, client=unique("kept")).leave()
        with member(own_broker, shared, qos=0, link=link, keep_alive=0) as deaf:
            before = own_broker.rss_kb()
            # 180 MB. What waits on disk is in the store's cache in part.
            publish_all(other, topic, [text] * 3_000)
            assert own_broker.rss_kb() - before < 100_000
            deaf.send(PING)
            seen = 0
            while deaf.packet(5).type != Type.PINGRESP:
                seen += 1
            assert seen < 200


def test_room_is_told_again(broker, topic):
    """A window that was full with other messages is used whole again by the group, once they are acked."""
    shared = f"$share/g/{topic}"
    with Wire.connected(broker) as other, member(broker, shared, receive_maximum=20) as wire:
        wire.subscribe((topic + "/plain", 1))
        publish_all(other, topic + "/plain", [str(number) for number in range(30)])
        full = [wire.expect(Type.PUBLISH) for _ in range(20)]
        publish_all(other, topic, [f"shared {number}" for number in range(40)])
        wire.send(*[ack(Type.PUBACK, got.id) for got in full])
        assert sorted(wire.messages(50)) == sorted([str(number) for number in range(20, 30)] + [f"shared {number}" for number in range(40)])
        publish_all(other, topic, [str(number) for number in range(40)])
        assert stuck(wire) == [str(number) for number in range(20)]


@pytest.mark.parametrize("end", ["leave", "kill -9"])
def test_what_was_acked_after_an_unacked_one_does_not_come_again(own_broker, topic, end):
    shared, kept, name = f"$share/g/{topic}", {"session_expiry": 600}, unique("client")
    with Wire.connected(own_broker) as other:
        first = member(own_broker, shared, kept=True, receive_maximum=1)
        other.publish(topic, "unacked", 1)
        assert first.expect(Type.PUBLISH).text == "unacked"
        second = member(own_broker, shared, kept=True, client=name)
        publish_all(other, topic, [str(number) for number in range(500)])
        assert second.messages(500) == [str(number) for number in range(500)]
        if end == "leave":
            second.leave()
            first.leave()
        else:
            # Positions are stored some times a second.
            time.sleep(1)
            own_broker.kill9()
            own_broker.restart()
    with Wire.connected(own_broker, name, clean=False, **kept) as wire, Wire.connected(own_broker) as other:
        assert wire.message().text == "unacked"
        wire.silent()
        other.publish(topic, "last", 1)
        assert wire.message().text == "last"


def test_members_hear_what_their_group_misses(small_broker, topic):
    shared, name = f"$share/g/{topic}", unique("client")
    member(small_broker, shared, kept=True, client=name).leave()
    with Wire.connected(small_broker) as other:
        publish_all(other, topic, [str(number) for number in range(30)])
    with Wire.connected(small_broker, name, clean=False, session_expiry=600) as wire:
        assert wire.messages(10) == [str(number) for number in range(20, 30)]
        wire.subscribe(("$gap", 0))
        gap = json.loads(wire.message().text)
        assert (gap["reason"], gap["topic"], gap["to"] - gap["from"]) == ("trimmed", topic, 20)


def test_the_receive_maximum_holds_over_unsubscribe(broker, topic):
    """MQTT-3.3.4-9: what was sent is under way until the client acks it."""
    with member(broker, f"$share/g/{topic}", receive_maximum=1) as wire, Wire.connected(broker) as other:
        wire.subscribe((topic + "/plain", 1))
        other.publish(topic, "shared", 1)
        first = wire.expect(Type.PUBLISH)
        wire.send(unsubscribe(9, f"$share/g/{topic}"))
        assert wire.expect(Type.UNSUBACK).reasons == [0]
        other.publish(topic + "/plain", "plain", 1)
        wire.silent()
        wire.send(ack(Type.PUBACK, first.id))
        assert wire.message().text == "plain"


@pytest.mark.parametrize("kept", [False, True], ids=["clean", "kept"])
def test_what_expires_while_nobody_has_room_goes_to_nobody(broker, topic, kept):
    """MQTT-3.3.2-5."""
    with member(broker, f"$share/g/{topic}", kept=kept, receive_maximum=1) as wire, Wire.connected(broker) as other:
        other.publish(topic, "stays", 1)
        first = wire.expect(Type.PUBLISH)
        publish_all(other, topic, ["gone", "gone, too"], message_expiry=1)
        other.publish(topic, "comes", 1)
        time.sleep(1.5)  # what is awaited is the clock
        wire.send(ack(Type.PUBACK, first.id))
        assert wire.message().text == "comes"
        wire.silent()


@pytest.mark.parametrize("name", ["$gap", "$inbox"])
def test_what_cannot_be_shared(broker, name):
    with Wire.connected(broker) as wire:
        wire.send(subscribe(1, (f"$share/g/{name}", 1)))
        assert wire.expect(Type.SUBACK).reasons == [0x8F]


def test_groups_are_there_again_however_fast_they_come_and_go(own_broker, topic):
    """A record that is to be deleted does not take the one with it that is made meanwhile."""
    names = [f"$share/g/{topic}/{number}" for number in range(300)]
    client = unique("client")
    with Wire.connected(own_broker, client, session_expiry=600, timeout=20) as wire, Wire.connected(own_broker) as other:
        for _ in range(3):
            wire.subscribe(*[(name, 1) for name in names])
            wire.send(unsubscribe(9, *names))
            assert set(wire.expect(Type.UNSUBACK).reasons) == {0}
        # The records of before are just being deleted.
        wait_until(lambda: numbers(own_broker)["martlet_kept_sessions"] < 300, 10, "the groups are over")
        wire.subscribe(*[(name, 1) for name in names])
        wire.leave()
        for number in range(300):
            other.publish(f"{topic}/{number}", str(number), 1)
        own_broker.kill9()
    own_broker.restart()
    with Wire.connected(own_broker, client, clean=False, session_expiry=600) as wire:
        assert sorted(wire.messages(300), key=int) == [str(number) for number in range(300)]


def test_room_for_one_qos_is_not_all_room(broker, topic):
    """A member that declined a message of QoS 0 for its socket, while its window is full, is handed those of QoS 1 later."""
    shared = f"$share/g/{topic}"
    with Wire.connected(broker, timeout=20) as other, member(broker, shared, receive_maximum=5, timeout=20) as wire:
        wire.subscribe((topic + "/plain", 1))
        publish_all(other, topic + "/plain", ["full"] * 5)
        full = [wire.expect(Type.PUBLISH) for _ in range(5)]
        other.send(*[publish(topic, f"{number} {'x' * 30_000}", 0) for number in range(400)], PING)
        other.expect(Type.PINGRESP)
        assert 0 < len(stuck(wire)) <= 400
        publish_all(other, topic, ["acked 1", "acked 2"])
        wire.silent()
        wire.send(*[ack(Type.PUBACK, got.id) for got in full])
        assert wire.messages(2) == ["acked 1", "acked 2"]


def test_who_joins_with_a_full_window_has_room_later(broker, topic):
    with Wire.connected(broker) as other, Wire.connected(broker, receive_maximum=3) as wire:
        wire.subscribe((topic + "/plain", 1))
        publish_all(other, topic + "/plain", ["full"] * 3)
        full = [wire.expect(Type.PUBLISH) for _ in range(3)]
        assert wire.subscribe((f"$share/g/{topic}", 1)).reasons == [1]
        publish_all(other, topic, [str(number) for number in range(10)])
        wire.silent()
        wire.send(*[ack(Type.PUBACK, got.id) for got in full])
        assert wire.messages(10) == [str(number) for number in range(10)]


@pytest.mark.parametrize("window", [1, 2, 5])
def test_groups_of_one_client_take_turns(broker, topic, window):
    """One for which more comes than is acked keeps no other from a small window."""
    with Wire.connected(broker) as other, Wire.connected(broker, receive_maximum=window) as wire:
        for name in "ab":
            wire.subscribe((f"$share/{name}/{topic}/{name}", 1))
        publish_all(other, topic + "/a", ["a"] * 50)
        publish_all(other, topic + "/b", ["b"] * 20)
        seen = {"a": 0, "b": 0}
        while seen["b"] < 20:
            got = wire.expect(Type.PUBLISH)
            seen[got.text] += 1
            other.publish(topic + "/a", "a", 1)
            wire.send(ack(Type.PUBACK, got.id))
            assert seen["a"] < 300, seen
