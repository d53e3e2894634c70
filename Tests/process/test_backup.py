"""`martlet backup` and `martlet restore`: on running servers, into a new history, and refused where they must be."""

import os
import shutil
import signal
import sqlite3
import subprocess
import threading
import time

import pytest

from clients import Ramen, RawSSE, WebSocket
from server import Server, binary, wait_until


def martlet(*arguments, timeout=60, **options):
    return subprocess.run(
        [binary(), *map(str, arguments)], capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL, **options)


def backup(server, to, *options):
    result = martlet("backup", "--data", server.data, "--to", to, *options)
    assert result.returncode == 0, result.stderr
    return result


def restore(file, folder, *options):
    result = martlet("restore", file, "--data", folder, *options)
    assert result.returncode == 0, result.stderr
    return result


def refused(result, *words):
    assert result.returncode == 1, (result.returncode, result.stdout, result.stderr)
    assert result.stderr.startswith("martlet: ") and "Error(" not in result.stderr, result.stderr
    for word in words:
        assert word in result.stderr, result.stderr


def leftovers(folder):
    return sorted(path.name for path in folder.iterdir() if ".part" in path.name or path.name.endswith(("-wal", "-shm", "-journal")))


class Load:
    """Publishes on several connections until it is told to stop; knows what was acknowledged, and when."""

    def __init__(self, server, user, threads=4, pad=200):
        self.server, self.user, self.pad = server, user, pad
        self.accepted: list[tuple[float, int]] = []
        self.slowest = 0.0
        self.stopped = threading.Event()
        self.lock = threading.Lock()
        self.count = 0
        self.threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        for thread in self.threads:
            thread.join(20)

    def _run(self):
        import httpx

        with httpx.Client(timeout=30, trust_env=False) as client:
            while not self.stopped.is_set():
                with self.lock:
                    self.count += 1
                    number = self.count
                begin = time.monotonic()
                answer = client.post(self.server.url + "/v1/messages", json={
                    "to": {"user": self.user}, "data": {"n": number, "pad": "x" * self.pad}, "ttl": 86400})
                assert answer.status_code == 202, answer.text
                end = time.monotonic()
                with self.lock:
                    self.accepted.append((end, number))
                    self.slowest = max(self.slowest, end - begin)


def numbers(server, user, device, count):
    with WebSocket(server, user, device) as client:
        found = []
        for _ in range(count):
            message = client.next()
            found.append(message["data"]["n"])
            client.send({"ack": message["seq"]})
        return found


def test_a_backup_under_load_has_all_that_was_acknowledged_before(server, tmp_path):
    with Load(server, "alice") as load:
        wait_until(lambda: len(load.accepted) > 500, 20)
        begin = time.monotonic()
        before = {number for at, number in load.accepted if at < begin}
        result = backup(server, tmp_path / "a.backup")
        end = time.monotonic()
        wait_until(lambda: any(at > end for at, _ in load.accepted))
    during = [number for at, number in load.accepted if begin < at < end]
    assert len(during) > 10, "publishes went on meanwhile"
    assert load.slowest < 2
    assert result.stderr == "", "no progress without a terminal"
    assert os.stat(tmp_path / "a.backup").st_mode & 0o777 == 0o600
    assert leftovers(tmp_path) == []
    restore(tmp_path / "a.backup", tmp_path / "again")
    copy = Server(tmp_path / "again").start()
    try:
        held = sqlite3.connect(f"file:{tmp_path / 'a.backup'}?mode=ro", uri=True).execute("SELECT count(*) FROM message").fetchone()[0]
        assert held >= len(before)
        assert before <= set(numbers(copy, "alice", "new", held))
    finally:
        copy.stop()


