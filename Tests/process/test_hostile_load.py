"""Many at once, or much from one: memory stays bounded and others are served; their p99 is printed (pytest -s)."""

import os
import socket
import threading
import time

import pytest

from others import Others
from server import Server, unique, wait_until
from wire import Wire, frame, handshake, request, sockets
from test_limits import cpu_ticks, limited  # noqa: F401

pytestmark = pytest.mark.alone
SILENT = int(os.environ.get("SILENT_CONNECTIONS", "10000"))


def test_10000_connections_that_send_nothing(limited, hub):
    """They cost little, disturb nobody, and are ended when the time for a head is over."""
    server = limited("--limits-head-seconds", "10")
    with Others(server, hub) as others:
        before, open_before = server.rss_kb(), sockets(server)
        silent = []
        for number in range(SILENT):
            client = socket.socket()
            client.bind((f"127.1.{number // 250}.{number % 250 + 1}", 0))
            client.connect(("127.0.0.1", server.port))
            silent.append(client)
        wait_until(lambda: sockets(server) >= open_before + SILENT, 30, "all accepted")
        held = server.rss_kb() - before
        count = len(others.times)
        wait_until(lambda: len(others.times) >= count + 100, 20, "others served beside them")
        print(f"{SILENT} silent connections: {held / 1024:.1f} MiB, {held * 1024 / SILENT:.0f} bytes each")
        assert held * 1024 / SILENT < 8_192
        wait_until(lambda: sockets(server) <= open_before + 10, 40, "their end")
    others.waited_less_than(1_000)
    for client in silent:
        client.close()


def flood(server: Server, path: str, data: bytes, seconds: float = 2) -> tuple[float, float]:
    """Sends on a WebSocket as fast as the server reads, and reads what comes back; returns MB/s and the server's CPU cores."""
    with Wire(server) as wire:
        wire.send(handshake(path))
        wire.until(b"\r\n\r\n")
        over = threading.Event()

        def read() -> None:
            try:
                while not over.is_set() and wire.socket.recv(1 << 20):
                    pass
            except OSError:
                pass

        reader = threading.Thread(target=read)
        reader.start()
        sent, ticks, start = 0, cpu_ticks(server), time.monotonic()
        try:
            while time.monotonic() - start < seconds:
                wire.socket.sendall(data)
                sent += len(data)
        except OSError:
            pass
        used = (cpu_ticks(server) - ticks) / os.sysconf("SC_CLK_TCK") / (time.monotonic() - start)
        over.set()
        wire.socket.shutdown(socket.SHUT_RDWR)
        reader.join(10)
        return sent / seconds / 1e6, used


def fragments(count: int) -> bytes:
    """A text message in that many fragments of one byte; the server takes 256."""
    mask = b"\0\0\0\0"
    parts = [b"\x01\x81" + mask + b"{"] + [b"\x00\x81" + mask + b" "] * (count - 2) + [b"\x80\x81" + mask + b"}"]
    return b"".join(parts)


@pytest.mark.parametrize("kind", ["pings", "pongs", "json pings", "fragments", "empty fragments in turn"])
def test_a_flood_of_small_frames(limited, hub, kind):
    """One client's flood takes its share of a loop, and no memory; others get theirs."""
    server = limited()
    user = unique("flood")
    data = {
        "pings": frame(b"x", 9) * 4_000, "pongs": frame(b"", 10) * 4_000, "json pings": frame(b'{"ping":1}') * 2_000,
        "fragments": fragments(250) * 20, "empty fragments in turn": fragments(3) * 1_000,
    }[kind]
    server.get("/healthz")
    before = server.rss_kb()
    with Others(server, hub) as others:
        rate, cores = flood(server, f"/v1/ws?user={user}&device=d", data, 1.5)
        assert server.rss_kb() - before < 20_000
    print(f"{kind}: {rate:.1f} MB/s taken, {cores:.2f} cores")
    others.waited_less_than(500)


