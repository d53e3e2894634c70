"""A server that asks for keys and tokens, and what to show it."""

import json
import subprocess
import time
import uuid
from pathlib import Path

import httpx
import jwt
import websockets.exceptions
import websockets.sync.client

from server import Server, binary, clean_environment

SECRET = "0123456789abcdef0123456789abcdef"
ACME_SECRET = "fedcba9876543210fedcba9876543210"


def martlet(*arguments: str, **variables: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [binary(), *arguments], capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL,
        env=clean_environment() | variables)


class Guarded(Server):
    """Without dev mode, with a secret for tokens; the app `acme` has one of its own. Clocks are compared to the second."""

    mode = ()

    def __init__(self, data: Path, *options: str):
        files = {}
        for name, secret in (("default", SECRET), ("acme", ACME_SECRET)):
            files[name] = Path(data).with_name(f"{Path(data).name}-{name}-secret")
            files[name].write_text(secret + "\n")
            files[name].chmod(0o600)
        super().__init__(
            data, "--tokens-secret-file", str(files["default"]), "--tokens-leeway-seconds", "0",
            "--apps-acme-tokens-secret-file", str(files["acme"]), "--apps-acme-tokens-leeway-seconds", "0", *options)

    def key(self, *options: str) -> str:
        made = martlet("key", "create", "--data", str(self.data), *options)
        assert made.returncode == 0, made.stderr
        return made.stdout.strip()

    def revoke(self, key: str) -> None:
        made = martlet("key", "revoke", key.split("_")[1], "--data", str(self.data))
        assert made.returncode == 0, made.stderr

    def request(self, method: str, path: str, credential: str | None = None, **options) -> httpx.Response:
        headers = options.pop("headers", {}) | bearer(credential)
        return self.http.request(method, self.url + path, headers=headers, **options)

    def status_of(self, method: str, path: str, **options) -> tuple[int, str | None, httpx.Headers]:
        """Status, error code and header fields of an answer; a stream is not read."""
        with self.http.stream(method, self.url + path, **options) as answer:
            code = None
            if answer.status_code >= 400:
                code = json.loads(answer.read())["error"]["code"]
            return answer.status_code, code, answer.headers

    def websocket(self, query: str = "", headers: dict | None = None, origin: str | None = None):
        return websockets.sync.client.connect(
            f"ws://127.0.0.1:{self.port}/v1/ws{query}", compression=None, proxy=None, open_timeout=10, close_timeout=1,
            additional_headers=headers or {}, origin=origin, legacy=True)

    def websocket_status(self, query: str = "", headers: dict | None = None, origin: str | None = None):
        """Like `status_of`: 101 if the session was opened."""
        try:
            with self.websocket(query, headers, origin) as socket:
                first = json.loads(socket.recv(5))
                assert "welcome" in first, first
                return 101, None, socket.response.headers
        except websockets.exceptions.InvalidStatus as error:
            return error.response.status_code, json.loads(error.response.body)["error"]["code"], error.response.headers


def bearer(credential: str | None) -> dict[str, str]:
    return {} if credential is None else {"Authorization": f"Bearer {credential}"}


def token(user: str | None = "alice", secret: str = SECRET, algorithm: str = "HS256", headers: dict | None = None, **claims) -> str:
    now = int(time.time())
    payload = {"sub": user, "iat": now, "exp": now + 600} | claims
    # Told apart from all others, so that none is answered from memory.
    payload = {name: value for name, value in payload.items() if value is not None} | {"jti": uuid.uuid4().hex}
    return jwt.encode(payload, secret, algorithm=algorithm, headers=headers)
