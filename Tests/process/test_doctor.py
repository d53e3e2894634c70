"""`martlet doctor`: what it says of healthy folders, of running servers', and of everything that can be wrong."""

import json
import os
import re
import shutil
import sqlite3
import subprocess

import pytest

from clients import RawSSE
from server import Server, binary
from test_backup import damage, martlet, newer, truncate


def examine(folder, *options, **how):
    """The diagnosis as JSON; each kind of answer agrees with the exit code."""
    result = martlet("doctor", "--data", folder, "--json", *options, **how)
    assert result.returncode in (0, 1, 2), (result.returncode, result.stderr)
    answer = json.loads(result.stdout)
    assert {0: ("ok", "note"), 1: ("warning",), 2: ("problem",)}[result.returncode].__contains__(answer["result"])
    for finding in answer["findings"]:
        assert finding["text"] and (finding["level"] in ("ok", "note") or finding["advice"]), finding
    return answer


def finding(answer, check, level):
    found = [entry for entry in answer["findings"] if entry["check"] == check and entry["level"] == level]
    assert found, answer["findings"]
    return found[0]["text"] + " " + found[0].get("advice", "")


@pytest.fixture
def stopped(server):
    """The data folder of a server that ran and was stopped."""
    for n in range(200):
        server.publish("alice", data="x" * 2000, ttl=86400, idempotencyKey=f"k{n}")
    with RawSSE(server, "alice", "d1") as client:
        client.take(3)
    server.terminate()
    assert server.wait() == 0
    return server.data


def test_a_running_server_is_well(server):
    for n in range(5):
        server.publish("alice", data=n)
    answer = examine(server.data)
    assert answer["result"] == "ok", answer["findings"]
    assert str(server.pid) in finding(answer, "server", "ok")
    assert answer["figures"]["messages"] == 5
    assert answer["figures"]["schema"] >= 1
    server.publish("alice", data="and it goes on")
    assert server.get("/readyz").status_code == 200


def test_a_stopped_folder_is_well_and_stays_as_it_is(stopped):
    before = {path.name: path.stat().st_mtime_ns for path in stopped.iterdir()}
    for options in ((), ("--full",)):
        answer = examine(stopped, *options)
        assert answer["result"] == "ok", answer["findings"]
        assert "No server" in finding(answer, "server", "ok")
    assert {path.name: path.stat().st_mtime_ns for path in stopped.iterdir()} == before
    assert answer["figures"]["messages"] == 200 and answer["figures"]["idempotencyKeys"] == 200


def test_what_people_read(stopped):
    result = martlet("doctor", "--data", stopped)
    assert result.returncode == 0
    assert "All is well." in result.stdout and result.stderr == ""
    (stopped / "martlet.sqlite").write_bytes(b"junk" * 5000)
    result = martlet("doctor", "--data", stopped)
    assert result.returncode == 2
    assert "problem  store" in result.stdout and "→ Stop the server, and restore the newest backup" in result.stdout
    assert "Found 1 problem." in result.stdout


def test_no_folder_and_an_empty_one(tmp_path):
    assert "There is no folder" in finding(examine(tmp_path / "no"), "folder", "problem")
    (tmp_path / "empty").mkdir(mode=0o700)
    assert "no store" in finding(examine(tmp_path / "empty"), "store", "note")


def test_a_crash_is_noted(server):
    server.publish("alice", data=1)
    server.kill9()
    answer = examine(server.data)
    assert "nothing to repair" in finding(answer, "history", "note")
    assert answer["figures"]["messages"] == 1, "the log is read too"
    server.restart()
    assert "running" in finding(examine(server.data), "server", "ok")


@pytest.mark.parametrize("change", [damage, truncate], ids=["damaged", "truncated"])
def test_damage_is_found(stopped, change):
    change(stopped / "martlet.sqlite")
    answer = examine(stopped)
    assert answer["result"] == "problem"
    assert "restore" in json.dumps(answer["findings"])


