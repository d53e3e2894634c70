"""The real binary as a process of the tests' own, always stopped by its process id."""

import os
import queue
import signal
import socket
import subprocess
import threading
import time
import uuid
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parents[2]


def binary() -> str:
    """The built program: $MARTLET, or where the release build leaves it."""
    return os.environ.get("MARTLET") or str(ROOT / ".build" / "release" / "martlet")


def clean_environment() -> dict[str, str]:
    """Without the variables of the tests themselves, which are no options of the server."""
    return {name: value for name, value in os.environ.items() if not name.startswith("MARTLET_")}


class Server:
    """`martlet serve --dev` on a free port of its own. `restart` comes back on the same port and data."""

    mode = ("--dev",)

    def __init__(self, data: Path, *options: str):
        self.data = Path(data)
        self.options = options
        self.port = 0
        self.scheme = "http"
        self.process: subprocess.Popen | None = None
        # The certificates of tests are their own; what TLS does with them is asked of openssl and testssl.sh.
        self.http = httpx.Client(timeout=30, trust_env=False, verify=False)
        self.log = self.data.with_name(self.data.name + ".log")

    # ------------------------------------------------------------ process

    def start(self, timeout: float = 20) -> "Server":
        self.process = subprocess.Popen(
            [binary(), "serve", *self.mode, "--listen", f"127.0.0.1:{self.port}", "--data", str(self.data), *self.options],
            stdout=subprocess.PIPE, stderr=open(self.log, "ab"), stdin=subprocess.DEVNULL, env=clean_environment(),
        )
        lines: queue.Queue = queue.Queue()
        threading.Thread(target=self._read, args=(self.process.stdout, lines), daemon=True).start()
        end = time.monotonic() + timeout
        while True:
            try:
                line = lines.get(timeout=max(0.01, end - time.monotonic()))
            except queue.Empty:
                self.kill9()
                raise AssertionError(f"no 'listening on' line within {timeout} s\n{self.tail()}") from None
            if line is None:
                code = self.process.wait(5)
                raise AssertionError(f"the server ended with {code}\n{self.tail()}")
            if line.startswith("listening on http"):
                self.scheme = line.removeprefix("listening on ").partition(":")[0]
                self.port = int(line.rsplit(":", 1)[1].strip().rstrip("/"))
                return self

    @staticmethod
    def _read(stream, lines: queue.Queue) -> None:
        for line in stream:
            lines.put(line.decode())
        lines.put(None)

    @property
    def pid(self) -> int:
        return self.process.pid

    def kill9(self) -> None:
        self.process.kill()
        self.process.wait()
        self._forget_connections()

    def terminate(self) -> None:
        """Sends SIGTERM and does not wait."""
        self.process.send_signal(signal.SIGTERM)

    def wait(self, timeout: float = 20) -> int:
        code = self.process.wait(timeout)
        self._forget_connections()
        return code

    def restart(self) -> "Server":
        return self.start()

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.terminate()
            try:
                self.wait(15)
            except subprocess.TimeoutExpired:
                self.kill9()
        self.http.close()

    def _forget_connections(self) -> None:
        self.http.close()
        self.http = httpx.Client(timeout=30, trust_env=False, verify=False)

    def tail(self, lines: int = 30) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def rss_kb(self) -> int:
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
        return 0

    # ------------------------------------------------------------ HTTP

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def connect(self, receive_buffer: int | None = None, timeout: float = 10, source: str | None = None) -> socket.socket:
        connection = socket.socket()
        if source:
            connection.bind((source, 0))
        if receive_buffer:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection.settimeout(timeout)
        connection.connect(("127.0.0.1", self.port))
        return connection

    def get(self, path: str, **options) -> httpx.Response:
        return self.http.get(self.url + path, **options)

    def post(self, message: dict | str | bytes, **headers: str) -> httpx.Response:
        """Publishes one message as it is given; header names have `_` for `-`."""
        named = {"Content-Type": "application/json"} | {name.replace("_", "-"): value for name, value in headers.items()}
        if isinstance(message, dict):
            return self.http.post(self.url + "/v1/messages", json=message, headers=named)
        return self.http.post(self.url + "/v1/messages", content=message, headers=named)

    def publish(self, user: str | None = None, data=None, **members) -> str:
        """Publishes to a user (or `to=`), expects 202, returns the id."""
        to = members.pop("to", {"user": user})
        answer = self.post({"to": to, "type": members.pop("type", "test"), "data": data} | members)
        assert answer.status_code == 202, answer.text
        return answer.json()["id"]

    def batch(self, lines: list[str]) -> httpx.Response:
        return self.post("\n".join(lines) + "\n", Content_Type="application/x-ndjson")

    def recall(self, message: str) -> httpx.Response:
        return self.http.delete(f"{self.url}/v1/messages/{message}")

    def status(self, message: str, **query) -> dict:
        answer = self.get(f"/v1/messages/{message}", params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def device_state(self, message: str, device: str) -> str | None:
        return next((entry["state"] for entry in self.status(message)["devices"] if entry["device"] == device), None)

    def ack(self, user: str, device: str, body: dict) -> httpx.Response:
        return self.http.post(self.url + "/v1/ack", params={"user": user, "device": device}, json=body)


def wait_until(condition, timeout: float = 15, what: str = "condition"):
    """Asks again until the answer is true; for states that no event announces."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"{what}: not within {timeout} s"
        time.sleep(0.02)


def unique(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex[:8]}"
