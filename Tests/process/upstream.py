"""A server that clients poll, of the tests' own: says what it is told to say, and remembers who asked."""

import asyncio
import gzip
import hashlib
import ssl
import threading
import time
from dataclasses import dataclass, field

# More than any answer may have, in very few bytes.
BOMB = gzip.compress(b"0" * 64_000_000)


@dataclass
class Request:
    at: float
    path: str
    headers: dict[str, str]


@dataclass
class Upstream:
    """On a loopback port of its own. `behave` is one of the names below, or a status."""

    context: ssl.SSLContext | None = None
    address: str = "127.0.0.1"
    body: bytes = b"0"
    content_type: str | None = "application/json"
    fields: dict[str, str] = field(default_factory=dict)
    #: Whether it says `ETag` and `Last-Modified`, and 304 to who knows the answer.
    validates: bool = True
    behave: str = "well"
    delay: float = 0.0
    location: str = ""
    #: By path, instead of `body`.
    bodies: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self):
        self.requests: list[Request] = []
        self.open = 0
        self.most_open = 0
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.server = asyncio.run_coroutine_threadsafe(asyncio.start_server(self._serve, self.address, 0, ssl=self.context), self.loop).result(10)
        self.port = self.server.sockets[0].getsockname()[1]

    @property
    def host(self) -> str:
        return f"{self.address}:{self.port}"

    @property
    def url(self) -> str:
        return f"{'https' if self.context else 'http'}://{self.host}"

    def count(self) -> int:
        return len(self.requests)

    def close(self) -> None:
        async def end():
            self.server.close()
            for task in asyncio.all_tasks():
                if task is not asyncio.current_task():
                    task.cancel()

        asyncio.run_coroutine_threadsafe(end(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # ------------------------------------------------------------ in its own thread

    async def _serve(self, reader, writer) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin1").split("\r\n")
                headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
                self.requests.append(Request(time.monotonic(), head[0].split(" ")[1], headers))
                self.open += 1
                self.most_open = max(self.open, self.most_open)
                try:
                    if self.delay:
                        await asyncio.sleep(self.delay)
                    await self._answer(writer, self.requests[-1])
                    await writer.drain()
                finally:
                    self.open -= 1
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _answer(self, writer, request: Request) -> None:
        if self.behave == "silent":
            await asyncio.sleep(60)
        elif self.behave == "endless":
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            while True:
                writer.write(b"1000\r\n" + b"x" * 4096 + b"\r\n")
                await writer.drain()
        elif self.behave == "dripping":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 10000\r\n\r\n")
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.05)
        elif self.behave == "giant":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n" + b"x" * 100_000)
            await asyncio.sleep(60)
        elif self.behave == "bomb":
            writer.write(f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(BOMB)}\r\n\r\n".encode() + BOMB)
        elif self.behave == "garbage":
            writer.write(b"\x00\x01\x02 this is not HTTP\r\n\r\n")
        elif self.behave == "headers":
            writer.write(b"HTTP/1.1 200 OK\r\n" + b"X-Filler: " + b"y" * 4_000_000 + b"\r\nContent-Length: 0\r\n\r\n")
        elif self.behave == "closing":
            raise OSError("closed")
        elif self.behave == "cut":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n123")
            await writer.drain()
            raise OSError("cut")
        elif self.behave == "redirect":
            writer.write(f"HTTP/1.1 302 Found\r\nLocation: {self.location}\r\nContent-Length: 0\r\n\r\n".encode())
        elif self.behave.isdigit():
            fields = "".join(f"{name}: {value}\r\n" for name, value in self.fields.items())
            writer.write(f"HTTP/1.1 {self.behave} Told so\r\n{fields}Content-Length: 4\r\n\r\nnope".encode())
        else:
            self._answer_well(writer, request)

    def _answer_well(self, writer, request: Request) -> None:
        body = self.bodies.get(request.path, self.body)
        fields = dict(self.fields)
        if self.content_type:
            fields["Content-Type"] = self.content_type
        if self.validates:
            fields["ETag"] = f'"{hashlib.md5(body).hexdigest()}"'
            if request.headers.get("if-none-match") == fields["ETag"]:
                writer.write(f"HTTP/1.1 304 Not Modified\r\nETag: {fields['ETag']}\r\n\r\n".encode())
                return
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        writer.write(f"HTTP/1.1 200 OK\r\n{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
