"""Many devices and publishers in one asyncio loop, for the runs that kill the server; they record what they saw."""

import asyncio
import json
import random
import time
from urllib.parse import urlencode

import websockets.asyncio.client
import websockets.exceptions

import sse

LANES = ("high", "medium", "low")
LOST = (OSError, asyncio.IncompleteReadError, EOFError, websockets.exceptions.WebSocketException)


class HTTP:
    """A keep-alive connection."""

    def __init__(self, port: int):
        self.port = port
        self.reader = self.writer = None

    async def request(self, method: str, path: str, body: bytes = b"", credential: str | None = None) -> tuple[sse.Head, bytes]:
        """The credential is an API key or a token; in dev mode there is none."""
        if self.writer is None:
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        shown = {"Authorization": f"Bearer {credential}"} if credential else {}
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{lines(shown)}Content-Length: {len(body)}\r\n\r\n"
        self.writer.write(head.encode() + body)
        head = sse.parse_head((await self.reader.readuntil(b"\r\n\r\n"))[:-4])
        return head, await self.reader.readexactly(int(head.headers.get("content-length", 0)))

    def close(self) -> None:
        if self.writer:
            self.writer.close()
        self.reader = self.writer = None


def lines(fields: dict[str, str]) -> str:
    """Header fields as they are written."""
    return "".join(f"{name}: {value}\r\n" for name, value in fields.items())


class Device:
    """One device on one transport: connects, receives, checks order and marks, comes back until it is told to stop."""

    kind = ""
    #: Whether a presented position covers all that was received, also over a crash of the server.
    exact = True

    def __init__(self, port: int, user: str, name: str, rng: random.Random):
        self.port, self.user, self.name, self.rng = port, user, name, rng
        self.up = asyncio.Event()
        #: Ends the session that is under way, if it is set while `up` is not.
        self.leave = asyncio.Event()
        self.position: str | None = None
        self.seen: dict[str, int] = {}
        self.unacked = 0
        self.duplicates = 0
        self.sessions = 0
        self.problems: list[str] = []
        self.newest = dict.fromkeys(LANES, "")
        self.in_session = dict.fromkeys(LANES, "")
        self.covered: set[str] = set()
        self.changed = asyncio.Event()
        self.last_at = 0.0

    async def run(self) -> None:
        while True:
            await self.up.wait()
            # Sometimes a client comes back without knowing where it was: the server's record has to do.
            if self.position is None or self.rng.random() < 0.3:
                self.position, self.covered = None, set()
            else:
                self.covered = set(self.seen) if self.exact else set()
            self.in_session = dict.fromkeys(LANES, "")
            self.unacked = 0
            self.sessions += 1
            try:
                await self.stay()
            except LOST:
                await asyncio.sleep(0.02)

    async def stay(self) -> None:
        """One session, until it ends or the device is to leave."""
        session, leave = asyncio.ensure_future(self.session()), asyncio.ensure_future(self.leave.wait())
        try:
            await asyncio.wait([session, leave], return_when=asyncio.FIRST_COMPLETED)
            if session.done():
                session.result()
        finally:
            session.cancel()
            leave.cancel()
            self.leave.clear()
            await asyncio.gather(session, leave, return_exceptions=True)

    async def session(self) -> None:
        raise NotImplementedError

    # ------------------------------------------------------------ who it is: in dev mode the query says so

    async def prepare(self) -> None:
        """Before it connects, and before each poll."""

    def credential(self) -> str | None:
        """What polls and acks show."""
        return None

    def fields(self) -> dict[str, str]:
        """Header fields that open a stream."""
        return {}

    def query(self, **more) -> str:
        return urlencode({"user": self.user, "device": self.name} | {key: value for key, value in more.items() if value is not None})

    # ------------------------------------------------------------ what it hears

    def told(self, name: str, value: dict) -> None:
        """Everything but messages: `welcome`, `gap`, `drain`, `error`, and `close` with its code."""
        if name in ("gap", "error"):
            self.problem(f"{name} {value}")

    async def refused(self, status: int, body: bytes) -> None:
        """Instead of a session."""
        self.problem(f"answered {status} {body!r}")
        await asyncio.sleep(0.5)

    def ack_refused(self, status: int, body: bytes) -> None:
        self.problem(f"ack answered {status} {body!r}")

    def received(self, message: dict, position: str) -> None:
        lane, number, again = message["priority"], message["id"], message.get("redelivered", False)
        known = number in self.seen
        if known:
            self.duplicates += 1
            if not again:
                self.problem(f"{number} came twice without the mark")
            if number in self.covered:
                self.problem(f"{number} came again although the presented position covers it")
        elif number <= self.newest[lane]:
            self.problem(f"{number} ({lane}) came for the first time after a later one, {self.newest[lane]}")
        if number <= self.in_session[lane]:
            self.problem(f"{number} ({lane}) out of order within a session")
        self.in_session[lane] = number
        self.newest[lane] = max(self.newest[lane], number)
        self.seen[number] = self.seen.get(number, 0) + 1
        self.position = position
        self.unacked += 1
        self.last_at = time.monotonic()
        self.changed.set()

    def problem(self, text: str) -> None:
        self.problems.append(f"{self.name}: session {self.sessions}: {text}")


