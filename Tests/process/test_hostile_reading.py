"""What one connection may make the server hold: an answer that nobody reads, a body of somebody unknown, a body in many parts."""

import socket
import time

import pytest

from access import Guarded, bearer, token
from server import Server, wait_until
from wire import Wire, request
from test_limits import cpu_ticks
from test_tokens import EC, RSA, key_sets, private  # noqa: F401

BATCH = "Content-Type: application/x-ndjson"


@pytest.fixture
def guarded(tmp_path):
    server = Guarded(tmp_path / "data").start()
    yield server
    server.stop()


def pipelined(wire: Wire, one: bytes, seconds: float = 3) -> int:
    """Sends the same request again and again, reads nothing; returns how many bytes the server took."""
    data, sent, end = one * 1_000, 0, time.monotonic() + seconds
    wire.socket.settimeout(0.2)
    while time.monotonic() < end:
        try:
            sent += wire.socket.send(data[sent % len(one):])
        except TimeoutError:
            pass
    return sent


@pytest.mark.parametrize("path", ["/openapi.yaml", "/nothing/here", "/metrics", "/healthz", "/v1/poll?user=a"])
@pytest.mark.parametrize("fields", [(), ("Connection: close",)], ids=["kept", "closing"])
def test_who_reads_no_answers_is_not_read_from(guarded, path, fields):
    """Requests in a row whose answers nobody takes: memory stays, and so do the requests that the sockets hold no more of."""
    key = guarded.key("--scope", "read")
    assert guarded.get("/openapi.yaml").status_code == 200
    before = guarded.rss_kb()
    with Wire(guarded, receive_buffer=4_096) as wire:
        try:
            sent = pipelined(wire, request("GET", path, f"Authorization: Bearer {key}", *fields))
        except ConnectionError:
            sent = 0
        grown = guarded.rss_kb() - before
        print(f"{path}: {sent / 1e6:.1f} MB of requests taken, {grown / 1024:.1f} MiB more")
        assert grown < 16_384
        assert guarded.get("/healthz").status_code == 200
    assert guarded.rss_kb() - before < 16_384


def test_answers_that_are_taken_late_are_whole_and_in_order(guarded):
    """A client that sends fifty requests in one piece and reads them slowly gets fifty whole answers."""
    whole = guarded.get("/openapi.yaml").content
    with Wire(guarded, receive_buffer=4_096, timeout=20) as wire:
        wire.send(*[request("GET", "/openapi.yaml" if number % 2 else "/healthz") for number in range(50)])
        wait_until(lambda: wire.socket.recv(1, socket.MSG_PEEK), what="the first answer")
        for number in range(50):
            status, body = wire.answer()
            assert status == 200
            assert body == (whole if number % 2 else b'{"status":"ok"}\n'), number


def test_a_connection_whose_answer_is_not_taken_ends(tmp_path):
    server = Guarded(tmp_path / "data", "--limits-idle-seconds", "2").start()
    try:
        with Wire(server, receive_buffer=4_096) as wire:
            wire.send(*[request("GET", "/openapi.yaml")] * 100)
            wire.socket.recv(1, socket.MSG_PEEK)
            connections = lambda: len([line for line in open(f"/proc/{server.pid}/net/tcp") if f":{server.port:04X} " in line.split()[1] + " " and line.split()[3] == "01"])
            assert connections() >= 1
            wait_until(lambda: connections() == 0, 10, "its end")
    finally:
        server.stop()


# ------------------------------------------------------------ credentials before bodies

REFUSED = [
    ("/v1/messages", None, 401), ("/v1/messages", "mk_nobody", 401), ("/v1/messages", "read", 403),
    ("/v1/users/alice/disconnect", None, 401), ("/v1/users/alice/disconnect", "read", 403),
    ("/v1/ack?device=d", None, 401), ("/v1/ack?device=d", "token.of.nobody", 401),
    ("/v1/sessions/s-1/token", None, 401), ("/v1/ack?device=d&user=bob", "alice", 403),
]


@pytest.mark.parametrize("path,credential,status", REFUSED)
@pytest.mark.parametrize("framing", ["Content-Length: 60000", "Transfer-Encoding: chunked"])
def test_who_may_not_is_told_before_the_body(guarded, path, credential, status, framing):
    """The answer comes at the head: no 100, and nothing of the body is waited for."""
    shown = {"read": lambda: guarded.key("--scope", "read"), "alice": lambda: token("alice")}.get(credential, lambda: credential)()
    if credential == "read":  # a key that is unknown is looked for in the file at most so often
        wait_until(lambda: guarded.request("GET", "/metrics", shown).status_code == 200, what="the key")
    fields = [f"{name}: {value}" for name, value in bearer(shown).items()]
    with Wire(guarded) as wire:
        wire.send(request("POST", path, framing, BATCH, "Expect: 100-continue", *fields))
        head = wire.head()
        assert (head.status, head.headers["connection"]) == (status, "close")


