"""Ends of sessions and `kill -9`: what a client was shown by the end of its connection, or by a CONNACK, is on disk."""

import sqlite3
import time
from contextlib import closing

import pytest

from mqtt import Will, Wire, connect, disconnect
from mqtt_tools import make_broker, only_martlet
from server import unique, wait_until

pytestmark = only_martlet

ROUNDS = 12
CLIENTS = 6


@pytest.fixture
def wills(own_broker, topic):
    """Says what wills came."""
    name = unique("watch")
    with Wire.connected(own_broker, name, session_expiry=3_600) as watch:
        watch.subscribe((topic + "/#", 1))
        watch.leave()

    def came(count: int) -> list[str]:
        with Wire.connected(own_broker, name, clean=False, session_expiry=3_600) as watch:
            assert watch.connack.present
            got = sorted(watch.messages(count))
            watch.silent(1.5)
            watch.leave()
            return got

    return came


def names() -> list[str]:
    return [unique("ends") for _ in range(CLIENTS)]


def kill(broker) -> None:
    broker.kill9()
    broker.restart()


def all_leave(wires: list[Wire], **values) -> None:
    """They say that they go, all at once, and have seen the end of their connections."""
    for wire in wires:
        wire.send(disconnect(0, wire.version, **values))
    for wire in wires:
        assert wire.ended() is None
        wire.close()


def is_there(broker, client: str, version: int = 5) -> bool:
    with Wire.connected(broker, client, version, clean=False) as wire:
        present = wire.connack.present
        wire.leave()
        return present


@pytest.mark.parametrize("expiry", [0, 600])
@pytest.mark.parametrize("version", [4, 5])
def test_who_has_left_has_no_will(own_broker, topic, wills, version, expiry):
    """MQTT-3.1.2-10, MQTT-3.14.4-3: removed for good when the connection is closed."""
    how = {"clean": not expiry} if version == 4 else {"session_expiry": expiry}
    for _ in range(ROUNDS):
        all_leave([Wire.connected(own_broker, name, version, will=Will(topic + "/" + name, b"wrong", 1), **how) for name in names()])
        kill(own_broker)
    wills(0)


def test_who_has_ended_its_session_has_none(own_broker):
    """§3.14.2.2.2: an expiry of 0 in DISCONNECT."""
    for _ in range(ROUNDS):
        gone = names()
        all_leave([Wire.connected(own_broker, name, session_expiry=600) for name in gone], session_expiry=0)
        kill(own_broker)
        assert not any(is_there(own_broker, name) for name in gone)


def test_a_new_expiry_is_kept(own_broker):
    """One second, then 600: after a start the session stays."""
    stay = []
    for _ in range(3):
        new = names()
        all_leave([Wire.connected(own_broker, name, session_expiry=1) for name in new], session_expiry=600)
        kill(own_broker)
        stay += new
    time.sleep(3)  # what is awaited is the server's clock
    assert all(is_there(own_broker, name) for name in stay)


@pytest.mark.parametrize("left", [True, False], ids=["who left", "who is there"])
def test_a_clean_start_ends_what_was(own_broker, left):
    """MQTT-3.1.4-4: with the CONNACK the session before is gone, also the one that ended a moment ago."""
    for _ in range(ROUNDS):
        gone = names()
        old = [Wire.connected(own_broker, name, session_expiry=600) for name in gone]
        new = [Wire(own_broker) for _ in gone]
        for before, wire, name in zip(old, new, gone):
            if left:
                before.send(disconnect(0, session_expiry=0))
            wire.send(connect(name))
        for wire in new:
            assert not wire.packet().present
        own_broker.kill9()
        for wire in old + new:
            wire.close()
        own_broker.restart()
        assert not any(is_there(own_broker, name) for name in gone)


@pytest.mark.parametrize("expiry", [0, 600])
@pytest.mark.parametrize("version", [4, 5])
def test_the_end_of_the_server_is_a_lost_connection(own_broker, topic, wills, version, expiry):
    """§3.1.2.5: wills are published when the server is back, once."""
    how = {"clean": not expiry} if version == 4 else {"session_expiry": expiry}
    for number in range(3):
        wires = [Wire.connected(own_broker, name, version, will=Will(topic + "/" + name, f"{number} {name}".encode(), 2), **how) for name in names()]
        own_broker.kill9()
        for wire in wires:
            wire.close()
        own_broker.restart()
        assert wills(CLIENTS) == sorted(f"{number} {wire.client}" for wire in wires)
        kill(own_broker)
        wills(0)
        assert [is_there(own_broker, wire.client, version) for wire in wires] == [expiry > 0] * CLIENTS


def test_a_will_that_was_published_is_gone(own_broker, topic, wills):
    """A connection breaks, its will is seen; then the server is killed: it does not come again."""
    for expiry in (0, 600):
        gone = names()
        with Wire.connected(own_broker) as watch:
            watch.subscribe((topic + "/#", 2))
            for name in gone:
                Wire.connected(own_broker, name, session_expiry=expiry, will=Will(topic + "/" + name, name.encode(), 2)).drop()
            assert sorted(watch.message().text for _ in gone) == sorted(gone)
            own_broker.kill9()
        own_broker.restart()
        assert wills(CLIENTS) == sorted(gone)


def test_a_store_that_does_not_answer_keeps_nobody(tmp_path, slow_flushes):
    """The end of who takes leave waits for the disk, but not for ever; who has nothing there does not wait."""
    broker = make_broker(tmp_path)
    with slow_flushes.of(broker):
        with Wire.connected(broker, session_expiry=600) as kept, Wire.connected(broker) as plain:
            slow_flushes(9_000)
            begin = time.monotonic()
            kept.send(disconnect(0, session_expiry=0))
            plain.leave()
            assert time.monotonic() - begin < 2
            assert kept.ended(timeout=8.5) is None
            assert 3 < time.monotonic() - begin < 8.5


def test_queues_of_before_a_restart_go_when_nobody_waits(own_broker, topic):
    """Nothing is published to their topics again: what was put aside is found all the same."""
    with Wire.connected(own_broker, "waits", clean=False, session_expiry=600) as wire:
        wire.subscribe((f"{topic}/#", 1))
        wire.leave()
    with Wire.connected(own_broker) as publisher:
        for number in range(20):
            publisher.publish(f"{topic}/{number}", "x", 1)
    own_broker.kill9()
    own_broker.restart()

    def stored() -> int:
        with closing(sqlite3.connect(f"file:{own_broker.data}/martlet.sqlite?mode=ro", uri=True)) as db:
            return db.execute("SELECT count(*) FROM body").fetchone()[0]

    assert stored() == 20
    with Wire.connected(own_broker, "waits") as wire:
        wire.leave()
    wait_until(lambda: stored() <= 1, 20, "queues without messages")
