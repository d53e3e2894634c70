"""kill -9 at random moments while messages are published and received over every transport.

CRASH_ROUNDS and CRASH_SECONDS (0: no limit) bound it, CRASH_SEED repeats its choices; `make crash` runs more rounds.
"""

import asyncio
import os
import random
import time

import pytest

from fleet import KINDS, Publishers
from server import Server

ROUNDS = int(os.environ.get("CRASH_ROUNDS", 25))
SECONDS = float(os.environ.get("CRASH_SECONDS", 180))
RATE = 700


@pytest.mark.timeout(0)
def test_kill_9_loses_nothing(tmp_path, capsys):
    seed = int(os.environ.get("CRASH_SEED", random.randrange(1 << 32)))

    def tell(text):
        with capsys.disabled():
            print(text, flush=True)

    tell(f"\nkill -9, {ROUNDS} rounds, seed {seed}")
    server = Server(tmp_path / "data").start()
    try:
        asyncio.run(crash_rounds(server, random.Random(seed), tell))
    finally:
        server.stop()


async def crash_rounds(server, rng, tell):
    users = ["alice", "bob"]
    devices = [kind(server.port, user, f"{user}-{kind.kind}", rng) for user in users for kind in KINDS]
    publishers = Publishers(server.port, users, connections=24, rate=RATE, rng=rng)
    tasks = [asyncio.create_task(device.run()) for device in devices] + [asyncio.create_task(publishers.run())]
    for device in devices:
        device.up.set()
    begin, rounds = time.monotonic(), []
    try:
        for number in range(1, ROUNDS + 1):
            await until(lambda: all(device.sessions for device in devices), 10, "first connections", tasks)
            publishers.begin()
            running, accepted_before = time.monotonic(), accepted(publishers)
            await asyncio.sleep(rng.uniform(0.2, 1.6))
            publishers.rush()
            await asyncio.sleep(rng.uniform(0.02, 0.08))
            # Everything below happens between two turns of the loop, so the counts are those of one moment.
            publishers.up.clear()
            for device in devices:
                device.up.clear()
            elapsed = time.monotonic() - running
            server.kill9()
            unacked = sum(device.unacked for device in devices)
            await asyncio.sleep(0.05)  # what the kernel still holds is read, what is broken is noticed
            missing = outstanding(publishers, devices)
            rate = (accepted(publishers) - accepted_before) / elapsed
            rounds.append((len(publishers.unanswered), unacked, sum(map(len, missing.values())), rate))
            if number <= 10 or number % 10 == 0:
                tell("round %3d: killed after %4.0f ms at %4.0f/s; unanswered publishes %3d, unacked messages %4d, undelivered %4d" % (
                    number, elapsed * 1000, rate, *rounds[-1][:3]))
            await asyncio.to_thread(server.restart)
            for device in devices:
                device.up.set()
            await until(lambda: not any(outstanding(publishers, devices).values()), 15, f"deliveries after round {number}", tasks,
                        lambda: {name: sorted(ids)[:3] for name, ids in outstanding(publishers, devices).items() if ids})
            assert_no_problems(publishers, devices)
            if SECONDS and time.monotonic() - begin > SECONDS:
                break
        await finish(publishers, devices, tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    report(publishers, devices, rounds, tell)


def accepted(publishers):
    return sum(map(len, publishers.accepted.values()))


def outstanding(publishers, devices):
    """Per device: the acknowledged messages that it has not received."""
    return {device.name: publishers.accepted[device.user].keys() - device.seen.keys() for device in devices}


async def until(condition, timeout, what, tasks, detail=lambda: ""):
    end = time.monotonic() + timeout
    while not condition():
        for task in tasks:
            if task.done():
                task.result()
        assert time.monotonic() < end, f"{what}: not within {timeout} s {detail()}"
        await asyncio.sleep(0.01)


def assert_no_problems(publishers, devices):
    problems = publishers.problems + [problem for device in devices for problem in device.problems]
    assert not problems, "\n".join(problems[:20])


async def finish(publishers, devices, tasks):
    """Publishes what is still unanswered once more, waits for the end, compares everything with everything."""
    publishers.begin()
    await until(lambda: not publishers.unanswered, 10, "answers to repeated publishes", tasks)
    publishers.up.clear()
    await until(lambda: not publishers.in_flight, 10, "the last answers", tasks)
    await until(lambda: not any(outstanding(publishers, devices).values()), 15, "the last deliveries", tasks)
    assert_no_problems(publishers, devices)
    for user, messages in publishers.accepted.items():
        assert len(set(messages.values())) == len(messages), "a key made two messages"
        mine = [device for device in devices if device.user == user]
        everything = set().union(*(device.seen for device in mine))
        for device in mine:
            assert device.seen.keys() == everything, f"{device.name} misses {len(everything - device.seen.keys())} that others got"
        # What nobody was answered for was repeated with its key, so nothing unknown was delivered either.
        assert everything == messages.keys()


def report(publishers, devices, rounds, tell):
    count = len(rounds)
    unanswered, unacked, undelivered = (sum(1 for entry in rounds if entry[index]) for index in range(3))
    tell(f"{count} rounds: {accepted(publishers)} messages acknowledged, {sum(len(device.seen) for device in devices)} first deliveries to "
         f"{len(devices)} devices, {sum(device.duplicates for device in devices)} duplicates (all marked), {publishers.repeats} publishes answered again by key; "
         f"at the kill: unanswered publishes in {unanswered} rounds, unacked messages in {unacked}, undelivered ones in {undelivered}")
    assert count >= min(ROUNDS, 20), f"only {count} rounds in {SECONDS} s"
    assert unanswered > count / 2, "the kill must hit publishes in flight"
    assert unacked > count / 2, "the kill must hit messages that are not acked"
    typical = sorted(entry[3] for entry in rounds)[count // 2]
    assert typical >= 500, f"only {typical:.0f} publishes a second"