class SSEDevice(Device):
    kind = "sse"

    def request(self) -> str:
        position = f"Last-Event-ID: {self.position}\r\n" if self.position else ""
        return f"GET /v1/sse?{self.query()} HTTP/1.1\r\nHost: localhost\r\n{lines(self.fields())}{position}\r\n"

    async def session(self) -> None:
        await self.prepare()
        http = HTTP(self.port)
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(self.request().encode())
            head = sse.parse_head((await reader.readuntil(b"\r\n\r\n"))[:-4])
            if head.status != 200:
                await self.refused(head.status, await reader.read(1000))
                return
            parser = sse.Parser()
            while chunk := await reader.read(65536):
                for event in parser.feed(chunk):
                    if event.type == "message":
                        self.received(json.loads(event.data), event.id)
                    elif event.type != ":":
                        self.told(event.type, json.loads(event.data))
                if self.unacked > 200:
                    await self.ack(http)
        finally:
            writer.close()
            http.close()

    async def ack(self, http: HTTP) -> None:
        """Now and then, over a connection of its own."""
        self.unacked = 0
        head, body = await http.request("POST", f"/v1/ack?{self.query()}", json.dumps({"cursor": self.position}).encode(), self.credential())
        if head.status != 204:
            self.ack_refused(head.status, body)


class RamenDevice(SSEDevice):
    kind = "ramen"
    exact = False  # what the numbers of the last second stand for may not have been recorded

    async def ack(self, http: HTTP) -> None:
        self.unacked = 0
        head, body = await http.request("GET", f"/ramen/ack?{self.query(seq=self.position)}", credential=self.credential())
        if head.status != 204:
            self.ack_refused(head.status, body)

    def request(self) -> str:
        return f"GET /ramen/receive?{self.query(seq=self.position or 0)} HTTP/1.1\r\nHost: localhost\r\n{lines(self.fields())}\r\n"


class WebSocketDevice(Device):
    kind = "websocket"

    async def session(self) -> None:
        await self.prepare()
        uri = f"ws://127.0.0.1:{self.port}/v1/ws?{self.query(cursor=self.position)}"
        try:
            connection = await websockets.asyncio.client.connect(
                uri, additional_headers=self.fields(), compression=None, ping_interval=None, proxy=None, close_timeout=0.2)
        except websockets.exceptions.InvalidStatus as error:
            await self.refused(error.response.status_code, error.response.body or b"")
            return
        async with connection:
            await self.greet(connection)
            try:
                await self.listen(connection)
            finally:
                if connection.close_code:
                    self.told("close", {"code": connection.close_code})

    async def greet(self, connection) -> None:
        """The connection stands; nothing was said yet."""

    async def listen(self, connection) -> None:
        async for frame in connection:
            (name, value), = json.loads(frame).items()
            if name == "message":
                self.received(value, value["cursor"])
                # Handlers finish late: some messages stay unacked for a while.
                if self.unacked >= self.rng.randint(1, 24):
                    await connection.send(json.dumps({"ack": value["seq"]}))
                    self.unacked = 0
            else:
                self.told(name, value)


