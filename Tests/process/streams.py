"""Receivers over /v1/stream, JSONP and exchange; see clients.py. Each parser takes what the protocol says and nothing else."""

import json
import re
import threading

import httpx

import sse
from clients import LongPoll, Receiver, Refused, shut

MESSAGE = '{"message":'


class Stream(Receiver):
    """A socket; what it brings is taken apart by the format's own parser."""

    path = "/v1/stream"
    format = ""
    content_type = ""
    line_break = " "

    def __init__(self, *arguments, **query):
        super().__init__(*arguments, **({"format": self.format} | query))

    def _receive(self) -> None:
        if self.position:
            self.query["cursor"] = self.position
        rest = self._open(self.content_type, {})
        assert self.head.headers["content-type"] == self.content_type
        while True:
            rest = self._take(rest)
            chunk = self.socket.recv(65536)
            if not chunk:
                assert not rest, f"the stream ends within {rest[-200:]!r}"
                return
            rest += chunk

    def _take(self, received: bytes) -> bytes:
        """Takes what is whole; returns the rest."""
        raise NotImplementedError

    def _object(self, text: str, position: str | None = None) -> None:
        value = json.loads(text)
        if not value:
            self.notices.put(("hb", {}))
            return
        (name, content), = value.items()
        position = position or (content.get("cursor") if isinstance(content, dict) else None)
        if name == "message":
            self._message(text.removeprefix(MESSAGE).removesuffix("}"), position or self.position)
        elif name == "welcome":
            self.welcome = content | {"_id": position}
            self.opened.set()
        else:
            self.notices.put((name, content | {"_position": position} if isinstance(content, dict) else content))

    def _shutdown(self) -> None:
        shut(self.socket)


class NDJSON(Stream):
    format = "ndjson"
    content_type = "application/x-ndjson"

    def _take(self, received: bytes) -> bytes:
        *lines, rest = received.split(b"\n")
        for line in lines:
            if line:
                self._object(line.decode())
            else:
                self.notices.put((":", ""))
        return rest


class Multipart(Stream):
    format = "multipart"
    content_type = "multipart/x-mixed-replace; boundary=martlet"
    part = re.compile(rb"content-type: application/json\r\ncontent-length: (\d+)\r\n(?:martlet-cursor: ([\w-]+)\r\n)?\r\n")

    def _take(self, received: bytes) -> bytes:
        if not self.opened.is_set():
            if not received.startswith(b"--martlet\r\n"):
                return received
            received = received.removeprefix(b"--martlet\r\n")
        while found := self.part.match(received):
            end = found.end() + int(found[1])
            if len(received) < end + 13:
                return received
            boundary = received[end:end + 13]
            assert boundary in (b"\r\n--martlet\r\n", b"\r\n--martlet--"), boundary
            self._object(received[found.end():end].decode(), found[2] and found[2].decode())
            received = received[end + 13:]
            if boundary.endswith(b"--"):
                return received.removeprefix(b"\r\n")
        return received


class Iframe(Stream):
    """Runs no script: the calls are taken from the page's text, each exactly as the protocol says."""

    format = "iframe"
    content_type = "text/html; charset=utf-8"
    callback = "app.push"

    def __init__(self, *arguments, **query):
        super().__init__(*arguments, **({"callback": self.callback} | query))

    def _take(self, received: bytes) -> bytes:
        nonce = re.search("'nonce-([\\w-]{22})'", self.head.headers["content-security-policy"])[1]
        *lines, rest = received.split(b"\n")
        for line in lines:
            text = line.decode()
            if text.startswith("<!doctype html>"):
                assert f"parent.{self.callback}(parent.JSON.parse(t))" in text and len(text) > 2_048
            elif text == "</body></html>":
                continue
            elif text:
                before, after = f'<script nonce="{nonce}">m(', ")</script>"
                assert text.startswith(before) and text.endswith(after), text
                self._object(script_string(text[len(before):-len(after)]))
            else:
                self.notices.put((":", ""))
        return rest


def script_string(literal: str) -> str:
    """The value of a string in a script; nothing in it may end the string, the line or the script."""
    assert re.fullmatch(r'"(?:[^"\\<>&\x00-\x1f\u2028\u2029]|\\["\\nr]|\\u[0-9a-f]{4})*"', literal), literal
    return json.loads(literal)


class JSONP(LongPoll):
    """A long poll whose answers are scripts."""

    callback = "jQuery.cb_1$"

    def __init__(self, *arguments, **query):
        super().__init__(*arguments, **({"callback": self.callback} | query))

    def _answer(self, text: str) -> dict:
        before, after = f"/**/{self.callback}(JSON.parse(", "));\n"
        assert text.startswith(before) and text.endswith(after), text
        answer = json.loads(script_string(text[len(before):-len(after)]))
        if "error" in answer:
            raise Refused(200, json.dumps(answer))
        return answer


class Exchange(LongPoll):
    """Exchanges one after the other, each with the cursor of the one before."""

    path = "/v1/exchange"
    takes_over = False

    def __init__(self, *arguments, topics: str | None = None, since: str | None = None, limit: int | None = None, **query):
        self.body = {"limit": limit}
        if topics:
            self.body["subscribe"] = [{"topic": topic} | ({"since": since} if since else {}) for topic in topics.split(",")]
        self.pause = threading.Event()
        super().__init__(*arguments, **query)

    def _ask(self, client: httpx.Client, cursor: str | None) -> dict:
        if self.opened.is_set():
            self.pause.wait(0.02)
        answer = client.post(self.server.url + self.path, params=self.query, json=self.body | {"cursor": cursor})
        if answer.status_code != 200:
            raise Refused(answer.status_code, answer.text)
        self.opened.set()
        return answer.json()

    def _run(self) -> None:
        super(LongPoll, self)._run()
