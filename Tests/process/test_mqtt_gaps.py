"""`$gap`: who misses something is told so, whether it asks before that or after."""

import json

import pytest

from mqtt import Type, Wire, connect, subscribe
from mqtt_tools import make_broker, only_martlet
from server import unique

pytestmark = only_martlet


@pytest.fixture
def small_broker(tmp_path):
    broker = make_broker(tmp_path, "--limits-queue-messages", "10").start()
    yield broker
    broker.stop()


def overflow(broker, client: str, topics: list[str], version: int) -> None:
    """A kept session for which 30 messages of each topic were published, of which 10 can wait."""
    keep = {"session_expiry": 600} if version == 5 else {}
    with Wire.connected(broker, client, version, clean=False, **keep) as wire:
        for topic in topics:
            wire.subscribe((topic, 1))
        wire.leave()
    with Wire.connected(broker) as other:
        for number in range(30):
            for topic in topics:
                other.publish(topic, str(number), 1)


def told(wire: Wire, count: int) -> tuple[list[dict], list[str]]:
    """The next gaps and messages, `count` in all."""
    gaps, texts = [], []
    for _ in range(count):
        got = wire.message()
        if got.topic == "$gap":
            assert got.qos == 0
            gaps.append(json.loads(got.text))
        else:
            texts.append(got.text)
    wire.silent()
    return gaps, texts


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("when", ["with the CONNECT", "later"])
def test_a_queue_that_overflowed(small_broker, topic, version, when):
    client = unique("client")
    overflow(small_broker, client, [topic], version)
    keep = {"session_expiry": 600} if version == 5 else {}
    if when == "later":
        wire = Wire.connected(small_broker, client, version, clean=False, **keep)
        early = wire.messages(10)
        wire.silent()
        assert wire.subscribe(("$gap", 0)).reasons == [0]
        gaps, late = told(wire, 1)
    else:
        wire = Wire(small_broker, version)
        wire.send(connect(client, version, clean=False, **keep) + subscribe(1, ("$gap", 0), version=version))
        early = []
        assert wire.expect(Type.CONNACK).present and wire.expect(Type.SUBACK).reasons == [0]
        gaps, late = told(wire, 11)
    with wire:
        assert early + late == [str(number) for number in range(20, 30)]
        assert gaps == [{"reason": "trimmed", "topic": topic, "from": gaps[0]["from"], "to": gaps[0]["from"] + 20}]
        wire.subscribe(("$gap", 0))
        wire.silent()


def test_the_newest_gaps_are_held(small_broker, topic):
    """Eight for a connection; with the next one nothing is missing any more."""
    client = unique("client")
    topics = [f"{topic}/{number}" for number in range(12)]
    overflow(small_broker, client, topics, 5)
    with Wire.connected(small_broker, client, clean=False, session_expiry=600) as wire:
        assert sorted(wire.messages(120), key=int) == [str(number) for number in range(20, 30) for _ in topics]
        wire.subscribe(("$gap", 0))
        gaps, _ = told(wire, 8)
        assert len({gap["topic"] for gap in gaps}) == 8 and {gap["topic"] for gap in gaps} <= set(topics)
        wire.leave()
    with Wire.connected(small_broker, client, clean=False, session_expiry=600) as wire:
        wire.subscribe(("$gap", 0))
        wire.silent()
