"""MQTT clients that mean harm: what they send ends their own connection, costs little memory, and delays nobody."""

import os
import random
import socket
import threading
import time

import pytest

from mqtt import PING, Ended, Type, Will, Wire, ack, connect, packet, publish, subscribe, text, unsubscribe
from mqtt_tools import MQTTServer, only_martlet
from others import Others
from server import unique, wait_until
from wire import sockets

pytestmark = only_martlet
T = "hostile/a"


@pytest.fixture
def target(tmp_path):
    """A server that is as it was when the test is over: alive, with no socket more."""
    server = MQTTServer(tmp_path / "data", "--drain-seconds", "2", "--limits-subscribe-rate", "0").start()
    # A first client, so that what is made once is made.
    with Wire.connected(server) as wire:
        wire.publish(T, "x", 2)
        wire.leave()
    before = sockets(server)
    yield server
    assert server.process.poll() is None, server.tail()
    wait_until(lambda: sockets(server) <= before + 2, 15, f"{sockets(server)} sockets, {before} before")
    server.stop()


def enter_quickly(server, number: int, **values) -> Wire:
    return Wire.connected(server, f"many-{number}", link=from_address(server, number), **values)


def from_address(server, number: int) -> socket.socket:
    link = socket.socket()
    link.settimeout(10)
    link.bind((f"127.4.{number // 250}.{number % 250 + 1}", 0))
    link.connect(("127.0.0.1", server.mqtt_port))
    return link


def push(wire: Wire, data: bytes, seconds: float = 1.5) -> int:
    """Sends the same for a while, or until the server stops it; returns how much it took. What comes back is read and forgotten."""
    over = threading.Event()

    def read() -> None:
        try:
            while not over.is_set() and wire.link.recv(1 << 20):
                pass
        except OSError:
            pass

    reader = threading.Thread(target=read)
    wire.link.settimeout(seconds)
    reader.start()
    sent, end = 0, time.monotonic() + seconds
    try:
        while time.monotonic() < end:
            wire.link.sendall(data)
            sent += len(data)
    except OSError:
        pass
    over.set()
    try:
        wire.link.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    reader.join(10)
    return sent


# ---------------------------------------------------------------- before CONNECT

STARTS = {
    "a length of five bytes": b"\x10\xff\xff\xff\xff\x7f", "256 MB are announced": b"\x10\xff\xff\xff\x7f", "HTTP": b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + os.urandom(60), "zeros": b"\0" * 100, "ones": b"\xff" * 100, "a PUBLISH": publish(T, b"x"),
    "properties beyond everything": packet(1, text("MQTT") + b"\x05\x02\0\x3c\xff\xff\xff\x7f"), "a string beyond everything": packet(1, b"\xff\xffMQTT"),
    "a large CONNECT": packet(1, connect("c")[2:] + b"x" * 60_000),
}


@pytest.mark.parametrize("name", STARTS)
def test_bad_starts(target, name):
    """Closed at once, at most with a CONNACK that refuses."""
    with Wire(target) as wire:
        wire.send(STARTS[name])
        received = b""
        try:
            while chunk := wire.link.recv(4096):
                received += chunk
        except ConnectionError:
            pass
        assert len(received) < 100 and (not received or received[0] == 0x20 and received[3] != 0), received