def test_a_refused_body_is_neither_kept_nor_a_reason_to_lose_the_answer(guarded):
    """Eight megabytes of somebody unknown: the refusal arrives though they are being sent."""
    before = guarded.rss_kb()
    wires = [Wire(guarded) for _ in range(40)]
    for wire in wires:
        wire.send(request("POST", "/v1/messages", "Content-Length: 8000000", BATCH))
        wire.socket.settimeout(0.1)
        try:
            wire.socket.sendall(bytes(4_000_000))
        except (TimeoutError, ConnectionError):
            pass
        wire.socket.settimeout(5)
    for wire in wires:
        assert wire.head().status == 401
    print(f"40 refused bodies: {(guarded.rss_kb() - before) / 1024:.1f} MiB more")
    assert guarded.rss_kb() - before < 40_960
    for wire in wires:
        wire.close()


def test_a_body_where_none_belongs_is_not_kept(guarded):
    """Bodies of requests that take none, up to their last byte, cost nothing."""
    before = guarded.rss_kb()
    wires = [Wire(guarded).send(request("GET", "/healthz", "Content-Length: 60000"), b"x" * 59_999) for _ in range(500)]
    assert guarded.get("/healthz").status_code == 200
    print(f"500 bodies where none belongs: {(guarded.rss_kb() - before) / 1024:.1f} MiB more")
    assert guarded.rss_kb() - before < 20_480
    for wire in wires:
        assert wire.send(b"x").answer()[0] == 200
        wire.close()


def test_who_may_is_told_to_send_on(guarded):
    key = guarded.key()
    # A key that is unknown is looked for in the file at most so often.
    wait_until(lambda: guarded.request("POST", "/v1/messages", key, json={"to": {"user": "u"}}).status_code == 202, what="the key")
    with Wire(guarded) as wire:
        wire.send(request("POST", "/v1/messages", f"Authorization: Bearer {key}", "Content-Length: 20", "Expect: 100-continue"))
        assert wire.head().status == 100
        wire.send(b'{"to":{"user":"u"}}\n')
        assert wire.answer()[0] == 202
    with Wire(guarded) as wire:
        wire.send(request("POST", "/v1/ack?device=d", f"Authorization: Bearer {token()}", "Content-Length: 14", "Expect: 100-continue"))
        assert wire.head().status == 100
        assert wire.send(b'{"cursor":"x"}').answer()[0] == 400


@pytest.mark.parametrize("signer, status", [(EC, 400), (RSA, 401)], ids=["good", "bad"])
@pytest.mark.parametrize("whole", [True, False], ids=["whole", "part"])
def test_nothing_is_read_while_a_token_waits_for_its_key(tmp_path, key_sets, signer, status, whole):  # noqa: F811
    """The key set comes late: no answer and no 100 before it, and no more of the body is taken than was on its way."""
    key_sets.keys = {"one": EC}
    key_sets.open.clear()
    server = Guarded(tmp_path / "data", "--tokens-jwks-url", f"http://127.0.0.1:{key_sets.port}/keys").start()
    algorithm = "ES256" if signer is EC else "RS256"
    shown = token(secret=private(signer), algorithm=algorithm, headers={"kid": "one"})
    body = b'{"cursor":"x"}'
    try:
        wait_until(lambda: key_sets.asked == 1)
        length = len(body) if whole else 60_000
        head = request("POST", "/v1/ack?device=d", f"Authorization: Bearer {shown}", f"Content-Length: {length}", "Expect: 100-continue")
        with Wire(server) as wire:
            wire.send(head, body if whole else b"")
            wire.socket.settimeout(0.5)
            with pytest.raises(TimeoutError):
                wire.more()
            assert wire.rest == b""
            key_sets.open.set()
            wire.socket.settimeout(10)
            if not whole and status == 400:
                assert wire.head().status == 100
                wire.send(body.ljust(60_000))
            assert wire.answer()[0] == status
            if whole:  # the next request is taken as ever
                assert wire.send(request("GET", "/healthz")).answer()[0] == 200
    finally:
        key_sets.open.set()
        server.stop()


# ------------------------------------------------------------ cost of a body

def test_a_long_body_costs_what_its_length_says(tmp_path):
    """Four times the bytes cost about four times the time, not sixteen times."""
    server = Server(tmp_path / "data").start()
    try:
        def cost(count: int, framing: str) -> float:
            # Refused by its first line's lack: only the collecting counts, and one pass over the lines.
            body = b"x" * count
            if framing == "chunked":
                body = b"".join(b"%x\r\n" % 2_000 + b"x" * 2_000 + b"\r\n" for _ in range(count // 2_000)) + b"0\r\n\r\n"
            field = "Transfer-Encoding: chunked" if framing == "chunked" else f"Content-Length: {len(body)}"
            ticks = cpu_ticks(server)
            for _ in range(8_000_000 // count * 5):
                with Wire(server, timeout=30) as wire:
                    wire.send(request("POST", "/v1/messages", field, BATCH), body)
                    assert wire.answer()[0] == 202
            return cpu_ticks(server) - ticks

        for framing in ("length", "chunked"):
            short, long = cost(500_000, framing), cost(8_000_000, framing)
            print(f"{framing}: 40 MB in 80 bodies {short:.0f} ticks, in 5 bodies {long:.0f} ticks")
            assert long < 2.5 * short + 10
    finally:
        server.stop()
