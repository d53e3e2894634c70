"""Shared subscriptions: each message to one of a group."""

import pytest

from metrics import numbers
from mqtt import Type, Wire, ack, unsubscribe
from mqtt_tools import REFERENCE, mosquitto_deviates, only_martlet
from server import unique, wait_until


def drain(*wires: Wire) -> list[list[str]]:
    """What each was sent until now."""
    out = []
    for wire in wires:
        got = []
        while True:
            try:
                got.append(wire.message(0.3).text)
            except TimeoutError:
                break
        out.append(got)
    return out


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("qos", [0, 1])
def test_each_message_goes_to_one(broker, topic, qos, version):
    """MQTT-4.8.2-3; every group has its own copy, and so has who subscribes alone."""
    groups = ["g", "g", "g", "h"]
    wires = [Wire.connected(broker, version=version) for _ in groups]
    for wire, group in zip(wires, groups):
        assert wire.subscribe((f"$share/{group}/{topic}", qos)).reasons == [qos]
    with Wire.connected(broker, version=version) as alone, Wire.connected(broker) as other:
        alone.subscribe((topic, qos))
        everything = [str(number) for number in range(60)]
        for text in everything:
            other.publish(topic, text, 1)
        assert alone.messages(60) == everything and wires[3].messages(60) == everything
        shares = drain(*wires[:3])
        assert sorted(sum(shares, []), key=int) == everything
        assert all(len(share) >= 5 for share in shares), [len(share) for share in shares]
        for share in shares:
            assert share == sorted(share, key=int)
    for wire in wires:
        wire.close()


def test_who_leaves_gets_no_more(broker, topic):
    """§4.8.2: the others take over what is published after it; the last one leaves the group empty."""
    one, two = Wire.connected(broker), Wire.connected(broker)
    filter = f"$share/g/{topic}"
    one.subscribe((filter, 1))
    two.subscribe((filter, 1))
    with Wire.connected(broker) as other:
        one.send(unsubscribe(9, filter, topic))
        assert one.expect(Type.UNSUBACK).reasons == [0, 0x11]
        for number in range(6):
            other.publish(topic, str(number), 1)
        assert two.messages(6) == [str(number) for number in range(6)]
        two.leave()
        other.publish(topic, "nobody", 1)
        one.silent()
        one.subscribe((filter, 1))
        other.publish(topic, "again", 1)
        assert one.message().text == "again"
    one.close()


def test_who_is_gone_without_a_word_loses_nothing_for_the_group(broker, topic):
    """What is published after a member's connection ended goes to the others."""
    with Wire.connected(broker) as one, Wire.connected(broker) as two, Wire.connected(broker) as other:
        for wire in (one, two):
            wire.subscribe((f"$share/g/{topic}", 1))
        one.leave()
        for number in range(10):
            other.publish(topic, str(number), 1)
        assert two.messages(10) == [str(number) for number in range(10)]


def test_wildcards_and_identifiers(broker):
    """§4.8.2 with MQTT-3.3.4-3: a shared filter may hold wildcards and has an identifier of its own."""
    root = unique("shared")
    with Wire.connected(broker) as wire, Wire.connected(broker) as other:
        wire.subscribe((f"$share/g/{root}/+/x", 1), subscription=7)
        other.publish(f"{root}/a/x", "m", 1)
        got = wire.message()
        assert (got.text, got.topic, got.properties["subscription"]) == ("m", f"{root}/a/x", [7])
        other.publish(f"{root}/a/y", "m", 1)
        wire.silent()


@mosquitto_deviates("sends them")
def test_no_retained_messages_for_groups(broker, topic):
    """§4.8.2: retained messages are not sent when a shared subscription begins."""
    with Wire.connected(broker) as wire, Wire.connected(broker) as other:
        other.publish(topic, "kept", 1, retain=True)
        wire.subscribe((f"$share/g/{topic}", 1))
        wire.silent()
        other.publish(topic, retain=True)


def test_a_member_with_a_session_that_leaves(broker, topic):
    """§4.8.2: what was sent to it with QoS 1 and not acknowledged may wait for it, or go to another at once, as Martlet has it."""
    client = unique("client")
    with Wire.connected(broker, client, session_expiry=60) as one, Wire.connected(broker) as other:
        one.subscribe((f"$share/g/{topic}", 1))
        other.publish(topic, "mine", 1)
        id = one.expect(Type.PUBLISH).id
        with Wire.connected(broker) as two:
            two.subscribe((f"$share/g/{topic}", 1))
            one.drop()
            if not REFERENCE:
                assert two.message().text == "mine"
                return
            two.silent()
    with Wire.connected(broker, client, clean=False, session_expiry=60) as one:
        got = one.message()
        assert (got.text, got.id, got.dup) == ("mine", id, True)


