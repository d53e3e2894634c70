"""A long run of everything at once against the real server, as in production (API keys, tokens that end, are renewed or taken back):
churn on every transport, kill -9 and restarts, slow and rude clients, expiry, recalls, backups. `make soak SOAK_MINUTES=30` runs it;
SOAK_SEED repeats its choices.

At the end: nothing acknowledged is missing, duplicates were marked, no session outlived its token or ended before it, what was taken
back was refused ever after, memory and descriptors are back at the level of an idle server that has done the same for a moment,
files are no larger than what they hold. Exit code 0 only then.
"""

import asyncio
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "process"))

import crowd  # noqa: E402
from access import Guarded  # noqa: E402
from bearers import KINDS  # noqa: E402
from fleet import Publishers  # noqa: E402
from server import binary  # noqa: E402
from tickets import GRACE, Tickets  # noqa: E402

USERS = ["alice", "bob", "carol"]
RATE = float(os.environ.get("SOAK_RATE", 150))
CROWD = int(os.environ.get("SOAK_CROWD", 60))
WARM_UP = 20.0


class Soak:
    def __init__(self, folder: Path, minutes: float, seed: int):
        self.folder, self.seconds, self.rng = folder, minutes * 60, random.Random(seed)
        self.server = Guarded(folder / "data")
        self.problems: list[str] = []
        self.kills = self.stops = self.backups = 0
        self.backup_seconds: list[float] = []
        self.down_seconds: list[float] = []
        self.peak_kb = 0
        self.begun = time.monotonic()
        self.is_over = False
        self.quiet_from = self.begun + self.seconds * 2 / 3
        self.last_backup: tuple[Path, set[str]] | None = None
        #: Held while the server is down on purpose, so that a backup or a reading does not meet that.
        self.process = asyncio.Lock()

    # ------------------------------------------------------------ the run

    async def run(self) -> bool:
        publisher, admin = self.server.key("--name", "publisher"), self.server.key("--name", "admin", "--scope", "admin")
        self.server.start()
        users, port = USERS, self.server.port
        self.tickets = Tickets(port, self.rng, publisher, admin)
        self.devices = [kind(port, user, f"{user}-{kind.kind}", self.rng, self.tickets) for user in users for kind in KINDS]
        self.publishers = Publishers(port, users, connections=8, rate=RATE, rng=self.rng, key=publisher)
        self.crowd = crowd.Crowd(port, self.rng, CROWD, self.tickets)
        tasks = [asyncio.create_task(device.run()) for device in self.devices]
        tasks += [asyncio.create_task(self.publishers.run()), asyncio.create_task(self.watch())]
        helpers = []
        try:
            self.resume()
            await self.guard(asyncio.sleep(WARM_UP), tasks)
            await self.pause()
            self.start, self.start_mb = await self.level(), size(self.server.data / "martlet.sqlite")
            print(f"level at the start, idle after {WARM_UP:.0f} s of load: {self.start[0] / 1024:.1f} MB, {self.start[1]} descriptors", flush=True)
            helpers += [asyncio.create_task(work()) for work in (self.restarts, self.copies, self.revocations)]
            self.resume()
            await self.guard(asyncio.sleep(max(0, self.begun + self.seconds - time.monotonic())), tasks + helpers)
            self.is_over = True
            await asyncio.gather(*helpers)
            await self.settle(tasks)
            await self.pause()
            self.end = await self.level()
            self.check_files()
            await self.check_backup()
        finally:
            await self.crowd.stop()
            for task in tasks + helpers:
                task.cancel()
            await asyncio.gather(*tasks, *helpers, return_exceptions=True)
            self.server.stop()
        return self.report()

    def resume(self):
        for device in self.devices:
            device.up.set()
        self.publishers.begin()
        self.crowd.start()

    async def pause(self):
        """Everybody leaves."""
        self.publishers.up.clear()
        for device in self.devices:
            device.up.clear()
        await self.crowd.stop()
        for device in self.devices:
            device.leave.set()
        await asyncio.sleep(2)

    async def level(self):
        """Memory and descriptors of the idle server: the least of some readings, as closing takes a moment."""
        readings = []
        for _ in range(8):
            await asyncio.sleep(1)
            readings.append((self.server.rss_kb(), descriptors(self.server.pid)))
        return min(kb for kb, _ in readings), min(count for _, count in readings)

    async def guard(self, work, tasks):
        """Waits, unless one of the tasks fails before."""
        work = asyncio.ensure_future(work)
        await asyncio.wait([work, *tasks], return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task.done():
                task.result()
        await work

    async def settle(self, tasks):
        """What was not answered is asked again, what was not delivered is awaited."""
        self.publishers.begin()
        await self.until(lambda: not self.publishers.unanswered, 20, "answers to repeated publishes")
        self.publishers.up.clear()
        await self.until(lambda: not self.publishers.in_flight, 10, "the last answers")
        await self.until(lambda: not any(self.missing().values()), 30, "the last deliveries")

    async def until(self, condition, timeout, what):
        end = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > end:
                self.problems.append(f"{what}: not within {timeout} s")
                return
            await asyncio.sleep(0.05)

    def missing(self):
        return {device.name: self.publishers.accepted[device.user].keys() - device.seen.keys() for device in self.devices}

    # ------------------------------------------------------------ what happens to the server

    async def restarts(self):
        """kill -9 mostly, now and then SIGTERM; none in the last third, so that its process shows what stays."""
        while not self.is_over:
            await asyncio.sleep(self.rng.uniform(15, 40))
            if self.is_over or time.monotonic() > self.quiet_from:
                continue
            async with self.process:
                begin = time.monotonic()
                if self.rng.random() < 0.65:
                    self.kills += 1
                    self.server.kill9()
                else:
                    self.stops += 1
                    self.server.terminate()
                    await asyncio.to_thread(self.server.wait, 30)
                await asyncio.to_thread(self.server.restart)
                self.down_seconds.append(time.monotonic() - begin)
            self.problems += await self.tickets.try_withdrawn()

    async def revocations(self):
        """Now and then a user's sessions are ended, with its tokens or without, of one device or all."""
        while not self.is_over:
            await asyncio.sleep(self.rng.uniform(5, 25))
            user = self.rng.choice(USERS)
            device = self.rng.choice(self.devices_of(user)).name if self.rng.random() < 0.3 else None
            before = self.rng.choices(("now", int(time.time()) - 10, None), (6, 3, 1))[0]
            # Good for long otherwise.
            witness = await self.tickets.issue(user, f"{user}-gone", 600)
            live: dict[str, str] = {}
            while True:
                live |= {entry.name: entry.live for entry in self.devices_of(user) if entry.name == (device or entry.name) and entry.live}
                if await self.tickets.disconnect(user, device, before) is not None:
                    break
                await asyncio.sleep(0.2)
            if self.tickets.is_taken_back(witness):
                # Tried again after each restart.
                self.tickets.withdrawn.append(witness)
            await self.until(
                lambda: not any(live.get(entry.name) == entry.live for entry in self.devices_of(user) if entry.live), GRACE,
                f"the end of {user}'s sessions after a disconnect")

    def devices_of(self, user: str):
        return [device for device in self.devices if device.user == user]

    async def copies(self):
        """Backups while everything goes on; the last one is restored at the end."""
        while not self.is_over:
            await asyncio.sleep(min(180, self.seconds / 5))
            target = self.folder / f"{self.backups}.backup"
            held = {number for user in USERS for number in self.publishers.accepted[user]}
            begin = time.monotonic()
            made = await asyncio.create_subprocess_exec(
                binary(), "backup", "--data", str(self.server.data), "--to", str(target), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            _, errors = await made.communicate()
            if made.returncode:
                self.problems.append(f"backup: {errors.decode().strip()}")
                continue
            self.backups += 1
            self.backup_seconds.append(time.monotonic() - begin)
            if self.last_backup:
                self.last_backup[0].unlink()
            self.last_backup = (target, held)

    # ------------------------------------------------------------ what is looked at

    async def watch(self):
        before, was, told = 0, time.monotonic(), 0
        while True:
            await asyncio.sleep(10)
            now, accepted = time.monotonic(), self.accepted()
            try:
                kb, files = self.server.rss_kb(), descriptors(self.server.pid)
            except OSError:
                continue  # between two processes
            self.peak_kb = max(self.peak_kb, kb)
            log, count = self.server.data / "martlet.sqlite-wal", self.tickets.count
            print(
                f"{(now - self.begun) / 60:6.1f} min  {(accepted - before) / (now - was):6.0f} publishes/s  "
                f"{sum(len(device.seen) for device in self.devices):8d} delivered  {self.crowd.summary()}  "
                f"{count['renewed']:5d} renewed {count['closed with 4002']:5d} ended {count['disconnected']:4d} disconnected  {kb / 1024:6.1f} MB  {files:4d} files  "
                f"store {size(self.server.data / 'martlet.sqlite'):6.1f} MB  log {size(log):5.1f} MB  "
                f"{self.kills} kills  {self.stops} stops  {self.backups} backups  {len(self.all_problems())} problems", flush=True)
            for problem in self.all_problems()[told:told + 5]:
                print(f"         problem: {problem}", flush=True)
            before, was, told = accepted, now, len(self.all_problems())

    def accepted(self):
        return sum(map(len, self.publishers.accepted.values()))

    def check_files(self):
        rows = sqlite3.connect(f"file:{self.server.data / 'martlet.sqlite'}?mode=ro", uri=True).execute("SELECT count(*) FROM message").fetchone()[0]
        self.rows = rows
        self.bytes_per_row = (self.server.data / "martlet.sqlite").stat().st_size / max(1, rows)
        self.log_mb = size(self.server.data / "martlet.sqlite-wal")
        if self.log_mb > 160:
            self.problems.append(f"SQLite's log has {self.log_mb:.0f} MB")
        if self.bytes_per_row > 2_500:
            self.problems.append(f"the store has {self.bytes_per_row:.0f} bytes for each message")
        doctor = subprocess.run([binary(), "doctor", "--full", "--data", str(self.server.data)], capture_output=True, text=True)
        if doctor.returncode > 1:
            self.problems.append(f"doctor: {doctor.stdout}")

    async def check_backup(self):
        if self.last_backup is None:
            self.problems.append("no backup was made")
            return
        file, held = self.last_backup
        restored = self.folder / "restored"
        done = subprocess.run([binary(), "restore", str(file), "--data", str(restored)], capture_output=True, text=True)
        if done.returncode:
            self.problems.append(f"restore: {done.stderr.strip()}")
            return
        rows = sqlite3.connect(restored / "martlet.sqlite").execute("SELECT high, low FROM message")
        found = {str(uuid.UUID(int=(high % 2**64) << 64 | low % 2**64)) for high, low in rows}
        if held - found:
            self.problems.append(f"{len(held - found)} of {len(held)} messages are not in the backup that began after their 202")

    def all_problems(self):
        fleet = [problem for device in self.devices for problem in device.problems] + self.publishers.problems
        # A server that is stopping says so.
        return self.problems + self.crowd.problems + [problem for problem in fleet if "draining" not in problem]

    def report(self) -> bool:
        (start_kb, start_files), (end_kb, end_files) = self.start, self.end
        missing = sum(map(len, self.missing().values()))
        if missing:
            self.problems.append(f"{missing} acknowledged messages were not delivered")
        # SQLite keeps pages of the store in memory, up to 64 MB of a store that has grown meanwhile.
        cache_kb = min(64, size(self.server.data / "martlet.sqlite") - self.start_mb) * 1000
        if end_kb > start_kb * 1.3 + 16 * 1024 + cache_kb:
            self.problems.append(f"memory: {start_kb} KB at the start, {end_kb} KB at the end")
        if end_files > start_files + 4:
            self.problems.append(f"descriptors: {start_files} at the start, {end_files} at the end")
        count = self.tickets.count
        self.problems += self.crowd.verdict()
        self.problems += [f"no token was ever {what}" for what in (
            "renewed", "closed with 4002", "refused as over", "refused as taken back", "changed between polls", "disconnected") if not count[what]]
        problems = self.all_problems()
        rows = [
            ("time", f"{(time.monotonic() - self.begun) / 60:.1f} min"),
            ("messages acknowledged", f"{self.accepted()} to {len(self.devices)} devices that stay, {self.crowd.published} to the crowd"),
            ("first deliveries", f"{sum(len(device.seen) for device in self.devices)}, missing {missing}"),
            ("duplicates", f"{sum(device.duplicates for device in self.devices)}, all marked"),
            ("publishes answered again by key", str(self.publishers.repeats)),
            ("sessions of the crowd", self.crowd.detail()),
            ("expired, recalled", f"{self.crowd.expired}, {self.crowd.recalled}"),
            ("tokens", f"{count['issued']} issued; on live sessions {count['renewed']} renewed, {count['closed with 4002']} let end (closed with 4002); "
                       f"{count['changed between polls']} changed between polls; {count['refused as over']} refused as expired"),
            ("disconnects by the back end", f"{count['disconnects']}; {count['disconnected']} sessions told so, {count['refused as taken back']} tokens refused as "
                                            f"taken back, {count['withdrawn']} more after a restart"),
            ("kill -9, SIGTERM", f"{self.kills}, {self.stops}; back after {max(self.down_seconds, default=0):.1f} s at most"),
            ("backups", f"{self.backups}, {max(self.backup_seconds, default=0):.1f} s at most; the last one restored and compared"),
            ("memory idle, start → end", f"{start_kb / 1024:.1f} → {end_kb / 1024:.1f} MB (peak {self.peak_kb / 1024:.1f}), {cache_kb / 1024:.0f} of it SQLite's cache of a grown store"),
            ("descriptors idle, start → end", f"{start_files} → {end_files}"),
            ("store", f"{size(self.server.data / 'martlet.sqlite'):.1f} MB for {self.rows} messages ({self.bytes_per_row:.0f} bytes each), log {self.log_mb:.1f} MB"),
            ("problems", str(len(problems))),
        ]
        print()
        for name, value in rows:
            print(f"| {name} | {value} |")
        for problem in problems[:30]:
            print(f"problem: {problem}")
        return not problems


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def size(path: Path) -> float:
    """Megabytes; 0 if there is no such file."""
    try:
        return path.stat().st_size / 1e6
    except FileNotFoundError:
        return 0


def main() -> int:
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 30
    seed = int(os.environ.get("SOAK_SEED", random.randrange(1 << 32)))
    folder = Path(tempfile.mkdtemp(prefix="martlet-soak-"))
    print(f"soak: {minutes:g} minutes, seed {seed}, {binary()}, {folder}", flush=True)
    soak = Soak(folder, minutes, seed)
    is_well = asyncio.run(soak.run())
    if is_well:
        shutil.rmtree(folder)
    else:
        print(f"kept: {folder} (server's log: {soak.server.log})")
    return 0 if is_well else 1


if __name__ == "__main__":
    sys.exit(main())
