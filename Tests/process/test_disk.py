"""Disks that are full, read-only or slow: publishes are refused clearly or take longer, sessions go on, recovery is alone."""

import os
import shutil
import subprocess
import threading
import time
from pathlib import Path

import httpx
import pytest

from clients import LongPoll, Ramen, RawSSE, Refused, WebSocket
from server import Server, wait_until


def fill(folder):
    """Leaves no byte free."""
    with open(folder / "ballast", "ab", buffering=0) as ballast:
        for size in (65536, 512):
            try:
                while ballast.write(b"x" * size):
                    pass
            except OSError:
                pass


def refuse_now(server, limit=3000):
    """Publishes until the first refusal; returns what was accepted before, and the refusal."""
    accepted = []
    for n in range(limit):
        answer = server.post({"to": {"user": "eve"}, "data": "x" * 10_000, "ttl": 86400})
        if answer.status_code != 202:
            return accepted, answer
        accepted.append(answer.json()["id"])
    raise AssertionError("the disk never refused")


def assert_store_unavailable(answer):
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "store_unavailable"
    assert answer.headers["retry-after"] == "1"


@pytest.fixture
def on_small_disk(small_disk):
    server = Server(small_disk / "data")
    server.log = small_disk.parent / "server.log"
    server.start()
    yield server
    server.stop()


# ---------------------------------------------------------------- full


def test_a_full_disk_refuses_publishes_keeps_sessions_and_recovers(on_small_disk, small_disk):
    server = on_small_disk
    with WebSocket(server, "alice", "d1") as client:
        server.publish("alice", data="fits")
        client.next()
        client.acknowledge()
        fill(small_disk)
        accepted, refused = 0, None
        for n in range(3000):
            answer = server.post({"to": {"user": "alice"}, "data": "x" * 10_000, "priority": "low"})
            if answer.status_code != 202:
                refused = answer
                break
            accepted += 1
            client.next()
            client.send({"ack": client.last["seq"]})
        assert refused is not None, "the disk never filled"
        assert refused.status_code == 503
        assert refused.json()["error"]["code"] == "store_unavailable"
        assert refused.headers["retry-after"] == "1"
        assert server.get("/healthz").status_code == 200
        ready = server.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (503, "store_unavailable")
        client.send({"ping": "alive"})
        assert client.notice("pong") == "alive"
        with RawSSE(server, "alice", "d1"):  # a known device may still connect
            pass
        os.unlink(small_disk / "ballast")
        wait_until(lambda: server.post({"to": {"user": "bob"}, "data": "probe"}).status_code == 202, 10, "recovery")
        wait_until(lambda: server.get("/readyz").status_code == 200, 5, "readiness")
        server.publish("alice", data="after", priority="high")
        with RawSSE(server, "alice", "d1") as again:
            wait_for(again, "after")
    server.kill9()
    server.restart()
    assert server.get("/readyz").status_code == 200


def wait_for(client, data):
    while client.next()["data"] != data:
        pass


def test_sessions_on_a_full_disk_get_what_is_stored(on_small_disk, small_disk):
    server = on_small_disk
    waiting = [server.publish("alice", data=n, ttl=86400) for n in range(5)]
    kinds = ((RawSSE, "sse", {}), (WebSocket, "ws", {}), (LongPoll, "poll", {"automatic": False}), (Ramen, "ramen", {}))
    for kind, name, options in kinds:
        with kind(server, "alice", name, **options) as client:  # known from now on
            client.next()
    server.get("/v1/poll?user=alice&device=poll")  # a client would ack with its next poll
    open_before = RawSSE(server, "alice", "open", resume=None)
    assert open_before.data(5) == list(range(5))
    fill(small_disk)
    accepted, refused = refuse_now(server)
    assert_store_unavailable(refused)
    for kind, name, options in kinds:
        with kind(server, "alice", name, **options) as client:
            assert client.next()["data"] == 0, name
    assert not open_before.ended.is_set()
    assert server.get(f"/v1/messages/{waiting[0]}").status_code == 200
    os.unlink(small_disk / "ballast")
    wait_until(lambda: server.post({"to": {"user": "alice"}, "data": "after", "ttl": 86400}).status_code == 202, 10, "recovery")
    assert open_before.next()["data"] == "after"
    open_before.drop()
    server.kill9()
    server.restart()
    with RawSSE(server, "eve", "all") as client:
        assert {message["id"] for message in client.take(len(accepted), 20)} >= set(accepted)


