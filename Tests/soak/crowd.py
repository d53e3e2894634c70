"""Those who come and go: on every transport, politely or not, reading or not, for messages that expire or are recalled.

Each visit has a token of its own. Some end before the visit does, some are taken back meanwhile, some were never any good.
"""

import asyncio
import base64
import json
import random
import socket
import struct
import time
from urllib.parse import urlencode

import websockets.asyncio.client

import access
import sse
from fleet import HTTP, LOST
from tickets import GRACE, Showing, Ticket, Tickets, error_code

#: What a client of the crowd can do, and how often it does.
WAYS = {"sse": 5, "websocket": 5, "poll": 3, "ramen": 3, "slow": 2, "rude": 3, "expire": 1, "recall": 1, "stranger": 1, "kick": 1}
RESET = struct.pack("ii", 1, 0)


class Crowd:
    def __init__(self, port: int, rng: random.Random, count: int, tickets: Tickets):
        self.port, self.rng, self.count, self.tickets = port, rng, count, tickets
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
            except Exception as error:
                self.problems.append(f"{way}: {error!r}")
            await asyncio.sleep(self.rng.uniform(0, 0.3))

    async def somebody(self) -> Ticket:
        """One in four comes with a token that ends within seconds."""
        number = self.rng.randrange(300)
        life = self.rng.uniform(0.3, 3) if self.rng.random() < 0.25 else 60
        return await self.tickets.issue(f"crowd{number}", f"crowd{number}-{self.rng.randrange(3)}", life)

    def judge(self, way: str, problem: str | None):
        if problem:
            self.problems.append(f"{way}: {problem}")

    def show(self, ticket: Ticket) -> tuple[Showing, str]:
        """What it may lead to, and a header field with it."""
        name = self.rng.choice(("Authorization: Bearer ", "Cookie: martlet_token="))
        return Showing(self.tickets, ticket), f"{name}{ticket.text}\r\n"

    async def tell(self, user: str, **members) -> str | None:
        """Publishes one message; None if it was refused, as while the server stops."""
        http = HTTP(self.port)
        try:
            body = {"to": {"user": user}, "data": "x" * self.rng.randint(1, 400), "ttl": 60} | members
            head, answer = await http.request("POST", "/v1/messages", json.dumps(body).encode(), self.tickets.publisher)
            if head.status != 202:
                if head.status != 503:
                    self.problems.append(f"publish answered {head.status} {answer[:200]!r}")
                return None
            self.published += 1
            return json.loads(answer)["id"]
        finally:
            http.close()

    # ------------------------------------------------------------ ways

    async def stream(self, path: str, seconds: float, abrupt: bool, **query):
        ticket = await self.somebody()
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            showing, field = self.show(ticket)
            writer.write(f"GET {path}?{urlencode({'device': ticket.device} | query)} HTTP/1.1\r\nHost: localhost\r\n{field}\r\n".encode())
            head = sse.parse_head((await reader.readuntil(b"\r\n\r\n"))[:-4])
            if head.status != 200:
                # 204: another session of the device took over before this one was open.
                if head.status not in (204, 429, 503):
                    self.judge(path, showing.was_refused(head.status, error_code(await reader.read(1000))))
                return
            self.judge(path, showing.was_let_in())
            await self.tell(ticket.user)
            parser, end = sse.Parser(), self.end_of_visit(ticket, seconds)
            while (left := end - time.monotonic()) > 0:
                try:
                    chunk = await asyncio.wait_for(reader.read(65536), left)
                except TimeoutError:
                    self.judge(path, self.outlived(ticket))
                    break
                for event in parser.feed(chunk):
                    if event.type == "welcome" and self.rng.random() < 0.2:
                        showing.ticket = ticket = await self.renew(json.loads(event.data)["session"], ticket)
                        end = self.end_of_visit(ticket, seconds)
                    elif event.type == "close":
                        self.judge(path, showing.was_closed(json.loads(event.data)["code"]))
                if not chunk:
                    return
        finally:
            if abrupt:
                reset(writer)
            writer.close()

    async def renew(self, session: str, ticket: Ticket) -> Ticket:
        """The token that the session goes on with: a new one, or the old one if it ended meanwhile."""
        fresh = await self.tickets.issue(ticket.user, ticket.device, self.rng.choice((1, 3, 60)))
        http = HTTP(self.port)
        try:
            head, body = await http.request("POST", f"/v1/sessions/{session}/token", credential=fresh.text)
        finally:
            http.close()
        if head.status == 204:
            self.tickets.count["renewed"] += 1
            return fresh
        if head.status == 401:
            self.judge("renewal", Showing(self.tickets, fresh).was_refused(401, error_code(body)))
        elif head.status not in (404, 503):
            self.problems.append(f"a renewal was answered {head.status} {body[:100]!r}")
        return ticket

    @staticmethod
    def end_of_visit(ticket: Ticket, seconds: float) -> float:
        """Who has a token that ends soon waits for that."""
        return time.monotonic() + (ticket.left + GRACE if ticket.left < 10 else seconds)

    @staticmethod
    def outlived(ticket: Ticket) -> str | None:
        return f"a session outlived its token by {GRACE} s" if ticket.left < 0 else None

    async def sse(self):
        await self.stream("/v1/sse", self.rng.uniform(0.1, 4), self.rng.random() < 0.5)

    async def ramen(self):
        await self.stream("/ramen/receive", self.rng.uniform(0.1, 4), self.rng.random() < 0.5, seq=0)

    async def websocket(self):
        ticket = await self.somebody()
        showing = Showing(self.tickets, ticket)
        uri = f"ws://127.0.0.1:{self.port}/v1/ws?device={ticket.device}"
        is_in_frame = self.rng.random() < 0.5
        try:
            connection = await websockets.asyncio.client.connect(
                uri, additional_headers={} if is_in_frame else {"Authorization": f"Bearer {ticket.text}"},
                compression=None, ping_interval=None, proxy=None, close_timeout=0.2, open_timeout=10)
        except websockets.exceptions.InvalidStatus as error:
            if error.response.status_code not in (429, 503):
                self.judge("websocket", showing.was_refused(error.response.status_code, error_code(error.response.body)))
            return
        is_refused, fresh = False, None
        try:
            if is_in_frame:
                await connection.send(json.dumps({"token": ticket.text}))
            await self.tell(ticket.user)
            end = self.end_of_visit(ticket, self.rng.uniform(0.1, 4))
            while (left := end - time.monotonic()) > 0:
                try:
                    (name, value), = json.loads(await asyncio.wait_for(connection.recv(), left)).items()
                except TimeoutError:
                    self.judge("websocket", self.outlived(ticket))
                    break
                if name == "welcome":
                    self.judge("websocket", showing.was_let_in())
                    if self.rng.random() < 0.2:
                        fresh = await self.tickets.issue(ticket.user, ticket.device, self.rng.choice((1, 3, 60)))
                        await connection.send(json.dumps({"token": fresh.text}))
                elif name == "renewed":
                    showing.ticket = ticket = fresh
                    self.tickets.count["renewed"] += 1
                    end = self.end_of_visit(ticket, self.rng.uniform(0.1, 4))
                elif name == "message":
                    await connection.send(json.dumps({"ack": value["seq"]}))
                elif name == "error":
                    is_refused = True
                    if value["code"] not in ("draining", "rate_limited", "store_unavailable"):
                        self.judge("websocket", (Showing(self.tickets, fresh) if fresh else showing).was_refused(0, value["code"]))
        except websockets.exceptions.ConnectionClosed:
            # A refusal in a frame was judged as that.
            if not is_refused and connection.close_code:
                self.judge("websocket", showing.was_closed(connection.close_code))
            if not is_refused and connection.close_code not in (4002, 4500, 4502):
                raise
        finally:
            if self.rng.random() < 0.5:
                connection.transport.abort()
            else:
                await connection.close()

    async def poll(self):
        ticket, http = await self.somebody(), HTTP(self.port)
        try:
            cursor = None
            for _ in range(self.rng.randint(1, 4)):
                query = {"device": ticket.device, "wait": 1} | ({"cursor": cursor} if cursor else {})
                showing = Showing(self.tickets, ticket)
                head, body = await http.request("GET", f"/v1/poll?{urlencode(query)}", credential=ticket.text)
                if head.status in (200, 304):
                    self.judge("poll", showing.was_let_in())
                    cursor = json.loads(body)["cursor"] if body else cursor
                elif head.status not in (429, 503):
                    self.judge("poll", showing.was_refused(head.status, error_code(body)))
                    return
        finally:
            http.close()

    async def slow(self):
        """Reads nothing of what it asked for, while more and more comes."""
        ticket = await self.somebody()
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.setblocking(False)
        loop = asyncio.get_running_loop()
        try:
            await loop.sock_connect(connection, ("127.0.0.1", self.port))
            _, field = self.show(ticket)
            await loop.sock_sendall(connection, f"GET /v1/sse?device={ticket.device} HTTP/1.1\r\nHost: localhost\r\n{field}\r\n".encode())
            for _ in range(8):
                await self.tell(ticket.user, data="x" * 30_000, ttl=20)
            await asyncio.sleep(self.rng.uniform(1, 6))
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        finally:
            connection.close()

    async def rude(self):
        """Half a request, half a frame, a token and then nothing, or nothing at all, and then gone."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        ticket = await self.somebody()
        _, field = self.show(ticket)
        query = f"device={ticket.device}"
        upgrade = f"GET /v1/ws?{query} HTTP/1.1\r\nHost: localhost\r\n{field}Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        sent = self.rng.choice([
            b"", b"GET /v1/ss", f"GET /v1/sse?{query} HTTP/1.1\r\n{field}Host: loc".encode(), b"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900\r\n\r\n{\"to\":",
            upgrade.encode(), upgrade.encode() + b"\x81\xfe\x00", upgrade.replace(field, "").encode(), b"\x16\x03\x01\x02\x00\x01\x00", b"\x00" * 100])
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
            head, body = await http.request("DELETE", f"/v1/messages/{message}", credential=self.tickets.publisher)
        finally:
            http.close()
        if head.status >= 300:
            if head.status != 503:
                self.problems.append(f"recall answered {head.status} {body[:200]!r}")
            return
        if await self.receives(user, message):
            self.problems.append(f"{message} came after it was recalled")
        self.recalled += 1

    async def stranger(self):
        """Shows what is no token of ours, or none."""
        good = access.token("crowd0")
        head, claims, signature = good.split(".")
        forged = f"{head}.{claims}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"
        bare = base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=")
        shown = self.rng.choice((
            None, "x", forged, f"{bare}.{claims}.", f"{bare}.{claims}.{signature}", good + "=" * 9_000,
            access.token("crowd0", secret="y" * 32), access.token("crowd0", nbf=int(time.time()) + 600), self.tickets.admin))
        http = HTTP(self.port)
        try:
            head, body = await http.request("GET", "/v1/poll?device=d", credential=shown)
            if head.status not in (401, 503):
                self.problems.append(f"a stranger with {str(shown)[:40]} was answered {head.status} {body[:100]!r}")
        finally:
            http.close()

    async def kick(self):
        """The back end ends a visitor's sessions and takes its tokens back."""
        before = self.rng.choice(("now", None, int(time.time()) - self.rng.randint(0, 5)))
        if await self.tickets.disconnect(f"crowd{self.rng.randrange(300)}", before=before) is None:
            raise ConnectionError

    async def receives(self, user: str, message: str) -> bool:
        ticket, http = await self.tickets.issue(user, user, 30), HTTP(self.port)
        try:
            head, body = await http.request("GET", f"/v1/poll?device={user}", credential=ticket.text)
            if head.status not in (200, 503):
                self.problems.append(f"a poll was answered {head.status} {body[:100]!r}")
            return head.status == 200 and any(entry["id"] == message for entry in json.loads(body)["messages"])
        finally:
            http.close()


def reset(writer: asyncio.StreamWriter):
    """The connection ends without a goodbye."""
    connection = writer.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
