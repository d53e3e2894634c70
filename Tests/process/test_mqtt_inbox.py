"""$inbox: the messages of a user and device, acknowledged by PUBACK."""

import pytest

from clients import RawSSE
from mqtt import Type, Wire, ack, publish, unsubscribe
from mqtt_tools import MosquittoSub, only_martlet
from server import unique, wait_until

pytestmark = only_martlet


@pytest.fixture
def device():
    return unique("device")


def inbox(broker, user: str, device: str, version: int = 5, **values) -> Wire:
    wire = Wire.connected(broker, device, version, user=user, **values)
    wire.subscribe(("$inbox", 1))
    return wire


@pytest.mark.parametrize("version", [4, 5])
def test_a_message_and_its_ack(broker, user, device, version):
    with inbox(broker, user, device, version) as wire:
        sent = broker.publish(user, {"n": 1}, type="trip", priority="high")
        got = wire.expect(Type.PUBLISH)
        assert (got.topic, got.qos, got.retain, got.dup, got.text.replace(" ", "")) == ("$inbox", 1, False, False, '{"n":1}')
        if version == 5:
            said = dict(got.user)
            assert (said["id"], said["type"], said["priority"]) == (sent, "trip", "high") and int(said["at"]) and "redelivered" not in said
        assert broker.device_state(sent, device) != "delivered"
        wire.send(ack(Type.PUBACK, got.id, version=version))
        wait_until(lambda: broker.device_state(sent, device) == "delivered", what="delivered")


def test_payloads_are_those_of_topics(broker, user, device):
    with inbox(broker, user, device) as wire:
        for members, payload in (({"data": "text"}, b"text"), ({"data": 1.5}, b"1.5"), ({"data": [1]}, b"[1]"), ({"dataBase64": "/wA="}, b"\xff\0")):
            assert broker.post({"to": {"user": user}, "type": "t"} | members).status_code == 202
            assert wire.message().payload == payload


def test_what_waited_comes_in_order(broker, user, device):
    with inbox(broker, user, device) as wire:
        wire.leave()
    sent = [broker.publish(user, number) for number in range(50)]
    with inbox(broker, user, device) as wire:
        assert wire.messages(50) == [str(number) for number in range(50)]
        wait_until(lambda: broker.device_state(sent[-1], device) == "delivered", what="delivered")
        wire.silent()
        wire.leave()
    with inbox(broker, user, device) as wire:
        wire.silent()


def test_what_was_not_acked_comes_again(broker, user, device):
    """On the session that is resumed with DUP and its id, on a new one as a new packet; both say redelivered."""
    with inbox(broker, user, device, session_expiry=60) as wire:
        sent = broker.publish(user, "m")
        first = wire.expect(Type.PUBLISH)
        wire.drop()
    with Wire.connected(broker, device, user=user, clean=False, session_expiry=60) as wire:
        got = wire.expect(Type.PUBLISH)
        assert dict(got.user)["id"] == sent and dict(got.user)["redelivered"] == "true" and first.text == got.text
        wire.drop()
    with inbox(broker, user, device) as wire:
        got = wire.message()
        assert (dict(got.user)["id"], dict(got.user)["redelivered"], got.dup) == (sent, "true", False)
        wait_until(lambda: broker.device_state(sent, device) == "delivered", what="delivered")


def test_the_inbox_survives_kill_9(own_broker, user, device):
    with inbox(own_broker, user, device, session_expiry=600) as wire:
        sent = [own_broker.publish(user, number) for number in range(5)]
        for _ in range(2):
            wire.message()
        wait_until(lambda: own_broker.device_state(sent[1], device) == "delivered", what="delivered")
        own_broker.kill9()
    own_broker.restart()
    with Wire.connected(own_broker, device, user=user, clean=False, session_expiry=600) as wire:
        assert wire.connack.present
        # An ack of the last second may not have been recorded.
        got = wire.messages(1)
        while got[-1] != "4":
            got += wire.messages(1)
        assert got[-3:] == ["2", "3", "4"]
        wire.silent()


def test_other_ways_share_the_inbox(broker, user, device):
    """What MQTT has acked SSE does not bring again, and the other way round."""
    with inbox(broker, user, device) as wire:
        sent = broker.publish(user, "by mqtt")
        wire.message()
        wait_until(lambda: broker.device_state(sent, device) == "delivered", what="delivered")
        wire.leave()
    broker.publish(user, "by sse")
    with RawSSE(broker, user, device) as client:
        assert client.next()["data"] == "by sse"
        client.acknowledge()
    broker.publish(user, "by mqtt again")
    with inbox(broker, user, device) as wire:
        assert wire.messages(1) == ["by mqtt again"]
        wire.silent()


def test_the_window_is_the_clients(broker, user, device):
    """A quarter of it is the inbox's, and of that three quarters medium ones', at least one."""
    with inbox(broker, user, device, receive_maximum=8) as wire:
        for number in range(5):
            broker.publish(user, number)
        first = wire.expect(Type.PUBLISH)
        wire.silent()
        wire.send(ack(Type.PUBACK, first.id))
        assert wire.messages(4) == ["1", "2", "3", "4"]


def test_to_one_device_and_to_all(broker, user, device):
    with inbox(broker, user, device) as one, inbox(broker, user, device + "-2") as two, inbox(broker, user + "-2", device + "-3") as other:
        broker.publish(user, "both")
        assert one.messages(1) == two.messages(1) == ["both"]
        answer = broker.post({"to": {"device": device}, "type": "t", "data": "one"})
        assert answer.status_code in (202, 400), answer.text
        if answer.status_code == 202:
            assert one.messages(1) == ["one"]
        two.silent()
        other.silent()


def test_unsubscribing_stops_it(broker, user, device):
    with inbox(broker, user, device) as wire:
        assert wire.send(unsubscribe(9, "$inbox")).expect(Type.UNSUBACK).reasons == [0]
        broker.publish(user, "m")
        wire.silent()
        wire.subscribe(("$inbox", 1))
        assert wire.messages(1) == ["m"]


def test_wildcards_are_not_the_inbox_and_nobody_publishes_there(broker, user, device):
    with Wire.connected(broker, device, user=user) as wire:
        wire.subscribe(("#", 0))
        wire.send(publish("$inbox", "m", 1, 5))
        assert wire.answer(Type.PUBACK).reason >= 0x80
        sent = broker.publish(user, user)
        wire.publish(user, "end", 1)
        while (got := wire.message()).topic != user:
            assert got.topic != "$inbox"
        assert broker.device_state(sent, device) != "delivered"


def test_a_refusal_is_no_delivery(broker, user, device):
    """PUBACK with 0x80 and more: it is not delivered, and not sent again on this session."""
    with inbox(broker, user, device) as wire:
        sent = broker.publish(user, "m")
        wire.send(ack(Type.PUBACK, wire.expect(Type.PUBLISH).id, 0x83))
        wire.silent()
        assert broker.device_state(sent, device) != "delivered"


def test_by_the_command_line(broker, user, device):
    with MosquittoSub(broker, "-t", "$inbox", "-q", "1", "-u", user, "-F", "%t %q %p", version="311", client=device) as sub:
        sent = broker.publish(user, "hello")
        assert sub.line() == "$inbox 1 hello"
        wait_until(lambda: broker.device_state(sent, device) == "delivered", what="delivered")
