"""Two thousand clients of one polled URL: what the upstream sees of them, and how soon a change is everywhere."""

import asyncio
import statistics
import time

import pytest
import websockets.asyncio.client

import metrics
from fleet import HTTP
from server import Server
from upstream import Upstream

INTERVAL = 1.0
STREAMS, SOCKETS, POLLERS = 800, 800, 400
CHANGES = 8


class Crowd:
    """When each subscriber got each value."""

    def __init__(self, port: int):
        self.port = port
        self.seen: dict[str, list[float]] = {}
        self.changed = asyncio.Condition()
        self.tasks: list[asyncio.Task] = []
        self.polled = 0

    def got(self, value: str) -> None:
        self.seen.setdefault(value, []).append(time.monotonic())

    async def stream(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(b"GET /v1/sse?topics=live/scores HTTP/1.1\r\nHost: localhost\r\n\r\n")
        async for line in reader:
            if b'"data":"' in line:
                self.got(line.partition(b'"data":"')[2].partition(b'"')[0].decode())

    async def socket(self) -> None:
        async with websockets.asyncio.client.connect(
            f"ws://127.0.0.1:{self.port}/v1/ws?topics=live/scores", compression=None, ping_interval=None, proxy=None, open_timeout=60
        ) as socket:
            async for frame in socket:
                if '"data":"' in frame:
                    self.got(frame.partition('"data":"')[2].partition('"')[0])

    async def poller(self, number: int) -> None:
        """As clients do today: every two seconds, each at a time of its own."""
        http = HTTP(self.port)
        await asyncio.sleep(2 * number / POLLERS)
        while True:
            head, body = await http.request("GET", "/feed/scores")
            assert head.status == 200 and body.startswith(b"value "), (head, body)
            self.polled += 1
            await asyncio.sleep(2)

    async def everybody_has(self, value: str, timeout: float) -> float:
        """When the last subscriber had it."""
        end = time.monotonic() + timeout
        while len(self.seen.get(value, [])) < STREAMS + SOCKETS:
            assert time.monotonic() < end, f"{len(self.seen.get(value, []))} have {value}"
            await asyncio.sleep(0.005)
        return max(self.seen[value])


async def run(server: Server, upstream: Upstream) -> None:
    crowd = Crowd(server.port)
    room = asyncio.Semaphore(100)
    upstream.content_type, upstream.body = "text/plain", b"value 0"
    for number in range(max(STREAMS, SOCKETS)):
        async with room:
            crowd.tasks += [asyncio.create_task(crowd.stream()), asyncio.create_task(crowd.socket())]
            await asyncio.sleep(0)
    crowd.tasks += [asyncio.create_task(crowd.poller(number)) for number in range(POLLERS)]
    await crowd.everybody_has("value 0", 60)
    await asyncio.sleep(1)
    # At rest: one request per interval, whatever they do.
    before, began, polled = upstream.count(), time.monotonic(), crowd.polled
    await asyncio.sleep(6 * INTERVAL)
    spent = time.monotonic() - began
    asked = upstream.count() - before
    print(f"\n{STREAMS} SSE, {SOCKETS} WebSocket, {POLLERS} pollers ({crowd.polled - polled} polls): {asked} upstream requests in {spent:.1f} s")
    assert spent / INTERVAL / 2 <= asked <= spent / INTERVAL + 1.5
    publisher = HTTP(server.port)
    late, fanned, published = [], [], []
    for number in range(1, CHANGES + 1):
        # At another moment of the interval each time.
        await asyncio.sleep(0.4 + number * 0.13)
        upstream.body = f"value {number}".encode()
        changed = time.monotonic()
        last = await crowd.everybody_has(f"value {number}", 10)
        polls = [request.at for request in upstream.requests if request.at >= changed]
        late.append(last - changed)
        # None if it was being asked at that very moment.
        fanned.append(last - polls[0] if polls else last - changed)
        # What the same takes on this machine without a bridge.
        began = time.monotonic()
        head, body = await publisher.request("POST", "/v1/topics/live/scores", f"published {number}".encode())
        assert head.status == 202, body
        published.append(await crowd.everybody_has(f"published {number}", 10) - began)
    publisher.close()
    for what, times in (("with all subscribers after a change", late), ("after the poll that brought it", fanned), ("after a publish", published)):
        print(f"{what}: {', '.join(f'{1000 * one:.0f}' for one in times)} ms, median {1000 * statistics.median(times):.0f}")
    # 50 ms on two cores; beside four busy loops 180 ms, and so a publish: then that is the measure.
    assert statistics.median(fanned) < max(0.1, 2 * statistics.median(published))
    assert statistics.median(late) < INTERVAL + max(0.1, 2 * statistics.median(published))
    failed = [task for task in crowd.tasks if task.done()]
    assert not failed, failed[0]
    for task in crowd.tasks:
        task.cancel()
    await asyncio.gather(*crowd.tasks, return_exceptions=True)


@pytest.mark.alone
@pytest.mark.timeout(180)
def test_two_thousand_clients_cause_one_request_per_interval(tmp_path):
    with Upstream() as upstream:
        server = Server(
            tmp_path / "data", "--limits-subscribe-rate", "0", "--bridge-allowed-hosts", upstream.host, "--bridges-scores-url", upstream.url,
            "--bridges-scores-topic", "live/scores", "--bridges-scores-path", "/feed/scores", "--bridges-scores-interval", "1s",
            "--bridges-scores-jitter", "0").start()
        try:
            asyncio.run(run(server, upstream))
            number = metrics.numbers(server)
            assert number['martlet_bridge_pushes_total{bridge="scores",result="stored"}'] == 1 + CHANGES
            assert number['martlet_bridge_polls_total{bridge="scores",result="changed"}'] == 1 + CHANGES
        finally:
            server.stop()
