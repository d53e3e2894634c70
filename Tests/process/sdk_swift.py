"""The Swift client as a process: Tests/ClientProbe, which says what it gets and takes commands."""

import json
import subprocess
import threading
import time
from pathlib import Path

from server import ROOT, binary, clean_environment

# SSE over URLSession as Linux has it: what Apple's platforms get, by the other program of scripts/sdk-urlsession.
URLSESSION = "urlsession"

# Where gRPC is, for the address of each server and proxy that a test reaches by it.
GRPC_PORTS: dict[str, int] = {}


def speaks_grpc() -> bool:
    return "--grpc-listen" in subprocess.run([binary(), "serve", "--help"], capture_output=True, text=True, timeout=30).stdout


def probe_binary(transports: list[str]) -> str:
    if URLSESSION in transports:
        return str(ROOT / ".build" / "urlsession" / "ClientProbe")
    return str(Path(binary()).with_name("ClientProbe"))


class Probe:
    """What is given by name is the plan of ClientProbe.swift. `events` grows while it runs."""

    def __init__(self, url: str, **plan):
        plan = {"retry": [0.1, 1], "connectSeconds": 2, "grpcPort": GRPC_PORTS.get(url)} | plan
        program = probe_binary(plan.get("transports", []))
        if "transports" in plan:
            plan["transports"] = ["sse" if name == URLSESSION else name for name in plan["transports"]]
        self.events: list[dict] = []
        self.changed = threading.Condition()
        self.process = subprocess.Popen(
            [program, json.dumps({"url": url} | plan)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, env=clean_environment())
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        for line in self.process.stdout:
            with self.changed:
                self.events.append(json.loads(line) | {"time": time.monotonic()})
                self.changed.notify_all()

    def __enter__(self) -> "Probe":
        return self

    def __exit__(self, *_) -> None:
        self.kill()

    def say(self, command: str) -> None:
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def wait(self, condition, timeout: float = 20, what: str = "condition"):
        """Waits until `condition` of the events is true, and returns it."""
        end = time.monotonic() + timeout
        with self.changed:
            while not (value := condition(self.events)):
                left = end - time.monotonic()
                assert left > 0 and (self.process.poll() is None or self.reader.is_alive()), (
                    f"{what}: not within {timeout} s; the last of {len(self.events)}: {self.events[-8:]}")
                self.changed.wait(min(left, 0.5))
            return value

    def event(self, timeout: float = 20, after: int = 0, **members) -> dict:
        """The first event with these members, counted from `after`."""
        return self.wait(
            lambda events: next((event for event in events[after:] if members.items() <= event.items()), None), timeout, f"an event with {members}")

    def messages(self, sequence: str = "inbox") -> list[dict]:
        with self.changed:
            return [event for event in self.events if event.get("sequence") == sequence and "id" in event]

    def data(self, sequence: str = "inbox") -> list:
        return [json.loads(event["data"]) for event in self.messages(sequence)]

    def take(self, count: int, sequence: str = "inbox", timeout: float = 20) -> list:
        """Waits for so many messages, and returns the data of all."""
        self.wait(
            lambda events: sum(event.get("sequence") == sequence and "id" in event for event in events) >= count, timeout,
            f"{count} messages of {sequence}")
        return self.data(sequence)

    def connected(self, transport: str | None = None, after: int = 0, timeout: float = 20) -> dict:
        named = {"transport": "sse" if transport == URLSESSION else transport} if transport else {}
        return self.event(timeout, after, status="connected", **named)

    def close(self) -> list[dict]:
        """Ends it as an app would."""
        self.say("close")
        assert self.process.wait(10) == 0, self.process.stderr.read()
        self.reader.join(5)
        return self.events

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.reader.join(5)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            stream.close()