def test_a_backup_does_not_stop_publishes_receivers_or_restarts(server, tmp_path):
    """A slow one: the server is stopped and started while it reads, and stays the same history."""
    for n in range(200):
        server.publish("alice", data={"n": n, "pad": "x" * 60_000}, ttl=86400)
    with RawSSE(server, "alice", "d1") as client:
        position = client.take(200, 30)[-1]["_position"]
    slow = subprocess.Popen(
        [binary(), "backup", "--data", str(server.data), "--to", str(tmp_path / "slow.backup"), "--max-rate", "1"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        wait_until(lambda: (tmp_path / "slow.backup.part").exists() and (tmp_path / "slow.backup.part").stat().st_size > 0)
        server.publish("alice", data="during")
        begin = time.monotonic()
        server.terminate()
        assert server.wait() == 0
        server.restart()
        assert time.monotonic() - begin < 8
        assert slow.poll() is None, "the backup must still be reading"
        with RawSSE(server, "alice", "d1", resume=position) as client:
            assert client.next()["data"] == "during"
            server.publish("alice", data="after")
            assert client.next()["data"] == "after"
            assert client.notices.empty(), "the same epoch"
        slow.send_signal(signal.SIGINT)
        assert slow.wait(10) == 1
        assert b"Stopped" in slow.stderr.read()
        assert leftovers(tmp_path) == [] and not (tmp_path / "slow.backup").exists()
    finally:
        slow.kill()
        slow.wait()


def test_after_a_restore_old_cursors_are_a_gap_and_ack_nothing(server, tmp_path):
    server.publish("alice", data="both had it")
    with RawSSE(server, "alice", "d1") as client:
        client.next()
        client.acknowledge()
    server.publish("alice", data="in the backup", ttl=86400)
    server.terminate()  # positions are up to a second old in a backup; a stop writes them
    assert server.wait() == 0
    server.restart()
    backup(server, tmp_path / "a.backup")
    # After the backup: acked, published and received, all of which the restored store knows nothing of.
    with RawSSE(server, "alice", "d1") as client:
        assert client.next()["data"] == "in the backup"
        for n in range(3):
            server.publish("alice", data=f"lost {n}")
        late = client.take(3)[-1]["_position"]
        client.acknowledge()
    server.terminate()
    assert server.wait() == 0
    result = restore(tmp_path / "a.backup", server.data, "--force")
    assert "epoch" in result.stdout and "before-restore-" in result.stdout
    server.restart()
    new = [server.publish("alice", data=f"new {n}", ttl=86400) for n in range(5)]
    assert server.ack("alice", "d1", {"cursor": late}).status_code == 400, "an ack of the old history is no ack"
    assert server.device_state(new[0], "d1") == "queued"
    with RawSSE(server, "alice", "d1", resume=late) as client:
        assert client.notice("gap")["reason"] == "epoch"
        messages = client.take(6)
        assert [message["data"] for message in messages] == ["in the backup"] + [f"new {n}" for n in range(5)]
        assert messages[0]["redelivered"] is True, "it was delivered once, by the old history"
        assert "redelivered" not in messages[-1]
    aside = [path for path in server.data.iterdir() if path.name.startswith("before-restore-")]
    assert len(aside) == 1 and (aside[0] / "martlet.sqlite").exists()


def test_ramen_numbers_are_not_used_again_after_a_restore(server, tmp_path):
    with Ramen(server, "alice", "d1") as client:
        server.publish("alice", data=0)
        client.next()
    backup(server, tmp_path / "a.backup")
    largest = 0
    for attempt in range(3):
        with Ramen(server, "alice", "d1") as client:
            server.publish("alice", data=attempt)
            while client.next()["data"] != attempt:
                pass
            largest = client.last["seq"]
        server.kill9()
        server.restart()
    server.terminate()
    server.wait()
    restore(tmp_path / "a.backup", server.data, "--force")
    server.restart()
    with Ramen(server, "alice", "d1", resume=largest) as client:
        server.publish("alice", data="new")
        while client.next()["data"] != "new":
            pass
        assert client.last["seq"] > largest


def test_a_backup_that_is_put_there_by_hand_begins_a_new_history_too(server, tmp_path):
    server.publish("alice", data="kept", ttl=86400)
    with RawSSE(server, "alice", "d1") as client:
        position = client.next()["_position"]
    backup(server, tmp_path / "a.backup")
    (tmp_path / "by-hand").mkdir()
    shutil.copy(tmp_path / "a.backup", tmp_path / "by-hand" / "martlet.sqlite")
    copy = Server(tmp_path / "by-hand").start()
    try:
        with RawSSE(copy, "alice", "d1", resume=position) as client:
            assert client.notice("gap")["reason"] == "epoch"
            assert client.next()["data"] == "kept"
    finally:
        copy.stop()


def test_keys_are_in_the_backup(server, tmp_path):
    """They come back as they were at the backup."""
    server.publish("alice", data=1)
    first = martlet("key", "create", "--name", "first", "--data", server.data).stdout.split()
    secret = next(word for word in first if word.startswith("mk_"))
    assert "keys and apps included" in backup(server, tmp_path / "a.backup").stdout
    assert martlet("key", "create", "--name", "second", "--data", server.data).returncode == 0
    result = restore(tmp_path / "a.backup", tmp_path / "again")
    assert "martlet key list" in result.stdout
    listed = martlet("key", "list", "--data", tmp_path / "again").stdout
    assert "first" in listed and "second" not in listed
    assert os.stat(tmp_path / "again" / "directory.db").st_mode & 0o777 == 0o600
    assert sqlite3.connect(tmp_path / "again" / "martlet.sqlite").execute(
        "SELECT count(*) FROM sqlite_schema WHERE name = 'martlet_backup'").fetchone() == (0,)
    copy = Server(tmp_path / "again").start()
    try:
        assert "did not stop cleanly" not in copy.log.read_text(), "a restored store had no last run"
        assert copy.post({"to": {"user": "alice"}, "data": 2}, Authorization=f"Bearer {secret}").status_code == 202
    finally:
        copy.stop()


def test_a_folder_as_target_gets_a_file_named_by_the_time(server, tmp_path):
    server.publish("alice", data=1)
    (tmp_path / "to").mkdir()
    backup(server, tmp_path / "to")
    names = [path.name for path in (tmp_path / "to").iterdir()]
    assert len(names) == 1 and names[0].startswith("martlet-2") and names[0].endswith(".backup")


def test_a_stopped_server_can_be_backed_up(server, tmp_path):
    server.publish("alice", data=1)
    server.kill9()
    backup(server, tmp_path / "a.backup")
    server.restart()
    server.terminate()
    assert server.wait() == 0
    assert "1 messages" in backup(server, tmp_path / "b.backup").stdout


def test_backup_refuses(server, tmp_path):
    server.publish("alice", data=1)
    (tmp_path / "there").write_text("mine")
    refused(martlet("backup", "--data", server.data, "--to", tmp_path / "there"), "not overwritten")
    assert (tmp_path / "there").read_text() == "mine"
    refused(martlet("backup", "--data", server.data, "--to", tmp_path / "no" / "file"), "does not exist")
    refused(martlet("backup", "--data", server.data, "--to", server.data), "data folder itself")
    refused(martlet("backup", "--data", tmp_path / "nowhere", "--to", tmp_path / "x"), "no store")
    assert leftovers(tmp_path) == []


def test_backup_of_a_damaged_store_is_refused(server, tmp_path):
    for n in range(200):
        server.publish("alice", data="x" * 2000)
    server.terminate()
    server.wait()
    damage(server.data / "martlet.sqlite")
    refused(martlet("backup", "--data", server.data, "--to", tmp_path / "x"), "damaged")
    assert not (tmp_path / "x").exists() and leftovers(tmp_path) == []


def damage(path):
    """Writes over pages in the middle."""
    size = path.stat().st_size
    with open(path, "r+b") as file:
        for place in range(size // 3 // 4096 * 4096, size // 3 * 2, 16384):
            file.seek(place)
            file.write(b"\xa5" * 4096)


def test_a_full_disk_leaves_nothing(server, small_disk, tmp_path):
    for n in range(30):
        server.publish("alice", data="x" * 60_000, ttl=86400)
    target = small_disk / "a.backup"
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * (small_disk_free(small_disk) - 500_000))
    refused(martlet("backup", "--data", server.data, "--to", target), "free")
    # Space that goes while it copies.
    ballast.unlink()
    slow = subprocess.Popen(
        [binary(), "backup", "--data", str(server.data), "--to", str(target), "--max-rate", "1"], stderr=subprocess.PIPE)
    wait_until(lambda: (small_disk / "a.backup.part").exists() and (small_disk / "a.backup.part").stat().st_size > 0)
    try:
        ballast.write_bytes(b"x" * (small_disk_free(small_disk) + 4096))
    except OSError:
        pass
    assert slow.wait(30) == 1
    assert b"space" in slow.stderr.read()
    assert [path.name for path in small_disk.iterdir()] == ["ballast"]
    server.publish("alice", data="the server did not notice")


def small_disk_free(path):
    info = os.statvfs(path)
    return info.f_bavail * info.f_frsize


def test_restore_refuses(server, tmp_path):
    server.publish("alice", data="kept", ttl=86400)
    file = tmp_path / "a.backup"
    backup(server, file)
    refused(martlet("restore", file, "--data", server.data, "--force"), "using the folder", str(server.pid))
    server.terminate()
    server.wait()
    before = sorted(path.name for path in server.data.iterdir())
    refused(martlet("restore", file, "--data", server.data), "--force", "not empty")
    refused(martlet("restore", tmp_path / "none", "--data", tmp_path / "x"), "no backup")
    refused(martlet("restore", tmp_path, "--data", tmp_path / "x"), "is a folder")
    (tmp_path / "text").write_text("hello " * 1000)
    refused(martlet("restore", tmp_path / "text", "--data", tmp_path / "x"), "damaged or no store")
    sqlite3.connect(tmp_path / "other.db").executescript("CREATE TABLE t (x); PRAGMA user_version = 1")
    refused(martlet("restore", tmp_path / "other.db", "--data", tmp_path / "x"), "no backup of a Martlet store")
    for name, change in (("damaged", damage), ("truncated", truncate), ("newer", newer)):
        shutil.copy(file, tmp_path / name)
        change(tmp_path / name)
        result = martlet("restore", tmp_path / name, "--data", server.data, "--force")
        refused(result, "newer Martlet" if name == "newer" else "damaged")
    assert sorted(path.name for path in server.data.iterdir()) == before, "a refusal changes nothing"
    server.restart()
    with RawSSE(server, "alice", "d1") as client:
        assert client.next()["data"] == "kept"


def truncate(path):
    os.truncate(path, path.stat().st_size * 2 // 3 // 4096 * 4096)


def newer(path):
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 4711")
    db.commit()
    db.close()


def test_restored_files_belong_to_the_owner_of_the_folder(server, tmp_path):
    if os.geteuid() != 0:
        pytest.skip("giving files away needs root")
    server.publish("alice", data=1)
    backup(server, tmp_path / "a.backup")
    folder = tmp_path / "theirs"
    folder.mkdir()
    os.chown(folder, 65534, 65534)
    restore(tmp_path / "a.backup", folder)
    assert {path.stat().st_uid for path in folder.iterdir()} == {65534}


def test_a_server_does_not_start_on_half_a_restore(server):
    server.publish("alice", data=1)
    server.terminate()
    server.wait()
    (server.data / "restore.part").mkdir()
    (server.data / "martlet.sqlite").rename(server.data / "restore.part" / "martlet.sqlite")
    result = martlet("serve", "--dev", "--listen", "127.0.0.1:0", "--data", server.data)
    assert result.returncode == 1
    assert "restore" in result.stderr