def test_a_refusal_ends_it(broker, topic):
    """MQTT-4.8.2-6: what a member refuses is not sent to another."""
    with Wire.connected(broker) as one, Wire.connected(broker) as two, Wire.connected(broker) as other:
        one.subscribe((f"$share/g/{topic}", 1))
        other.publish(topic, "no", 1)
        got = one.expect(Type.PUBLISH)
        two.subscribe((f"$share/g/{topic}", 1))
        one.send(ack(Type.PUBACK, got.id, 0x83))
        one.silent()
        two.silent()


def test_the_same_member_alone_and_in_a_group(broker, topic):
    """MQTT-3.8.4-3 speaks of subscriptions that are not shared: the two stand beside each other."""
    with Wire.connected(broker) as wire, Wire.connected(broker) as other:
        wire.subscribe((topic, 1), subscription=1)
        wire.subscribe((f"$share/g/{topic}", 1), subscription=2)
        other.publish(topic, "m", 1)
        ids = []
        while len(ids) < 2:
            ids += wire.message().properties["subscription"]
        assert sorted(ids) == [1, 2]


@only_martlet
def test_what_comes_by_http_is_shared_too(broker, topic):
    from topics import say

    with Wire.connected(broker) as one, Wire.connected(broker) as two:
        for wire in (one, two):
            wire.subscribe((f"$share/g/{topic}", 1))
        for number in range(20):
            say(broker, topic, number)
        assert sorted(sum(drain(one, two), []), key=int) == [str(number) for number in range(20)]


@only_martlet
def test_a_busy_member_is_passed_by(broker, topic):
    """Who has a full window is no reason for others to wait."""
    with Wire.connected(broker, receive_maximum=1) as busy, Wire.connected(broker) as free, Wire.connected(broker) as other:
        for wire in (busy, free):
            wire.subscribe((f"$share/g/{topic}", 1))
        for number in range(20):
            other.publish(topic, str(number), 1)
        stuck = busy.expect(Type.PUBLISH)
        got = drain(free)[0]
        assert sorted([stuck.text, *got], key=int) == [str(number) for number in range(20)]


def kept(broker, client: str, version: int) -> Wire:
    return Wire.connected(broker, client, version, clean=False, **({"session_expiry": 600} if version == 5 else {}))


@only_martlet
@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("end", ["leaves", "kill -9"])
def test_a_clean_member_beside_a_kept_one_that_is_away(own_broker, topic, version, end):
    """What waits for the group is its, whoever comes; what it has acked comes to nobody again."""
    client, shared = unique("client"), f"$share/g/{topic}"
    with kept(own_broker, client, version) as wire, Wire.connected(own_broker) as other:
        wire.subscribe((shared, 1))
        wire.leave()
        for number in range(3):
            other.publish(topic, f"waits {number}", 1)
    if end == "kill -9":
        own_broker.kill9()
        own_broker.restart()
    with Wire.connected(own_broker, version=version) as clean, Wire.connected(own_broker) as other:
        clean.subscribe((shared, 1))
        other.publish(topic, "live", 1)
        assert clean.messages(4) == ["waits 0", "waits 1", "waits 2", "live"]
        other.publish(topic, "unacked", 1)
        assert clean.expect(Type.PUBLISH).text == "unacked"
        clean.leave()
        other.publish(topic, "last", 1)
        with kept(own_broker, client, version) as wire:
            assert wire.connack.present
            assert wire.messages(2) == ["unacked", "last"]
            wire.silent()


@only_martlet
def test_a_group_whose_kept_member_has_gone_for_good(own_broker, topic):
    """While a clean member is there the group goes on; when that leaves, nothing waits any more."""
    client, shared = unique("client"), f"$share/g/{topic}"
    with Wire.connected(own_broker) as other, Wire.connected(own_broker) as clean:
        with kept(own_broker, client, 5) as wire:
            wire.subscribe((shared, 1))
            wire.leave()
        clean.subscribe((shared, 1))
        wait_until(lambda: numbers(own_broker)["martlet_kept_sessions"] == 2, 10, "the member's record, and the group's")
        with Wire.connected(own_broker, client) as wire:
            wire.leave()
        for number in range(3):
            other.publish(topic, str(number), 1)
        assert clean.messages(3) == ["0", "1", "2"]
        clean.leave()
        wait_until(lambda: numbers(own_broker)["martlet_kept_sessions"] == 0, 10, "the group's record is gone")
        other.publish(topic, "nobody", 1)
        with Wire.connected(own_broker) as late:
            late.subscribe((shared, 1))
            late.silent()
