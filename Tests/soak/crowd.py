"""Those who come and go: on every transport, politely or not, reading or not, for messages that expire or are recalled."""

import asyncio
import json
import random
import socket
import struct
import time
from urllib.parse import urlencode

import websockets.asyncio.client

import sse
from fleet import HTTP, LOST

#: What a client of the crowd can do, and how often it does.
WAYS = {"sse": 5, "websocket": 5, "poll": 3, "ramen": 3, "slow": 2, "rude": 3, "expire": 1, "recall": 1}
RESET = struct.pack("ii", 1, 0)


class Crowd:
    def __init__(self, port: int, rng: random.Random, count: int):
        self.port, self.rng, self.count = port, rng, count
        self.tasks: list[asyncio.Task] = []
        self.is_here = False
        self.done = dict.fromkeys(WAYS, 0)
        self.problems: list[str] = []
        self.published = self.expired = self.recalled = self.lost = 0
        self.serial = 0

    def start(self):
        self.is_here = True
        self.tasks = [asyncio.create_task(self.come_and_go()) for _ in range(self.count)]

    async def stop(self):
        self.is_here = False  # wait_for may swallow a cancellation
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.tasks = []

    def summary(self) -> str:
        return f"{sum(self.done.values()):6d} visits"

    def detail(self) -> str:
        return ", ".join(f"{count} {way}" for way, count in self.done.items()) + f"; cut by a stop or kill: {self.lost}"

    def verdict(self) -> list[str]:
        return [f"the crowd never did: {way}" for way, count in self.done.items() if not count]

    async def come_and_go(self):
        while self.is_here:
            way = self.rng.choices(list(WAYS), list(WAYS.values()))[0]
            try:
                await asyncio.wait_for(getattr(self, way)(), 60)
                self.done[way] += 1
            except (*LOST, TimeoutError) as error:
                if isinstance(error, TimeoutError):
                    self.problems.append(f"{way}: took more than 60 s")
                self.lost += 1
                await asyncio.sleep(0.2)
            await asyncio.sleep(self.rng.uniform(0, 0.3))

    def somebody(self) -> dict[str, str]:
        number = self.rng.randrange(300)
        return {"user": f"crowd{number}", "device": f"crowd{number}-{self.rng.randrange(3)}"}

    async def tell(self, user: str, **members) -> str | None:
        """Publishes one message; None if it was refused, as while the server stops."""
        http = HTTP(self.port)
        try:
            body = {"to": {"user": user}, "data": "x" * self.rng.randint(1, 400), "ttl": 60} | members
            head, answer = await http.request("POST", "/v1/messages", json.dumps(body).encode())
            if head.status != 202:
                if head.status != 503:
                    self.problems.append(f"publish answered {head.status} {answer[:200]!r}")
                return None
            self.published += 1
            return json.loads(answer)["id"]
        finally:
            http.close()

    # ------------------------------------------------------------ ways

    async def stream(self, path: str, who: dict, seconds: float, abrupt: bool):
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(f"GET {path}?{urlencode(who)} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            head = sse.parse_head((await reader.readuntil(b"\r\n\r\n"))[:-4])
            if head.status != 200:
                # 204: another session of the device took over before this one was open.
                if head.status not in (204, 429, 503):
                    self.problems.append(f"{path} answered {head.status}")
                return
            await self.tell(who["user"])
            end = time.monotonic() + seconds
            while (left := end - time.monotonic()) > 0:
                try:
                    if not await asyncio.wait_for(reader.read(65536), left):
                        return
                except TimeoutError:
                    break
        finally:
            if abrupt:
                reset(writer)
            writer.close()

    async def sse(self):
        await self.stream("/v1/sse", self.somebody(), self.rng.uniform(0.1, 4), self.rng.random() < 0.5)

    async def ramen(self):
        await self.stream("/ramen/receive", self.somebody() | {"seq": 0}, self.rng.uniform(0.1, 4), self.rng.random() < 0.5)

    async def websocket(self):
        who = self.somebody()
        uri = f"ws://127.0.0.1:{self.port}/v1/ws?{urlencode(who)}"
        try:
            connection = await websockets.asyncio.client.connect(
                uri, compression=None, ping_interval=None, proxy=None, close_timeout=0.2, open_timeout=10)
        except websockets.exceptions.InvalidStatus as error:
            if error.response.status_code not in (429, 503):
                self.problems.append(f"websocket answered {error.response.status_code}")
            return
        try:
            await self.tell(who["user"])
            end = time.monotonic() + self.rng.uniform(0.1, 4)
            while (left := end - time.monotonic()) > 0:
                try:
                    (name, value), = json.loads(await asyncio.wait_for(connection.recv(), left)).items()
                except TimeoutError:
                    break
                if name == "message":
                    await connection.send(json.dumps({"ack": value["seq"]}))
        finally:
            if self.rng.random() < 0.5:
                connection.transport.abort()
            else:
                await connection.close()

    async def poll(self):
        who, http = self.somebody(), HTTP(self.port)
        try:
            cursor = None
            for _ in range(self.rng.randint(1, 4)):
                query = who | {"wait": 1} | ({"cursor": cursor} if cursor else {})
                head, body = await http.request("GET", f"/v1/poll?{urlencode(query)}")
                if head.status == 200:
                    cursor = json.loads(body)["cursor"]
                elif head.status not in (304, 429, 503):
                    self.problems.append(f"poll answered {head.status} {body[:200]!r}")
                    return
        finally:
            http.close()

    async def slow(self):
        """Reads nothing of what it asked for, while more and more comes."""
        who = self.somebody()
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.setblocking(False)
        loop = asyncio.get_running_loop()
        try:
            await loop.sock_connect(connection, ("127.0.0.1", self.port))
            await loop.sock_sendall(connection, f"GET /v1/sse?{urlencode(who)} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            for _ in range(8):
                await self.tell(who["user"], data="x" * 30_000, ttl=20)
            await asyncio.sleep(self.rng.uniform(1, 6))
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        finally:
            connection.close()

    async def rude(self):
        """Half a request, half a frame, or nothing at all, and then gone."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        query = urlencode(self.somebody())
        upgrade = f"GET /v1/ws?{query} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        sent = self.rng.choice([
            b"", b"GET /v1/ss", f"GET /v1/sse?{query} HTTP/1.1\r\nHost: loc".encode(), b"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900\r\n\r\n{\"to\":",
            upgrade.encode(), upgrade.encode() + b"\x81\xfe\x00", b"\x16\x03\x01\x02\x00\x01\x00", b"\x00" * 100])
        try:
            writer.write(sent)
            await writer.drain()
            await asyncio.sleep(self.rng.uniform(0, 1))
        finally:
            reset(writer)
            writer.close()

    async def expire(self):
        """Nobody is there until it is too late."""
        self.serial += 1
        user = f"late{self.serial}"
        message = await self.tell(user, ttl=1)
        await asyncio.sleep(2.5)
        if message and await self.receives(user, message):
            self.problems.append(f"{message} came after it had expired")
        self.expired += message is not None

    async def recall(self):
        self.serial += 1
        user = f"recall{self.serial}"
        message = await self.tell(user)
        if message is None:
            return
        http = HTTP(self.port)
        try:
            head, body = await http.request("DELETE", f"/v1/messages/{message}")
        finally:
            http.close()
        if head.status >= 300:
            if head.status != 503:
                self.problems.append(f"recall answered {head.status} {body[:200]!r}")
            return
        if await self.receives(user, message):
            self.problems.append(f"{message} came after it was recalled")
        self.recalled += 1

    async def receives(self, user: str, message: str) -> bool:
        http = HTTP(self.port)
        try:
            head, body = await http.request("GET", f"/v1/poll?{urlencode({'user': user, 'device': user})}")
            return head.status == 200 and any(entry["id"] == message for entry in json.loads(body)["messages"])
        finally:
            http.close()


def reset(writer: asyncio.StreamWriter):
    """The connection ends without a goodbye."""
    connection = writer.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
