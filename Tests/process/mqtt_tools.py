"""MQTT by the clients of others, and which broker the tests are about.

MQTT_REFERENCE=mosquitto runs the tests of what the standard says against Debian's mosquitto, so that the tests themselves are shown to be right.
"""

import os
import queue
import random
import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from server import ROOT, Server, unique, wait_until

REFERENCE = os.environ.get("MQTT_REFERENCE")
assert REFERENCE in (None, "", "mosquitto"), "MQTT_REFERENCE is mosquitto or nothing"

only_martlet = pytest.mark.skipif(bool(REFERENCE), reason="is about Martlet and not about the standard")


def mosquitto_deviates(reason: str, run: bool = True):
    """Marks what mosquitto 2.0.11 does otherwise than the test wants; it is seen to fail there."""
    return pytest.mark.xfail(bool(REFERENCE), reason=f"mosquitto: {reason}", strict=True, run=run)


def free_ports(count: int) -> list[int]:
    """Different ones, below those that the system gives to connections: nobody takes them before they are listened on."""
    ports: list[int] = []
    while len(ports) < count:
        port = random.randrange(15_000, 32_000)
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        if port not in ports:
            ports.append(port)
    return ports


# ---------------------------------------------------------------- brokers


class MQTTServer(Server):
    """Martlet in dev mode with a listener for MQTT."""

    def __init__(self, data: Path, *options: str):
        (self.mqtt_port,) = free_ports(1)
        super().__init__(data, "--mqtt-listen", f"127.0.0.1:{self.mqtt_port}", *options)


