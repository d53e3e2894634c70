"""MQTT on a disk that is full: who is refused is told, what was acknowledged is there afterwards, and ends and wills come true once there is room."""

import os
import sqlite3
from contextlib import closing

import pytest

from mqtt import Type, Will, Wire, disconnect, publish
from mqtt_tools import MQTTServer, only_martlet
from server import unique, wait_until
from test_disk import fill

pytestmark = only_martlet
LARGE = "x" * 10_000


@pytest.fixture
def broker(small_disk):
    server = MQTTServer(small_disk / "data", "--drain-seconds", "3", "--limits-subscribe-rate", "0")
    server.log = small_disk.parent / "server.log"
    server.start()
    yield server
    server.stop()


@pytest.fixture
def full(broker, small_disk):
    """Leaves no room, and makes some again. While there is none, no publish is acknowledged that somebody waits for."""

    class Full:
        accepted: list[str] = []

        def __enter__(self):
            self.accepted = []
            fill(small_disk)
            for number in range(3_000):
                if not self.is_taken(f"{number} {LARGE}"):
                    return self
                self.accepted.append(str(number))
            raise AssertionError("the disk never refused")

        @staticmethod
        def is_taken(payload) -> bool:
            with Wire.connected(broker) as wire:
                wire.send(publish("full/ballast", payload, 1, 7))
                answer = wire.packet(20)
                # Otherwise it may come again with the next connection.
                assert (answer.type, answer.reason) in ((Type.PUBACK, 0), (Type.DISCONNECT, 0x89)), answer
                return answer.type == Type.PUBACK

        def __exit__(self, *_):
            os.unlink(small_disk / "ballast")
            wait_until(lambda: broker.get("/readyz").status_code == 200, 15, "recovery")

    return Full()


@pytest.fixture
def away(broker):
    """A kept session for which everything below full/ waits; called, it says what came, and acks it."""
    name = unique("away")
    with Wire.connected(broker, name, session_expiry=3_600) as wire:
        wire.subscribe(("full/#", 1))
        wire.leave()

    def came(count: int) -> list[str]:
        with Wire.connected(broker, name, clean=False, session_expiry=3_600) as wire:
            assert wire.connack.present
            got = wire.messages(count)
            wire.silent(1.5)
            wire.leave()
            return [text.split()[0] for text in got]

    return came


def sessions(broker) -> int:
    with closing(sqlite3.connect(f"file:{broker.data}/martlet.sqlite?mode=ro", uri=True)) as db:
        return db.execute("SELECT count(*) FROM session").fetchone()[0]


def test_what_was_acknowledged_is_there(broker, full, away):
    with full:
        pass
    assert full.is_taken("after")
    broker.kill9()
    broker.restart()
    assert away(len(full.accepted) + 1) == full.accepted + ["after"]


@pytest.mark.parametrize("expiry", [0, 600])
def test_a_will_comes_once_there_is_room(broker, full, away, expiry):
    wires = [Wire.connected(broker, unique("dies"), session_expiry=expiry, will=Will("full/will", f"will{number}".encode(), 1)) for number in range(5)]
    with full:
        for wire in wires:
            wire.drop()
        assert not full.is_taken(LARGE)
    got = away(len(full.accepted) + 5)
    assert sorted(got) == sorted(full.accepted + [f"will{number}" for number in range(5)])
    broker.kill9()
    broker.restart()
    assert away(0) == []


def test_an_end_counts_once_there_is_room(broker, full, away):
    """The connection closes at once, as nobody knows when there will be room."""
    before = sessions(broker)
    name = unique("leaves")
    leaver = Wire.connected(broker, name, session_expiry=600, will=Will("full/will", b"wrong", 1))
    wait_until(lambda: sessions(broker) == before + 1, 5, "the session is kept")
    with full:
        leaver.send(disconnect(0, session_expiry=0))
        assert leaver.ended(timeout=10) is None
        leaver.close()
    wait_until(lambda: sessions(broker) == before, 10, "the end is on disk")
    broker.kill9()
    broker.restart()
    with Wire.connected(broker, name, clean=False) as wire:
        assert not wire.connack.present
    assert away(len(full.accepted)) == full.accepted