def test_no_damage_makes_it_crash(stopped, tmp_path):
    whole = (stopped / "martlet.sqlite").read_bytes()
    folder = tmp_path / "copy"
    folder.mkdir(mode=0o700)
    for number, place in enumerate(range(0, 60 * 4096, 4096 * 3 // 2)):
        changed = bytearray(whole)
        changed[place:place + 700] = bytes((place + 7 * n) % 256 for n in range(700))
        (folder / "martlet.sqlite").write_bytes(changed[:len(changed) - (number % 4) * 5000])
        os.chmod(folder / "martlet.sqlite", 0o600)
        examine(folder)
    for size in (0, 1, 99, 100, 4095, 4096, 5000):
        (folder / "martlet.sqlite").write_bytes(whole[:size])
        os.chmod(folder / "martlet.sqlite", 0o600)
        assert examine(folder)["result"] == "problem"


def test_a_damaged_log_beside_the_file(server):
    for n in range(50):
        server.publish("alice", data="x" * 1000)
    server.kill9()
    (server.data / "martlet.sqlite-wal").write_bytes(b"\xa5" * 100_000)
    examine(server.data)


def test_a_newer_schema(stopped):
    newer(stopped / "martlet.sqlite")
    assert "newer Martlet (schema 4711" in finding(examine(stopped), "schema", "problem")


def test_permissions(stopped):
    os.chmod(stopped, 0o755)
    os.chmod(stopped / "martlet.sqlite", 0o644)
    answer = examine(stopped)
    assert answer["result"] == "warning"
    assert "chmod 700" in finding(answer, "permissions", "warning")
    os.chmod(stopped, 0o700)
    os.chmod(stopped / "martlet.sqlite", 0o400)
    assert "chmod 600" in finding(examine(stopped), "permissions", "problem")


def test_another_owner_and_another_reader(stopped, tmp_path_factory):
    if os.geteuid() != 0:
        pytest.skip("giving files away needs root")
    os.chown(stopped / "martlet.sqlite", 65534, 65534)
    assert "belongs to" in finding(examine(stopped), "permissions", "problem")
    os.chown(stopped / "martlet.sqlite", 0, 0)
    parents = [parent for parent in stopped.parents if parent.stat().st_mode & 0o005 != 0o005]
    modes = [(parent, parent.stat().st_mode) for parent in parents]
    try:
        for parent in parents:
            os.chmod(parent, 0o755)
        os.chmod(stopped, 0o700)
        answer = examine(stopped, user=65534, group=65534, extra_groups=[])
        assert "cannot be read by this user" in finding(answer, "permissions", "problem")
        os.chmod(stopped, 0o755)
        answer = examine(stopped, user=65534, group=65534, extra_groups=[])
        assert answer["result"] == "problem"
        assert "root" in json.dumps(answer["findings"])
    finally:
        for parent, mode in modes:
            os.chmod(parent, mode)


def test_leftovers(stopped):
    (stopped / "before-restore-20260101-000000").mkdir()
    (stopped / "x.backup.part").write_text("")
    answer = examine(stopped)
    assert answer["result"] == "note"
    texts = [entry["text"] for entry in answer["findings"] if entry["check"] == "leftovers"]
    assert len(texts) == 2
    (stopped / "restore.part").mkdir()
    assert "restore once more" in finding(examine(stopped), "leftovers", "problem")


def test_a_full_disk(small_disk, tmp_path):
    server = Server(small_disk / "data")
    server.log = tmp_path / "server.log"
    server.start()
    try:
        server.publish("alice", data=1)
        assert "free" in finding(examine(server.data), "disk", "problem")
    finally:
        server.stop()


def test_a_clock_that_was_set_back(stopped):
    db = sqlite3.connect(stopped / "martlet.sqlite")
    db.execute("UPDATE message SET at = at + 7200000")
    db.commit()
    db.close()
    text = finding(examine(stopped), "clock", "warning")
    assert re.search(r"\d+ (min|hours) behind", text)


def test_a_directory_of_keys_that_is_damaged(stopped):
    (stopped / "directory.db").write_bytes(b"junk" * 2000)
    os.chmod(stopped / "directory.db", 0o600)
    assert "directory.db" in finding(examine(stopped), "directory", "problem")


def test_inboxes_near_their_limit(stopped):
    db = sqlite3.connect(stopped / "martlet.sqlite")
    (inbox,) = db.execute("SELECT id FROM inbox LIMIT 1").fetchone()
    db.executemany("INSERT OR IGNORE INTO entry VALUES (?, 1, ?, 10, 9999999999999)", [(inbox, 1_000_000 + n) for n in range(200_000)])
    db.commit()
    db.close()
    assert "user alice is nearly full" in finding(examine(stopped), "inboxes", "warning")


def test_few_files(stopped):
    script = f"ulimit -n 512; exec {binary()} doctor --data '{stopped}' --json"
    result = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60)
    assert result.returncode == 1
    assert "LimitNOFILE" in finding(json.loads(result.stdout), "files", "warning")


def test_a_backup_in_the_place_of_a_store(stopped, tmp_path):
    server = Server(stopped)
    result = martlet("backup", "--data", stopped, "--to", tmp_path / "a.backup")
    assert result.returncode == 0, result.stderr
    (tmp_path / "hand").mkdir(mode=0o700)
    shutil.copy(tmp_path / "a.backup", tmp_path / "hand" / "martlet.sqlite")
    assert "by hand" in finding(examine(tmp_path / "hand"), "history", "note")
    server.http.close()
