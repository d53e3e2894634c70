"""Tokens as a back end gives them out and takes them back, and what the server may answer to each."""

import asyncio
import json
import random
import time
from collections import Counter

import access
from fleet import HTTP, LOST

#: Times are those of one machine; the server counts in milliseconds.
ROUNDING = 0.002
#: A session may outlive its token, or the answer that ended it, by no more than this; it covers a busy machine.
GRACE = 15


class Ticket:
    """A token and what it says."""

    def __init__(self, user: str, device: str, seconds: float, is_pinned: bool):
        now = time.time()
        self.user, self.device = user, device
        self.issued, self.ends = int(now), now + seconds
        self.text = access.token(user, iat=self.issued, exp=self.ends, device=device if is_pinned else None)

    @property
    def left(self) -> float:
        return self.ends - time.time()


class Tickets:
    """The back end: keeps what it took back, so that every answer can be judged. The keys are API keys."""

    def __init__(self, port: int, rng: random.Random, publisher: str, admin: str):
        self.port, self.rng, self.publisher, self.admin = port, rng, publisher, admin
        self.count = Counter()
        #: Per user, or user and device: tokens issued in a second before this one are refused for certain, or perhaps.
        self.surely: dict[tuple[str, str | None], int] = {}
        self.perhaps: dict[tuple[str, str | None], int] = {}
        self.under_way: Counter[str] = Counter()
        #: How often the sessions of a user were to end; counted before it is asked for.
        self.disconnects: Counter[str] = Counter()
        #: Taken back, and good for long otherwise.
        self.withdrawn: list[Ticket] = []

    async def issue(self, user: str, device: str, seconds: float) -> Ticket:
        # What was taken back as of now holds to the end of the second.
        while time.time() < (barred := self.bound(self.perhaps, user, device)):
            await asyncio.sleep(barred - time.time())
        self.count["issued"] += 1
        return Ticket(user, device, seconds, self.rng.random() < 0.5)

    @staticmethod
    def bound(bounds, user: str, device: str) -> int:
        return max(bounds.get((user, None), 0), bounds.get((user, device), 0))

    def is_taken_back(self, ticket: Ticket) -> bool:
        return ticket.issued < self.bound(self.surely, ticket.user, ticket.device)

    def may_be_taken_back(self, ticket: Ticket) -> bool:
        return self.under_way[ticket.user] > 0 or ticket.issued < self.bound(self.perhaps, ticket.user, ticket.device)

    async def disconnect(self, user: str, device: str | None = None, before: int | str | None = None) -> int | None:
        """Asks once; the sessions that ended, or None if there was no answer, as while the server is down."""
        http = HTTP(self.port)
        body = {"device": device, "revokeBefore": before}
        body = json.dumps({name: value for name, value in body.items() if value is not None}).encode()
        self.disconnects[user] += 1
        self.under_way[user] += 1
        begin, status = time.time(), 0
        try:
            head, answer = await http.request("POST", f"/v1/users/{user}/disconnect", body, self.admin)
            status = head.status
        except LOST:
            return None
        finally:
            http.close()
            self.under_way[user] -= 1
            if before is not None:
                self.keep(self.perhaps, user, device, int(time.time()) + 1 if before == "now" else before)
            if before is not None and status == 200:
                self.keep(self.surely, user, device, int(begin) + 1 if before == "now" else before)
        if status == 200:
            self.count["disconnects"] += 1
            return json.loads(answer)["sessions"]
        if status == 503:
            return None
        raise AssertionError(f"disconnect answered {status} {answer!r}")

    @staticmethod
    def keep(bounds, user: str, device: str | None, second: int):
        bounds[user, device] = max(second, bounds.get((user, device), 0))

    async def try_withdrawn(self) -> list[str]:
        """Shows what was taken back, as after a crash; returns what is wrong."""
        self.withdrawn = [ticket for ticket in self.withdrawn if ticket.left > 5][-8:]
        problems, http = [], HTTP(self.port)
        try:
            for ticket in self.withdrawn:
                head, body = await http.request("GET", f"/v1/poll?device={ticket.device}", credential=ticket.text)
                if head.status == 401:
                    self.count["withdrawn"] += 1
                elif head.status != 503:
                    problems.append(f"a token of {ticket.user} that was taken back is answered {head.status} {body[:100]!r}")
        except LOST:
            pass
        finally:
            http.close()
        return problems


class Showing:
    """A token that is shown to the server, and what may come of it. Each check returns what is wrong, if anything."""

    def __init__(self, tickets: Tickets, ticket: Ticket):
        self.tickets, self.ticket = tickets, ticket
        self.is_over = ticket.left < -ROUNDING
        self.is_taken_back = tickets.is_taken_back(ticket)
        # One that is under way now may still end what comes of it.
        self.disconnects = tickets.disconnects[ticket.user] - tickets.under_way[ticket.user]

    def was_let_in(self) -> str | None:
        if self.is_over or self.is_taken_back:
            return f"was let in with a token that {'is over' if self.is_over else 'was taken back'}"
        return None

    @property
    def may_be_disconnected(self) -> bool:
        return self.tickets.disconnects[self.ticket.user] > self.disconnects

    def was_refused(self, status: int, code: str) -> str | None:
        """A request, or a frame; nothing was open."""
        count = self.tickets.count
        if code == "token_expired":
            count["refused as over"] += 1
            return None if self.ticket.left < ROUNDING else f"refused as expired {self.ticket.left:.3f} s before its end"
        if code == "unauthorized":
            count["refused as taken back"] += 1
            return None if self.tickets.may_be_taken_back(self.ticket) else "refused a token that is good"
        if code == "forbidden" and self.may_be_disconnected:
            count["disconnected"] += 1
            return None
        return f"answered {status} {code}"

    def was_closed(self, code: int) -> str | None:
        """A live session."""
        count = self.tickets.count
        if code == 4002:
            count["closed with 4002"] += 1
            return None if self.ticket.left < ROUNDING else f"closed as expired {self.ticket.left:.3f} s before its end"
        if code == 4502:
            count["disconnected"] += 1
            return None if self.may_be_disconnected else "disconnected, which nobody had asked for"
        # A restart, or a kill; 4500 when it takes over a session of its own that was lost.
        return None if code in (1001, 1006, 1012, 4500) else f"closed with {code}"


def error_code(body: bytes) -> str:
    try:
        return json.loads(body)["error"]["code"]
    except (ValueError, KeyError, TypeError):
        return repr(body[:100])