class Mosquitto:
    """Debian's broker on free ports of its own, which writes what it knows to a folder when it is stopped, or (`persistent=False`) never."""

    def __init__(self, folder: Path, *lines: str, persistent: bool = True):
        self.folder = Path(folder)
        self.mqtt_port, self.websocket_port = free_ports(2)
        self.process: subprocess.Popen | None = None
        self.log = self.folder / "mosquitto.log"
        self.folder.mkdir(parents=True, exist_ok=True)
        store = [f"persistence_location {self.folder}/", "autosave_interval 0"] if persistent else []
        (self.folder / "mosquitto.conf").write_text("\n".join([
            # Root would otherwise become a user that does not exist where the broker is only unpacked.
            "user root", "allow_anonymous true", "sys_interval 1", "set_tcp_nodelay true", f"persistence {str(persistent).lower()}", *store,
            f"listener {self.mqtt_port} 127.0.0.1", f"listener {self.websocket_port} 127.0.0.1", "protocol websockets", *lines]) + "\n")

    @staticmethod
    def binary() -> str:
        """$MOSQUITTO, the installed one, or what scripts/test has unpacked."""
        found = os.environ.get("MOSQUITTO") or shutil.which("mosquitto", path=os.environ["PATH"] + ":/usr/sbin") or str(ROOT / ".build-tools" / "mosquitto")
        assert Path(found).exists(), "mosquitto is missing: scripts/test unpacks it, or install Debian's package mosquitto"
        return found

    @property
    def pid(self) -> int:
        return self.process.pid

    def start(self) -> "Mosquitto":
        before = self.log.stat().st_size if self.log.exists() else 0
        self.process = subprocess.Popen(
            [self.binary(), "-c", str(self.folder / "mosquitto.conf")], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=open(self.log, "ab"))
        wait_until(lambda: self.process.poll() is not None or b" running" in self.log.read_bytes()[before:], 10, "mosquitto listens")
        assert self.process.poll() is None, self.tail()
        return self

    def restart(self) -> "Mosquitto":
        return self.start()

    def kill9(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(10)

    def tail(self, lines: int = 30) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


def make_broker(folder: Path, *options: str):
    """What the tests are about, not started yet; the options are Martlet's."""
    if REFERENCE:
        return Mosquitto(folder / "mosquitto")
    # Tests open more in a second than a user would.
    return MQTTServer(folder / "data", "--drain-seconds", "3", "--limits-subscribe-rate", "0", *options)


# ---------------------------------------------------------------- mosquitto's clients


def mosquitto_pub(
    broker, *arguments: str, topic: str, body: str | bytes | None = None, lines: str | None = None, version: str = "5", check: bool = True,
) -> subprocess.CompletedProcess:
    """Publishes by the command line: a body, or each of some lines, or what the arguments say."""
    command = ["mosquitto_pub", "-h", "127.0.0.1", "-p", str(broker.mqtt_port), "-V", version, "-t", topic, *arguments]
    if body is not None:
        command.append("-s")
    elif lines is not None:
        command.append("-l")
        body = lines
    done = subprocess.run(command, input=body.encode() if isinstance(body, str) else body, capture_output=True, timeout=20)
    assert not check or done.returncode == 0, done.stderr.decode()
    return done


class MosquittoSub:
    """mosquitto_sub, ready when its SUBACK is there; `line` gives what it prints, one message a line."""

    def __init__(self, broker, *arguments: str, version: str = "5", client: str | None = None):
        self.process = subprocess.Popen(
            ["stdbuf", "-oL", "mosquitto_sub", "-d", "-h", "127.0.0.1", "-p", str(broker.mqtt_port), "-V", version, "-i", client or unique("sub"), *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        self.lines: queue.Queue = queue.Queue()
        self.debug: list[str] = []
        self.subscribed = threading.Event()
        threading.Thread(target=self._read, daemon=True).start()
        assert self.subscribed.wait(10), f"mosquitto_sub has no SUBACK: {self.debug}"

    def _read(self) -> None:
        for raw in self.process.stdout:
            line = raw.decode(errors="surrogateescape").rstrip("\n")
            if line.startswith(("Client ", "Subscribed ")):
                self.debug.append(line)
                if line.startswith("Subscribed ") or "received SUBACK" in line:
                    self.subscribed.set()
            else:
                self.lines.put(line)
        self.subscribed.set()
        self.lines.put(None)

    def line(self, timeout: float = 15) -> str:
        try:
            line = self.lines.get(timeout=timeout)
        except queue.Empty:
            raise AssertionError(f"mosquitto_sub printed nothing within {timeout} s: {self.debug[-5:]}") from None
        assert line is not None, f"mosquitto_sub ended: {self.debug[-5:]}"
        return line

    def take(self, count: int) -> list[str]:
        return [self.line() for _ in range(count)]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(2)
        except subprocess.TimeoutExpired:  # it is deaf when the signal meets the end of its own connection
            self.process.kill()
            self.process.wait(10)


# ---------------------------------------------------------------- paho


def props(kind: str, **values) -> Properties:
    """Properties by paho's names."""
    made = Properties(getattr(PacketTypes, kind))
    for name, value in values.items():
        setattr(made, name, value)
    return made


class Paho:
    """The client that most programs in Python use; every call waits for the packet that answers it."""

    def __init__(
        self, broker, client: str | None = None, version: int = 5, *, clean: bool = True, will: tuple | None = None, user: str | None = None,
        password: str | None = None, reason: int = 0, **values,
    ):
        self.events: queue.Queue = queue.Queue()
        self.inbox: queue.Queue = queue.Queue()
        protocol = paho.MQTTv5 if version == 5 else paho.MQTTv311
        more = {} if version == 5 else {"clean_session": clean}
        self.version = version
        self.client = paho.Client(CallbackAPIVersion.VERSION2, unique("paho") if client is None else client, protocol=protocol, **more)
        self.client.on_connect = lambda c, u, flags, code, props: self.events.put(("connect", flags, code, props))
        self.client.on_disconnect = lambda c, u, flags, code, props: self.events.put(("disconnect", flags, code, props))
        self.client.on_subscribe = lambda c, u, mid, codes, props: self.events.put(("subscribe", mid, codes, props))
        self.client.on_unsubscribe = lambda c, u, mid, codes, props: self.events.put(("unsubscribe", mid, codes, props))
        self.client.on_publish = lambda c, u, mid, code, props: self.events.put(("publish", mid, code, props))
        self.client.on_message = lambda c, u, message: self.inbox.put(message)
        if user is not None or password is not None:
            self.client.username_pw_set(user, password)
        if will:
            topic, payload, *rest = will
            self.client.will_set(topic, payload, *rest)
        options = {"clean_start": clean, "properties": props("CONNECT", **values) if values else None} if version == 5 else {}
        self.client.connect("127.0.0.1", broker.mqtt_port, 60, **options)
        self.client.loop_start()
        _, self.flags, code, self.properties = self.event("connect")
        assert code.value == reason, code

    def event(self, name: str, timeout: float = 15) -> tuple:
        end = time.monotonic() + timeout
        while True:
            try:
                event = self.events.get(timeout=max(0.01, end - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no {name} within {timeout} s") from None
            if event[0] == name:
                return event

    def subscribe(self, topic, qos: int = 2, **options) -> list:
        """The reason codes of the SUBACK."""
        if self.version == 5 and "options" not in options:
            _, mid = self.client.subscribe(topic, options=paho.SubscribeOptions(qos=qos, **{k: v for k, v in options.items() if k != "properties"}), properties=options.get("properties"))
        else:
            _, mid = self.client.subscribe(topic, qos)
        event = self.event("subscribe")
        assert event[1] == mid
        return [code.value for code in event[2]]

    def publish(self, topic: str, payload=None, qos: int = 0, retain: bool = False, **values):
        """Waits until the exchange of its QoS is over; the reason code."""
        self.client.publish(topic, payload, qos, retain, props("PUBLISH", **values) if values else None)
        return self.event("publish")[2]

    def next(self, timeout: float = 15) -> paho.MQTTMessage:
        try:
            return self.inbox.get(timeout=timeout)
        except queue.Empty:
            raise AssertionError(f"no message within {timeout} s") from None

    def take(self, count: int) -> list[str]:
        return [self.next().payload.decode() for _ in range(count)]

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
