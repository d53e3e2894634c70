"""`martlet bench`: against the real server, and against one that loses and repeats on purpose, so that its counts are seen to be right."""

import asyncio
import json
import re
import struct
import subprocess
import threading
import time

import pytest

from server import binary, clean_environment


def bench(url, *arguments, timeout=90):
    return subprocess.run(
        [binary(), "bench", *arguments[:1], "--url", url, "--quiet", "--threads", "1", "--publishers", "4", *arguments[1:]],
        capture_output=True, text=True, timeout=timeout, env=clean_environment())


def report(url, *arguments):
    result = bench(url, *arguments, "--json")
    assert result.stdout.count("\n") == 1, result.stdout + result.stderr
    return json.loads(result.stdout), result


class Unreliable:
    """SSE and WebSocket, and HTTP to publish; what it does to each message is a function of the message's number."""

    def __init__(self, treat, chunked=False):
        self.treat = treat
        self.chunked = chunked
        self.subscribers = []
        self.loop = asyncio.new_event_loop()
        self.server = self.loop.run_until_complete(asyncio.start_server(self.serve, "127.0.0.1", 0))
        self.url = "http://127.0.0.1:%d" % self.server.sockets[0].getsockname()[1]
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(5)

    async def serve(self, reader, writer):
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                if head.startswith(b"POST"):
                    body = await reader.readexactly(int(re.search(rb"content-length: (\d+)", head, re.I)[1]))
                    await self.publish(body)
                    writer.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\nok")
                elif b"Upgrade: websocket" in head:
                    writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n")
                    # A ping before anything else, and one byte at a time.
                    writer.write(b"\x89\x01")
                    self.subscribers.append((writer, True))
                    await writer.drain()
                    writer.write(b"p")
                    pong = await reader.readexactly(7)
                    assert pong[0] == 0x8A and pong[6:] == b"p"
                else:
                    coding = b"Transfer-Encoding: chunked\r\n" if self.chunked else b"Connection: close\r\n"
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n" + coding + b"\r\n")
                    self.subscribers.append((writer, False))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def publish(self, body):
        number = int(body.split(b":")[2])
        for copy in self.treat(number, body):
            for writer, is_websocket in self.subscribers:
                event = b"\x81\x7e" + struct.pack(">H", len(copy)) + copy if is_websocket else b"id: 1\ndata: " + copy + b"\n\n"
                if self.chunked:
                    event = b"%x\r\n%s\r\n" % (len(event), event)
                # In two pieces, each time at another place.
                cut = (number * 7) % len(event)
                writer.write(event[:cut])
                await asyncio.sleep(0.001)
                writer.write(event[cut:])


@pytest.mark.parametrize("transport", ["sse", "ws", "chunked"])
def test_loss_and_repeats_are_counted(transport):
    held = []

    def treat(number, body):
        if number % 10 == 3:
            return []
        if number % 10 == 4:
            return [body, body]
        if number % 10 == 5:
            # Comes after the next one: neither lost nor twice.
            held.append(body)
            return []
        if number % 10 == 6:
            return [body, held.pop()]
        return [body]

    with Unreliable(treat, chunked=transport == "chunked") as server:
        found, result = report(
            server.url, "fan-out", "--subscribers", "3", "--rate", "50", "--seconds", "2", "--publishers", "1",
            "--subscribe-path", "/sub/{topic}", "--publish-path", "/pub/{topic}", "--transport", "ws" if transport == "ws" else "sse")
    assert result.returncode == 1
    assert found["publishes"] == 100
    assert (found["deliveries"], found["lost"], found["duplicates"]) == (270, 30, 30)
    assert "30 of 300 deliveries were lost" in result.stderr and "30 deliveries came twice" in result.stderr
    assert found["faults"] == ["30 of 300 deliveries were lost", "30 deliveries came twice"]


def test_latency_is_what_it_was():
    def treat(number, body):
        time.sleep(0.05)
        return [body]

    with Unreliable(treat) as server:
        found, result = report(
            server.url, "fan-out", "--subscribers", "1", "--rate", "5", "--seconds", "2", "--publishers", "1",
            "--subscribe-path", "/sub/{topic}", "--publish-path", "/pub/{topic}")
    assert result.returncode == 0, result.stderr
    # Known within 3 %; a busy machine only adds.
    assert 49 < found["latencyP50Ms"] < 500 and found["latencyMaxMs"] >= found["latencyP99Ms"] >= found["latencyP50Ms"]


