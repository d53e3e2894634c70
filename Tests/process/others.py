"""Well-behaved clients beside an attack: what they notice of it is how long they wait."""

import json
import threading
import time

from server import Server, wait_until
from wire import Wire, request


class Others:
    """Publishes to a stream, again and again, and keeps how long each message took, in milliseconds.

    with Others(server) as others:
        attack()
    assert others.p99 < 500
    """

    def __init__(self, server: Server, user: str = "bystander", pause: float = 0.01):
        self.server, self.user, self.pause = server, user, pause
        self.times: list[float] = []
        self.failure: Exception | None = None
        self.is_over = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self) -> None:
        try:
            with Wire(self.server, timeout=30) as stream, Wire(self.server, timeout=30) as publisher:
                stream.send(request("GET", f"/v1/sse?user={self.user}"))
                stream.until(b"event: welcome")
                number = 0
                while not self.is_over.is_set():
                    number += 1
                    body = json.dumps({"to": {"user": self.user}, "data": f"<{number}>"})
                    start = time.monotonic()
                    publisher.send(request("POST", "/v1/messages", f"Content-Length: {len(body)}", body=body))
                    assert publisher.answer()[0] == 202
                    stream.until(f'"<{number}>"'.encode())
                    self.times.append((time.monotonic() - start) * 1_000)
                    self.is_over.wait(self.pause)
        except Exception as error:  # reported by whoever started it
            self.failure = error

    @property
    def p99(self) -> float:
        times = sorted(self.times)
        return times[int(len(times) * 0.99)] if times else float("inf")

    def __enter__(self) -> "Others":
        self.thread.start()
        return self

    def __exit__(self, *_) -> None:
        # What is watched may be over before the first message was timed.
        wait_until(lambda: self.times or self.failure, 30, "a message of others")
        self.is_over.set()
        self.thread.join(60)
        if self.failure:
            raise self.failure
        print(f"others: {len(self.times)} messages, p50 {sorted(self.times)[len(self.times) // 2]:.1f} ms, p99 {self.p99:.1f} ms")
