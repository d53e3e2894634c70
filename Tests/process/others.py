"""Well-behaved clients beside an attack: what they notice of it is how long they wait, more than elsewhere on the same machine."""

import json
import threading
import time

from server import Server, unique, wait_until
from wire import Wire, request


class Others:
    """Publishes to a stream, again and again, and keeps how long each message took, in milliseconds. Does the same with `elsewhere`,
    a server that nobody attacks: what both suffer at that time is the machine's.

    with Others(server, hub) as others:
        attack()
    others.waited_less_than(500)
    """

    def __init__(self, server: Server, elsewhere: Server | None = None, pause: float = 0.01):
        self.server, self.user, self.pause = server, unique("bystander"), pause
        self.elsewhere = Others(elsewhere, pause=pause) if elsewhere else None
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
        # One may be late, also where there were less than a hundred.
        return times[max(0, min(int(len(times) * 0.99), len(times) - 2))] if times else float("inf")

    def waited_less_than(self, milliseconds: float) -> None:
        """All but one of a hundred, and that one less than four times as long; or, where the machine delays everybody, less than
        three times what it took elsewhere."""
        assert self.p99 < max(milliseconds, 3 * self.elsewhere.p99), f"{self.elsewhere.p99:.0f} ms elsewhere"
        slowest, slowest_elsewhere = max(self.times), max(self.elsewhere.times)
        assert slowest < max(4 * milliseconds, 3 * slowest_elsewhere), f"{slowest:.0f} ms, {slowest_elsewhere:.0f} ms elsewhere"

    def __enter__(self) -> "Others":
        self.thread.start()
        if self.elsewhere:
            self.elsewhere.__enter__()
        return self

    def __exit__(self, *_) -> None:
        if self.elsewhere:
            self.elsewhere.__exit__()
        # What is watched may be over before the first message was timed.
        wait_until(lambda: self.times or self.failure, 30, "a message of others")
        self.is_over.set()
        self.thread.join(60)
        if self.failure:
            raise self.failure
        print(f"others: {len(self.times)} messages, p50 {sorted(self.times)[len(self.times) // 2]:.1f} ms, p99 {self.p99:.1f} ms")