class LongPollDevice(Device):
    kind = "long-poll"

    async def session(self) -> None:
        http = HTTP(self.port)
        try:
            while True:
                await self.prepare()
                head, body = await http.request("GET", f"/v1/poll?{self.query(cursor=self.position, wait=20)}", credential=self.credential())
                if head.status == 304:
                    continue
                if head.status != 200:
                    await self.refused(head.status, body)
                    return
                answer = json.loads(body)
                self.told("answer", answer)
                for gap in answer.get("gaps", []):
                    self.told("gap", gap)
                self.unacked = 0
                for message in answer["messages"]:
                    self.received(message, answer["cursor"])
                self.position = answer["cursor"]
        finally:
            http.close()


KINDS = (SSEDevice, WebSocketDevice, LongPollDevice, RamenDevice)


class Publishers:
    """Keep-alive connections that publish at a rate in total; what got no answer is published again with the same key."""

    def __init__(self, port: int, users: list[str], connections: int, rate: float, rng: random.Random, key: str | None = None):
        self.port, self.users, self.connections, self.rate, self.rng, self.key = port, users, connections, rate, rng, key
        self.up = asyncio.Event()
        self.accepted: dict[str, dict[str, int]] = {user: {} for user in users}
        self.unanswered: list[tuple[str, bytes]] = []
        self.count = 0
        self.repeats = 0
        self.problems: list[str] = []
        self.started = time.monotonic()
        self.sent = 0
        self.in_flight = 0
        self.rushing = False

    def begin(self) -> None:
        self.started, self.sent = time.monotonic(), 0
        self.rushing = False
        self.up.set()

    def rush(self) -> None:
        """From now on each connection publishes as fast as it is answered, so that a kill finds requests in flight on all."""
        self.rushing = True

    def next(self) -> tuple[str, bytes]:
        self.count += 1
        user = self.rng.choice(self.users)
        message = {
            "to": {"user": user}, "type": "crash", "data": {"n": self.count, "pad": "x" * self.rng.randint(0, 200)}, "ttl": 3600,
            "priority": self.rng.choices(LANES, (1, 6, 3))[0], "idempotencyKey": f"{user}-{self.count}",
        }
        return user, json.dumps(message).encode()

    async def run(self) -> None:
        await asyncio.gather(*(self.publisher() for _ in range(self.connections)))

    async def publisher(self) -> None:
        http = HTTP(self.port)
        while True:
            if not self.up.is_set():
                http.close()
                await self.up.wait()
            due = self.started + self.sent / self.rate
            self.sent += 1
            if not self.rushing and (pause := due - time.monotonic()) > 0:
                await asyncio.sleep(pause)
                if not self.up.is_set():
                    continue
            again = bool(self.unanswered)
            user, body = self.unanswered.pop() if again else self.next()
            self.in_flight += 1
            try:
                head, answer = await http.request("POST", "/v1/messages", body, self.key)
            except LOST:
                self.unanswered.append((user, body))
                http.close()
                self.in_flight -= 1
                await asyncio.sleep(0.02)
                continue
            self.in_flight -= 1
            if head.status != 202:
                self.problems.append(f"{head.status} {answer!r}")
                continue
            number = json.loads(answer)["id"]
            self.repeats += "idempotent-replayed" in head.headers
            self.accepted[user][number] = json.loads(body)["data"]["n"]
