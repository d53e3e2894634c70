"""`martlet bench mqtt`: against real brokers, and against one that loses, repeats and refuses on purpose, so that its counts are seen to be right."""

import asyncio
import json
import re
import shutil
import socket
import socketserver
import subprocess
import threading

import pytest

from access import Guarded, token
from mqtt_tools import free_ports
from server import Server, binary, clean_environment, wait_until

CONNECT, PUBLISH, PUBACK, PINGREQ = 1, 3, 4, 12


def bench(broker, *arguments, timeout=90):
    return subprocess.run(
        [binary(), "bench", "mqtt", *arguments[:1], "--broker", broker, "--quiet", "--threads", "1", *arguments[1:]],
        capture_output=True, text=True, timeout=timeout, env=clean_environment())


def report(broker, *arguments):
    result = bench(broker, *arguments, "--json")
    assert result.stdout.count("\n") == 1, result.stdout + result.stderr
    return json.loads(result.stdout), result


def text(data, at):
    end = at + 2 + int.from_bytes(data[at:at + 2])
    return data[at + 2:end].decode(), end


class Session:
    def __init__(self, is_clean):
        self.is_clean = is_clean
        self.writer = None
        self.granted = {}
        self.queue = []


class Unreliable:
    """An MQTT 3.1.1 broker; what it does to each message is a function of the message's number."""

    def __init__(self, treat=lambda number, body: [body], connack=0, suback=None, puback=lambda count: True):
        self.treat, self.connack, self.suback, self.puback = treat, connack, suback, puback
        self.sessions = {}
        self.seen = {kind: 0 for kind in range(16)}
        self.keep_alives = set()
        self.most_at_once = 0
        self.lock = asyncio.Lock()
        self.loop = asyncio.new_event_loop()
        self.server = self.loop.run_until_complete(asyncio.start_server(self.serve, "127.0.0.1", 0, backlog=1_000))
        self.broker = "127.0.0.1:%d" % self.server.sockets[0].getsockname()[1]
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        asyncio.run_coroutine_threadsafe(self.end(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()

    async def end(self):
        self.server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def packet(self, reader):
        first = (await reader.readexactly(1))[0]
        length = shift = 0
        while True:
            byte = (await reader.readexactly(1))[0]
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return first, await reader.readexactly(length)

    async def serve(self, reader, writer):
        session = None
        unanswered = []
        try:
            while True:
                first, body = await self.packet(reader)
                self.seen[first >> 4] += 1
                match first >> 4:
                    case 1:
                        session = self.connect(body, writer)
                    case 3:
                        topic, at = text(body, 0)
                        qos = first >> 1 & 3
                        if qos:
                            unanswered.append(body[at:at + 2])
                            at += 2
                        await self.publish(topic, qos, body[at:])
                        if self.puback(self.seen[PUBLISH]) and qos:
                            # Later, so that all that comes without an answer is seen first.
                            self.loop.call_later(0.01, self.answer, writer, unanswered)
                    case 8:
                        assert first == 0x82
                        codes, at = b"", 2
                        while at < len(body):
                            name, at = text(body, at)
                            session.granted[name] = body[at]
                            codes += bytes([body[at] if self.suback is None else self.suback])
                            at += 1
                        writer.write(bytes([0x90, 2 + len(codes)]) + body[:2] + codes)
                    case 12:
                        writer.write(b"\xd0")
                        await writer.drain()
                        writer.write(b"\x00")
                    case 14:
                        writer.close()
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()
        finally:
            if session is not None and session.writer is writer:
                session.writer = None

    def connect(self, body, writer):
        assert body[:7] == b"\x00\x04MQTT\x04"
        is_clean = bool(body[7] & 2)
        self.keep_alives.add(int.from_bytes(body[8:10]))
        client, _ = text(body, 10)
        assert re.fullmatch("[a-z0-9]{1,23}", client)
        kept = None if is_clean else self.sessions.get(client)
        session = self.sessions[client] = kept or Session(is_clean)
        writer.write(bytes([0x20, 2, 1 if kept else 0, self.connack]))
        session.writer = writer
        for packet in session.queue:
            writer.write(packet)
        session.queue = []
        return session

    def answer(self, writer, unanswered):
        self.most_at_once = max(self.most_at_once, len(unanswered))
        if unanswered and not writer.is_closing():
            writer.write(b"\x40\x02" + unanswered.pop(0))

    async def publish(self, topic, qos, body):
        # One after the other: packets are cut in two.
        async with self.lock:
            await self.deliver(topic, qos, body)

    async def deliver(self, topic, qos, body):
        number = int(body.split(b":")[2])
        for copy in self.treat(number, body):
            for session in list(self.sessions.values()):
                if topic not in session.granted:
                    continue
                qos = min(qos, session.granted[topic])
                name = len(topic).to_bytes(2) + topic.encode() + (b"\x12\x34" if qos else b"")
                length = len(name) + len(copy)
                packet = bytes([0x30 | qos << 1, length & 0x7F | 0x80, length >> 7]) + name + copy
                if session.writer is None:
                    if not session.is_clean:
                        session.queue.append(packet)
                    continue
                # In two pieces, each time at another place.
                cut = (number * 7) % len(packet)
                session.writer.write(packet[:cut])
                await asyncio.sleep(0.001)
                session.writer.write(packet[cut:])


@pytest.mark.parametrize("qos", ["0", "1"])
def test_loss_and_repeats_are_counted(qos):
    held = []

    def treat(number, body):
        if number == 0 or number % 10 not in (3, 4, 5, 6):
            return [body]
        if number % 10 == 3:
            return []
        if number % 10 == 4:
            return [body, body]
        if number % 10 == 5:
            # Comes after the next one: neither lost nor twice.
            held.append(body)
            return []
        return [body, held.pop()]

    with Unreliable(treat) as broker:
        found, result = report(broker.broker, "fan-out", "--subscribers", "3", "--rate", "50", "--seconds", "2", "--qos", qos)
    assert result.returncode == 1
    assert (found["publishes"], found["qos"]) == (100, int(qos))
    assert (found["deliveries"], found["lost"], found["duplicates"]) == (270, 30, 30)
    assert found["faults"] == ["30 of 300 deliveries were lost", "30 deliveries came twice"]
    # The warm-up's 50 messages are answered, too.
    assert broker.seen[PUBACK] == (450 if qos == "1" else 0)
    assert 60 in broker.keep_alives


def test_each_topic_has_one_subscriber():
    with Unreliable() as broker:
        found, result = report(broker.broker, "unicast", "--topics", "7", "--rate", "50", "--seconds", "1", "--qos", "1", "--publishers", "3")
        names = [list(session.granted) for session in broker.sessions.values() if session.granted]
    assert result.returncode == 0, result.stderr
    assert (found["publishes"], found["deliveries"], found["lost"]) == (50, 50, 0)
    assert sorted(map(len, names)) == [1] * 7 and len({name for [name] in names}) == 7
    assert broker.seen[CONNECT] == 10
    assert found["answerP50Ms"] >= 9.7, "the broker takes 10 ms to answer"


def test_waiting_connections_ping():
    with Unreliable() as broker:
        found, result = report(broker.broker, "idle", "--connections", "300", "--seconds", "1")
    assert result.returncode == 0, result.stderr
    assert found["connections"] == 300 and broker.seen[CONNECT] == 500
    # One of 300 each 200 ms; a second passes before the rest is measured.
    assert 5 <= found["pings"] <= broker.seen[PINGREQ] <= 60


def test_a_window_is_kept_and_what_is_not_answered_is_said():
    # Twenty are never answered: that is all that two publishers with ten each may send.
    with Unreliable(puback=lambda count: count <= 500) as broker:
        found, result = report(broker.broker, "publish", "--publishers", "2", "--window", "10", "--seconds", "1")
    assert result.returncode == 1
    assert broker.most_at_once == 10
    assert (broker.seen[PUBLISH], found["unanswered"]) == (520, 20)
    assert found["faults"] == ["20 publishes were not answered"]


@pytest.mark.parametrize("offline", [True, False])
def test_what_persistent_subscribers_miss_is_counted(offline):
    # Each publisher numbers its own: the fifth of each is lost, and the ninth comes twice.
    def treat(number, body):
        return [] if number == 5 else [body, body] if number == 9 else [body]

    with Unreliable(treat) as broker:
        found, result = report(
            broker.broker, "publish", "--publishers", "3", "--window", "2", "--topics", "2", "--persistent-subscribers", "2", "--seconds", "1",
            *["--offline"] * offline)
    assert result.returncode == 1
    assert (found["lost"], found["duplicates"]) == (6, 6)
    assert found["deliveries"] == 2 * (broker.seen[PUBLISH] - 3)
    # All came back under their names, and their sessions were taken back.
    kept = [name for name, session in broker.sessions.items() if session.granted]
    assert len(kept) == 2 and all(broker.sessions[name].is_clean for name in kept)


def test_refusals_are_told():
    with Unreliable(connack=5) as broker:
        for scenario in ("fan-out", "publish"):
            result = bench(broker.broker, scenario)
            assert result.returncode == 1 and "the broker refused the connection with 5: not authorized" in result.stderr
    with Unreliable(suback=0x80) as broker:
        assert "did not grant a subscription with QoS 1" in bench(broker.broker, "fan-out", "--qos", "1").stderr
    assert "--qos must be 0 or 1" in bench("127.0.0.1:9", "fan-out", "--qos", "2").stderr
    assert bench("127.0.0.1", "fan-out").returncode == 64


@pytest.mark.parametrize("scenario", ["fan-out", "unicast", "idle", "publish"])
def test_a_broker_that_says_nothing(scenario):
    """It takes connections, and answers none."""
    with socket.create_server(("127.0.0.1", 0), backlog=2_000) as silent:
        result = bench("127.0.0.1:%d" % silent.getsockname()[1], scenario, "--connect-timeout", "1", timeout=30)
    assert result.returncode == 1, result
    assert "did not let a connection in within 1 s" in result.stderr


def test_credentials(tmp_path):
    """A token for those who subscribe and a key for those who publish, or one for all; without, they are refused."""
    (port,) = free_ports(1)
    address = f"127.0.0.1:{port}"
    server = Guarded(tmp_path / "data", "--mqtt-listen", address).start()
    try:
        fan_out = ("fan-out", "--subscribers", "3", "--rate", "20", "--seconds", "1")
        assert "bad user name or password" in bench(address, *fan_out).stderr
        key = server.key("--scope", "publish,read")
        (tmp_path / "token").write_text(token("alice", topics={"#": ["subscribe"]}))
        for shown in (["--token-file", str(tmp_path / "token"), "--key", key], ["--password", key], ["--user", "x", "--key", key]):
            found, result = report(address, *fan_out, *shown)
            assert result.returncode == 0 and found["faults"] == [], result.stderr
        found, result = report(address, "publish", "--publishers", "2", "--persistent-subscribers", "1", "--seconds", "1", "--key", key)
        assert result.returncode == 0, result.stderr
    finally:
        server.stop()


@pytest.mark.parametrize("scenario", ["fan-out", "unicast", "idle", "publish"])
def test_without_a_broker(scenario):
    result = bench("127.0.0.1:9", scenario)
    assert result.returncode == 1 and result.stdout == ""
    assert "Is it running?" in result.stderr


class Stranger(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.recv(1_000)
        # A length of five bytes.
        self.request.sendall(b"\x30\xff\xff\xff\xff\xff")
        self.request.recv(1_000)


@pytest.mark.parametrize("arguments", [["fan-out", "--subscribers", "2"], ["publish", "--publishers", "2"]])
def test_what_is_no_broker(arguments):
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Stranger) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        result = bench("127.0.0.1:%d" % server.server_address[1], *arguments)
        server.shutdown()
    assert result.returncode == 1
    assert "what came from the broker is not MQTT" in result.stderr


def test_help_teaches():
    shown = subprocess.run([binary(), "bench", "mqtt", "--help"], capture_output=True, text=True).stdout
    for word in ("fan-out", "unicast", "idle", "publish", "How to read it", "taskset", "mosquitto", "--mqtt-listen"):
        assert word in shown


# ---------------------------------------------------------------- real brokers


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def accepts(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


@pytest.fixture(scope="module", params=["martlet", "mosquitto"])
def broker(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("broker")
    port = free_port()
    if request.param == "martlet":
        if "--mqtt-listen" not in subprocess.run([binary(), "serve", "--help"], capture_output=True, text=True).stdout:
            pytest.skip("this martlet speaks no MQTT")
        server = Server(folder / "data", "--mqtt-listen", f"127.0.0.1:{port}", "--limits-subscribe-rate", "0").start()
        yield f"127.0.0.1:{port}"
        server.stop()
        return
    mosquitto = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin") or pytest.skip("mosquitto is not installed")
    (folder / "mosquitto.conf").write_text(
        f"listener {port} 127.0.0.1\nuser root\nallow_anonymous true\nmax_queued_messages 0\npersistence true\npersistence_location {folder}/\n")
    process = subprocess.Popen([mosquitto, "-c", str(folder / "mosquitto.conf")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: accepts(port), 10, "mosquitto listens")
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


@pytest.mark.parametrize("qos", ["0", "1"])
def test_fan_out(broker, qos):
    found, result = report(broker, "fan-out", "--subscribers", "50", "--rate", "40", "--seconds", "1", "--qos", qos)
    assert result.returncode == 0, result.stderr
    assert (found["scenario"], found["connections"]) == ("mqtt fan-out", 50)
    assert (found["publishes"], found["deliveries"], found["lost"], found["duplicates"]) == (40, 2_000, 0, 0)
    assert found["serverCpuSeconds"] > 0 and found["rssAfterKB"] > 1_000, "the broker was not found by its port"
    assert found["latencyP50Ms"] > 0 and (found["answerP50Ms"] is not None) == (qos == "1") and found["faults"] == []


def test_unicast_and_table(broker):
    result = bench(broker, "unicast", "--topics", "20", "--rate", "100", "--seconds", "1", "--payload", "200")
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("mqtt unicast: 20 topics with one subscriber each, QoS 0, 100 messages of 200 bytes a second")
    assert re.search(r"deliveries +100, .* lost 0, twice 0", result.stdout)
    assert re.search(r"server CPU +[\d.]+ µs per delivery", result.stdout)


def test_idle(broker):
    found, result = report(broker, "idle", "--connections", "700", "--seconds", "1", "--qos", "1")
    assert result.returncode == 0, result.stderr
    assert found["connections"] == 700 and found["openedPerSecond"] > 0 and found["pings"] > 0
    assert "kbPerConnection" in found and found["restCores"] >= 0


@pytest.mark.parametrize("subscribers", [[], ["--persistent-subscribers", "2"], ["--persistent-subscribers", "2", "--offline"]])
def test_publish(broker, subscribers):
    found, result = report(broker, "publish", "--publishers", "3", "--window", "4", "--topics", "2", "--seconds", "0.5", *subscribers)
    assert result.returncode == 0, result.stderr
    assert found["publishesPerSecond"] > 0 and found["answerP99Ms"] > 0 and found["unanswered"] == 0
    if subscribers:
        assert (found["lost"], found["duplicates"]) == (0, 0) and found["deliveries"] > found["publishes"] * 2
