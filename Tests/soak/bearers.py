"""Devices of the fleet that show tokens which do not last: some renew them in time, others let them end and come back with new ones."""

import asyncio
import json
import random
from urllib.parse import urlencode

from fleet import HTTP, LOST, LongPollDevice, RamenDevice, SSEDevice, WebSocketDevice
from tickets import GRACE, Showing, Ticket, Tickets, error_code

#: Seconds that a token lasts.
LIFE = (20, 60)


class Bearer:
    """What a device of the fleet does with its tokens. It stands before the device in the bases."""

    #: Ways in which a stream may show its token.
    ways = ("header", "cookie", "query")

    def __init__(self, port: int, user: str, name: str, rng: random.Random, tickets: Tickets):
        super().__init__(port, user, name, rng)
        self.tickets = tickets
        self.ticket: Ticket | None = None
        self.showing: Showing | None = None
        self.way = "header"
        #: The id of the session, while it is live.
        self.live: str | None = None
        self.is_live = asyncio.Event()

    # ------------------------------------------------------------ showing it

    async def prepare(self):
        """Takes the token at hand, or a new one; a worthless one is shown again now and then, and must be refused."""
        ticket = self.ticket
        is_worthless = ticket is None or ticket.left < 0 or self.tickets.is_taken_back(ticket)
        if ticket is None or (is_worthless and self.rng.random() < 0.7):
            await self.take_new()
        self.way = self.rng.choice(self.ways)
        self.showing = Showing(self.tickets, self.ticket)

    async def take_new(self):
        self.ticket = await self.tickets.issue(self.user, self.name, self.rng.uniform(*LIFE))

    def credential(self):
        return self.ticket.text

    def fields(self):
        text = self.ticket.text
        return {"header": {"Authorization": f"Bearer {text}"}, "cookie": {"Cookie": f"a=b; martlet_token={text}"}}.get(self.way, {})

    def query(self, **more):
        members = {"device": self.name, "token": self.ticket.text if self.way == "query" else None} | more
        return urlencode({name: value for name, value in members.items() if value is not None})

    # ------------------------------------------------------------ what the server says to it

    def judge(self, problem: str | None):
        if problem:
            self.problem(problem)

    def told(self, name, value):
        if name == "welcome":
            self.judge(self.showing.was_let_in())
            if abs(value["expiresAt"] - self.ticket.ends * 1_000) > 2:
                self.problem(f"welcome says {value['expiresAt']} of a token that ends {self.ticket.ends}")
            self.live = value["session"]
            self.is_live.set()
        elif name == "close":
            # A close that follows an error frame is judged with that.
            if self.live:
                self.judge(self.showing.was_closed(value["code"]))
            self.live = None
        elif name == "error" and value["code"] in ("token_expired", "unauthorized"):
            self.judge(self.showing.was_refused(0, value["code"]))
            self.ticket = self.live = None
        else:
            super().told(name, value)

    async def refused(self, status, body):
        code = error_code(body)
        if code not in ("token_expired", "unauthorized", "forbidden"):
            await super().refused(status, body)
            return
        self.judge(self.showing.was_refused(status, code))
        if code != "forbidden":
            self.ticket = None

    def ack_refused(self, status, body):
        # The session ends as well, and says so itself.
        if error_code(body) == "token_expired" and self.ticket.left < 0:
            return
        if error_code(body) == "unauthorized" and self.tickets.may_be_taken_back(self.ticket):
            return
        super().ack_refused(status, body)


class Stream(Bearer):
    """One whose session ends with its token, unless it is renewed."""

    async def session(self):
        self.live = None
        self.is_live.clear()
        keeper = asyncio.create_task(self.keep())
        try:
            await super().session()
        finally:
            self.live = None
            keeper.cancel()
            await asyncio.wait([keeper])
            if not keeper.cancelled():
                keeper.result()

    async def keep(self):
        await self.is_live.wait()
        while (left := self.ticket.left) > 4 and self.rng.random() < 0.6:
            await asyncio.sleep(left * self.rng.uniform(0.3, 0.8))
            fresh = await self.tickets.issue(self.user, self.name, self.rng.uniform(*LIFE))
            answer = await self.renew(fresh)
            if answer is None:
                # It was on its way out: this task ends with it.
                await asyncio.sleep(GRACE)
                self.problem("a session that could not be renewed goes on")
                return
            self.judge(answer or None)
            self.tickets.count["renewed"] += 1
            self.ticket = self.showing.ticket = fresh
        await asyncio.sleep(self.ticket.left + GRACE)
        self.problem(f"outlived its token by {GRACE} s")

    async def renew(self, fresh: Ticket) -> str | None:
        """Shows the server a newer token. None if it was not taken, otherwise what is wrong with the answer, or nothing."""
        http = HTTP(self.port)
        try:
            head, body = await http.request("POST", f"/v1/sessions/{self.live}/token", credential=fresh.text)
        except LOST:
            return None
        finally:
            http.close()
        return "" if head.status == 204 else None


class SSE(Stream, SSEDevice):
    pass


class Ramen(Stream, RamenDevice):
    pass


class WebSocket(Stream, WebSocketDevice):
    ways = ("header", "cookie", "query", "frame")

    async def greet(self, connection):
        self.connection = connection
        self.renewed: asyncio.Future | None = None
        if self.way == "frame":
            await connection.send(json.dumps({"token": self.ticket.text}))

    def told(self, name, value):
        if name == "renewed" and self.renewed and not self.renewed.done():
            # At once: what comes next on the connection counts with the new token.
            fresh, self.renewed_at = self.offered, value["expiresAt"]
            self.ticket = self.showing.ticket = fresh
            self.renewed.set_result(None)
        elif name == "error" and self.renewed and value["code"] == "unauthorized":
            # The renewing token was refused, not the session's.
            self.judge(Showing(self.tickets, self.offered).was_refused(0, value["code"]))
            self.ticket = self.live = None
        else:
            super().told(name, value)

    async def renew(self, fresh):
        self.renewed, self.offered = asyncio.get_running_loop().create_future(), fresh
        try:
            await self.connection.send(json.dumps({"token": fresh.text}))
        except LOST:
            return None
        await asyncio.wait([self.renewed], timeout=GRACE)
        if not self.renewed.done():
            return None
        self.renewed = None
        return "" if abs(self.renewed_at - fresh.ends * 1_000) <= 2 else f"renewed until {self.renewed_at}, not {fresh.ends}"


class LongPoll(Bearer, LongPollDevice):
    """Each poll is a session of its own: it shows a newer token in time, or is refused."""

    ways = ("header",)

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.renews_below = 0.0

    async def prepare(self):
        if self.ticket and self.ticket.left < self.renews_below:
            await self.take_new()
            self.tickets.count["changed between polls"] += 1
        await super().prepare()

    async def take_new(self):
        await super().take_new()
        self.renews_below = self.rng.choice((0, self.ticket.left * 0.4))

    def told(self, name, value):
        if name == "answer":
            self.judge(self.showing.was_let_in())
            if self.ticket.left < -GRACE:
                self.problem(f"a poll was held {-self.ticket.left:.0f} s longer than its token lasts")
        else:
            super().told(name, value)


KINDS = (SSE, WebSocket, LongPoll, Ramen)