def test_random_bytes(target):
    """2,000 connections of garbage, of a CONNECT with one byte changed, and of one cut short."""
    good = connect("fuzz", user="alice", will=Will(T, b"w", 1, properties={"user": [("a", "b")]}), session_expiry=0)
    tail = subscribe(1, T) + publish(T, b"x", 1, 2, content_type="t") + unsubscribe(3, T)
    seed = os.urandom(4)
    print(f"seed {seed.hex()}")
    rng = random.Random(seed)
    for number in range(2_000):
        data = bytearray(good + tail)
        for _ in range(rng.randrange(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        with Wire(target) as wire:
            try:
                wire.send(bytes(data[: rng.randrange(1, len(data) + 1)]) if number % 3 else rng.randbytes(rng.randrange(1, 200)))
            except OSError:
                pass
    with Wire.connected(target) as wire:
        wire.silent()


@pytest.mark.alone
def test_silence_after_the_connection_and_half_packets(tmp_path, hub):
    """Who says nothing, or half a CONNECT byte by byte, is closed when the time for a head is over."""
    server = MQTTServer(tmp_path / "data", "--limits-head-seconds", "1", "--limits-subscribe-rate", "0").start()
    try:
        slow = [Wire(server) for _ in range(60)]
        for number, wire in enumerate(slow):
            wire.send([b"", b"\x10", connect("x" * 50)[:30]][number % 3])
        with Others(server, hub) as others:
            for wire in slow:
                assert wire.ended(timeout=8) is None
        others.waited_less_than(500)
        # A packet that stalls after CONNECT is the keep alive's to end.
        with Wire.connected(server, keep_alive=1) as wire:
            wire.send(publish(T, b"x" * 1_000)[:500])
            wire.ended(timeout=8)
    finally:
        server.stop()


# ---------------------------------------------------------------- names


@pytest.mark.parametrize("client", ["a/#", "+", "$share/g/a", "../../etc/passwd", "a b", "'; DROP TABLE sessions; --", "é\u0301", "%00", "x" * 256])
def test_client_ids_that_look_like_something_else(target, client):
    """Taken as the name that it is, with a session of its own, or refused with 0x85; never anything else."""
    with Wire(target) as wire:
        wire.send(connect(client, session_expiry=60))
        got = wire.expect(Type.CONNACK)
        assert got.reason in (0, 0x85)
        if got.reason == 0:
            wire.subscribe((T, 1))
            wire.publish(T, "m", 1)
            assert wire.message().text == "m"
    with Wire(target) as wire:
        wire.send(connect(client, clean=False))
        assert wire.expect(Type.CONNACK).present == (got.reason == 0)


@pytest.mark.parametrize("client", ["x" * 257, "x" * 60_000, "a\nb", "a\r\nevent: x", "a\x7f", "\u2028"])
def test_client_ids_that_are_none(target, client):
    with Wire(target) as wire:
        wire.send(connect(client))
        try:
            assert wire.packet().reason in (0x85, 0x81, 0x95)
            wire.packet()
        except Ended:
            return
        raise AssertionError("still open")


@pytest.mark.parametrize("name", ["/" * 60_000, "a/" * 30_000, "+/" * 30_000, "+/" * 30_000 + "#", "$share/" + "g" * 60_000 + "/a", "$share/g/" + "a/" * 20_000])
def test_thousands_of_levels(target, name):
    with Wire.connected(target) as wire:
        for _ in range(20):
            id = wire.next_id
            wire.send(subscribe(id, name), unsubscribe(id, name))
            assert wire.answer(Type.SUBACK).reasons == [0x8F]
            assert wire.answer(Type.UNSUBACK).reasons[0] in (0x11, 0x8F)
        if "+" not in name and "$" not in name:
            wire.send(publish(name, b"x", 1, 99))
            assert wire.answer(Type.PUBACK).reason == 0x90


# ---------------------------------------------------------------- much of something


@pytest.mark.alone
def test_10000_subscriptions(target, hub):
    """In packets of many; what passes the limit is refused with 0x97, the rest works, and memory stays bounded."""
    before = target.rss_kb()
    with Others(target, hub) as others, Wire.connected(target, timeout=20) as wire:
        granted = 0
        for start in range(0, 10_000, 500):
            wire.send(subscribe(start + 1, *((f"many/{number}/+/x", 1) for number in range(start, start + 500))))
            reasons = wire.answer(Type.SUBACK).reasons
            assert len(reasons) == 500 and set(reasons) <= {1, 0x97}
            granted += reasons.count(1)
        assert granted >= 100
        wire.publish("many/1/a/x", "m", 1)
        assert wire.message().text == "m"
        wire.leave()
    print(f"{granted} of 10,000 subscriptions granted, {(target.rss_kb() - before) / 1024:.1f} MiB more")
    assert target.rss_kb() - before < 60_000
    others.waited_less_than(500)


FLOODS = {
    "pings": PING * 2_000, "publishes": publish(T, b"x" * 100) * 500, "QoS 1": b"".join(publish(T, b"x" * 100, 1, id) for id in range(1, 500)),
    "QoS 2 that is never released": b"".join(publish(T, b"x" * 1_000, 2, id) for id in range(1, 1_000)),
    "releases of nothing": b"".join(ack(Type.PUBREL, id) for id in range(1, 1_000)), "acks of nothing": b"".join(ack(Type.PUBACK, id) for id in range(1, 1_000)),
    "subscribing and unsubscribing": b"".join(subscribe(id, f"f/{id}") + unsubscribe(id, f"f/{id}") for id in range(1, 500)),
    "retained values": b"".join(publish(f"flood/{number}", b"x" * 1_000, 0, retain=True) for number in range(1_000)),
    "user properties": publish(T, b"", user=[("k", "v")] * 5_000) * 10, "aliases": b"".join(publish(T, b"", alias=1 + number % 8) for number in range(1_000)),
}


@pytest.mark.alone
@pytest.mark.parametrize("name", FLOODS)
def test_floods(target, hub, name):
    """One client's flood takes its share of a loop and no memory; others are served."""
    before = target.rss_kb()
    with Others(target, hub) as others:
        with Wire.connected(target) as wire:
            sent = push(wire, FLOODS[name])
        held = target.rss_kb() - before
    print(f"{name}: {sent / 1e6:.1f} MB taken, {held / 1024:.1f} MiB more")
    assert sent and held < 80_000
    others.waited_less_than(500)


@pytest.mark.alone
def test_retained_values_of_many_topics(target, hub):
    """20,000 topics of 10 kB, 200 MB: kept up to a limit, which is not the machine's."""
    before = target.rss_kb()
    with Others(target, hub) as others, Wire.connected(target, timeout=30) as wire:
        window = min(100, wire.connack.properties.get("receive_maximum", 65_535))
        for start in range(0, 20_000, window):
            wire.send(*(publish(f"kept/{start + id}", b"x" * 10_000, 1, id, retain=True) for id in range(1, window + 1)))
            for _ in range(window):
                wire.expect(Type.PUBACK)
    held = target.rss_kb() - before
    print(f"200 MB of retained values offered, {held / 1024:.1f} MiB held")
    # limits.topicMemoryBytes, and what stands around it.
    assert held < 300_000
    others.waited_less_than(1_000)


@pytest.mark.alone
def test_who_does_not_read(target, hub):
    """100 subscribers that take nothing while 50 MB are published: each costs a window."""
    stuck = []
    for number in range(100):
        wire = enter_quickly(target, number)
        wire.link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        wire.subscribe((T, number % 2))
        stuck.append(wire)
    before = target.rss_kb()
    with Others(target, hub) as others, Wire.connected(target, timeout=30) as wire:
        for number in range(500):
            wire.publish(T, b"x" * 10_000, 1)
        count = len(others.times)
        wait_until(lambda: len(others.times) >= count + 50, 20, "others served beside them")
    held = target.rss_kb() - before
    print(f"100 that do not read, 5 MB each: {held / 1024:.1f} MiB")
    assert held < 100 * 600
    others.waited_less_than(1_000)
    for wire in stuck:
        wire.close()


def test_a_session_that_never_comes_back(target):
    """What waits for it is bounded, and what passes the bound is left out without harm to what is kept."""
    client = unique("away")
    with Wire.connected(target, client, session_expiry=3_600) as wire:
        wire.subscribe((T, 1))
        wire.leave()
    before = target.rss_kb()
    with Wire.connected(target, timeout=30) as other:
        window = min(100, other.connack.properties.get("receive_maximum", 65_535))
        for _ in range(0, 20_000, window):
            other.send(*(publish(T, b"x" * 5_000, 1, id) for id in range(1, window + 1)))
            for _ in range(window):
                other.expect(Type.PUBACK)
    held = target.rss_kb() - before
    print(f"100 MB for a session that is away: {held / 1024:.1f} MiB held")
    assert held < 120_000
    with Wire.connected(target, client, clean=False) as wire:
        assert wire.connack.present
        assert wire.message().payload == b"x" * 5_000


def test_many_sessions_that_are_left_behind(target):
    """5,000 client ids with sessions for ever, one after the other from many addresses."""
    before = target.rss_kb()
    taken = 0
    for number in range(5_000):
        with Wire(target, link=from_address(target, number)) as wire:
            wire.send(connect(f"left-{number}", session_expiry=0xFFFFFFFF), subscribe(1, (f"left/{number}", 1)))
            taken += wire.packet().reason == 0
    held = target.rss_kb() - before
    print(f"{taken} of 5,000 sessions taken, {held / 1024:.1f} MiB held")
    assert held < 60_000
    with Wire.connected(target) as wire:
        wire.silent()


def test_amplification_by_one_client(target):
    """Filters that overlap make no copies: one publish, one message, and not one for each of 200 filters."""
    with Wire.connected(target) as wire:
        for number in range(200):
            pattern = "/".join("+" if number >> bit & 1 else "abcdefgh"[bit] for bit in range(8))
            wire.subscribe((pattern, 1))
        wire.publish("a/b/c/d/e/f/g/h", "m", 1)
        assert wire.message().text == "m"
        wire.silent()


def test_a_storm_of_take_overs(target):
    """The same client id from 8 threads: no session is lost, and one is left."""
    client = unique("storm")

    def storm() -> None:
        for _ in range(60):
            with Wire(target) as wire:
                try:
                    wire.send(connect(client, clean=False, session_expiry=60), subscribe(1, (T, 1)), publish(T, b"x", 1, 2))
                    wire.packet()
                except (AssertionError, OSError):
                    pass

    threads = [threading.Thread(target=storm) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    with Wire.connected(target, client, clean=False) as wire:
        assert wire.connack.present


@pytest.mark.long
def test_5000_connections_that_do_nothing(target):
    before, number_before = target.rss_kb(), sockets(target)
    wires = []
    for number in range(5_000):
        wires.append(enter_quickly(target, number, keep_alive=600))
    held = target.rss_kb() - before
    print(f"5,000 idle MQTT connections: {held * 1024 / 5_000:.0f} bytes each")
    assert sockets(target) >= number_before + 5_000 and held * 1024 / 5_000 < 16_384
    for wire in wires:
        wire.close()


def test_filters_that_match_few_of_many_values_keep_nobody_waiting(target):
    """Each looks at every retained value, as its first level may be anything. Others are answered in between, many times."""
    # More than one: together they must not fill what is between two looks at the sockets.
    loads = [Wire.connected(target) for _ in range(6)]
    with Wire.connected(target) as other, Wire.connected(target, timeout=60) as wire:
        for start in range(0, 20_000, 500):
            other.send(*(publish(f"many/{number}/of/them", "x", retain=True) for number in range(start, start + 500)))
        other.publish("many/last", "found", 1, retain=True)
        began = time.monotonic()
        for load in loads:
            load.send(subscribe(1, *(f"+/{number}/nothing" for number in range(400))))
        wire.send(subscribe(1, *(f"+/{number}/nothing" for number in range(400)), "+/last"))
        got = []

        def read() -> None:
            wire.expect(Type.SUBACK, 60)
            print(f"SUBACK after {time.monotonic() - began:.2f} s")
            got.append(wire.message(60).text)

        reader = threading.Thread(target=read)
        reader.start()
        answered = 0
        while reader.is_alive():
            other.send(PING).expect(Type.PINGRESP, 10)
            answered += 1
        reader.join()
        print(f"all looked through after {time.monotonic() - began:.2f} s, {answered} pings answered meanwhile")
        assert got == ["found"]
        assert answered > 50
    for load in loads:
        load.close()


def test_many_filters_of_a_kept_session(target):
    """They take about as long as those of one that is not kept, though each is stored: an answer in a moment, as others wait for it."""
    spent = {}
    for kept in (False, True):
        for round in range(3):
            with Wire.connected(target, f"filters-{kept}-{round}", timeout=30, session_expiry=600 if kept else 0) as wire:
                began = time.monotonic()
                wire.send(subscribe(1, *(f"many/{number}/+" for number in range(500)))).expect(Type.SUBACK)
                spent[kept] = min(time.monotonic() - began, spent.get(kept, 60))
                wire.leave(session_expiry=0)
    print(f"SUBACK after {spent[False]:.3f} s, kept {spent[True]:.3f} s")
    assert spent[True] < 6 * spent[False] + 0.1