@pytest.mark.parametrize("kind", [RawSSE, Ramen, WebSocket], ids=["sse", "ramen", "websocket"])
def test_a_device_that_cannot_be_recorded_is_told_to_come_back(on_small_disk, small_disk, kind):
    server = on_small_disk
    server.publish("alice", data=1, ttl=86400)
    fill(small_disk)
    refuse_now(server)
    with pytest.raises(Refused) as refusal:
        kind(server, "alice", "never-seen")
    assert refusal.value.status == 503
    assert "store_unavailable" in str(refusal.value)
    os.unlink(small_disk / "ballast")
    wait_until(lambda: server.get("/readyz").status_code == 200, 10, "recovery")
    with kind(server, "alice", "never-seen") as client:
        assert client.next()["data"] == 1


def test_a_refused_session_says_when_to_come_back(on_small_disk, small_disk):
    fill(small_disk)
    refuse_now(on_small_disk)
    for path in ("/v1/sse?user=alice&device=new", "/ramen/receive?user=alice&device=new&seq=0", "/v1/poll?user=alice&device=new"):
        assert_store_unavailable(on_small_disk.get(path))


def test_ramen_sessions_on_a_full_disk_use_the_numbers_they_have(on_small_disk, small_disk):
    server = on_small_disk
    for n in range(20):
        server.publish("alice", data=n, ttl=86400)
    with Ramen(server, "alice", "phone") as client:
        largest = client.take(20)[-1]["seq"]
        assert client.welcome is not None
    fill(small_disk)
    refuse_now(server)
    seen = {largest}
    for _ in range(5):  # each of these would reserve a block of its own
        with Ramen(server, "alice", "phone") as client:
            numbers = [message["seq"] for message in client.take(20)]
            assert not seen & set(numbers) and min(numbers) > max(seen)
            seen |= set(numbers)
    os.unlink(small_disk / "ballast")
    wait_until(lambda: server.get("/readyz").status_code == 200, 10, "recovery")
    server.kill9()
    server.restart()
    with Ramen(server, "alice", "phone") as client:
        assert client.next()["seq"] > max(seen)


# ---------------------------------------------------------------- read-only


@pytest.fixture
def fragile_disk(tmp_path):
    """An ext4 file system in a file, that becomes read-only at its first error, as disks do."""
    if os.geteuid() != 0 or not shutil.which("mkfs.ext4"):
        pytest.skip("a file system of the test's own needs root and mkfs.ext4")
    image, folder = tmp_path / "image", tmp_path / "fragile"
    folder.mkdir()
    with open(image, "wb") as file:
        file.truncate(48 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True, capture_output=True)
    disk = FragileDisk(image, folder)
    why = disk.mount()
    if why:
        pytest.skip(f"no loop device may be mounted here: {why}")
    yield disk
    subprocess.run(["umount", "-l", str(folder)], check=False)


class FragileDisk:
    def __init__(self, image, folder):
        self.image, self.folder = image, folder

    def mount(self):
        """Returns why it could not."""
        done = subprocess.run(["mount", "-o", "loop,errors=remount-ro", str(self.image), str(self.folder)], capture_output=True, text=True)
        return done.stderr.strip() if done.returncode else None

    def become_read_only(self):
        device = subprocess.run(["findmnt", "-n", "-o", "SOURCE", str(self.folder)], capture_output=True, text=True, check=True)
        name = Path(device.stdout.strip()).name
        assert name.startswith("loop"), name  # never another disk
        trigger = Path(f"/sys/fs/ext4/{name}/trigger_fs_error")
        try:
            trigger.write_text("test")
        except OSError as error:
            pytest.skip(f"no file system error can be made here: {error}")

    def repair(self):
        subprocess.run(["umount", str(self.folder)], check=True)
        subprocess.run(["e2fsck", "-p", str(self.image)], check=False, capture_output=True)
        assert self.mount() is None