def test_a_message_of_too_many_fragments_is_refused(hub, user):
    with Wire(hub) as wire:
        wire.send(handshake(f"/v1/ws?user={user}&device=d"))
        wire.until(b"welcome")
        try:
            wire.send(fragments(2_000))
        except OSError:
            pass
        try:
            data = wire.to_end()
        except ConnectionError:
            data = wire.rest
        assert b"\x03\xf1" in data  # 1009


def test_slow_readers_cost_a_window_and_delay_nobody(limited, hub):
    """200 streams that never read, each behind with a full window."""
    server = limited()
    server.get("/healthz")
    stuck = []
    for number in range(200):
        wire = Wire(server, receive_buffer=4096)
        wire.send(request("GET", f"/v1/sse?user=stuck{number // 50}&device=s{number}"))
        stuck.append(wire)
    for wire in stuck:
        wire.until(b"event: welcome")
    before = server.rss_kb()
    with Others(server, hub) as others:
        for _ in range(100):
            server.publish(to={"users": [f"stuck{number}" for number in range(4)]}, data="x" * 16_000)
        held = server.rss_kb() - before
        count = len(others.times)
        wait_until(lambda: len(others.times) >= count + 50, 20, "others served beside them")
    print(f"200 slow readers, 1.6 MB each behind: {held / 1024:.1f} MiB")
    assert held < 200 * 160
    others.waited_less_than(1_000)
    for wire in stuck:
        wire.close()


def test_many_slow_heads_and_bodies(limited, hub):
    """500 of each, a byte now and then; they are ended in time and others do not notice."""
    server = limited("--limits-head-seconds", "2", "--limits-body-seconds", "2")
    open_before = sockets(server)
    with Others(server, hub) as others:
        slow = []
        for number in range(500):
            slow.append(Wire(server, source=f"127.2.0.{number % 250 + 1}").send(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: "))
            slow.append(Wire(server, source=f"127.2.1.{number % 250 + 1}").send(request("POST", "/v1/messages", "Content-Length: 60000")))
        wait_until(lambda: sockets(server) >= open_before + 900, 10, "all of them")

        def dripped() -> bool:
            for wire in slow:
                try:
                    wire.socket.send(b"x")
                except OSError:
                    pass
            return sockets(server) <= open_before + 5

        wait_until(dripped, 20, "their end")
    others.waited_less_than(500)
    for wire in slow:
        wire.close()


def test_half_open_connections_are_ended(limited):
    """Clients that shut down their sending side and stay: nobody waits for them."""
    server = limited()
    server.get("/healthz")
    before = sockets(server)
    halves = []
    for number in range(300):
        wire = Wire(server).send([b"GET / HT", request("GET", f"/v1/sse?user=half{number}"), b"", handshake(f"/v1/ws?user=half{number}")][number % 4])
        wire.socket.shutdown(socket.SHUT_WR)
        halves.append(wire)
    wait_until(lambda: sockets(server) <= before, 10, "their end")
    for wire in halves:
        wire.close()


def test_rapid_connects_are_counted_right(limited):
    """After a storm of connections that come and go every place is given back."""
    server = limited("--limits-connections", "60", "--limits-connections-per-address", "30")

    def storm(worker: int) -> None:
        for number in range(150):
            with Wire(server, source=f"127.3.0.{worker + 1}") as wire:
                try:
                    wire.send([b"", b"GET", request("GET", "/healthz"), request("GET", f"/v1/sse?user=storm{worker}"), handshake(f"/v1/ws?user=storm{worker}")][number % 5])
                    if number % 7 == 0:
                        wire.reset()
                except OSError:
                    pass

    threads = [threading.Thread(target=storm, args=(worker,)) for worker in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    wait_until(lambda: server.get("/readyz").status_code == 200, 10, "readiness")
    wait_until(lambda: sockets(server) < 20, 10, "all gone")
    held = [Wire(server, source="127.3.0.1").send(request("GET", "/healthz")) for _ in range(30)]
    assert [wire.answer()[0] for wire in held] == [200] * 30
    with Wire(server, source="127.3.0.1") as refused:
        assert refused.answer()[0] == 503
    for wire in held:
        wire.close()