@pytest.mark.parametrize("transport", ["sse", "ws"])
def test_fan_out(hub, transport):
    found, result = report(hub.url, "fan-out", "--subscribers", "50", "--rate", "40", "--seconds", "1", "--transport", transport)
    assert result.returncode == 0, result.stderr
    assert (found["scenario"], found["transport"], found["connections"]) == ("fan-out", transport, 50)
    assert (found["publishes"], found["deliveries"], found["lost"], found["duplicates"]) == (40, 2_000, 0, 0)
    assert found["serverCpuSeconds"] > 0 and found["rssAfterKB"] > 1_000, "the server was not found by its port"
    assert found["latencyP50Ms"] > 0 and found["answerP50Ms"] > 0 and found["faults"] == []


def test_history_is_set_and_taken_back(hub):
    found, result = report(hub.url, "fan-out", "--subscribers", "5", "--rate", "20", "--seconds", "1", "--history", "10")
    assert result.returncode == 0, result.stderr
    assert found["deliveries"] == 100
    assert "martlet-bench-kept" not in hub.http.get(f"{hub.url}/v1/namespaces").text


def test_unicast_and_table(hub):
    result = bench(hub.url, "unicast", "--topics", "20", "--rate", "100", "--seconds", "1")
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("unicast: 20 topics with one SSE subscriber each, 100 messages of 128 bytes a second")
    assert re.search(r"deliveries +100, .* lost 0, twice 0", result.stdout)
    assert re.search(r"server CPU +[\d.]+ µs per delivery", result.stdout)


def test_idle(hub):
    found, result = report(hub.url, "idle", "--connections", "300", "--seconds", "0.5", "--transport", "ws")
    assert result.returncode == 0, result.stderr
    assert found["connections"] == 300 and found["openedPerSecond"] > 0 and "kbPerConnection" in found


@pytest.mark.parametrize("transport", ["sse", "ws"])
def test_storm(hub, transport):
    found, result = report(hub.url, "storm", "--connections", "60", "--topics", "7", "--seconds", "0.5", "--away", "0.3", "--transport", transport)
    assert result.returncode == 0, result.stderr
    assert (found["lost"], found["duplicates"], found["gaps"]) == (0, 0, 0)
    assert found["recoveredSeconds"] > 0
    # 60 inboxes; 14 rounds over 7 topics of the calm are at least there.
    assert found["deliveries"] > 60 + 60 * 14
    assert "martlet-bench-storm" not in hub.http.get(f"{hub.url}/v1/namespaces").text


@pytest.mark.parametrize("transport", ["sse", "ws"])
def test_backlog(hub, transport):
    found, result = report(hub.url, "backlog", "--messages", "700", "--devices", "3", "--transport", transport)
    assert result.returncode == 0, result.stderr
    assert (found["lost"], found["duplicates"]) == (0, 0)
    assert 0 < found["firstSeconds"] <= found["allSeconds"]


@pytest.mark.alone
def test_stalled(hub):
    found, result = report(hub.url, "stalled", "--subscribers", "4", "--seconds", "0.5", "--stall-seconds", "3", "--rate", "100", "--payload", "20000")
    # The guarantee of a topic without history: who has no room in its 64 KiB (three of these messages: 30 ms) misses some, and is told.
    assert result.returncode == (1 if found["lost"] else 0), result.stderr
    assert found["lost"] == 0 or found["gaps"] > 0, "missed, and not told"
    assert found["lost"] < 120 and found["duplicates"] == 0
    assert found["stalledMissed"] > 0 and found["stalledGaps"] > 0, "it did not stall"


@pytest.mark.parametrize("scenario", ["quick", "fan-out", "idle", "storm", "backlog"])
def test_without_a_server(scenario):
    result = bench("http://127.0.0.1:9", scenario)
    assert result.returncode == 1 and result.stdout == ""
    assert "is it running?" in result.stderr


def test_refusals_are_told(hub):
    result = bench(hub.url, "fan-out", "--publish-path", "/nowhere/{topic}")
    assert result.returncode == 1
    assert "a publish was answered 404" in result.stderr
    result = bench(hub.url, "fan-out", "--subscribe-path", "/nowhere/{topic}")
    assert result.returncode == 1
    assert "the server answered 404" in result.stderr
    assert "without TLS" in bench("https://127.0.0.1:9", "fan-out").stderr
    assert "{topic}" in bench(hub.url, "fan-out", "--publish-path", "/pub").stderr


def test_help_teaches():
    text = subprocess.run([binary(), "bench", "--help"], capture_output=True, text=True).stdout
    for word in ("fan-out", "unicast", "idle", "storm", "backlog", "stalled", "How to read it", "taskset", "nchan"):
        assert word in text