def test_a_disk_that_turns_read_only(fragile_disk, tmp_path):
    server = Server(fragile_disk.folder / "data")
    server.log = tmp_path / "server.log"
    server.start()
    try:
        kept = [server.publish("alice", data=n, ttl=86400) for n in range(40)]
        with RawSSE(server, "alice", "known") as client:
            client.take(1)
        with WebSocket(server, "alice", "phone") as client:
            assert client.data(40) == list(range(40))
            fragile_disk.become_read_only()
            answer = server.post({"to": {"user": "alice"}, "data": "refused"})
            assert_store_unavailable(answer)
            assert server.get("/readyz").status_code == 503
            assert server.get("/healthz").status_code == 200
            client.send({"ping": "alive"})
            assert client.notice("pong") == "alive"
            with RawSSE(server, "alice", "known") as other:
                assert other.data(40) == list(range(40))
            assert server.get(f"/v1/messages/{kept[0]}").status_code == 200
            client.silent()
        assert server.process.poll() is None
        server.terminate()
        server.wait()
        fragile_disk.repair()
        server.restart()
        with RawSSE(server, "alice", "new") as client:
            assert {message["id"] for message in client.take(40)} == set(kept)
        server.publish("alice", data="after the repair")
    finally:
        server.stop()


# ---------------------------------------------------------------- slow


@pytest.fixture
def slow_disk(tmp_path, slow_flushes):
    server, delay = Server(tmp_path / "data"), slow_flushes
    with delay.of(server):
        yield server, delay


@pytest.mark.alone
def test_a_slow_disk_slows_publishes_and_nothing_else(slow_disk, capsys):
    server, delay = slow_disk
    flush_ms, seconds, publishers = 150, 6, 64
    heartbeats = RawSSE(server, "bob", "quiet", heartbeat=1)
    socket = WebSocket(server, "bob", "pings")
    known = [RawSSE(server, "alice", f"known{n}") for n in range(3)]
    server.publish("alice", data="fast", ttl=86400)
    for client in known:
        client.next()
    delay(flush_ms)
    stop, answers, problems = threading.Event(), [], []

    def publish():
        with httpx.Client(timeout=30, trust_env=False) as client:
            while not stop.is_set():
                begin = time.monotonic()
                try:
                    status = client.post(server.url + "/v1/messages", json={"to": {"user": "alice"}, "data": "slow"}).status_code
                except httpx.HTTPError as error:
                    problems.append(repr(error))
                    return
                answers.append((status, time.monotonic() - begin))

    threads = [threading.Thread(target=publish, daemon=True) for _ in range(publishers)]
    for thread in threads:
        thread.start()
    pongs, health, end = [], [], time.monotonic() + seconds
    beats = []
    while time.monotonic() < end:
        begin = time.monotonic()
        socket.send({"ping": begin})
        assert socket.notice("pong") == begin
        pongs.append(time.monotonic() - begin)
        begin = time.monotonic()
        assert server.get("/healthz").status_code == 200
        health.append(time.monotonic() - begin)
        while not heartbeats.notices.empty():
            if heartbeats.notices.get()[0] == ":":
                beats.append(time.monotonic())
        stop.wait(0.01)
    stop.set()
    for thread in threads:
        thread.join(20)
    assert not problems and {status for status, _ in answers} == {202}, problems
    assert server.get("/readyz").status_code == 200
    for client in known:
        assert not client.ended.is_set()
        client.take(len(answers), 20)
    assert not heartbeats.ended.is_set() and len(beats) >= seconds - 2, "a heartbeat a second"
    assert max(b - a for a, b in zip(beats, beats[1:])) < 1.75
    delay(0)
    begin = time.monotonic()
    server.publish("alice", data="fast again")
    with capsys.disabled():
        print(
            f"\nflushes of {flush_ms} ms: {len(answers) / seconds:.0f} publishes/s ({len(answers) / seconds / (1000 / flush_ms):.0f} a flush),"
            f" p50 {p(answers, 50):.0f} ms, p99 {p(answers, 99):.0f} ms; pong p99 {p(pongs, 99):.1f} ms, /healthz p99 {p(health, 99):.1f} ms")
    assert len(answers) / seconds > 5 * 1000 / flush_ms, "batches grow: many publishes share a flush"
    assert p(answers, 99) < 5 * flush_ms
    assert p(pongs, 99) < 100 and p(health, 99) < 100, "sessions do not wait for the disk"
    for client in (heartbeats, socket, *known):
        client.drop()


def p(times, percent):
    """A percentile in milliseconds."""
    values = sorted(entry[1] if isinstance(entry, tuple) else entry for entry in times)
    return values[min(len(values) - 1, len(values) * percent // 100)] * 1000
