"""How many sessions are kept, and how much of wills: over it a CONNECT is refused, and nothing else changes."""

import pytest

from mqtt import Will, Wire
from mqtt_tools import make_broker, only_martlet
from server import unique

pytestmark = only_martlet


@pytest.fixture
def small_broker(tmp_path):
    broker = make_broker(tmp_path, "--limits-kept-sessions-per-user", "3", "--limits-kept-sessions", "8", "--limits-will-bytes", "100000").start()
    yield broker
    broker.stop()


def kept(version: int) -> dict:
    return {"clean": False} | ({"session_expiry": 600} if version == 5 else {})


def refused(broker, version: int, words: str, **values) -> None:
    """CONNACK 0x97 with its reason; in 3.1.1 code 3; then the end."""
    with Wire.connected(broker, version=version, reason=0x97 if version == 5 else 3, **values) as wire:
        if version == 5:
            assert words in wire.connack.properties["reason_string"], wire.connack
        wire.ended()


@pytest.mark.parametrize("version", [4, 5])
def test_one_user_keeps_so_many(small_broker, topic, version):
    names = [unique("kept") for _ in range(3)]
    for name in names:
        with Wire.connected(small_broker, name, version, user="alice", **kept(version)) as wire:
            wire.subscribe((topic, 1), (f"$share/{name}/{topic}", 1))  # groups count for nobody
            wire.leave()
    refused(small_broker, version, "3 sessions of this user", user="alice", **kept(version))
    for how in ({"user": "alice", "clean": True}, {"user": "bob"} | kept(version), {"client": names[0], "user": "alice"} | kept(version)):
        with Wire.connected(small_broker, version=version, **how) as wire:
            wire.leave()
    small_broker.kill9()
    small_broker.restart()
    refused(small_broker, version, "3 sessions of this user", user="alice", **kept(version))
    with Wire.connected(small_broker, names[1], version, user="alice", clean=True) as wire:
        wire.leave()
    with Wire.connected(small_broker, version=version, user="alice", **kept(version)) as wire:
        assert not wire.connack.present


@pytest.mark.parametrize("version", [4, 5])
def test_one_app_keeps_so_many(small_broker, version):
    for number in range(8):
        with Wire.connected(small_broker, version=version, user=f"user{number}", **kept(version)) as wire:
            wire.leave()
    refused(small_broker, version, "The app keeps 8 sessions", user="one-more", **kept(version))
    with Wire.connected(small_broker, version=version, user="one-more") as wire:
        wire.leave()


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("is_kept", [True, False])
def test_wills_have_a_budget(small_broker, topic, is_kept, version):
    how = kept(version) if is_kept else {}
    wires = [Wire.connected(small_broker, version=version, user=f"user{number}", will=Will(topic, b"w" * 45_000), **how) for number in range(2)]
    refused(small_broker, version, "100000 bytes", user="one-more", will=Will(topic, b"w" * 45_000), **how)
    wires += [Wire.connected(small_broker, version=version, user="one-more", will=will, **how) for will in (None, Will(topic, b"short"))]
    # One that takes leave takes its will with it.
    wires[0].leave()
    wires += [Wire.connected(small_broker, version=version, user="one-more", will=Will(topic, b"w" * 45_000), **how)]
    for wire in wires:
        wire.close()


def test_who_is_refused_takes_nothing_over(small_broker, topic):
    with Wire.connected(small_broker) as watcher:
        watcher.subscribe((topic, 1))
        for _ in range(3):
            with Wire.connected(small_broker, version=5, user="alice", **kept(5)) as wire:
                wire.leave()
        client = unique("client")
        with Wire.connected(small_broker, client, 5, user="bob", will=Will(topic, b"bob's", 1), **kept(5)) as bob:
            refused(small_broker, 5, "3 sessions of this user", client=client, user="alice", **kept(5))
            bob.subscribe((topic, 1))
            watcher.publish(topic, "still here", 1)
            assert bob.message().text == "still here"
        assert watcher.message().text == "still here"


def test_zero_is_any_number(tmp_path):
    broker = make_broker(tmp_path, "--limits-kept-sessions-per-user", "0").start()
    try:
        for _ in range(5):
            with Wire.connected(broker, version=5, user="alice", **kept(5)) as wire:
                wire.leave()
    finally:
        broker.stop()
