"""An event-stream parser after WHATWG HTML §9.2.6, and the head of an HTTP answer; nothing of a client's comfort."""

from typing import NamedTuple


class Event(NamedTuple):
    type: str
    data: str
    id: str
    retry: int | None


class Parser:
    """Bytes in, events and comments out (a comment is an Event of type ":")."""

    def __init__(self):
        self.rest = b""
        self.last_id = ""
        self._reset()

    def _reset(self) -> None:
        self.data: list[str] = []
        self.type = ""
        self.retry: int | None = None

    def feed(self, chunk: bytes) -> list[Event]:
        self.rest += chunk
        lines = self.rest.split(b"\n")
        self.rest = lines.pop()
        events = []
        for line in lines:
            text = line.rstrip(b"\r").decode()
            if not text:
                if self.data:
                    events.append(Event(self.type or "message", "\n".join(self.data), self.last_id, self.retry))
                self._reset()
            elif text.startswith(":"):
                events.append(Event(":", text[1:], self.last_id, None))
            else:
                name, _, value = text.partition(":")
                value = value.removeprefix(" ")
                if name == "data":
                    self.data.append(value)
                elif name == "event":
                    self.type = value
                elif name == "id":
                    self.last_id = value
                elif name == "retry":
                    self.retry = int(value)
        return events


class Head(NamedTuple):
    status: int
    headers: dict[str, str]


def parse_head(head: bytes) -> Head:
    first, *rest = head.decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in rest if line)
    return Head(int(first.split(" ")[1]), {name.lower(): value.strip() for name, _, value in pairs})
